"""Findings about clips that say who did what, and so are not for everybody who may look into the corpus."""

from typing import Final

from django.db.models import Q, QuerySet

from annotations.corpora.models import VideoFinding
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import standing

RESTRICTED: Final = frozenset({"labelstudio_annotation_refused"})
"""Codes of findings that name people and what they were asked to do."""


def seen_by(findings: QuerySet[VideoFinding], user: User) -> QuerySet[VideoFinding]:
    """Without the restricted ones of corpora where the person neither approves nor synchronises."""
    reaches = [standing(user).reach(action) for action in (Action.APPROVE, Action.SYNC)]
    if any(reach.everywhere for reach in reaches):
        return findings
    trusted = reaches[0].inside("video__corpus_id") | reaches[1].inside("video__corpus_id")
    return findings.filter(~Q(code__in=RESTRICTED) | trusted)
