"""What chance decides for a case, once and for good: the control arm, two answers, a second look.

A draw is no call of a random generator: it is the case's number and the plan's seed, hashed. Whoever has the seed can
check every draw, it does not matter in which order cases are drawn, and two draws of one case are independent.

A case that is drawn only after people may have seen its drafts (its task is older than its draw) is never in the
control arm, nor on the other side of its comparison: it is `late`.
"""

import hashlib
from collections import defaultdict
from collections.abc import Container, Iterable
from typing import Final

from django.db import transaction

from annotations.cases.models import Case, CaseStatus
from annotations.reviews.models import CaseDraw, ReviewPlan
from annotations.reviews.plans import current_plan

UNSEEN: Final = (CaseStatus.NEW, CaseStatus.READY, CaseStatus.PREDICTING, CaseStatus.PREDICTED)
"""Where a case is before it is brought in review."""


def chance(seed: int, what: str, number: int) -> float:
    """A number from 0 up to but not 1, as good as random: the first 8 bytes of SHA-256 of "seed:what:number"."""
    digest = hashlib.sha256(f"{seed}:{what}:{number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def draw_of(case: Case) -> CaseDraw:
    """The case's draw, made and kept at the first call, under the corpus's newest plan of that moment."""
    return draws_of([case])[case.pk]


@transaction.atomic
def draws_of(cases: Iterable[Case], *, shown: Container[int] = ()) -> dict[int, CaseDraw]:
    """draw_of of many cases, by case id, in a handful of queries. `shown`: ids of cases whose task shows drafts."""
    wanted = {case.pk: case for case in cases}
    held = _held(wanted)
    missing: dict[int, list[Case]] = defaultdict(list)
    for pk, case in wanted.items():
        if pk not in held:
            missing[case.corpus_id].append(case)
    if not missing:
        return held
    made = [
        _draw(case, plan, late=case.status not in UNSEEN or case.pk in shown)
        for corpus, some in missing.items()
        for plan in [current_plan(corpus)]
        for case in some
    ]
    CaseDraw.objects.bulk_create(made, ignore_conflicts=True, batch_size=2000)  # somebody else may be first
    return held | _held(draw.case_id for draw in made)


def _held(ids: Iterable[int]) -> dict[int, CaseDraw]:
    return {draw.case_id: draw for draw in CaseDraw.objects.filter(case__in=list(ids)).select_related("plan")}


def _draw(case: Case, plan: ReviewPlan, *, late: bool) -> CaseDraw:
    return CaseDraw(
        case=case,
        plan=plan,
        blind=not late and chance(plan.blind_seed, "blind", case.pk) < plan.blind_share,
        double=chance(plan.double_seed, "double", case.pk) < plan.double_share,
        second=chance(plan.second_seed, "second", case.pk) < plan.second_share,
        late=late,
    )
