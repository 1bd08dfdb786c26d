"""Looking again at answers that were not taken because of who gave them, once somebody was assigned meanwhile.

Such an answer counts as soon as a lead asks its person for the case. Label Studio knows nothing of that: its task did
not change, so that no poll would see it. Each finding therefore remembers how the case stood when its task was last
looked at; where it stands otherwise now, the task is asked for by its number and taken in like a changed one.
"""

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Collection
from typing import Final

from django.db import transaction
from django.db.models import Q

from annotations.corpora.models import VideoFinding
from annotations.labelstudio.client import PAGE, Client, task_filter
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.pull import OVERLAP, Page, pull_project
from annotations.labelstudio.refusals import FINDING, STANDING
from annotations.labelstudio.taking import PullReport
from annotations.reviews.models import Assignment
from crashdesk.api.errors import Problem

WHO: Final = (
    "labelstudio_wrong_person", "labelstudio_two_people", "labelstudio_wrong_task", "labelstudio_assignment_ended",
)  # fmt: skip
"""The refusals that somebody's assignment can make good."""
AT_ONCE: Final = min(PAGE, 100)

logger = logging.getLogger(__name__)


def take_again(client: Client) -> int:
    """Take in, in every project, what may count now; returns how many changes. One query where nothing was refused.

    Call it after a poll and under the poll's lock. A project that fails holds up no other, and is tried again.
    """
    found, changes = _findings(), 0
    if not found:
        return 0
    rows = LabelStudioTask.objects.filter(
        task_id__in={one.data["task"] for one in found}, project__project_id__isnull=False,
        project__polled_until__isnull=False,
    )  # fmt: skip
    by_task = {(row.case.video_id, row.task_id): row for row in rows.select_related("project", "case")}
    now = _standings({row.case_id for row in by_task.values()})
    due: dict[int, list[tuple[VideoFinding, LabelStudioTask]]] = defaultdict(list)
    for finding in found:
        row = by_task.get((finding.video_id, finding.data["task"]))
        if row is not None and finding.data.get(STANDING) != now[row.case_id]:
            due[row.project_id].append((finding, row))
    for again in due.values():
        some = again[:AT_ONCE]
        try:
            report = _pull_again(some[0][1].project, [row for _, row in some], client)
        except Problem as problem:
            logger.warning("%s: refused answers not looked at again: %s", some[0][1].project, problem.message)
            continue
        changes += report.changes
        for finding, row in some:
            if row.task_id not in report.failed:
                _remember(finding, now[row.case_id])
    return changes


def _findings() -> list[VideoFinding]:
    about = Q(data__code__in=WHO) | Q(data__codes__has_any_keys=list(WHO))
    return list(VideoFinding.objects.filter(about, code=FINDING, data__has_key="task").order_by("id"))


def _standings(cases: Collection[int]) -> dict[int, str]:
    """By case, a digest of what decides whose answer counts: where the case stands, and who was asked for what."""
    status = LabelStudioTask.objects.filter(case__in=cases).values_list("case", "case__status")
    stands: dict[int, list[object]] = {case: [said] for case, said in status}
    asked = Assignment.objects.filter(case__in=cases).order_by("id")
    for case, number, state in asked.values_list("case", "id", "state"):
        stands[case].append([number, state])
    return {case: hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16] for case, what in stands.items()}


def _pull_again(project: LabelStudioProject, rows: Collection[LabelStudioTask], client: Client) -> PullReport:
    """The tasks as they are there, taken in as if they had changed. How far the project was polled stays."""
    assert project.polled_until is not None
    wanted = task_filter("id", "in_list", "Number", sorted(row.task_id for row in rows if row.task_id))
    tasks = client.task_page(project.linked_id, [wanted], fields="all").data["tasks"]
    page = Page(tasks, project.polled_until + OVERLAP)
    return pull_project(project, client=client, changed=lambda: page)


@transaction.atomic
def _remember(finding: VideoFinding, standing: str) -> None:
    """Where the refusal still stands: how the case stood before its task was looked at."""
    held = VideoFinding.objects.select_for_update().filter(pk=finding.pk).first()
    if held is not None:
        held.data = {**held.data, STANDING: standing}
        held.save(update_fields=["data"])
