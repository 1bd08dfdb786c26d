"""How a corpus is reviewed: plans are versions, a change is a new one. Draws and disputes name the plan they obey."""

import secrets
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import transaction

from annotations.cases.kinds import Kind
from annotations.corpora.access import require
from annotations.corpora.models import Corpus
from annotations.reviews.models import ReviewPlan
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record

FIELDS: Final = (
    "strategy", "reservation_minutes", "blind_share", "blind_seed", "double_share", "double_seed", "second_share",
    "second_seed", "thresholds", "gold_entrance", "gold_share", "gold_seed", "gold_limit", "gold_window",
)  # fmt: skip
SHARES: Final = {
    "blind_share": "blind_seed",
    "double_share": "double_seed",
    "second_share": "second_seed",
    "gold_share": "gold_seed",
}
DEFAULT_THRESHOLDS: Final[dict[str, float]] = {
    Kind.CRASH_RECOGNITION.value: 1.0,
    Kind.CRASH_DESCRIPTION.value: 0.5,
    Kind.CAUSAL_REASONING.value: 0.4,
    Kind.PREVENTION_REASONING.value: 0.4,
    Kind.CRASH_LOCALIZATION.value: 0.5,
    Kind.PRE_CRASH_LOCALIZATION.value: 0.5,
}
"""Taken where a plan first doubles cases and says nothing else. Onsets 0.5 s apart agree to 0.5, spans by tIoU."""


def current_plan(corpus: Corpus | int) -> ReviewPlan:
    """The corpus's newest plan. Where nobody has made one, version 1 is made by the system: no draws, no gold."""
    corpus_id = corpus if isinstance(corpus, int) else corpus.pk
    newest = ReviewPlan.objects.filter(corpus_id=corpus_id).order_by("-version").first()
    return newest or ReviewPlan.objects.get_or_create(corpus_id=corpus_id, version=1)[0]


@transaction.atomic
def set_plan(*, corpus: Corpus, by: User, **fields: Any) -> ReviewPlan:
    """The next version of the corpus's plan: what is not given stays as it was. Nothing new: no new version.

    A share above 0 whose seed was never chosen gets one at random, recorded with the plan.
    Raises Problem: not_allowed, not_found, invalid (fields says what).
    """
    require(by, Action.ASSIGN, corpus)
    unknown = sorted(fields.keys() - set(FIELDS))
    if unknown:
        wrong = {name: ["a plan has no such field"] for name in unknown}
        raise Problem("invalid", f"A plan has no {', '.join(unknown)}.", fields=wrong, status=400)
    Corpus.objects.select_for_update(no_key=True).get(pk=corpus.pk)  # one new version at a time
    before = current_plan(corpus)
    values = {name: getattr(before, name) for name in FIELDS} | fields
    if values["double_share"] and not values["thresholds"] and "thresholds" not in fields:
        values["thresholds"] = dict(DEFAULT_THRESHOLDS)
    for share, seed in SHARES.items():
        if values[share] and not values[seed] and seed not in fields:
            values[seed] = secrets.randbelow(2**53)  # every number that JavaScript reads back exactly
    plan = ReviewPlan(corpus=corpus, version=before.version + 1, created_by=by, **values)
    _check(plan)
    changed = {name: values[name] for name in FIELDS if values[name] != getattr(before, name)}
    if not changed:
        return before
    plan.save()
    record(
        actor=by, verb="review_plan.set", subject=plan,
        data={"corpus": corpus.pk, "version": plan.version, "changed": changed},
    )  # fmt: skip
    return plan


def _check(plan: ReviewPlan) -> None:
    wrong: dict[str, list[str]] = {}
    try:
        plan.clean_fields(exclude={"thresholds"})
    except ValidationError as error:
        wrong = {name: list(messages) for name, messages in error.message_dict.items()}
    if not wrong.get("reservation_minutes") and plan.reservation_minutes < 1:
        wrong["reservation_minutes"] = ["must be 1 or more"]
    if not wrong.get("gold_window") and plan.gold_window < 1:
        wrong["gold_window"] = ["must be 1 or more"]
    said = _thresholds_problem(plan.thresholds)
    if said:
        wrong["thresholds"] = said
    if wrong:
        words = "; ".join(f"{name}: {' '.join(messages)}" for name, messages in wrong.items())
        raise Problem("invalid", f"The plan is not valid: {words}.", fields=wrong, status=400)


def _thresholds_problem(thresholds: object) -> list[str]:
    if not isinstance(thresholds, dict):
        return ["must name kinds and their least agreement"]
    said = [f"{kind}: no such kind" for kind in thresholds if kind not in Kind.values]
    return said + [
        f"{kind}: must be a number from 0 to 1"
        for kind, least in thresholds.items()
        if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1
    ]
