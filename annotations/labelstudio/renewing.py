"""What tasks say that shall not stay as it is, put right by the beat, a few at a time.

Addresses of videos that are about to end, in tasks that are still open: pushes and openings renew them too, but nobody
may push or open a task again that somebody still has before them. And keys from before they were opaque.

Killed and repeated, or run by two at once, it sends nothing twice: each task is noted as soon as it was sent.
"""

import logging
from typing import Final

from django.db.models import F, Q
from django.utils import timezone

from annotations.corpora.models import MediaState
from annotations.labelstudio.client import Client, LabelStudioDown, LabelStudioRefused
from annotations.labelstudio.external_ids import SPOKEN, untold_key
from annotations.labelstudio.forms import ensure_form
from annotations.labelstudio.items import data_digest, gather
from annotations.labelstudio.locks import only_one
from annotations.labelstudio.media_links import renew_before
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.provision import project_row
from annotations.labelstudio.refreshing import open_rows, send_data

logger = logging.getLogger(__name__)

AT_ONCE: Final = 100
"""Tasks of one project in one run."""
_REFUSED_LAST: Final = F("refused_at").asc(nulls_first=True)
"""What Label Studio would not take holds up nothing else; the one refused longest ago is tried first."""


def due_rows(project: LabelStudioProject, *, at_most: int = AT_ONCE) -> list[LabelStudioTask]:
    """Open tasks whose address is to be renewed, the next to end first. A clip that is gone has no address to give."""
    rows = open_rows(project).filter(
        media_until__lt=renew_before(), case__video__media__state=MediaState.READY
    )
    return list(rows.order_by(_REFUSED_LAST, "media_until", "id")[:at_most])


def spoken_rows(project: LabelStudioProject, *, at_most: int = AT_ONCE) -> list[LabelStudioTask]:
    """Tasks whose key says what they are, or whose data is to be sent again: open ones, and all passes."""
    named = Q(external_id__startswith=SPOKEN) | Q(data_digest="")
    shown = Q(pk__in=open_rows(project)) | Q(assignment__isnull=False)
    rows = project.tasks.filter(
        named, shown, task_id__isnull=False, case__video__media__state=MediaState.READY
    )
    return list(rows.order_by(_REFUSED_LAST, "id")[:at_most])


def renew(*, client: Client, at_most: int = AT_ONCE) -> int:
    """Renew addresses, and then keys, of up to `at_most` tasks of each project; returns how many tasks.

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
    if not (due_rows(project, at_most=1) or spoken_rows(project, at_most=1)):
        return 0
    pushed_under = project_row(project.corpus, project.guideline).pk
    with only_one(pushed_under) as no_push, only_one(project.pk) as no_comparison:
        if not (no_push and no_comparison):
            return 0
        # asked again: now nobody else changes them
        sent = _send(project, due_rows(project, at_most=at_most), client)
        spoken = spoken_rows(project, at_most=max(0, at_most - sent))
        _rename([row for row in spoken if row.external_id.startswith(SPOKEN)])
        return sent + _send(project, spoken, client)


def _rename(rows: list[LabelStudioTask]) -> None:
    """Our side first: a task that still has the key of before is understood, whoever is killed when."""
    for row in rows:
        row.external_id, row.data_digest = untold_key(row.external_id, *row.key), ""
    LabelStudioTask.objects.bulk_update(rows, ["external_id", "data_digest"])


def _send(project: LabelStudioProject, due: list[LabelStudioTask], client: Client) -> int:
    if not due:
        return 0
    rows = {row.key: row for row in due}
    form = project.form or ensure_form(corpus=project.corpus, guideline=project.guideline, by=None)
    items, _ = gather(rows, form, rows=rows)
    sent, refusals = 0, []
    for item in items:
        row = rows[item.key]
        try:
            sent += send_data(item, row, client)
        except LabelStudioRefused as refused:
            if refused.http_status == 401:  # it is our token that is refused, not this task
                raise
            if refused.http_status == 404:
                _gone(row, data_digest(item.data))
                continue
            LabelStudioTask.objects.filter(pk=row.pk).update(refused_at=timezone.now())
            refusals.append(f"task {row.task_id}: {refused.message}")
    if refusals:
        logger.warning(
            "project %s: %s tasks not renewed, tried again later: %s", project.project_id, len(refusals), refusals[0]
        )  # fmt: skip
    return sent


def _gone(row: LabelStudioTask, digest: str) -> None:
    """Whether a task or a whole database has gone is for the comparison to say; nothing is to be renewed in it."""
    LabelStudioTask.objects.filter(pk=row.pk).update(media_until=None, data_digest=digest)
    LabelStudioProject.objects.filter(pk=row.project_id, check_due=False).update(check_due=True)
