"""Bringing home what people said in Label Studio. Polling is the truth; a webhook only makes it sooner.

Label Studio moves a task's `updated_at` when an annotation is made, changed or deleted. Each poll asks for the
tasks changed since the last one, by Label Studio's own clock and with an overlap; what was seen before is
recognised by its content and does nothing. What one task says is taken in by annotations.labelstudio.taking.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from annotations.cases.models import CaseStatus
from annotations.cases.workflow import move
from annotations.labelstudio.client import PAGE, Client, LabelStudioDown, LabelStudioRefused, task_filter
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.people import People
from annotations.labelstudio.provision import forget
from annotations.labelstudio.push import unlink
from annotations.labelstudio.refusals import refused_before
from annotations.labelstudio.taking import PullReport, Taking, content_hash, take_task, time_of
from annotations.labelstudio.there import check_form, data_trouble, is_of
from annotations.labelstudio.witnesses import Witnesses
from crashdesk.api.errors import Problem
from crashdesk.jobs.running import Running

logger = logging.getLogger(__name__)

Annotation = tuple[int, str, datetime]
"""Id, content hash and time of the last change."""

OVERLAP = timedelta(seconds=10)
ID_BATCH = 200


@dataclass(frozen=True)
class Page:
    """Tasks as Label Studio lists them, by id, and its own clock when it was asked, or a little earlier."""

    tasks: list[dict[str, Any]]
    asked_at: datetime


class Shared:
    """What the pulls of several projects ask Label Studio once: whom its numbers mean, and what its forms are."""

    def __init__(self, projects: Sequence[LabelStudioProject], client: Client, people: People) -> None:
        self.people, self._client, self._projects = people, client, projects
        self._forms: dict[int, Mapping[str, Any]] | None = None

    def description(self, project: LabelStudioProject) -> Mapping[str, Any]:
        """A project as Label Studio describes it, its form among it. Raises LabelStudioRefused (404) when it is gone.

        All are asked for at the first call: call it once their tasks have been listed, not before.
        """
        if self._forms is None:
            ids = ",".join(str(one.project_id) for one in self._projects if one.project_id is not None)
            asked = {"ids": ids, "include": "id,label_config", "page_size": len(self._projects)}
            found = self._client.get("/api/projects", **asked)["results"]
            self._forms = {one["id"]: one for one in found}
        shown = self._forms.get(project.linked_id)
        return shown if shown is not None else self._client.get(f"/api/projects/{project.linked_id}/")


def pull_project(
    project: LabelStudioProject,
    *,
    client: Client,
    running: Running | None = None,
    full: bool = False,
    shared: Shared | None = None,
    changed: Callable[[], Page] | None = None,
) -> PullReport:
    """Take in everything that changed in this project; `full` looks at every task and finds deleted ones.

    `changed`: gives what `changed_tasks` found, or raises what it raised, where that was asked before. One annotation
    that cannot be taken never holds back the others. Raises LabelStudioDown or LabelStudioRefused when Label Studio
    itself fails, and FormChanged when its form was edited: the next pull then starts where this one did.
    """
    if project.project_id is None:
        return PullReport()
    shared = shared or Shared([project], client, People(client))
    taking = Taking(project, shared.people, Witnesses(project, client))
    seen = 0
    try:
        filters = [] if full else _since(project)
        first = changed() if changed is not None else _page(project, client, filters)
        for page in _from(first.tasks, project, client, filters):
            news = News(project, page)
            for task in filter(news.has, page):
                if not seen:
                    check_form(project, shared.description(project))
                _take_in(taking, task)
                seen += 1
                if running is not None:
                    running.progress(seen, None, f"{seen} tasks read")
    except LabelStudioRefused as refused:
        if refused.http_status == 404 and not client.exists(f"/api/projects/{project.project_id}/"):
            give_up_project(project)
            return taking.report
        raise
    if full:
        taking.report.vanished = _unlink_vanished(project, client)
    if not taking.report.failed:
        project.polled_until = first.asked_at - OVERLAP
        project.save(update_fields=["polled_until"])
    return taking.report


def changed_tasks(project: LabelStudioProject, client: Client) -> Page:
    """The first tasks changed since the last pull. Only talks HTTP, so that many projects can be asked at a time.

    Raises LabelStudioDown and LabelStudioRefused.
    """
    return _page(project, client, _since(project))


def _since(project: LabelStudioProject) -> list[dict[str, Any]]:
    if project.polled_until is None:
        return []
    since = project.polled_until.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return [task_filter("updated_at", "greater", "Datetime", since)]


def pages_of(
    project: LabelStudioProject, client: Client, filters: list[dict[str, Any]], *, fields: str = "all"
) -> Iterator[list[dict[str, Any]]]:
    """Pages of tasks by id, each asked for from the last one's end: nothing is missed when tasks come and go."""
    first = _page(project, client, filters, fields=fields)
    yield from _from(first.tasks, project, client, filters, fields=fields)


def _from(
    page: list[dict[str, Any]],
    project: LabelStudioProject,
    client: Client,
    filters: list[dict[str, Any]],
    *,
    fields: str = "all",
) -> Iterator[list[dict[str, Any]]]:
    while page:
        yield page
        if len(page) < PAGE:
            return
        beyond = task_filter("id", "greater", "Number", page[-1]["id"])
        page = _page(project, client, [*filters, beyond], fields=fields).tasks


def _page(
    project: LabelStudioProject, client: Client, filters: list[dict[str, Any]], *, fields: str = "all"
) -> Page:
    reply = client.task_page(project.linked_id, filters, fields=fields)
    return Page(reply.data["tasks"], reply.asked_at)


class News:
    """Which tasks of a page say something that we have not taken in exactly like that. Two queries."""

    def __init__(self, project: LabelStudioProject, page: list[dict[str, Any]]) -> None:
        ids = [task["id"] for task in page]
        rows = LabelStudioTask.objects.filter(project=project, task_id__in=ids)
        rows = rows.select_related("case__video__media").prefetch_related("annotations")
        self._rows = {row.task_id: row for row in rows}
        self._refused = refused_before(project, ids)

    def row(self, task: dict[str, Any]) -> LabelStudioTask | None:
        """Our row that is linked to this task."""
        return self._rows.get(task["id"])

    def has(self, task: dict[str, Any]) -> bool:
        row = self._rows.get(task["id"])
        if row is None or task["id"] in self._refused or not is_of(row, task):
            return True
        known = {
            (one.annotation_id, one.content_hash, one.changed_at)
            for one in row.annotations.all()
            if one.deleted_at is None
        }
        return known != _annotations_of(task) or bool(known and data_trouble(row, task["data"]))


def _annotations_of(task: dict[str, Any]) -> set[Annotation] | None:
    """None where an annotation lacks what it needs to be compared: taking it in says what is wrong with it."""
    try:
        return {(one["id"], content_hash(one), time_of(one["updated_at"])) for one in task["annotations"]}
    except (KeyError, TypeError, Problem):
        return None


def _take_in(taking: Taking, task: dict[str, Any]) -> None:
    """One task. A bug on it is logged and tried again at the next poll.

    Raises LabelStudioDown and LabelStudioRefused: they speak of the server, never of the annotation.
    """
    try:
        take_task(taking, task)
    except (LabelStudioDown, LabelStudioRefused):
        raise
    except Exception:  # the boundary: whatever is wrong with one task must not stop the others
        logger.exception(
            "project %s, task %s could not be taken in", taking.project.project_id, task.get("id")
        )
        taking.report.failed.append(task["id"])


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
        give_up_task(row_id)
    return len(linked)


@transaction.atomic
def give_up_task(row_id: int) -> None:
    """The task is gone from Label Studio: a case in review waits for the next push, which makes its task anew."""
    row = LabelStudioTask.objects.select_for_update(of=("self",)).select_related("case").get(pk=row_id)
    if row.task_id is None:
        return
    unlink(row)
    if row.assignment_id is None and row.case.status == CaseStatus.IN_REVIEW:
        move(row.case, CaseStatus.PREDICTED, by=None)


@transaction.atomic
def give_up_project(project: LabelStudioProject) -> int:
    """The project is gone from Label Studio, and its tasks with it. Returns how many cases wait for the next push."""
    shown = project.tasks.filter(task_id__isnull=False, assignment__isnull=True)
    rows = list(shown.filter(case__status=CaseStatus.IN_REVIEW).select_related("case"))
    forget(project, by=None)
    for row in rows:
        move(row.case, CaseStatus.PREDICTED, by=None)
    return len(rows)
