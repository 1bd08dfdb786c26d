"""Bringing cases into Label Studio, with their drafts as predictions, in review order. Safe to kill and repeat.

Every task has an external id (annotations.labelstudio.external_ids). Its row is written, with the drafts it will
show, before it is made; annotations.labelstudio.rows says how nobody makes it twice, whatever is killed when and
however many push at once. Only cases that need a person are pushed, and passes that somebody was asked for.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus, Guideline
from annotations.cases.workflow_bulk import move_many
from annotations.corpora.media.timemap import ProxyMap
from annotations.corpora.models import Corpus, Media
from annotations.labelstudio.client import Client
from annotations.labelstudio.client import client as default_client
from annotations.labelstudio.external_ids import opaque_key, untold_key
from annotations.labelstudio.forms import ensure_form
from annotations.labelstudio.items import Item, data_digest, gather, proxy_frames
from annotations.labelstudio.models import LabelStudioForm, LabelStudioProject, LabelStudioTask
from annotations.labelstudio.provision import ensure_project
from annotations.labelstudio.refreshing import follow, migrate, refresh, remove_doubles, show_newest
from annotations.labelstudio.rows import Key, claim, find_there, link, place, rows_of, unlink
from annotations.labelstudio.sending import Parcel, Sent, line, send
from annotations.reviews.models import Assignment, AssignmentState, Purpose
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.jobs.running import Running

BATCH = 1000
PAUSE_SECONDS = 1.0
PUSHABLE = (CaseStatus.READY, CaseStatus.PREDICTED, CaseStatus.RETURNED)
OWN_PASS = (Purpose.DOUBLE, Purpose.GOLD)
"""Assignments whose person must see nothing of the case's own task."""

__all__ = ["unlink"]


@dataclass
class PushReport:
    """How many cases were pushed and why others were not.

    `passes`: tasks of assignments. `adopted`: made by an earlier push that did not live to write it down. `refused`
    names each case that Label Studio, or our own check of its draft, declined.
    """

    pushed: int = 0
    updated: int = 0
    passes: int = 0
    adopted: int = 0
    without_media: int = 0
    moved_meanwhile: int = 0
    reordered: int = 0
    migrated: int = 0
    doubles_removed: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)


def waiting_cases(corpus: Corpus, guideline: Guideline, *, unpredicted: bool) -> QuerySet[Case]:
    """Cases a push would take, the ranked ones first. `unpredicted` also takes those without drafts.

    Among them are cases in review whose task has gone from Label Studio.
    """
    statuses = [CaseStatus.PREDICTED, CaseStatus.RETURNED, *([CaseStatus.READY] if unpredicted else [])]
    lost = LabelStudioTask.objects.filter(assignment__isnull=True, task_id__isnull=True).values("case")
    cases = Case.objects.filter(corpus=corpus, guideline=guideline).filter(
        Q(status__in=statuses) | Q(status=CaseStatus.IN_REVIEW, pk__in=lost)
    )
    return cases.order_by(F("review_rank").asc(nulls_last=True), "id")


def waiting_passes(corpus: Corpus, guideline: Guideline) -> QuerySet[Assignment]:
    """Open assignments that need a task of their own and have none in Label Studio."""
    return (
        Assignment.objects.filter(case__corpus=corpus, case__guideline=guideline)
        .filter(state=AssignmentState.OPEN, purpose__in=OWN_PASS)
        .filter(Q(labelstudio_task__isnull=True) | Q(labelstudio_task__task_id__isnull=True))
        .order_by("id")
    )


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
    """push_corpus of the corpus and guideline that a project belongs to."""
    return push_corpus(
        project.corpus, project.guideline, client=client, by=by, running=running, unpredicted=unpredicted
    )


def push_corpus(
    corpus: Corpus,
    guideline: Guideline,
    *,
    client: Client,
    by: User | None,
    running: Running | None = None,
    unpredicted: bool = False,
) -> PushReport:
    """Make a task for every waiting case and pass, in as many projects as it takes, and bring the cases in review.

    What is in Label Studio already follows: new drafts, ranks, the form's version, addresses about to expire. Raises
    LabelStudioDown and LabelStudioRefused; what was done till then stays, and the next push goes on from there.
    """
    push = _Push(corpus, guideline, client, by, running)
    push.parts_there()  # first: a part that is gone leaves cases that wait again
    keys: list[Key] = [
        (pk, None)
        for pk in waiting_cases(corpus, guideline, unpredicted=unpredicted).values_list("pk", flat=True)
    ]
    keys += [(one.case_id, one.pk) for one in waiting_passes(corpus, guideline)]
    push.total = len(keys)
    with line(client) as under_way:
        for start in range(0, len(keys), BATCH):
            for parcel in push.parcels(keys[start : start + BATCH]):
                for sent in under_way.put(parcel):
                    push.settle(sent)
        for sent in under_way.rest():
            push.settle(sent)
    push.take_up()
    push.keep_up()
    return push.report


class _Push:
    """One push of one corpus under one guideline."""

    def __init__(
        self,
        corpus: Corpus,
        guideline: Guideline,
        client: Client,
        by: User | None,
        running: Running | None = None,
    ) -> None:
        self.corpus, self.guideline, self.client, self.by, self.running = (
            corpus, guideline, client, by, running,
        )  # fmt: skip
        self.form: LabelStudioForm = ensure_form(corpus=corpus, guideline=guideline, by=by)
        self.report = PushReport()
        self.total, self.done = 0, 0
        self._projects: dict[int, LabelStudioProject] = {}
        self._uncertain: list[Key] = []
        self._statuses: dict[int, str] = {}

    def parts_there(self) -> None:
        """Bring every part that exists in line; the first one is made where there is none."""
        parts = LabelStudioProject.objects.filter(corpus=self.corpus, guideline=self.guideline)
        for part in list(parts.order_by("part").values_list("part", flat=True)) or [1]:
            project = ensure_project(
                corpus=self.corpus, guideline=self.guideline, by=self.by, part=part, client=self.client
            )
            self._projects[project.pk] = project

    def project(self, row: LabelStudioTask) -> LabelStudioProject:
        """The row's project, made in Label Studio when it is a new part."""
        if row.project_id not in self._projects:
            self._projects[row.project_id] = ensure_project(
                corpus=self.corpus, guideline=self.guideline, by=self.by, part=row.project.part, client=self.client
            )  # fmt: skip
        return self._projects[row.project_id]

    def parcels(self, keys: Sequence[Key]) -> list[Parcel]:
        """What of these keys is new, to be sent; the others are refreshed, or left until the end."""
        rows = rows_of(keys)
        items = self._items(keys, rows)
        there = [(item, rows[item.key]) for item in items if _is_there(rows.get(item.key))]
        gone = self._refresh(there)
        self._uncertain += [item.key for item in items if item.key in rows and not _is_there(rows[item.key])]
        self._uncertain += gone
        made = place(
            corpus=self.corpus, guideline=self.guideline, part_size=settings.LABELSTUDIO_PART_SIZE,
            wanted=[item.wanted(self.form) for item in items if item.key not in rows],
        )  # fmt: skip
        return self._wrapped((item, made[item.key]) for item in items if item.key in made)

    def _items(self, keys: Sequence[Key], rows: dict[Key, LabelStudioTask]) -> list[Item]:
        items, without_media = gather(keys, self.form, rows=rows)
        self.report.without_media += len(without_media)
        self.done += len(without_media)
        for item in items:
            self._statuses[item.case.pk] = item.case.status
            if item.problem:
                self._refuse(item.case.pk, item.problem)
        return [item for item in items if not item.problem]

    def _refuse(self, case_id: int, message: str) -> None:
        self.report.refused.append({"case": case_id, "message": message})

    def _wrapped(self, items: Iterable[tuple[Item, LabelStudioTask]]) -> list[Parcel]:
        by_project: dict[int, list[tuple[Item, LabelStudioTask]]] = defaultdict(list)
        for item, row in items:
            by_project[row.project_id].append((item, row))
        return [Parcel(self.project(inside[0][1]), inside) for inside in by_project.values()]

    def _refresh(self, there: list[tuple[Item, LabelStudioTask]]) -> list[Key]:
        """Returns the keys whose task has gone from Label Studio."""
        gone: list[Key] = []
        for parcel in self._wrapped(there):
            refreshed = refresh(parcel, self.form, self.client)
            self.report.updated += len(refreshed)
            own = [item.case.pk for item, _ in refreshed if item.assignment_id is None]
            self._bring_in_review(own, made=False)
            self._tell(len(refreshed))
            known = {row.pk for _, row in refreshed}
            gone += [item.key for item, row in parcel.items if row.pk not in known]
        return gone

    def settle(self, sent: Sent) -> None:
        """Link the rows to their tasks and bring the cases in review, but for those that moved meanwhile."""
        items = {row.pk: item for item, row in sent.parcel.items}
        for row_id, message in sent.refused.items():
            self._refuse(items[row_id].case.pk, message)
            LabelStudioTask.objects.filter(pk=row_id, task_id__isnull=True).delete()
        self._link(sent.numbers, items, made=True)

    @transaction.atomic
    def _link(self, numbers: dict[int, int], items: dict[int, Item], *, made: bool) -> None:
        """Rows are locked before cases, as a pull does: a case that it has just brought to `submitted` stays there."""
        rows = LabelStudioTask.objects.filter(pk__in=numbers)
        list(rows.select_for_update().order_by("pk").values_list("pk", flat=True))
        link(numbers, at=timezone.now())
        own = [items[row_id].case.pk for row_id in numbers if items[row_id].assignment_id is None]
        self.report.passes += len(numbers) - len(own)
        self._bring_in_review(own, made=made)
        self._tell(len(numbers))

    @transaction.atomic
    def _bring_in_review(self, case_ids: Sequence[int], *, made: bool) -> None:
        """`made`: this push made their tasks. Else another one did, and cases that it has brought there are its own."""
        cases = Case.objects.filter(pk__in=case_ids).select_for_update().order_by("pk")
        statuses = dict(cases.values_list("pk", "status"))
        moved = move_many(
            [pk for pk, status in statuses.items() if status in PUSHABLE], CaseStatus.IN_REVIEW, by=self.by
        )
        there = [pk for pk, status in statuses.items() if status == CaseStatus.IN_REVIEW]
        remade = [pk for pk in there if made and self._statuses.get(pk) == CaseStatus.IN_REVIEW]
        ours = len(moved) + len(remade)
        self.report.pushed += ours
        self.report.moved_meanwhile += len(statuses) - ours - (0 if made else len(there))

    def _tell(self, more: int) -> None:
        self.done += more
        if self.running is not None:
            message = f"{self.report.pushed + self.report.passes} tasks in Label Studio"
            self.running.progress(self.done, self.total, message)

    # --- what an earlier push left behind, or another one has in hand ----------------------------------------

    def take_up(self) -> None:
        """Look for the tasks whose rows somebody else has claimed: adopt what is there, send what is not."""
        doubtful = left = list(dict.fromkeys(self._uncertain))
        while left:
            rows = {key: row for key, row in rows_of(left).items() if not _is_there(row)}
            self._adopt(rows)
            rows = {key: row for key, row in rows_of(rows).items() if not _is_there(row)}
            mine = {row.pk for row in claim(list(rows.values()))}
            self._send_again({key: row for key, row in rows.items() if row.pk in mine})
            left = [key for key, row in rows.items() if row.pk not in mine]
            if left:
                if self.running is not None:
                    self.running.progress(
                        self.done, self.total, f"waiting for {len(left)} tasks of another push"
                    )
                time.sleep(PAUSE_SECONDS)
        self.report.doubles_removed += remove_doubles(rows_of(doubtful).values(), self.client)

    def _adopt(self, rows: dict[Key, LabelStudioTask]) -> None:
        by_project: dict[int, list[LabelStudioTask]] = defaultdict(list)
        for row in rows.values():
            by_project[row.project_id].append(row)
        for some in by_project.values():
            wanted_there = {row.key: row.external_id for row in some}
            there = find_there(self.project(some[0]), wanted_there, self.client)
            found = {rows[key].pk: tasks[0]["id"] for key, tasks in there.items()}
            items, _ = gather(there, self.form, rows=rows)
            wanted = {rows[item.key].pk: item for item in items}
            self.report.adopted += len(wanted)
            self._link(
                {row_id: number for row_id, number in found.items() if row_id in wanted}, wanted, made=False
            )

    def _send_again(self, rows: dict[Key, LabelStudioTask]) -> None:
        """Claimed rows without a task there: their drafts are noted anew, then they are sent."""
        for start in range(0, len(rows), BATCH):
            some = dict(list(rows.items())[start : start + BATCH])
            for row in some.values():
                row.external_id = untold_key(row.external_id, *row.key)
            items = self._items(list(some), some)
            note(items, some, self.form)
            for parcel in self._wrapped((item, some[item.key]) for item in items):
                self.settle(send(parcel, self.client))

    def keep_up(self) -> None:
        """What else has changed since the tasks were made."""
        for project in self._projects.values():
            self.report.migrated += migrate(project, self.form, self.client)
            self.report.reordered += follow(project, self.form, self.client, running=self.running)
            show_newest(project, self.client)


def note(items: Sequence[Item], rows: dict[Key, LabelStudioTask], form: LabelStudioForm) -> None:
    """Write down what the tasks about to be made will say and show."""
    for item in items:
        row = rows[item.key]
        row.fps_num, row.fps_den = item.fps.numerator, item.fps.denominator
        row.shown_answers, row.versions, row.form = item.shown.answers, item.shown.versions, form
        row.shown_rank, row.data_digest = item.case.review_rank, data_digest(item.data)
        row.media_until, row.external_id = item.media_until, item.external_id
    LabelStudioTask.objects.bulk_update(
        [rows[item.key] for item in items],
        [
            "fps_num",
            "fps_den",
            "shown_answers",
            "versions",
            "form",
            "shown_rank",
            "data_digest",
            "media_until",
            "external_id",
        ],
        batch_size=500,
    )


def _is_there(row: LabelStudioTask | None) -> bool:
    return row is not None and row.task_id is not None


# --- one task at once -----------------------------------------------------------------------------------------


def push_assignment(
    assignment: Assignment, *, by: User | None, client: Client | None = None
) -> LabelStudioTask:
    """The task of an assignment, made now if need be: its own for a second blind pass or a gold case, else the case's.

    Raises Problem (no_task) when the case cannot be shown: no media, a refused draft, or not in a status for review.
    """
    own = assignment.pk if assignment.purpose in OWN_PASS else None
    return ensure_task(assignment.case, assignment_id=own, by=by, client=client)


def ensure_task(
    case: Case, *, assignment_id: int | None = None, by: User | None, client: Client | None = None
) -> LabelStudioTask:
    """The case's own task, or that of an assignment, made now if it is not there; its video's address is renewed."""
    key: Key = (case.pk, assignment_id)
    row = rows_of([key]).get(key)
    client = client or default_client()
    if row is not None and row.task_id is not None:
        form = row.form or ensure_form(corpus=case.corpus, guideline=case.guideline, by=by)
        follow(row.project, form, client, only=row)
        return row
    needed = assignment_id is not None or case.status in (*PUSHABLE, CaseStatus.IN_REVIEW)
    if not needed:
        raise Problem("no_task", f"Case {case.pk} is {case.status}: there is nothing to answer.")
    push = _Push(case.corpus, case.guideline, client, by)
    for parcel in push.parcels([key]):
        push.settle(send(parcel, client))
    push.take_up()
    row = rows_of([key]).get(key)
    if row is None or row.task_id is None:
        reasons = [refused["message"] for refused in push.report.refused]
        message = f"Case {case.pk} cannot be shown: {reasons[0] if reasons else 'its clip is not ready'}"
        raise Problem("no_task", message)
    show_newest(row.project, client)
    return row


def task_for(case: Case, person: User) -> LabelStudioTask | None:
    """The task this person answers the case in: that of their open assignment, else the case's own. None: none yet."""
    rows = LabelStudioTask.objects.filter(case=case, task_id__isnull=False).select_related("project")
    asked = Assignment.objects.filter(case=case, person=person, state=AssignmentState.OPEN).first()
    if asked is not None and asked.purpose in OWN_PASS:
        return rows.filter(assignment=asked).first()
    return rows.filter(assignment__isnull=True).first()


def find_tasks(project: LabelStudioProject, case_ids: Sequence[int], client: Client) -> dict[int, int]:
    """Case id to the id of its own task in Label Studio, for those that have one there (the oldest, were there two)."""
    keys: list[Key] = [(pk, None) for pk in case_ids]
    rows = rows_of(keys)
    wanted = {key: rows[key].external_id if key in rows else opaque_key(*key) for key in keys}
    return {case: tasks[0]["id"] for (case, _), tasks in find_there(project, wanted, client).items()}


def proxy_map(row: LabelStudioTask, media: Media) -> ProxyMap:
    """How the task's frames lie on the source clip's time."""
    return proxy_frames(media, row.fps)


def deep_link(case: Case) -> str | None:
    """Where a browser opens this case in Label Studio; None while it is not there."""
    row = LabelStudioTask.objects.filter(case=case, assignment__isnull=True).select_related("project").first()
    return link_of(row) if row is not None else None


def link_of(row: LabelStudioTask) -> str | None:
    """Where a browser opens a task; None while it is not there."""
    if row.task_id is None or row.project.project_id is None:
        return None
    return f"{settings.LABELSTUDIO_PUBLIC_URL}/projects/{row.project.project_id}/data?task={row.task_id}"
