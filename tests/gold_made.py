"""Gold cases, and people who answer them, through the real workflow."""

from collections.abc import Mapping

from annotations.cases.models import Case, CaseStatus
from annotations.cases.rules import Said
from annotations.gold.asking import next_gold
from annotations.gold.models import GoldCase, GoldScore
from annotations.gold.services import mark, score_if_gold
from annotations.reviews.models import Review, ReviewPlan
from crashdesk.accounts.models import Role, User
from tests.disputes_made import LATE, answer
from tests.factories import CRASH, make_case, make_user, make_video

WRONG: Mapping[str, Said] = LATE
"""Scores (1 + 1 + 1/6 + 1 + 0.15 + 1) / 6 = 0.719 against CRASH."""


def make_gold(plan: ReviewPlan, count: int = 1, said: Mapping[str, Said] = CRASH) -> list[GoldCase]:
    """Approved cases of the plan's corpus, marked by a lead."""
    lead = make_user(Role.LEAD)
    cases = [make_case(CaseStatus.APPROVED, video=make_video(plan.corpus), said=said) for _ in range(count)]
    return [mark(case=case, by=lead) for case in cases]


def answer_gold(person: User, said: Mapping[str, Said] = CRASH, *, revision: str = "1") -> GoldScore:
    """The person's next gold case, answered and scored."""
    given = next_gold(person)
    assert given is not None
    review = answer(given.case, person, said, revision=revision)
    made = score_if_gold(review)
    assert made is not None
    return made


def edit(review: Review, said: Mapping[str, Said], revision: str = "2") -> Review:
    """The same person submits something else."""
    return answer(Case.objects.get(pk=review.case_id), review.reviewer, said, revision=revision)
