"""Until when an answer counts as what its person was asked for."""

import pytest
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.reviews.late import asked_of, takes_answer
from annotations.reviews.models import Assignment, AssignmentState, Purpose, Way
from crashdesk.accounts.models import User
from tests.factories import make_case, make_user

pytestmark = pytest.mark.django_db

OPEN, DONE, RELEASED, EXPIRED = (
    AssignmentState.OPEN,
    AssignmentState.DONE,
    AssignmentState.RELEASED,
    AssignmentState.EXPIRED,
)


@pytest.fixture
def case() -> Case:
    return make_case(CaseStatus.IN_REVIEW)


@pytest.fixture
def person() -> User:
    return make_user()


def asked(
    case: Case,
    person: User,
    state: AssignmentState,
    purpose: Purpose = Purpose.ANNOTATE,
    *,
    begun: bool = False,
) -> Assignment:
    now = timezone.now()
    return Assignment.objects.create(
        case=case, person=person, purpose=purpose, state=state, way=Way.MANUAL,
        closed_at=None if state == OPEN else now, opened_at=now if begun else None,
    )  # fmt: skip


@pytest.mark.parametrize("purpose", [Purpose.ANNOTATE, Purpose.DOUBLE, Purpose.GOLD])
def test_alone_all_but_a_released_one_take_it(case: Case, person: User, purpose: Purpose) -> None:
    for state, takes in ((OPEN, True), (DONE, True), (EXPIRED, True), (RELEASED, False)):
        one = asked(case, person, state, purpose)
        assert takes_answer(one) is takes
        assert asked_of(case, person, [purpose]) == (one if takes else None)
        one.delete()


@pytest.mark.parametrize(
    ("mine", "others", "begun", "takes"),
    [(DONE, OPEN, False, False), (DONE, RELEASED, True, True), (EXPIRED, OPEN, False, True),
     (EXPIRED, OPEN, True, False), (EXPIRED, DONE, True, False), (EXPIRED, EXPIRED, True, True)],
)  # fmt: skip
@pytest.mark.parametrize("purpose", [Purpose.ANNOTATE, Purpose.DOUBLE])
def test_somebody_elses_same_pass_stands_in_the_way(
    case: Case, person: User, purpose: Purpose, mine: AssignmentState, others: AssignmentState,
    begun: bool, takes: bool,
) -> None:  # fmt: skip
    one = asked(case, person, mine, purpose)
    asked(case, make_user(), others, purpose, begun=begun)
    assert takes_answer(one) is takes


def test_another_pass_and_other_peoples_gold_stand_in_nobodys_way(case: Case, person: User) -> None:
    second, gold = (
        asked(case, person, EXPIRED, Purpose.DOUBLE),
        asked(case, make_user(), EXPIRED, Purpose.GOLD),
    )
    asked(case, make_user(), OPEN, begun=True)
    asked(case, make_user(), OPEN, Purpose.GOLD, begun=True)
    assert takes_answer(second)
    assert takes_answer(gold)


def test_who_has_been_asked_anew_answers_that(case: Case, person: User) -> None:
    late = asked(case, person, EXPIRED, Purpose.DOUBLE)
    anew = asked(case, person, OPEN, Purpose.ANNOTATE)
    assert not takes_answer(late)
    assert asked_of(case, person, [Purpose.ANNOTATE]) == anew


def test_a_case_that_needs_no_answer_any_more_takes_no_late_one(person: User) -> None:
    assert not takes_answer(asked(make_case(CaseStatus.APPROVED), person, EXPIRED))
