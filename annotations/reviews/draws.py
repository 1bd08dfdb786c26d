"""What chance decides for a case, once and for good: the control arm, two answers, a second look.

A draw is no call of a random generator: it is the case's number and the plan's seed, hashed. Whoever has the seed can
check every draw, it does not matter in which order cases are drawn, and two draws of one case are independent.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from django.db import transaction

from annotations.cases.models import Case
from annotations.reviews.models import CaseDraw, ReviewPlan
from annotations.reviews.plans import current_plan


def chance(seed: int, what: str, number: int) -> float:
    """A number from 0 up to but not 1, as good as random: the first 8 bytes of SHA-256 of "seed:what:number"."""
    digest = hashlib.sha256(f"{seed}:{what}:{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def draw_of(case: Case) -> CaseDraw:
    """The case's draw, made and kept at the first call, under the corpus's newest plan of that moment."""
    return draws_of([case])[case.pk]


@transaction.atomic
def draws_of(cases: Iterable[Case]) -> dict[int, CaseDraw]:
    """draw_of of many cases, by case id, in a handful of queries."""
    wanted = {case.pk: case for case in cases}
    held = _held(wanted)
    missing: dict[int, list[Case]] = defaultdict(list)
    for pk, case in wanted.items():
        if pk not in held:
            missing[case.corpus_id].append(case)
    if not missing:
        return held
    made = [
        _draw(case, plan)
        for corpus, some in missing.items()
        for plan in [current_plan(corpus)]
        for case in some
    ]
    CaseDraw.objects.bulk_create(made, ignore_conflicts=True, batch_size=2000)  # somebody else may be first
    return held | _held(draw.case_id for draw in made)


def _held(ids: Iterable[int]) -> dict[int, CaseDraw]:
    return {draw.case_id: draw for draw in CaseDraw.objects.filter(case__in=list(ids)).select_related("plan")}


def _draw(case: Case, plan: ReviewPlan) -> CaseDraw:
    return CaseDraw(
        case=case,
        plan=plan,
        blind=chance(plan.blind_seed, "blind", case.pk) < plan.blind_share,
        double=chance(plan.double_seed, "double", case.pk) < plan.double_share,
        second=chance(plan.second_seed, "second", case.pk) < plan.second_share,
    )
