"""Bringing cases into Label Studio, with their drafts as predictions, in review order. Safe to kill and repeat.

A row without a task id is written before its task is made. Whoever comes after a kill finds such rows and asks
Label Studio, by `data.case_id`, whether the task exists, so that no case is ever shown twice. The row also names
the drafts before its task shows them: a submission can come home while the push is still under way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from annotations.cases.models import Answer, Case, CaseStatus, Guideline
from annotations.cases.rules import Said
from annotations.cases.services import drafts
from annotations.cases.workflow import move
from annotations.corpora.media.timemap import ProxyMap
from annotations.corpora.models import Corpus, Media, MediaState
from annotations.labelstudio.client import Client, LabelStudioRefused, task_filter
from annotations.labelstudio.conversion import Draft, to_regions
from annotations.labelstudio.media_links import video_address
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.provision import RANK_FIELD
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.running import Running

BATCH = 200
UNRANKED = 9_999_999
PUSHABLE = (CaseStatus.READY, CaseStatus.PREDICTED, CaseStatus.RETURNED)


@dataclass
class PushReport:
    """How many cases were pushed and why others were not; `refused` names each case that Label Studio declined."""

    pushed: int = 0
    updated: int = 0
    without_media: int = 0
    moved_meanwhile: int = 0
    reordered: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)


def waiting_cases(corpus: Corpus, guideline: Guideline, *, unpredicted: bool) -> QuerySet[Case]:
    """Cases a push would take, the ranked ones first. `unpredicted` also takes those without drafts."""
    statuses = [CaseStatus.PREDICTED, CaseStatus.RETURNED, *([CaseStatus.READY] if unpredicted else [])]
    cases = Case.objects.filter(corpus=corpus, guideline=guideline, status__in=statuses)
    return cases.order_by(F("review_rank").asc(nulls_last=True), "id")


def newest_guideline(corpus: Corpus) -> Guideline:
    """The newest guideline under which the corpus has cases. Raises Problem when it has none."""
    guideline = Guideline.objects.filter(cases__corpus=corpus).order_by("-id").first()
    if guideline is None:
        raise Problem("no_cases", f"{corpus.name} has no cases to push.", status=400)
    return guideline


def push_cases(
    project: LabelStudioProject,
    *,
    client: Client,
    by: User | None,
    running: Running | None = None,
    unpredicted: bool = False,
) -> PushReport:
    """Make a task for every waiting case of the project, in batches, and bring the cases in review."""
    report = PushReport()
    cases = waiting_cases(project.corpus, project.guideline, unpredicted=unpredicted)
    ids = list(cases.values_list("pk", flat=True))
    version = ""
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        version = _push_batch(project, batch, client=client, by=by, report=report) or version
        if running is not None:
            running.progress(start + len(batch), len(ids), f"{report.pushed} cases in Label Studio")
    report.reordered = _follow_ranks(project, client)
    if version and version != project.shown_model_version:
        client.patch(f"/api/projects/{project.linked_id}/", {"model_version": version})
        project.shown_model_version = version[:100]
        project.save(update_fields=["shown_model_version"])
    return report


@dataclass(frozen=True)
class _Item:
    """One case on its way: its row, its data for Label Studio, and the drafts it will show."""

    case: Case
    task: LabelStudioTask
    data: dict[str, Any]
    prediction: dict[str, Any] | None
    shown: dict[str, int]

    @property
    def whole(self) -> dict[str, Any]:
        return {"data": self.data, "predictions": [self.prediction] if self.prediction else []}


def _push_batch(
    project: LabelStudioProject, ids: Sequence[int], *, client: Client, by: User | None, report: PushReport
) -> str:
    """Push these cases; returns the model version that the last of them shows."""
    items, interrupted = _prepare(project, ids, report)
    known = find_tasks(project, interrupted, client)
    for item in items:
        if item.task.task_id is not None and _refresh(project, item, client):
            known[item.case.pk] = item.task.task_id
            report.updated += 1
    missing = [item for item in items if item.case.pk not in known]
    _note_shown(missing)
    refused = _import(project, missing, client)
    known |= find_tasks(project, [item.case.pk for item in missing if item.case.pk not in refused], client)
    for case_id, message in refused.items():
        report.refused.append({"case": case_id, "message": message})
        LabelStudioTask.objects.filter(case=case_id, task_id__isnull=True).delete()
    done = [item for item in items if item.case.pk in known]
    _settle(done, known, by=by, report=report)
    versions = [item.prediction["model_version"] for item in done if item.prediction]
    return versions[-1] if versions else ""


def _prepare(
    project: LabelStudioProject, ids: Sequence[int], report: PushReport
) -> tuple[list[_Item], list[int]]:
    """The batch with a row for every case, and the cases whose row an interrupted push left behind."""
    cases = {case.pk: case for case in Case.objects.filter(pk__in=ids).select_related("video__media")}
    rows = {row.case_id: row for row in LabelStudioTask.objects.filter(case__in=ids)}
    interrupted = [case_id for case_id, row in rows.items() if row.task_id is None]
    items = []
    for case in (cases[case_id] for case_id in ids):
        media = case.video.media
        if media is None or media.state != MediaState.READY:
            report.without_media += 1
            continue
        row = rows.get(case.pk)
        if row is None:
            fps = media.proxy_fps
            row, _ = LabelStudioTask.objects.get_or_create(
                case=case, defaults={"project": project, "fps_num": fps.numerator, "fps_den": fps.denominator}
            )
        items.append(_item(case, row, media))
    return items, interrupted


def _item(case: Case, row: LabelStudioTask, media: Media) -> _Item:
    answers = drafts(case)
    return _Item(
        case=case,
        task=row,
        data=task_data(case, row, media),
        prediction=prediction(answers, proxy_map(row, media)),
        shown={kind: answer.pk for kind, answer in answers.items()},
    )


def proxy_map(row: LabelStudioTask, media: Media) -> ProxyMap:
    """How the task's frames lie on the source clip's time."""
    if media.proxy_frame_count is None:
        raise ValueError(f"media {media.pk} has no proxy: it is {media.state}")
    return ProxyMap(media.times, row.fps, media.proxy_frame_count)


def task_data(case: Case, row: LabelStudioTask, media: Media) -> dict[str, Any]:
    """A task's `data`. Label Studio sorts these as text, so the rank is padded."""
    rank = UNRANKED if case.review_rank is None else case.review_rank
    note = f"Returned: {case.returned_reason}" if case.returned_reason else ""
    return {
        "video": video_address(media)[0],
        "fps": float(row.fps),
        "case_id": case.pk,
        "name": case.video.name,
        "note": note,
        RANK_FIELD: f"{rank:07d}",
    }


def prediction(answers: Mapping[str, Answer], frames: ProxyMap) -> dict[str, Any] | None:
    """The drafts as one Label Studio prediction, or None when there is nothing to show.

    Its version names every model that had a part; its score is the lowest confidence among the answers.
    """
    found = {
        kind: Draft(Said(answer.state, answer.value), answer.confidence) for kind, answer in answers.items()
    }
    regions = to_regions(found, frames)
    if not regions:
        return None
    versions = sorted({answer.model_version or "imported" for answer in answers.values()})
    made: dict[str, Any] = {"model_version": "+".join(versions), "result": regions}
    scores = [answer.confidence for answer in answers.values() if answer.confidence is not None]
    if scores:
        made["score"] = round(min(scores), 4)
    return made


def find_tasks(project: LabelStudioProject, case_ids: Sequence[int], client: Client) -> dict[int, int]:
    """Case id to the id of its task in Label Studio, for those that have one there (the oldest, were there two)."""
    found: dict[int, int] = {}
    for start in range(0, len(case_ids), BATCH):
        wanted = task_filter("data.case_id", "in_list", "Number", list(case_ids[start : start + BATCH]))
        for page in client.tasks(project.linked_id, [wanted], fields="task_only"):
            for task in page:
                found.setdefault(task["data"]["case_id"], task["id"])
    return found


def _note_shown(items: Sequence[_Item]) -> None:
    """Write down which drafts the tasks about to be made will show. A task already there keeps its own note."""
    for item in items:
        item.task.shown_answers = item.shown
    LabelStudioTask.objects.bulk_update([item.task for item in items], ["shown_answers"])


def _import(project: LabelStudioProject, items: Sequence[_Item], client: Client) -> dict[int, str]:
    """Make the tasks. A batch that is refused is halved until the culprits stand alone: case id to reason."""
    if not items:
        return {}
    try:
        client.post(f"/api/projects/{project.linked_id}/import", [item.whole for item in items])
    except LabelStudioRefused as refused:
        if refused.http_status != 400:
            raise
        if len(items) == 1:
            return {items[0].case.pk: refused.detail}
        half = len(items) // 2
        return _import(project, items[:half], client) | _import(project, items[half:], client)
    return {}


def _refresh(project: LabelStudioProject, item: _Item, client: Client) -> bool:
    """A case that comes back: its note and rank, and new drafts unless somebody has annotated the task already.

    False when the task was deleted in Label Studio: it must be made again.
    """
    try:
        client.patch(f"/api/tasks/{item.task.task_id}/", {"data": item.data})
    except LabelStudioRefused as refused:
        if refused.http_status != 404:
            raise
        unlink(item.task)
        return False
    annotated = item.task.annotations.filter(deleted_at__isnull=True).exists()
    if annotated or item.prediction is None or item.shown == item.task.shown_answers:
        return True
    body = [{"task": item.task.task_id, **item.prediction}]
    client.post(f"/api/projects/{project.linked_id}/import/predictions", body)
    item.task.shown_answers = item.shown
    item.task.save(update_fields=["shown_answers"])
    return True


@transaction.atomic
def unlink(row: LabelStudioTask) -> None:
    """The task is gone from Label Studio. The reviews that came from it stay; a push makes the task anew."""
    record(actor=None, verb="labelstudio.task_lost", subject=row.case, data={"task": row.task_id})
    row.task_id = None
    row.save(update_fields=["task_id"])
    row.annotations.filter(deleted_at__isnull=True).update(deleted_at=timezone.now())


@transaction.atomic
def _settle(items: Sequence[_Item], known: Mapping[int, int], *, by: User | None, report: PushReport) -> None:
    """Link the rows to their tasks and bring the cases in review, but for those that moved meanwhile.

    Rows are locked before cases, as a pull does: a case that a pull has just brought to `submitted` stays there.
    """
    now = timezone.now()
    ours = LabelStudioTask.objects.filter(pk__in=[item.task.pk for item in items])
    rows = {row.pk: row for row in ours.select_for_update().order_by("pk")}
    shown = Case.objects.filter(pk__in=[item.case.pk for item in items])
    cases = {case.pk: case for case in shown.select_for_update().order_by("pk")}
    for item in items:
        row, case = rows[item.task.pk], cases[item.case.pk]
        if row.task_id is None:
            row.task_id = known[case.pk]
        row.shown_rank, row.pushed_at = item.case.review_rank, now
        row.save(update_fields=["task_id", "shown_rank", "pushed_at"])
        if case.status in PUSHABLE:
            move(case, CaseStatus.IN_REVIEW, by=by)
            report.pushed += 1
        else:
            report.moved_meanwhile += 1


def _follow_ranks(project: LabelStudioProject, client: Client) -> int:
    """Tell Label Studio the ranks that a later selection round gave to cases already in review."""
    rows = project.tasks.filter(task_id__isnull=False, case__status=CaseStatus.IN_REVIEW)
    stale = rows.exclude(shown_rank=F("case__review_rank")).exclude(
        shown_rank__isnull=True, case__review_rank__isnull=True
    )
    changed = 0
    for row in stale.select_related("case__video__media"):
        media = row.case.video.media
        if media is None:
            continue
        client.patch(f"/api/tasks/{row.task_id}/", {"data": task_data(row.case, row, media)})
        row.shown_rank = row.case.review_rank
        row.save(update_fields=["shown_rank"])
        changed += 1
    return changed


def deep_link(case: Case) -> str | None:
    """Where a browser opens this case in Label Studio; None while it is not there."""
    row = LabelStudioTask.objects.filter(case=case).select_related("project").first()
    if row is None or row.task_id is None or row.project.project_id is None:
        return None
    return f"{settings.LABELSTUDIO_PUBLIC_URL}/projects/{row.project.project_id}/data?task={row.task_id}"
