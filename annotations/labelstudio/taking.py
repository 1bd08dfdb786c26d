"""Taking in what one task in Label Studio says: each annotation becomes a review, once, or is refused by name.

Every annotation is a savepoint of its own: one that cannot be taken never costs another its place. Nothing that
Label Studio can say here loses what was taken in before: an annotation that is older than our copy, that has come back
after it was deleted, or that has gone without anybody deleting it means that Label Studio's database went back in time.
Such things are refused, and put right by annotations.labelstudio.reconcile.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from django.db import transaction
from django.utils.dateparse import parse_datetime

from annotations.cases.models import Answer, CaseStatus
from annotations.cases.rules import Said
from annotations.gold.services import score_if_gold
from annotations.labelstudio.client import LabelStudioDown, LabelStudioRefused
from annotations.labelstudio.config import in_stored_names
from annotations.labelstudio.conversion import from_regions
from annotations.labelstudio.forms import reading_names
from annotations.labelstudio.models import LabelStudioAnnotation, LabelStudioProject, LabelStudioTask
from annotations.labelstudio.people import People
from annotations.labelstudio.push import proxy_map
from annotations.labelstudio.refusals import forget_refusal, name_refusal
from annotations.labelstudio.there import data_trouble, heal_key, is_of, row_said
from annotations.labelstudio.whose import check_person, late_pass
from annotations.labelstudio.witnesses import Witnesses
from annotations.reviews.changes import recognise
from annotations.reviews.models import Review, ReviewOutcome
from annotations.reviews.services import record_skip, record_submission, withdraw
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem

SAVED_AGAIN = (CaseStatus.RETURNED, CaseStatus.IN_REVIEW)
"""Where saving an annotation once more, with nothing changed in it, is an answer."""


@dataclass
class PullReport:
    """What a pull found. `refused` names annotations that could not be taken, with the reason.

    `failed`: tasks that could not be taken in for no fault of theirs; the next pull tries them again.
    """

    submitted: int = 0
    skipped: int = 0
    withdrawn: int = 0
    vanished: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)

    @property
    def changes(self) -> int:
        return self.submitted + self.skipped + self.withdrawn + self.vanished


@dataclass
class Taking:
    """What taking in needs to know of a project, asked once per pull."""

    project: LabelStudioProject
    people: People
    witnesses: Witnesses
    report: PullReport = field(default_factory=PullReport)

    @cached_property
    def names(self) -> dict[str, str]:
        """What labels and choices mean, of every version of the form: none ever takes on another meaning."""
        return reading_names(self.project.corpus, self.project.guideline)


def take_task(taking: Taking, task: dict[str, Any]) -> None:
    """Everything a task says, in one transaction. Refusals become a finding on the clip and stand in the report.

    Raises LabelStudioDown and LabelStudioRefused: they speak of the server, never of the task.
    """
    with transaction.atomic():
        row, trouble = _row_of(taking, task)
        problems = [trouble] if trouble is not None else []
        if row is not None and trouble is None:
            problems = _take(taking, row, task)
        for problem in problems:
            refusal = {"task": task["id"], "code": problem.code, "message": problem.message}
            taking.report.refused.append(refusal)
        if row is not None and problems:
            name_refusal(row, task["id"], problems)
        elif row is not None:
            forget_refusal(row)


def _row_of(taking: Taking, task: dict[str, Any]) -> tuple[LabelStudioTask | None, Problem | None]:
    """Our row for a task, locked, and why its annotations must not be taken. None for tasks that are not ours."""
    rows = LabelStudioTask.objects.select_for_update(of=("self",))
    rows = rows.select_related("case__video__media", "assignment__person").filter(project=taking.project)
    holder = rows.filter(task_id=task["id"]).first()
    if holder is not None and not is_of(holder, task):
        said = f"task {task['id']} was case {holder.case_id}'s, and now says it is something else"
        return holder, Problem("labelstudio_task_reused", f"{said}. Reconcile with repair.")
    row = holder or row_said(rows, task)
    if row is None:
        return None, None
    if row.task_id is None:  # the push that made it was interrupted before it could write this down
        if not task["annotations"] or not taking.witnesses.is_there(task["id"]):
            return None, None  # nothing to take: the next push finds it. Or it has gone since it was listed.
        row.task_id = task["id"]
        row.save(update_fields=["task_id"])
    if row.task_id == task["id"]:
        heal_key(row, task)
        trouble = data_trouble(row, task["data"])
        if not trouble or not task["annotations"]:
            return row, None
        message = f"task {task['id']} was edited: {trouble}. Reconcile with repair."
        return row, Problem("labelstudio_data_changed", message)
    if not task["annotations"]:
        return None, None
    message = f"task {task['id']} shows case {row.case_id} a second time; task {row.task_id} is the one that counts."
    return row, Problem("labelstudio_task_duplicate", f"{message} Reconcile with repair.")


def _take(taking: Taking, row: LabelStudioTask, task: dict[str, Any]) -> list[Problem]:
    held = {known.annotation_id: known for known in row.annotations.select_related("review")}
    problems: list[Problem] = []
    for annotation in sorted(task["annotations"], key=lambda one: (one["updated_at"], one["id"])):
        try:
            with transaction.atomic():
                _take_annotation(taking, row, annotation, held.pop(annotation["id"], None))
        except (LabelStudioDown, LabelStudioRefused):
            raise
        except Problem as problem:
            problems.append(problem)
    for gone in held.values():
        if gone.deleted_at is not None:
            continue
        if taking.witnesses.went_back(gone, time_of(task["updated_at"])):
            message = f"annotation {gone.annotation_id} is gone, and nobody deleted it: Label Studio went back in time."
            problems.append(Problem("labelstudio_went_back", f"{message} Reconcile with repair."))
            continue
        score_if_gold(withdraw(review=gone.review, by=None))
        gone.deleted_at = time_of(task["updated_at"])
        gone.save()
        taking.report.withdrawn += 1
    return problems


def _take_annotation(
    taking: Taking, row: LabelStudioTask, annotation: dict[str, Any], known: LabelStudioAnnotation | None
) -> None:
    digest, changed_at = content_hash(annotation), time_of(annotation["updated_at"])
    stem = stem_of(annotation)
    if known is not None and _nothing_new(row, known, stem, digest, changed_at):
        return
    if row.distrusted_until is not None and changed_at <= row.distrusted_until:
        message = f"annotation {annotation['id']} was saved while the task or its form was not as CrashDesk made it."
        raise Problem("labelstudio_distrusted", f"{message} Look at it there and save it again.")
    author = taking.people.user(person_id(annotation.get("completed_by")))
    reviewer, origin = author, stem
    edited_by = person_id(annotation.get("updated_by"))
    if edited_by is not None and edited_by != person_id(annotation.get("completed_by")):
        reviewer = taking.people.user(edited_by)
        origin = stem if reviewer == author else f"{stem}:{reviewer.pk}"
    check_person(row, reviewer)
    if annotation.get("was_cancelled"):
        lead = lead_of(annotation)
        review = record_skip(
            case=row.case, reviewer=reviewer, origin=origin, lead_seconds=lead, assignment=row.assignment
        )
        taking.report.skipped += 1
    else:
        review = _submit(taking, row, annotation, reviewer, origin, digest, changed_at)
        taking.report.submitted += 1
    score_if_gold(review)
    LabelStudioAnnotation.objects.update_or_create(
        task=row,
        annotation_id=annotation["id"],
        defaults={
            "review": review, "content_hash": digest, "changed_at": changed_at, "deleted_at": None,
            "result": annotation.get("result"), "form": taking.project.form,
        },
    )  # fmt: skip


def _nothing_new(
    row: LabelStudioTask, known: LabelStudioAnnotation, stem: str, digest: str, changed_at: datetime
) -> bool:
    """Whether this annotation has been taken in as it is. Raises Problem where it is from before our copy of it."""
    if not known.review.origin.startswith(stem):
        message = f"annotation {known.annotation_id} was another one before: Label Studio went back in time."
        raise Problem("labelstudio_went_back", f"{message} Reconcile with repair.")
    same = known.content_hash == digest
    if known.deleted_at is not None and known.review.outcome == ReviewOutcome.WITHDRAWN:
        if changed_at <= known.deleted_at:
            message = (
                f"annotation {known.annotation_id} was deleted and is back: Label Studio went back in time."
            )
            raise Problem("labelstudio_went_back", f"{message} Reconcile with repair.")
        return False
    if changed_at < known.changed_at and not same:
        message = (
            f"annotation {known.annotation_id} is older than our copy of it: Label Studio went back in time."
        )
        raise Problem("labelstudio_went_back", f"{message} Reconcile with repair.")
    again = changed_at > known.changed_at and row.case.status in SAVED_AGAIN
    if not same or (again and known.review.outcome == ReviewOutcome.SUBMITTED):
        return False
    known.changed_at, known.deleted_at = max(changed_at, known.changed_at), None
    known.save(update_fields=["changed_at", "seen_at", "deleted_at"])
    return True


def _submit(
    taking: Taking,
    row: LabelStudioTask,
    annotation: dict[str, Any],
    reviewer: User,
    origin: str,
    digest: str,
    at: datetime,
) -> Review:
    media = row.case.video.media
    if media is None:
        raise Problem("media_lost", f"Case {row.case_id} has no media; frames cannot be turned into times.")
    shown = {answer.kind: answer for answer in Answer.objects.filter(pk__in=row.shown_answers.values())}
    drafts: Mapping[str, Said] = {kind: Said(answer.state, answer.value) for kind, answer in shown.items()}
    result = in_stored_names(annotation["result"], taking.names)
    reading = from_regions(result, drafts=drafts, frames=proxy_map(row, media))
    changes = recognise(
        shown=drafts,
        said=reading.said,
        regions=reading.regions,
        unread={part.kind for part in reading.unread},
    )
    return record_submission(
        case=row.case,
        reviewer=reviewer,
        origin=origin,
        answers=reading.said,
        drafts=shown,
        lead_seconds=lead_of(annotation),
        revision=digest[:16],
        problems=[asdict(part) for part in reading.unread],
        submitted_at=at,
        assignment=row.assignment or late_pass(row, reviewer),
        changes=changes if shown else None,
    )


def stem_of(annotation: Mapping[str, Any]) -> str:
    """By what a review remembers its annotation: the number, and when it was made, should the number be used again."""
    return f"labelstudio:annotation:{annotation['id']}:{annotation['created_at'][:27]}"


def content_hash(annotation: Mapping[str, Any]) -> str:
    """SHA-256 of what an annotation says: its regions and whether it was skipped, and nothing else about it."""
    content = {"result": annotation.get("result"), "skipped": bool(annotation.get("was_cancelled"))}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def time_of(stamp: str) -> datetime:
    """A time as Label Studio writes it. Raises Problem."""
    moment = parse_datetime(stamp)
    if moment is None:
        raise Problem("labelstudio_time", f"{stamp!r} is no time.", status=502)
    return moment


def lead_of(annotation: Mapping[str, Any]) -> float | None:
    """Seconds, as Label Studio counts them: idle time included, summed over updates."""
    seconds = annotation.get("lead_time")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return float(seconds) if math.isfinite(seconds) and seconds >= 0 else None


def person_id(person: object) -> int | None:
    """The id of a user, as a number or as part of a description."""
    if isinstance(person, dict):
        person = person.get("id")
    return person if isinstance(person, int) else None
