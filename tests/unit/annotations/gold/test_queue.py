"""One queue of ordinary and gold cases, skill, and the board."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotations.cases.models import Case, CaseStatus
from annotations.cases.rules import Said
from annotations.gold.models import Pause
from annotations.gold.queue import as_seen, next_for, queue_of, share_out_due, share_out_to_skilled
from annotations.gold.queue_board import board_of, waiting_in
from annotations.gold.queue_skill import PRIOR_CASES, skill_of, skills_of
from annotations.gold.services import mark
from annotations.gold.tasks import share_out
from annotations.reviews import assignments
from annotations.reviews.assignments import Turn
from annotations.reviews.assignments_sharing import DEFAULT_SKILL
from annotations.reviews.models import Assignment, Purpose, Way
from annotations.reviews.plans import current_plan, set_plan
from annotations.reviews.services import record_skip
from crashdesk.accounts.models import Role, User
from tests.assign_made import bare_cases, drafted, given, people, planned_corpus, submit
from tests.factories import CRASH, make_case, make_user, make_video

pytestmark = pytest.mark.django_db


def pause(person: User, corpus: object) -> Pause:
    return Pause.objects.create(
        person=person, corpus=corpus, plan=current_plan(corpus), reason="too many slips"
    )  # type: ignore[misc, arg-type]


def test_a_paused_person_gets_nothing_new_there_and_may_finish_what_they_began() -> None:
    corpus, elsewhere, (me,) = planned_corpus(), planned_corpus(), people(1)
    begun, waiting, offered = drafted(corpus, 3)
    assignments.begin(given(begun, me))
    given(offered, me)
    pause(me, corpus)
    found = next_for(me)
    assert found is not None
    assert found.case == begun
    submit(begun, me)
    assert next_for(me) is None
    assert waiting not in [item.assignment.case for item in queue_of(me).items]
    assert queue_of(me).paused == [corpus]
    (other,) = drafted(elsewhere)
    found = next_for(me)
    assert found is not None
    assert found.case == other


def test_a_gold_case_looks_like_any_other_to_whom_it_is_given(lead: User) -> None:
    corpus, (me,) = planned_corpus(), people(1)
    gold = make_case(CaseStatus.APPROVED, video=make_video(corpus))
    mark(case=gold, by=lead)
    set_plan(corpus=corpus, by=lead, gold_entrance=1)
    drafted(corpus)
    found = next_for(me)
    assert found is not None
    assert (found.case, found.purpose) == (gold, Purpose.GOLD)
    seen = as_seen(found)
    assert (seen.purpose, seen.status, seen.turn, seen.reason) == (
        Purpose.ANNOTATE,
        CaseStatus.IN_REVIEW,
        Turn.TAKEN,
        "",
    )
    double = drafted(planned_corpus(double_share=1.0))[0]
    given(double, make_user(Role.ANNOTATOR))
    assert as_seen(given(double, make_user(Role.ANNOTATOR), Purpose.DOUBLE)).purpose == Purpose.ANNOTATE
    ordinary = as_seen(given(drafted(corpus)[0], make_user(Role.ANNOTATOR), way=Way.TAKEN))
    assert (ordinary.purpose, ordinary.turn) == (seen.purpose, seen.turn)
    assert next_for(me) == found, "the entrance comes first"


def test_what_was_finished_today() -> None:
    corpus, (me,) = planned_corpus(), people(1)
    one, other, third = drafted(corpus, 3)
    submit(one, me)
    record_skip(case=other, reviewer=me, origin="s", lead_seconds=None)
    submit(third, make_user())
    assert {review.case for review in queue_of(me).finished} == {one, other}


def test_returned_ones_come_with_their_reason(lead: User) -> None:
    corpus, (me,) = planned_corpus(), people(1)
    fresh, back = drafted(corpus, 2)
    given(fresh, me)
    submit(back, me)
    Case.objects.filter(pk=back.pk).update(status=CaseStatus.RETURNED, returned_reason="later")
    assignments.hand_back(case=back, by=lead)
    items = queue_of(me).items
    assert [(item.assignment.case, item.reason) for item in items] == [(back, "later"), (fresh, "")]
    assert items[0].until is None


@pytest.mark.parametrize(
    ("gold", "alike", "value"),
    [((), (), DEFAULT_SKILL), ((1.0,), (), 0.6), ((), (0.0,), 0.4), ((1.0,) * 6, (1.0,) * 10, 0.9)],
)
def test_skill_moves_from_the_default_with_what_is_known(
    gold: tuple[float, ...], alike: tuple[float, ...], value: float
) -> None:
    assert PRIOR_CASES == 4
    assert skill_of(gold, alike).value == pytest.approx(value)


def test_skill_of_people_out_of_gold_scores_and_agreement(lead: User) -> None:
    corpus, (good, odd, new) = planned_corpus(double_share=1.0), people(3)
    for case in drafted(corpus, 2):
        submit(case, good)
        other = {**CRASH, "crash_recognition": Said("valued", {"label": "no"})}
        submit(case, odd, answers=other)
    found = skills_of([good, odd, new], corpus)
    assert found[new.pk].value == DEFAULT_SKILL
    assert found[good.pk].agreement == pytest.approx(5 / 6)
    assert found[good.pk].agreement_cases == found[odd.pk].agreement_cases == 2
    assert found[good.pk].value == pytest.approx((4 * 0.5 + 2 * 5 / 6) / 6)


def test_a_plan_that_shares_out_tops_everybody_up_but_the_paused() -> None:
    corpus, (a, b, paused) = planned_corpus(strategy="round_robin", reservation_minutes=30), people(3)
    bare_cases(corpus, 5)
    pause(paused, corpus)
    assert share_out_due(corpus) == 5
    assert set(Assignment.objects.values_list("person", flat=True)) == {a.pk, b.pk}
    assert all(one.expires_at for one in Assignment.objects.all())
    bare_cases(corpus, 2)
    assert share_out() == 2
    assert share_out() == 0
    assert share_out_due(planned_corpus()) == 0


def test_the_more_skilled_get_more(lead: User) -> None:
    corpus, (good, odd, third) = planned_corpus(double_share=1.0), people(3)
    for case in drafted(corpus, 3):
        submit(case, good)
        submit(case, third if case.pk % 2 else odd, answers={} if case.pk % 2 == 0 else CRASH)
    set_plan(corpus=corpus, by=lead, double_share=0.0)
    bare_cases(corpus, 9)
    shared = share_out_to_skilled(corpus=corpus, way=Way.SKILL_AND_LOAD, by=lead, people=[good, odd])
    counts = [sum(one.person == person for one in shared.given) for person in (good, odd)]
    assert sum(counts) == 9
    assert counts[0] > counts[1]


def test_the_board(lead: User) -> None:
    corpus, (busy, idle) = planned_corpus(), people(2)
    cases = drafted(corpus, 4)
    first = given(cases[0], busy)
    assignments.begin(first)
    given(cases[1], busy)
    given(cases[2], lead)
    pause(idle, corpus)
    board = board_of(corpus)
    rows = {row.person: row for row in board.people}
    assert board.people[0].person == busy
    assert (rows[busy].load, rows[busy].begun, rows[busy].open, rows[busy].oldest) == (
        2,
        1,
        {"annotate": 2},
        first.assigned_at,
    )
    assert (rows[idle].load, rows[idle].pause is not None, rows[idle].skill.value) == (0, True, DEFAULT_SKILL)
    assert (rows[lead].works_here, rows[lead].load) == (False, 1)
    assert board.waiting == {"annotate": 1, "double": 0, "second": 0, "adjudicate": 0}
    assert list(waiting_in(corpus, Purpose.ANNOTATE)) == [cases[3]]
    assert list(waiting_in(corpus, Purpose.ANNOTATE, source="elsewhere")) == []


def test_the_board_costs_no_more_queries_for_more_people() -> None:
    corpus = planned_corpus(double_share=1.0)

    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            board_of(corpus)
        return len(seen)

    def more() -> None:
        for case, person in zip(drafted(corpus, 3), people(3), strict=True):
            given(case, person)

    more()
    before = count()
    more()
    assert count() - before <= 3, "one query each for a person's newest cases and no more"
