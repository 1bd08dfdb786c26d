"""Bringing home what people said in Label Studio. Polling is the truth; a webhook only makes it sooner.

Label Studio moves a task's `updated_at` when an annotation is made, changed or deleted. Each poll asks for the
tasks changed since the last one, by Label Studio's own clock and with an overlap; what was seen before is
recognised by its content and does nothing.
"""

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.dateparse import parse_datetime

from annotations.cases.models import Answer, CaseStatus
from annotations.cases.rules import Said
from annotations.cases.workflow import move
from annotations.corpora.models import Severity, VideoFinding
from annotations.labelstudio.client import Client, LabelStudioDown, LabelStudioRefused, task_filter
from annotations.labelstudio.conversion import from_regions
from annotations.labelstudio.models import LabelStudioAnnotation, LabelStudioProject, LabelStudioTask
from annotations.labelstudio.people import People
from annotations.labelstudio.provision import forget
from annotations.labelstudio.push import proxy_map, unlink
from annotations.reviews.models import Review, ReviewOutcome
from annotations.reviews.services import record_skip, record_submission, withdraw
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.jobs.running import Running

logger = logging.getLogger(__name__)

Annotation = tuple[int, str, datetime]
"""Id, content hash and time of the last change."""

OVERLAP = timedelta(seconds=10)
FINDING = "labelstudio_annotation_refused"
ID_BATCH = 200


@dataclass
class PullReport:
    """What a pull found. `refused` names annotations that could not be taken, with the reason."""

    submitted: int = 0
    skipped: int = 0
    withdrawn: int = 0
    vanished: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)

    @property
    def changes(self) -> int:
        return self.submitted + self.skipped + self.withdrawn + self.vanished


def pull_project(
    project: LabelStudioProject, *, client: Client, running: Running | None = None, full: bool = False
) -> PullReport:
    """Take in everything that changed in this project; `full` looks at every task and finds deleted ones.

    One annotation that cannot be taken never holds back the others. Raises LabelStudioDown or LabelStudioRefused
    when Label Studio itself fails: the next pull then starts where this one did.
    """
    report = PullReport()
    if project.project_id is None:
        return report
    started = client.now()
    people = People(client)
    failed: list[int] = []
    seen = 0
    try:
        for task in _changed_tasks(project, client, full=full):
            _take_in(project, task, people, report, failed)
            seen += 1
            if running is not None:
                running.progress(seen, None, f"{seen} tasks read")
    except LabelStudioRefused as refused:
        if refused.http_status == 404 and not client.exists(f"/api/projects/{project.project_id}/"):
            forget(project, by=None)
            return report
        raise
    if full:
        report.vanished = _unlink_vanished(project, client)
    if not failed:
        project.polled_until = started - OVERLAP
        project.save(update_fields=["polled_until"])
    return report


def _changed_tasks(project: LabelStudioProject, client: Client, *, full: bool) -> Iterator[dict[str, Any]]:
    filters = []
    if project.polled_until is not None and not full:
        since = project.polled_until.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        filters = [task_filter("updated_at", "greater", "Datetime", since)]
    for page in client.tasks(project.linked_id, filters):
        known, refused = _known_annotations(project, page), _refused_before(project, page)
        yield from (
            task for task in page if task["id"] in refused or known.get(task["id"]) != _annotations_of(task)
        )


def _known_annotations(project: LabelStudioProject, page: list[dict[str, Any]]) -> dict[int, set[Annotation]]:
    """By task id, the annotations we have taken in: a task that shows exactly these needs no second look."""
    rows = LabelStudioTask.objects.filter(project=project, task_id__in=[task["id"] for task in page])
    known: dict[int, set[Annotation]] = {}
    for row in rows.prefetch_related("annotations"):
        if row.task_id is not None:
            known[row.task_id] = {
                (one.annotation_id, one.content_hash, one.changed_at)
                for one in row.annotations.all()
                if one.deleted_at is None
            }
    return known


def _refused_before(project: LabelStudioProject, page: list[dict[str, Any]]) -> set[int]:
    """Tasks that a finding names: they are looked at again, so that the finding goes when its cause is gone."""
    findings = VideoFinding.objects.filter(
        video__corpus=project.corpus_id, code=FINDING, data__task__in=[task["id"] for task in page]
    )
    return set(findings.values_list("data__task", flat=True))


def _annotations_of(task: dict[str, Any]) -> set[Annotation] | None:
    """None where an annotation lacks what it needs to be compared: _take_in says what is wrong with it."""
    try:
        return {(one["id"], content_hash(one), _time(one["updated_at"])) for one in task["annotations"]}
    except (KeyError, TypeError, Problem):
        return None


def _take_in(
    project: LabelStudioProject, task: dict[str, Any], people: People, report: PullReport, failed: list[int]
) -> None:
    """One task in a transaction of its own. A bug on one task is logged and tried again at the next poll.

    Raises LabelStudioDown and LabelStudioRefused: they speak of the server, never of the annotation.
    """
    try:
        with transaction.atomic():
            row = _row_of(project, task)
            if row is not None:
                _take_task(row, task, people, report)
                _forget_refusal(row)
    except (LabelStudioDown, LabelStudioRefused):
        raise
    except Problem as problem:
        _name_refusal(project, task, problem, report)
    except Exception:  # the boundary: whatever is wrong with one task must not stop the others
        logger.exception("project %s, task %s could not be taken in", project.project_id, task.get("id"))
        failed.append(task["id"])


def _row_of(project: LabelStudioProject, task: dict[str, Any]) -> LabelStudioTask | None:
    """Our row for a task, locked. None for tasks that are not ours: Label Studio may use an old id again."""
    rows = LabelStudioTask.objects.select_for_update(of=("self",)).select_related("case__video__media")
    row = rows.filter(project=project, case_id=_case_id(task)).first()
    if row is None:
        return None
    if row.task_id is None:  # the push that made it was interrupted before it could write this down
        row.task_id = task["id"]
        row.save(update_fields=["task_id"])
    return row if row.task_id == task["id"] else None


def _case_id(task: dict[str, Any]) -> int:
    case_id = task["data"].get("case_id")
    return case_id if isinstance(case_id, int) and 0 < case_id < 2**63 else 0


def _take_task(row: LabelStudioTask, task: dict[str, Any], people: People, report: PullReport) -> None:
    held = {known.annotation_id: known for known in row.annotations.select_related("review")}
    there = sorted(task["annotations"], key=lambda annotation: (annotation["updated_at"], annotation["id"]))
    for annotation in there:
        _take_annotation(row, annotation, held.pop(annotation["id"], None), people, report)
    for gone in held.values():
        if gone.deleted_at is None:
            withdraw(review=gone.review, by=None)
            gone.deleted_at = _time(task["updated_at"])
            gone.save()
            report.withdrawn += 1


def _take_annotation(
    row: LabelStudioTask,
    annotation: dict[str, Any],
    known: LabelStudioAnnotation | None,
    people: People,
    report: PullReport,
) -> None:
    digest, changed_at = content_hash(annotation), _time(annotation["updated_at"])
    if known is not None and known.deleted_at is None:
        same = known.content_hash == digest
        again = changed_at > known.changed_at and row.case.status in (
            CaseStatus.RETURNED,
            CaseStatus.IN_REVIEW,
        )
        if same and not (again and known.review.outcome == ReviewOutcome.SUBMITTED):
            known.changed_at = max(changed_at, known.changed_at)
            known.save(update_fields=["changed_at", "seen_at"])
            return
    reviewer = people.user(_person_id(annotation.get("completed_by")))
    origin = f"labelstudio:annotation:{annotation['id']}:{annotation['created_at'][:27]}"
    if annotation.get("was_cancelled"):
        review = record_skip(case=row.case, reviewer=reviewer, origin=origin, lead_seconds=_lead(annotation))
        report.skipped += 1
    else:
        review = _submit(row, annotation, reviewer, origin, digest, changed_at)
        report.submitted += 1
    LabelStudioAnnotation.objects.update_or_create(
        task=row,
        annotation_id=annotation["id"],
        defaults={"review": review, "content_hash": digest, "changed_at": changed_at, "deleted_at": None},
    )


def _submit(
    row: LabelStudioTask, annotation: dict[str, Any], reviewer: User, origin: str, digest: str, at: datetime
) -> Review:
    media = row.case.video.media
    if media is None:
        raise Problem("media_lost", f"Case {row.case_id} has no media; frames cannot be turned into times.")
    shown = {answer.kind: answer for answer in Answer.objects.filter(pk__in=row.shown_answers.values())}
    said: Mapping[str, Said] = {kind: Said(answer.state, answer.value) for kind, answer in shown.items()}
    reading = from_regions(annotation["result"], drafts=said, frames=proxy_map(row, media))
    return record_submission(
        case=row.case,
        reviewer=reviewer,
        origin=origin,
        answers=reading.said,
        drafts=shown,
        lead_seconds=_lead(annotation),
        revision=digest[:16],
        problems=[asdict(part) for part in reading.unread],
        submitted_at=at,
    )


def content_hash(annotation: Mapping[str, Any]) -> str:
    """SHA-256 of what an annotation says: its regions and whether it was skipped, and nothing else about it."""
    content = {"result": annotation.get("result"), "skipped": bool(annotation.get("was_cancelled"))}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _time(stamp: str) -> datetime:
    moment = parse_datetime(stamp)
    if moment is None:
        raise Problem("labelstudio_time", f"{stamp!r} is no time.", status=502)
    return moment


def _lead(annotation: Mapping[str, Any]) -> float | None:
    seconds = annotation.get("lead_time")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return float(seconds) if math.isfinite(seconds) and seconds >= 0 else None


def _person_id(completed_by: object) -> int | None:
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("id")
    return completed_by if isinstance(completed_by, int) else None


def _name_refusal(
    project: LabelStudioProject, task: dict[str, Any], problem: Problem, report: PullReport
) -> None:
    """A finding on the clip, so that people see which annotation was not taken and why."""
    report.refused.append({"task": task["id"], "code": problem.code, "message": problem.message})
    row = (
        LabelStudioTask.objects.filter(project=project, case_id=_case_id(task)).select_related("case").first()
    )
    if row is not None:
        VideoFinding.objects.update_or_create(
            video_id=row.case.video_id,
            code=FINDING,
            subject="",
            defaults={
                "severity": Severity.ERROR,
                "message": f"an annotation of task {task['id']} was not taken: {problem.message}"[:500],
                "data": {"task": task["id"], "code": problem.code},
            },
        )


def _forget_refusal(row: LabelStudioTask) -> None:
    """Everything the task says has been taken: an earlier refusal of it is no longer true."""
    VideoFinding.objects.filter(video=row.case.video_id, code=FINDING, data__task=row.task_id).delete()


def _unlink_vanished(project: LabelStudioProject, client: Client) -> int:
    """Tasks deleted in Label Studio: cases still in review wait for the next push; what was submitted stays."""
    rows = project.tasks.filter(task_id__isnull=False)
    linked = {row.task_id: row.pk for row in rows if row.task_id is not None}
    ids = sorted(linked)
    for start in range(0, len(ids), ID_BATCH):
        wanted = task_filter("id", "in_list", "Number", ids[start : start + ID_BATCH])
        for page in client.tasks(project.linked_id, [wanted], fields="task_only"):
            for task in page:
                linked.pop(task["id"], None)
    for row_id in linked.values():
        _give_up_task(row_id)
    return len(linked)


@transaction.atomic
def _give_up_task(row_id: int) -> None:
    row = LabelStudioTask.objects.select_for_update(of=("self",)).select_related("case").get(pk=row_id)
    unlink(row)
    if row.case.status == CaseStatus.IN_REVIEW:
        move(row.case, CaseStatus.PREDICTED, by=None)
