"""Asking for a search, and what a person decides about a suspect."""

from typing import Final

from django.db import transaction
from django.utils import timezone

from annotations.corpora.access import require
from annotations.corpora.models import Corpus
from annotations.reviews.decisions import return_case
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import enqueue_once
from model_assist.suspects.models import Suspect, SuspectState

JOB: Final = "find_suspects"
MOST_WORDS: Final = 500


def start_search(*, corpus: Corpus, by: User | None) -> Job:
    """The job that looks through a corpus's labels, or the one that waits already. Problem not_found, not_allowed."""
    require(by, Action.APPROVE, corpus)
    return enqueue_once(JOB, {"corpus": corpus.pk}, by=by, group=f"suspects:{corpus.pk}")


@transaction.atomic
def dismiss(*, suspect: Suspect, by: User, reason: str = "") -> Suspect:
    """The label is right after all; later searches leave this answer alone. Problem not_allowed, already_decided."""
    return _decide(suspect, SuspectState.DISMISSED, by=by, reason=reason)


@transaction.atomic
def confirm(*, suspect: Suspect, by: User, reason: str = "") -> Suspect:
    """The label is wrong; the case stays where it is. Problem not_allowed, already_decided."""
    return _decide(suspect, SuspectState.CONFIRMED, by=by, reason=reason)


@transaction.atomic
def send_back(*, suspect: Suspect, by: User, reason: str) -> Suspect:
    """The label is wrong, and the case goes back to review with the reason. Other suspects of the case stay open: the
    next search drops those whose answers no longer count.

    Problem not_allowed, already_decided, reason_needed, invalid_move.
    """
    decided = _decide(suspect, SuspectState.RETURNED, by=by, reason=reason)
    return_case(case=decided.case, reason=reason, by=by)
    decided.case.refresh_from_db()
    return decided


def _decide(suspect: Suspect, state: SuspectState, *, by: User, reason: str) -> Suspect:
    require(by, Action.APPROVE, suspect.case.corpus_id)
    words = reason.strip()
    if len(words) > MOST_WORDS:
        fields = {"reason": [f"at most {MOST_WORDS} characters"]}
        raise Problem("reason_too_long", "The reason is too long.", fields=fields, status=400)
    changed = Suspect.objects.filter(pk=suspect.pk, state=SuspectState.OPEN).update(
        state=state, decided_at=timezone.now(), decided_by=by, reason=words
    )
    suspect.refresh_from_db()
    if not changed:
        raise Problem("already_decided", f"Suspect {suspect.pk} is {suspect.get_state_display()} already.")
    record(
        actor=by, verb=f"suspect.{state.value}", subject=suspect,
        data={"case": suspect.case_id, "kind": suspect.kind, "answer": suspect.answer_id,
              "score": round(suspect.score, 4), "reason": words},
    )  # fmt: skip
    return suspect
