"""Addresses of videos that are about to end, renewed in tasks that are still open. The beat does it, a few at a time.

Pushes and openings renew them too; this is for the task that nobody pushes or opens again and somebody still has before
them. Killed and repeated, or run by two at once, it sends nothing twice: each task is noted as soon as it was sent.
"""

import logging
from typing import Final

from annotations.corpora.models import MediaState
from annotations.labelstudio.client import Client, LabelStudioDown, LabelStudioRefused
from annotations.labelstudio.forms import ensure_form
from annotations.labelstudio.items import gather
from annotations.labelstudio.locks import only_one
from annotations.labelstudio.media_links import renew_before
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.provision import project_row
from annotations.labelstudio.refreshing import open_rows, send_data

logger = logging.getLogger(__name__)

AT_ONCE: Final = 100
"""Tasks of one project in one run: a few seconds of Label Studio's time."""


def due_rows(project: LabelStudioProject, *, at_most: int = AT_ONCE) -> list[LabelStudioTask]:
    """Open tasks whose address is to be renewed, the next to end first. A clip that is gone has no address to give."""
    rows = open_rows(project).filter(
        media_until__lt=renew_before(), case__video__media__state=MediaState.READY
    )
    return list(rows.order_by("media_until", "id")[:at_most])


def renew(*, client: Client, at_most: int = AT_ONCE) -> int:
    """Renew up to `at_most` addresses of each project; returns how many.

    A project that is being pushed or compared is left to the next run, and all are while Label Studio is down.
    """
    renewed = 0
    for project in LabelStudioProject.objects.linked().select_related("corpus", "guideline", "form"):
        try:
            renewed += _renew_in(project, client, at_most)
        except LabelStudioDown as down:
            logger.info("addresses of videos not renewed: %s", down.message)
            return renewed
        except LabelStudioRefused as refused:
            logger.warning("addresses in project %s not renewed: %s", project.project_id, refused.message)
    return renewed


def _renew_in(project: LabelStudioProject, client: Client, at_most: int) -> int:
    if not due_rows(project, at_most=1):
        return 0
    pushed_under = project_row(project.corpus, project.guideline).pk
    with only_one(pushed_under) as no_push, only_one(project.pk) as no_comparison:
        if not (no_push and no_comparison):
            return 0
        rows = {
            row.key: row for row in due_rows(project, at_most=at_most)
        }  # again: now nobody else changes them
        form = project.form or ensure_form(corpus=project.corpus, guideline=project.guideline, by=None)
        items, _ = gather(rows, form, rows=rows)
        sent = 0
        for item in items:
            row = rows[item.key]
            try:
                sent += send_data(item, row, client)
            except LabelStudioRefused as refused:
                if refused.http_status != 404:
                    raise
                _gone(row)
        return sent


def _gone(row: LabelStudioTask) -> None:
    """Whether a task or a whole database has gone is for the comparison to say; nothing is to be renewed in it."""
    LabelStudioTask.objects.filter(pk=row.pk).update(media_until=None)
    LabelStudioProject.objects.filter(pk=row.project_id, check_due=False).update(check_due=True)
