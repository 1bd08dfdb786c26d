"""The rows of tasks: which part a task goes to, who may send it, and its number once it is there.

A row is written, and claimed by `sent_at`, before its task is made. A claimed row without a task id is in somebody's
hand or was left behind by a killed push. Nobody can tell which; so it is looked up in Label Studio by its external id,
and sent again only when its claim has been quiet for QUIET. Whoever sends keeps renewing the claim.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Count, Q
from django.utils import timezone

from annotations.cases.models import Guideline
from annotations.corpora.models import Corpus
from annotations.labelstudio.client import Client, task_filter
from annotations.labelstudio.external_ids import opaque_key, spoken_key
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.provision import title_of
from crashdesk.audit.services import record
from crashdesk.bulk import insert_rows, quoted

QUIET: Final = timedelta(seconds=30)
"""After so long without a renewal the sender of a claim is taken for dead, and its request for finished."""
LOOK_UP: Final = 150
"""External ids asked for in one request."""

Key = tuple[int, int | None]
"""Case id and, for a task that is somebody's own, assignment id."""


@dataclass(frozen=True)
class Wanted:
    """A row that shall be there, with what its task will say. Values as in the model's fields."""

    case_id: int
    assignment_id: int | None
    fields: Mapping[str, Any]

    @property
    def key(self) -> Key:
        return self.case_id, self.assignment_id


def rows_of(keys: Iterable[Key]) -> dict[Key, LabelStudioTask]:
    """The rows there are, by key."""
    wanted = set(keys)
    rows = LabelStudioTask.objects.filter(case__in={case for case, _ in wanted}).select_related("project")
    return {row.key: row for row in rows if row.key in wanted}


@transaction.atomic
def place(
    *, corpus: Corpus, guideline: Guideline, wanted: Sequence[Wanted], part_size: int
) -> dict[Key, LabelStudioTask]:
    """Make rows, claimed by the caller, and return those it made, of which only keys, id and project are read.

    A key that has a row already is left out.

    The first part with room takes the next task, in the order given; a task never changes its part. One caller at a
    time per corpus.
    """
    Corpus.objects.select_for_update(no_key=True).get(pk=corpus.pk)
    cases = LabelStudioTask.objects.filter(case__in={one.case_id for one in wanted})
    there = set(cases.values_list("case", "assignment"))
    missing = [one for one in wanted if one.key not in there]
    if not missing:
        return {}
    names = ["case", "assignment", "project", *missing[0].fields]
    rows, left, projects = [], iter(missing), {}
    for project, room in _rooms(corpus, guideline, part_size):
        taken = list(islice(left, room))
        projects[project.pk] = project
        rows += [[one.case_id, one.assignment_id, project.pk, *one.fields.values()] for one in taken]
        if len(rows) == len(missing):
            break
    now = timezone.now().isoformat()
    made = insert_rows(
        LabelStudioTask, [*names, "sent_at"], [[*row, now] for row in rows],
        returning=["id", "case", "assignment", "project"],
    )  # fmt: skip
    return {
        (case, assignment): LabelStudioTask(
            pk=pk, case_id=case, assignment_id=assignment, project=projects[project]
        )
        for pk, case, assignment, project in made
    }


def _rooms(corpus: Corpus, guideline: Guideline, part_size: int) -> Iterable[tuple[LabelStudioProject, int]]:
    """The parts in order with how many tasks they can still take; new ones without end."""
    parts = LabelStudioProject.objects.filter(corpus=corpus, guideline=guideline)
    part = 0
    taken = dict(parts.annotate(taken=Count("tasks")).values_list("pk", "taken"))
    for project in parts.order_by("part"):
        part = project.part
        yield project, max(0, part_size - taken.get(project.pk, 0))
    while True:
        part += 1
        yield (
            LabelStudioProject.objects.create(
                corpus=corpus, guideline=guideline, part=part, title=title_of(corpus, guideline, part)
            ),
            part_size,
        )


@transaction.atomic
def claim(rows: Sequence[LabelStudioTask]) -> list[LabelStudioTask]:
    """Those of the rows that are the caller's to send now: without a task, and quiet."""
    free = LabelStudioTask.objects.filter(pk__in=[row.pk for row in rows], task_id__isnull=True)
    free = free.filter(Q(sent_at__isnull=True) | Q(sent_at__lt=timezone.now() - QUIET))
    won = set(free.select_for_update(skip_locked=True).values_list("pk", flat=True))
    LabelStudioTask.objects.filter(pk__in=won).update(sent_at=timezone.now())
    return [row for row in rows if row.pk in won]


def renew_claims(ids: Sequence[int]) -> None:
    """The sender is alive: nobody else may send these yet."""
    LabelStudioTask.objects.filter(pk__in=ids, task_id__isnull=True).update(sent_at=timezone.now())


def link(numbers: Mapping[int, int], *, at: datetime) -> None:
    """Write down the task ids of rows (row id to task id). Inside a transaction that has locked the rows.

    A number that another row of the project still holds was given anew by Label Studio: that row's task is gone.
    """
    projects = set(LabelStudioTask.objects.filter(pk__in=numbers).values_list("project", flat=True))
    stale = LabelStudioTask.objects.filter(project__in=projects, task_id__in=list(numbers.values()))
    for row in stale.exclude(pk__in=numbers).select_related("case"):
        unlink(row)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {quoted(LabelStudioTask)} AS t SET task_id = v.task_id, pushed_at = %s "
            "FROM unnest(%s::bigint[], %s::bigint[]) AS v(id, task_id) "
            "WHERE t.id = v.id AND t.task_id IS NULL",
            [at, list(numbers), list(numbers.values())],
        )


@transaction.atomic
def unlink(row: LabelStudioTask) -> None:
    """The task is gone from Label Studio. The reviews that came from it stay; a push makes the task anew."""
    record(actor=None, verb="labelstudio.task_lost", subject=row.case, data={"task": row.task_id})
    row.task_id, row.sent_at, row.versions, row.data_digest = None, None, [], ""
    row.save(update_fields=["task_id", "sent_at", "versions", "data_digest"])
    row.annotations.filter(deleted_at__isnull=True).update(deleted_at=timezone.now())


def find_there(
    project: LabelStudioProject, wanted: Mapping[Key, str], client: Client, *, fields: str = "task_only"
) -> dict[Key, list[dict[str, Any]]]:
    """Of each key the tasks in Label Studio, the oldest first: several when one was made twice. `wanted`: key to
    external id.

    Tasks that are not there by it are asked for by what else they may be called: one database may be older than the
    other.
    """
    found = _named(project, {external: key for key, external in wanted.items()}, client, fields)
    others = {
        name: key
        for key, external in wanted.items()
        if key not in found
        for name in (opaque_key(*key), spoken_key(*key))
        if name != external
    }
    found |= _named(project, others, client, fields)
    return {key: sorted(tasks, key=lambda task: int(task["id"])) for key, tasks in found.items()}


def _named(
    project: LabelStudioProject, names: Mapping[str, Key], client: Client, fields: str
) -> dict[Key, list[dict[str, Any]]]:
    found: dict[Key, list[dict[str, Any]]] = {}
    listed = list(names)
    for start in range(0, len(listed), LOOK_UP):
        one_of = task_filter("data.external_id", "in_list", "String", listed[start : start + LOOK_UP])
        for page in client.tasks(project.linked_id, [one_of], fields=fields):
            for task in page:
                found.setdefault(names[task["data"]["external_id"]], []).append(task)
    return found
