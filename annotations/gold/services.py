"""Marking gold cases, and scoring what people answer to them."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from annotations.cases.models import ApprovedAnswer, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.corpora.access import require
from annotations.gold.models import GoldCase, GoldScore
from annotations.gold.pauses import judge
from annotations.gold.scoring import score, tolerance_problems
from annotations.reviews.models import Purpose, Review, ReviewOutcome
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record

RESCORED_AT_ONCE = 500


@transaction.atomic
def mark(*, case: Case, by: User, tolerances: Mapping[str, float] | None = None) -> GoldCase:
    """Measure people by this case from now on; its approved answers are the key.

    Problem: not_allowed, not_found, not_approved, already_gold, invalid (fields.tolerances).
    """
    require(by, Action.ASSIGN, case.corpus_id)
    case = Case.objects.select_for_update().get(pk=case.pk)
    if case.status != CaseStatus.APPROVED:
        raise Problem("not_approved", f"Case {case.pk} is {case.status}; only approved answers can be a key.")
    if GoldCase.objects.filter(case=case, unmarked_at__isnull=True).exists():
        raise Problem("already_gold", f"Case {case.pk} is a gold case already.")
    gold = GoldCase.objects.create(case=case, marked_by=by, tolerances=_tolerances(tolerances or {}))
    record(
        actor=by, verb="gold_case.marked", subject=gold, data={"case": case.pk, "tolerances": gold.tolerances}
    )  # fmt: skip
    return gold


@transaction.atomic
def set_tolerances(*, gold: GoldCase, tolerances: Mapping[str, float], by: User) -> GoldCase:
    """How far answers may be off from now on; what was answered before is scored again."""
    require(by, Action.ASSIGN, gold.case.corpus_id)
    gold = _locked(gold)
    before, gold.tolerances = gold.tolerances, _tolerances(tolerances)
    if before != gold.tolerances:
        gold.save()
        record(
            actor=by, verb="gold_case.tolerances_set", subject=gold,
            data={"case": gold.case_id, "before": before, "after": gold.tolerances},
        )  # fmt: skip
        _score_again(gold)
    return gold


@transaction.atomic
def unmark(*, gold: GoldCase, by: User, reason: str = "", void: bool = False) -> GoldCase:
    """Ask nobody for this case any more. `void`: its key was wrong, so its scores count no longer and people are judged
    anew. Problem: not_allowed, not_found, not_gold, reason_needed (a void needs one).
    """
    require(by, Action.ASSIGN, gold.case.corpus_id)
    gold, words = _locked(gold), reason.strip()[:300]
    if void and not words:
        raise Problem(
            "reason_needed",
            "Say what is wrong with the key.",
            fields={"reason": ["must not be empty"]},
            status=400,
        )
    gold.unmarked_at, gold.unmarked_by, gold.voided, gold.reason = timezone.now(), by, void, words
    gold.save()
    record(
        actor=by, verb="gold_case.unmarked", subject=gold,
        data={"case": gold.case_id, "void": void, "reason": words},
    )  # fmt: skip
    if void:
        _score_again(gold)
    return gold


def _tolerances(given: Mapping[str, float]) -> dict[str, float]:
    problems = tolerance_problems(given)
    if problems:
        raise Problem("invalid", f"{'; '.join(problems)}.", fields={"tolerances": problems}, status=400)
    return dict(given)


def _locked(gold: GoldCase) -> GoldCase:
    held = GoldCase.objects.select_for_update(of=("self",)).select_related("case").get(pk=gold.pk)
    if held.unmarked_at is not None:
        raise Problem("not_gold", f"Case {held.case_id} is no gold case any more.")
    return held


@transaction.atomic
def score_if_gold(review: Review) -> GoldScore | None:
    """Score a gold pass, or score it again after an edit, and judge its person by it; safe to call with any review.

    None for every other review, for one that was taken back (its score counts no longer), and while the case has no
    key, because it was returned and is not approved again yet.
    """
    review = (
        Review.objects.select_for_update(of=("self",)).select_related("case", "reviewer").get(pk=review.pk)
    )
    if review.purpose != Purpose.GOLD:
        return None
    held = GoldScore.objects.filter(review=review).first()
    gold = (
        held.gold if held is not None else GoldCase.objects.filter(case=review.case_id).order_by("id").last()
    )
    if gold is None:
        return None
    made = _write(review, gold, held)
    judge(person=review.reviewer, corpus=review.case.corpus_id)
    return made if made is not None and made.counts else None


def _write(review: Review, gold: GoldCase, held: GoldScore | None) -> GoldScore | None:
    """The score as things stand, with an audit row where that is new."""
    counts = review.outcome == ReviewOutcome.SUBMITTED and not gold.voided
    if not counts:
        if held is not None and held.counts:
            held.counts, held.scored_at = False, timezone.now()
            held.save()
            _record(held, "gold_score.discounted", review)
        return held
    key = {
        one.kind: one.answer
        for one in ApprovedAnswer.objects.filter(case=gold.case_id).select_related("answer")
    }
    if not key or review.submitted_at is None:
        return held
    said = {answer.kind: answer for answer in review.answers.all()}
    value, kinds = score(
        {kind: Said(one.state, one.value) for kind, one in key.items()},
        {kind: Said(one.state, one.value) for kind, one in said.items()},
        gold.tolerances,
    )
    by_kind = {
        kind: {
            "score": round(points, 4),
            "key": key[kind].pk,
            "answer": said[kind].pk if kind in said else None,
        }
        for kind, points in kinds.items()
    }
    made = held or GoldScore(gold=gold, review=review, person=review.reviewer)
    new = (made.pk is None, made.counts, made.by_kind) != (False, True, by_kind)
    made.score, made.by_kind, made.counts = round(value, 6), by_kind, True
    made.answered_at, made.scored_at = review.submitted_at, timezone.now()
    made.save()
    if new:
        _record(made, "gold_score.given", review)
    return made


def _record(made: GoldScore, verb: str, review: Review) -> None:
    record(
        actor=None, verb=verb, subject=made,
        data={"person": review.reviewer.username, "review": review.pk, "score": made.score, "counts": made.counts},
    )  # fmt: skip


def _score_again(gold: GoldCase) -> None:
    for one in gold.scores.select_related("review"):
        score_if_gold(one.review)


def due() -> QuerySet[Review]:
    """Gold passes whose score is missing or no longer says what holds: edited, taken back, or their key changed."""
    there = Review.objects.filter(purpose=Purpose.GOLD)
    key = ApprovedAnswer.objects.filter(case=OuterRef("case"))
    scored = Q(gold_score__isnull=False)
    counts, submitted = Q(gold_score__counts=True), Q(outcome=ReviewOutcome.SUBMITTED)
    newer = Exists(key.filter(approved_at__gt=OuterRef("gold_score__scored_at")))
    return there.filter(
        (
            ~scored
            & submitted
            & Exists(key)
            & Exists(GoldCase.objects.filter(case=OuterRef("case"), voided=False))
        )
        | (scored & counts & ~submitted)
        | (scored & ~counts & submitted & Q(gold_score__gold__voided=False))
        | (scored & counts & submitted & (~Q(gold_score__answered_at=F("submitted_at")) | newer))
    ).order_by("id")


def score_due() -> int:
    """Score what the pull has missed; returns how many gold passes were looked at."""
    found: list[Any] = list(due()[:RESCORED_AT_ONCE])
    for review in found:
        score_if_gold(review)
    return len(found)
