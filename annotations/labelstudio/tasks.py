"""The poll that Celery's beat wakes every few seconds, and what it leaves to a comparison of the whole."""

import logging

from celery import shared_task

from annotations.labelstudio.client import client
from annotations.labelstudio.comparing import reconcile_due
from annotations.labelstudio.locks import POLL, only_one
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.pull import pull_project
from crashdesk.api.errors import Problem

logger = logging.getLogger(__name__)


@shared_task
def poll() -> int:
    """Take in what changed in every project; returns how many changes. Does nothing while another poll runs."""
    if not LabelStudioProject.objects.linked().exists():
        return 0
    with only_one(POLL) as alone:
        return _poll_projects() if alone else 0


@shared_task
def check() -> int:
    """Have every project compared as a whole that is due for it; returns how many."""
    return reconcile_due(client())


def _poll_projects() -> int:
    connection, changes = client(), 0
    for project in LabelStudioProject.objects.linked():
        try:
            report = pull_project(project, client=connection)
        except Problem as problem:
            # Down or refusing: the next poll tries again. Label Studio may have been killed between saving an
            # annotation and noting the time of the change, which no poll will ever see.
            LabelStudioProject.objects.filter(pk=project.pk, check_due=False).update(check_due=True)
            logger.warning("Label Studio project %s not polled: %s", project.project_id, problem.message)
            continue
        if report.changes or report.refused:
            logger.info(
                "Label Studio project %s: %s submitted, %s skipped, %s withdrawn, %s refused",
                project.project_id, report.submitted, report.skipped, report.withdrawn, len(report.refused),
            )  # fmt: skip
        changes += report.changes
    return changes
