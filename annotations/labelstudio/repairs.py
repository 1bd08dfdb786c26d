"""Putting Label Studio right. Each repair says in a few words what it did, or nothing where a person must decide.

Label Studio is only ever given what CrashDesk has: its form, a task's own data, an annotation as it was taken in.
"""

import uuid
from datetime import timedelta
from typing import Any

from django.db import transaction

from annotations.cases.rules import Said
from annotations.labelstudio.client import Client, LabelStudioRefused
from annotations.labelstudio.conversion import Draft, to_regions
from annotations.labelstudio.media_links import video_address
from annotations.labelstudio.models import LabelStudioAnnotation, LabelStudioProject, LabelStudioTask
from annotations.labelstudio.people import People
from annotations.labelstudio.pull import pages_of
from annotations.labelstudio.push import proxy_map
from annotations.labelstudio.taking import content_hash, stem_of, time_of
from annotations.reviews.models import Review, ReviewOutcome
from crashdesk.accounts.models import User
from crashdesk.audit.services import record

NAMESPACE = uuid.UUID("6f0e2f0c-5a57-4a52-9d3f-6b1f6f0e9c11")
"""Of the unique ids that Label Studio keeps: a repair that was killed and is repeated posts nothing twice."""


class Repairs:
    """What can be put right in one project. Raises LabelStudioDown and LabelStudioRefused."""

    def __init__(self, project: LabelStudioProject, client: Client, people: People, by: User | None) -> None:
        self._project, self._client, self._people, self._by = project, client, people, by
        self._ids: dict[int, int] | None = None

    # --- form and data ----------------------------------------------------------------------------------

    def form(self, ours: str, *, distrust: bool) -> str:
        """Put the form back; with `distrust`, what was saved meanwhile must be saved again."""
        try:
            self._client.patch(f"/api/projects/{self._project.project_id}/", {"label_config": ours})
        except LabelStudioRefused as refused:
            if refused.http_status != 400:
                raise
            return ""  # annotations made with the other form do not fit ours: people must delete or save them again
        if not distrust:
            return "put back"
        until = self._client.now() + timedelta(seconds=1)
        distrusted = 0
        for page in pages_of(self._project, self._client, []):
            rows = {
                row.task_id: row
                for row in LabelStudioTask.objects.filter(
                    project=self._project, task_id__in=[task["id"] for task in page]
                ).prefetch_related("annotations")
            }
            for task in page:
                row = rows.get(task["id"])
                if row is not None and _has_unknown(row, task):
                    LabelStudioTask.objects.filter(pk=row.pk).update(distrusted_until=until)
                    distrusted += 1
        return f"put back; {distrusted} tasks hold annotations that must be saved again"

    def data(self, row: LabelStudioTask, task: dict[str, Any]) -> str:
        """Put back what frames mean; annotations not yet taken in must be saved again."""
        media = row.case.video.media
        if media is None:
            return ""
        address, until = video_address(media)
        data = {**task["data"], "fps": float(row.fps), "video": address}
        self._client.patch(f"/api/tasks/{task['id']}/", {"data": data})
        row.media_until = until
        fields = ["media_until"]
        if _has_unknown(row, task):
            row.distrusted_until = self._client.now() + timedelta(seconds=1)
            fields.append("distrusted_until")
        row.save(update_fields=fields)
        return "put back"

    # --- tasks ------------------------------------------------------------------------------------------

    def duplicate(self, row: LabelStudioTask, other: dict[str, Any]) -> str:
        """Keep the task that has annotations. Both have some: nothing is done."""
        if not other["annotations"]:
            self._client.delete(f"/api/tasks/{other['id']}/")
            return f"task {other['id']} was deleted"
        own = self._client.get(f"/api/tasks/{row.task_id}/")
        if own["annotations"] or row.annotations.filter(deleted_at__isnull=True).exists():
            return ""
        with transaction.atomic():
            before = row.task_id
            LabelStudioTask.objects.filter(pk=row.pk).update(task_id=other["id"])
            data = {"case": row.case_id, "was": before, "is": other["id"]}
            record(actor=self._by, verb="labelstudio.task_switched", subject=row, data=data)
        self._client.delete(f"/api/tasks/{before}/")
        return f"task {other['id']} counts, task {before} was deleted"

    # --- annotations ------------------------------------------------------------------------------------

    def annotations(self, row: LabelStudioTask, task: dict[str, Any]) -> str:
        """Give Label Studio back what it has lost of a task, and delete again what had been deleted."""
        there = {one["id"]: one for one in task["annotations"]}
        done: list[str] = []
        for known in row.annotations.select_related("review__reviewer").order_by("id"):
            shown = there.get(known.annotation_id)
            same_one = shown is not None and known.review.origin.startswith(stem_of(shown))
            if known.deleted_at is not None:
                withdrawn = known.review.outcome == ReviewOutcome.WITHDRAWN
                if (
                    shown is not None
                    and same_one
                    and withdrawn
                    and time_of(shown["updated_at"]) <= known.deleted_at
                ):
                    self._client.delete(f"/api/annotations/{known.annotation_id}/")
                    done.append(f"annotation {known.annotation_id} deleted again")
            elif shown is None or not same_one:
                done.append(self._post(row, task["id"], known))
            elif (
                content_hash(shown) != known.content_hash and time_of(shown["updated_at"]) < known.changed_at
            ):
                body = {"result": self._result(row, known), "was_cancelled": _skipped(known)}
                self._follow(known, self._client.patch(f"/api/annotations/{known.annotation_id}/", body))
                done.append(f"annotation {known.annotation_id} brought up to date")
        return ", ".join(done)

    def _post(self, row: LabelStudioTask, task_id: int, known: LabelStudioAnnotation) -> str:
        key = uuid.uuid5(NAMESPACE, f"{known.review_id}:{known.content_hash}:{known.changed_at.isoformat()}")
        body: dict[str, Any] = {
            "result": self._result(row, known), "was_cancelled": _skipped(known), "unique_id": str(key),
            "lead_time": known.review.lead_seconds,
        }  # fmt: skip
        person = self._number_of(known.review.reviewer)
        if person is not None:
            body["completed_by"] = person
        try:
            made = self._client.post(f"/api/tasks/{task_id}/annotations", body)
        except LabelStudioRefused as refused:
            if refused.http_status not in (400, 409):
                raise
            made = self._posted_before(row, task_id, body)  # a repair that was killed had got as far as this
            if made is None:
                raise
        with transaction.atomic():
            before = known.annotation_id
            known.annotation_id = made["id"]
            self._follow(known, made)
            Review.objects.filter(pk=known.review_id).update(origin=_origin(known.review, made))
            data = {"was": before, "is": made["id"], "origin": known.review.origin}
            record(actor=self._by, verb="labelstudio.annotation_restored", subject=known.review, data=data)
        return f"annotation {before} restored as {made['id']}"

    def _posted_before(
        self, row: LabelStudioTask, task_id: int, body: dict[str, Any]
    ) -> dict[str, Any] | None:
        known = set(row.annotations.values_list("annotation_id", flat=True))
        for shown in self._client.get(f"/api/tasks/{task_id}/")["annotations"]:
            if shown["id"] not in known and content_hash(shown) == content_hash(body):
                found: dict[str, Any] = shown
                return found
        return None

    def _result(self, row: LabelStudioTask, known: LabelStudioAnnotation) -> list[dict[str, Any]]:
        """As it was taken in; for one taken in before copies were kept, drawn from the review's answers."""
        if known.result is not None:
            return list(known.result)
        media = row.case.video.media
        if media is None or _skipped(known):
            return []
        said = {answer.kind: Draft(Said(answer.state, answer.value)) for answer in known.review.answers.all()}
        return to_regions(said, proxy_map(row, media))

    def _follow(self, known: LabelStudioAnnotation, shown: dict[str, Any]) -> None:
        known.content_hash, known.changed_at = content_hash(shown), time_of(shown["updated_at"])
        known.result = shown["result"]
        known.save()

    def _number_of(self, person: User) -> int | None:
        """Label Studio's number of a person; None for somebody it does not know."""
        if self._ids is None:
            self._ids = {}
            for one in self._client.get("/api/users"):
                self._ids.setdefault(self._people.user(one["id"]).pk, one["id"])
        return self._ids.get(person.pk)


def _origin(review: Review, made: dict[str, Any]) -> str:
    """The review's key with the annotation's new number; whose edit it was stays part of it."""
    parts = review.origin.split(":")
    edited_by = parts[-1] if review.origin.count(":") > stem_of(made).count(":") else ""
    return stem_of(made) + (f":{edited_by}" if edited_by else "")


def _skipped(known: LabelStudioAnnotation) -> bool:
    return known.review.outcome == ReviewOutcome.SKIPPED


def _has_unknown(row: LabelStudioTask, task: dict[str, Any]) -> bool:
    """Whether the task holds an annotation that was not taken in as it is."""
    known = {(one.annotation_id, one.content_hash) for one in row.annotations.all() if one.deleted_at is None}
    return any((one["id"], content_hash(one)) not in known for one in task["annotations"])
