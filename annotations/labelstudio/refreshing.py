"""Tasks that are in Label Studio already: newer drafts, other data, another form, an address about to expire."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from annotations.cases.models import CaseStatus
from annotations.labelstudio.client import Client, LabelStudioRefused
from annotations.labelstudio.items import Item, gather
from annotations.labelstudio.media_links import renew_before, signs
from annotations.labelstudio.models import (
    LabelStudioAnnotation,
    LabelStudioForm,
    LabelStudioProject,
    LabelStudioTask,
)
from annotations.labelstudio.predictions import controls_of, same_content
from annotations.labelstudio.rows import find_there, unlink
from annotations.labelstudio.sending import Parcel
from annotations.labelstudio.there import heal_key
from annotations.reviews.models import AssignmentState
from crashdesk.audit.services import record
from crashdesk.bulk import quoted
from crashdesk.jobs.running import Running


def refresh(parcel: Parcel, form: LabelStudioForm, client: Client) -> list[tuple[Item, LabelStudioTask]]:
    """Bring tasks in line with their items; returns those that are there. The others' rows are unlinked.

    A task that somebody has annotated keeps what it shows. Predictions are compared with what Label Studio has, so
    that a push killed anywhere in here adds nothing twice; a version that now says something else replaces itself.
    """
    wanted = {item.key: item.external_id for item, _ in parcel.items}
    there = find_there(parcel.project, wanted, client, fields="all")
    ids = {task["id"]: task for tasks in there.values() for task in tasks}
    annotated = set(
        LabelStudioAnnotation.objects.filter(
            task__in=[row.pk for _, row in parcel.items], deleted_at__isnull=True
        ).values_list("task", flat=True)
    )
    found, added, replaced = [], [], []
    for item, row in parcel.items:
        task = ids.get(row.task_id)
        if task is None:
            unlink(row)
            continue
        found.append((item, row))
        heal_key(row, task)
        send_data(item, row, client)
        if row.pk in annotated or task.get("annotations") or item.blind or not item.shown.predictions:
            continue
        held = {made["model_version"]: made for made in task.get("predictions") or []}
        for made in item.shown.predictions:
            before = held.get(made["model_version"])
            if before is None or not same_content(before, made):
                added.append({"task": row.task_id, **made})
                replaced += [before["id"]] if before is not None else []
        row.shown_answers, row.versions, row.form = item.shown.answers, item.shown.versions, form
    if added:
        client.post(f"/api/projects/{parcel.project.linked_id}/import/predictions", added)
    for prediction_id in replaced:
        _delete(client, f"/api/predictions/{prediction_id}/")
    LabelStudioTask.objects.bulk_update(
        [row for _, row in found], ["shown_answers", "versions", "form"], batch_size=500
    )
    return found


def _delete(client: Client, path: str) -> None:
    """Delete what may be gone already."""
    try:
        client.delete(path)
    except LabelStudioRefused as refused:
        if refused.http_status != 404:
            raise


def send_data(item: Item, row: LabelStudioTask, client: Client) -> bool:
    """Another note, rank, or an address that works longer: whether there was something to send."""
    noted = item.noted_data()
    aging = row.media_until is not None and row.media_until < renew_before()
    unsigned = item.media_until is not None and row.media_until is None
    if noted["data_digest"] == row.data_digest and not aging and not unsigned:
        return False
    client.patch(f"/api/tasks/{row.task_id}/", {"data": item.data})
    row.shown_rank, row.data_digest = noted["shown_rank"], noted["data_digest"]
    row.media_until, row.refused_at = item.media_until, None
    said = {"shown_rank": row.shown_rank, "media_until": row.media_until, "refused_at": None}
    rows = LabelStudioTask.objects.filter(pk=row.pk)
    if not rows.filter(external_id=item.external_id).update(data_digest=row.data_digest, **said):
        rows.update(
            data_digest="", **said
        )  # its key was changed meanwhile: what was sent is to be sent again
    return True


def open_rows(project: LabelStudioProject) -> Any:
    """The project's tasks that somebody may still answer."""
    waiting = Q(assignment__isnull=True, case__status=CaseStatus.IN_REVIEW)
    asked = Q(assignment__state=AssignmentState.OPEN)
    return project.tasks.filter(task_id__isnull=False).filter(waiting | asked)


def follow(
    project: LabelStudioProject,
    form: LabelStudioForm,
    client: Client,
    *,
    running: Running | None = None,
    only: LabelStudioTask | None = None,
) -> int:
    """Tell Label Studio the ranks and notes that changed since, and renew addresses; returns how many tasks."""
    rows = project.tasks.filter(pk=only.pk) if only is not None else open_rows(project)
    stale = (
        ~Q(shown_rank=F("case__review_rank")) & ~Q(shown_rank__isnull=True, case__review_rank__isnull=True)
        | Q(shown_rank__isnull=True, case__review_rank__isnull=False)
        | Q(shown_rank__isnull=False, case__review_rank__isnull=True)
    )
    stale |= Q(data_digest="") | Q(media_until__lt=renew_before())
    if signs():
        stale |= Q(media_until__isnull=True)
    changed = 0
    waiting = {row.key: row for row in rows.filter(stale).order_by("id")}
    items, _ = gather(waiting, form, rows=waiting)
    for item in items:
        try:
            changed += send_data(item, waiting[item.key], client)
        except LabelStudioRefused as refused:
            if refused.http_status != 404:
                raise
            unlink(waiting[item.key])
        if running is not None:
            running.progress(changed, len(items), f"{changed} tasks brought up to date")
    return changed


def migrate(project: LabelStudioProject, form: LabelStudioForm, client: Client) -> int:
    """Bring open tasks that were made under an older form to this one; returns how many.

    Finished work is left as it is: it is read by the names of the version it was made under. Drafts are sent again
    only where results are written differently under the new form; other words on the screen need nothing.
    """
    stale = open_rows(project).filter(Q(form__isnull=True) | ~Q(form=form))
    rows = {row.key: row for row in stale.select_related("form")}
    other = {key: row for key, row in rows.items() if row.form and not _same_results(row.form.xml, form.xml)}
    if other:
        items, _ = gather(other, form, rows=other)
        fitting = [(item, other[item.key]) for item in items if not item.problem]
        refresh(Parcel(project, fitting), form, client)
    kept = [row.pk for key, row in rows.items() if key not in other]
    LabelStudioTask.objects.filter(pk__in=kept).update(form=form)
    return len(rows)


def _same_results(before: str, after: str) -> bool:
    return controls_of(before) == controls_of(after)


_NEWEST = """
SELECT versions ->> -1, max((SELECT max(value::bigint) FROM jsonb_each_text(shown_answers)))
FROM {table} WHERE project_id = %s AND task_id IS NOT NULL AND jsonb_array_length(versions) > 0
GROUP BY 1 ORDER BY 2 DESC NULLS LAST LIMIT 1
"""


def show_newest(project: LabelStudioProject, client: Client) -> None:
    """Let people start from the newest draft: Label Studio shows the project's version where a task has it.

    Where some task has that version as an earlier one, no version is named: then the newest prediction is shown.
    """
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST.format(table=quoted(LabelStudioTask)), [project.pk])
        row = cursor.fetchone()
    if row is None:
        return
    version: str = row[0]
    linked = project.tasks.filter(task_id__isnull=False, versions__contains=[version])
    if linked.exclude(**{"versions__-1": version}).exists():
        version = ""
    if project.shown_model_version == version[:100] and version:
        return
    client.patch(f"/api/projects/{project.linked_id}/", {"model_version": version})
    project.shown_model_version = version[:100]
    project.save(update_fields=["shown_model_version"])


def remove_doubles(rows: Iterable[LabelStudioTask], client: Client) -> int:
    """Delete tasks that were made twice, but none that somebody has annotated; returns how many.

    It happens when a push is killed and Label Studio still makes what it had been sent, after another push has sent
    it again.
    """
    by_project: dict[int, list[LabelStudioTask]] = defaultdict(list)
    for row in rows:
        if row.task_id is not None:
            by_project[row.project_id].append(row)
    removed = 0
    for some in by_project.values():
        wanted = {row.key: row.external_id for row in some}
        there = find_there(some[0].project, wanted, client, fields="all")
        for row in some:
            for task in there.get(row.key, []):
                if task["id"] != row.task_id and not task.get("annotations") and not task.get("drafts"):
                    _delete(client, f"/api/tasks/{task['id']}/")
                    _note_double(row, task["id"])
                    removed += 1
    return removed


@transaction.atomic
def _note_double(row: LabelStudioTask, task_id: int) -> None:
    data = {"task": task_id, "kept": row.task_id}
    record(actor=None, verb="labelstudio.double_removed", subject=row.case, data=data)
