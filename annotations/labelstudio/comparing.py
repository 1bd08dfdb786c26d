"""The job that reconciles, and what makes it due: a day has gone by, or polling alone was not enough."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol

from django.db.models import Q
from django.utils import timezone

from annotations.labelstudio.client import Client, LabelStudioDown, client
from annotations.labelstudio.locks import POLL, only_one
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.reconcile import reconcile
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.running import Running
from crashdesk.jobs.services import enqueue

RECONCILE: Final = "labelstudio_reconcile"
EVERY: Final = timedelta(days=1)


class Patiently(Protocol):
    """Tries until it gets a result; an empty one means that somebody else must finish first."""

    def __call__(
        self, running: Running, attempt: Callable[[], dict[str, Any]], *, waiting_for: str
    ) -> dict[str, Any]: ...


def compare(running: Running, *, patiently: Patiently) -> dict[str, Any]:
    """args: project (our id; all when absent), repair. No poll and no push of the project goes on meanwhile."""
    args, connection = running.job.args, client()
    projects = LabelStudioProject.objects.linked()
    results = {}
    for project in projects.filter(pk=args["project"]) if args.get("project") else projects:
        whole = partial(_compare_one, project, connection, running)
        results[str(project.pk)] = patiently(running, whole, waiting_for="a poll or a push of this project")
    return {"projects": results}


def _compare_one(project: LabelStudioProject, connection: Client, running: Running) -> dict[str, Any]:
    with only_one(POLL) as no_poll, only_one(project.pk) as no_push:
        if not (no_poll and no_push):
            return {}
        project.refresh_from_db()
        job = running.job
        report = reconcile(
            project, client=connection, by=job.created_by, repair=bool(job.args.get("repair")), running=running
        )  # fmt: skip
        # Everybody who may look into the corpus reads a job's result; what names people is kept on the project.
        return {name: value for name, value in report.data().items() if name != "single"}


def ask_to_reconcile(*, project: LabelStudioProject | None, repair: bool, by: User) -> Job:
    """Queue a comparison of one project, or of all."""
    args = {"project": project.pk if project else None, "repair": repair}
    return enqueue(RECONCILE, args, by=by, corpus_id=project.corpus_id if project else None)


def reconcile_due(connection: Client) -> int:
    """Queue a comparison, without repair, of every project that needs one; returns how many.

    Does nothing while Label Studio is down: the jobs would fail, one after the other, for as long as it is.
    """
    yesterday = timezone.now() - EVERY
    stale = Q(checked_at__isnull=True, created_at__lt=yesterday) | Q(checked_at__lt=yesterday)
    under_way = Job.objects.filter(kind=RECONCILE, state__in=[JobState.QUEUED, JobState.RUNNING])
    asked = set(under_way.values_list("args__project", flat=True))
    due = [
        one
        for one in LabelStudioProject.objects.linked().filter(Q(check_due=True) | stale)
        if one.pk not in asked
    ]
    if not due or not _answers(connection):
        return 0
    for project in due:
        args = {"project": project.pk, "repair": False}
        enqueue(RECONCILE, args, by=None, corpus_id=project.corpus_id)
    return len(due)


def _answers(connection: Client) -> bool:
    try:
        connection.now()
    except LabelStudioDown:
        return False
    return True
