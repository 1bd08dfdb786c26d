"""One poll of many projects: Label Studio is asked about several at a time, and one after the other is taken in.

The threads here only talk HTTP. What comes back is taken in by the thread that polls.
"""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import islice
from typing import Final

from django.db import connection

from annotations.labelstudio.client import Client
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.people import People
from annotations.labelstudio.pull import Page, Shared, changed_tasks, pull_project
from crashdesk.api.errors import Problem

logger = logging.getLogger(__name__)

ABREAST: Final = 4
"""Projects asked about at a time. Their first pages wait in memory."""


def poll_projects(projects: Iterable[LabelStudioProject], *, client: Client) -> int:
    """Take in what changed in these projects; returns how many changes. A project that fails holds up no other."""
    changes, left, people = 0, iter(projects), People(client)
    with ThreadPoolExecutor(ABREAST, thread_name_prefix="labelstudio-poll") as pool:
        while some := list(islice(left, ABREAST)):
            shared = Shared(some, client, people)
            for project, changed in zip(some, _asked(some, client, pool), strict=True):
                changes += _take_in(project, changed, client, shared)
    return changes


def _asked(
    projects: list[LabelStudioProject], client: Client, pool: ThreadPoolExecutor
) -> list[Callable[[], Page]]:
    """For each project how to get its first page, once all have been listed; it raises what asking raised."""
    asked = [pool.submit(_ask, project, client) for project in projects]
    wait(asked)
    return [future.result for future in asked]


def _ask(project: LabelStudioProject, client: Client) -> Page:
    try:
        return changed_tasks(project, client)
    finally:
        connection.close()  # a personal access token may have been looked up


def _take_in(project: LabelStudioProject, changed: Callable[[], Page], client: Client, shared: Shared) -> int:
    try:
        report = pull_project(project, client=client, shared=shared, changed=changed)
    except Exception as error:  # the boundary: whatever is wrong with one project must not stop the others
        # The next poll tries again. Label Studio may have been killed between saving an annotation and noting the
        # time of the change, which no poll will ever see.
        LabelStudioProject.objects.filter(pk=project.pk, check_due=False).update(check_due=True)
        said = error.message if isinstance(error, Problem) else repr(error)
        unknown = None if isinstance(error, Problem) else error
        logger.warning("Label Studio project %s not polled: %s", project.project_id, said, exc_info=unknown)
        return 0
    if report.changes or report.refused:
        logger.info(
            "Label Studio project %s: %s submitted, %s skipped, %s withdrawn, %s refused",
            project.project_id, report.submitted, report.skipped, report.withdrawn, len(report.refused),
        )  # fmt: skip
    return report.changes
