"""The job "media": examine a clip, then bring its cases in line."""

from typing import Any

from annotations.cases.services import settle_media_of
from annotations.corpora.services import process_media
from crashdesk.jobs.running import Running


def media_work(running: Running) -> dict[str, Any]:
    """Args {"media_id"}. Safe to start again: what is examined is not examined twice, what is settled stays."""
    media = process_media(running.job.args["media_id"])
    running.check()
    settle_media_of(media, by=None)
    return {"media_id": media.pk, "state": media.state}
