"""The report over real reviews: who is compared with whom, what is left out, and what had been in view."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from annotations.cases.kinds import NEGATIVE_TEXT, Kind
from annotations.cases.models import CaseStatus, Guideline
from annotations.cases.services import drafts
from annotations.cases.workflow import move
from annotations.corpora.models import Corpus
from annotations.quality.agreement import ArmResult, Report, begin, report
from annotations.quality.cells import Result, Standing
from annotations.quality.pairs import Asked
from annotations.reviews.models import Review
from annotations.reviews.services import record_skip, withdraw
from annotations.statistics.unitising import Continuum, alpha
from crashdesk.accounts.models import Role, User
from tests.factories import CRASH, NO_CRASH, make_corpus, make_guideline, make_user
from tests.unit.annotations.quality.made import ABSENT, DAY, NO, YES, case_of, onset, review, span, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def corpus() -> Corpus:
    return make_corpus()


@pytest.fixture
def guideline() -> Guideline:
    return make_guideline()


@pytest.fixture
def ada() -> User:
    return make_user()


@pytest.fixture
def bob() -> User:
    return make_user()


def arm(made: Report, kind: str, name: str = "all") -> ArmResult:
    (of_kind,) = [one for one in made.kinds if one.kind == kind]
    return next(one for one in of_kind.arms if one.arm == name)


def number(results: list[Result], name: str) -> Result:
    return next(result for result in results if result.name == name)


def test_nothing_to_compare_gives_counts_and_no_numbers(
    corpus: Corpus, guideline: Guideline, ada: User
) -> None:
    empty = report(Asked())
    assert (empty.counts.pairs, empty.counts.reviews, empty.people, empty.cases) == (0, 0, [], [])
    review(case_of(corpus, guideline), ada)
    alone = report(Asked())
    assert (alone.counts.pairs, alone.counts.reviews, alone.counts.left_out.alone) == (0, 1, 1)
    for of_kind in alone.kinds:
        for one in of_kind.arms:
            assert {(m.value, m.low, m.standing) for m in one.measures} == {(None, None, Standing.TOO_FEW)}


def test_every_number_of_ten_pairs_by_hand(
    corpus: Corpus, guideline: Guideline, ada: User, bob: User
) -> None:
    """Ten crash clips; on one Bob sees no crash; on the others he marks the span half a second later and the onset
    0.2 s (six clips) or 1 s (three) later.
    """
    for place in range(10):
        case = case_of(corpus, guideline)
        review(case, ada, CRASH)
        if place == 0:
            review(case, bob, NO_CRASH)
        else:
            later = onset(1.4 if place < 7 else 2.2)
            said = {**CRASH, Kind.CRASH_LOCALIZATION: span(2.5, 4.0), Kind.PRE_CRASH_LOCALIZATION: later}
            review(case, bob, {**said, Kind.CRASH_DESCRIPTION: text("Car hits a VAN!")})
    made = report(Asked())
    recognition = arm(made, Kind.CRASH_RECOGNITION).measures
    assert number(recognition, "same").value == pytest.approx(0.9)
    # 19 yes and 1 no among 20 values: expected disagreement 2 * 19 / (20 * 19) = 0.1, observed 0.1
    assert number(recognition, "alpha").value == pytest.approx(0.0)
    spans = arm(made, Kind.CRASH_LOCALIZATION).measures
    assert number(spans, "presence_same").value == pytest.approx(0.9)
    assert number(spans, "tiou").standing == Standing.TOO_FEW  # nine spans only
    assert number(spans, "tiou").count == 9
    case = case_of(corpus, guideline)
    review(case, ada, CRASH)
    review(
        case, bob, {**CRASH, Kind.CRASH_LOCALIZATION: span(2.5, 4.0), Kind.PRE_CRASH_LOCALIZATION: onset(2.2)}
    )
    made = report(Asked())
    spans = arm(made, Kind.CRASH_LOCALIZATION).measures
    assert number(spans, "tiou").value == pytest.approx(1.0 / 2.0)
    assert number(spans, "start_error").value == pytest.approx(0.5)
    # ten spans of each: half of the 2 * 10 * 10 / (20 * 19) mixed pairs of values lie 0.5 apart
    assert number(spans, "alpha").value == pytest.approx(1 - 0.5 / (0.5 * 200 / 380))
    onsets = arm(made, Kind.PRE_CRASH_LOCALIZATION).measures
    assert number(onsets, "error").value == pytest.approx((6 * 0.2 + 4 * 1.0) / 10)
    assert number(onsets, "within").value == pytest.approx(0.6)
    words = arm(made, Kind.CRASH_DESCRIPTION).measures
    assert number(words, "same").value == pytest.approx(0.1)
    assert number(words, "token_f1").value == pytest.approx((9 * 0.75 + 1) / 10)
    assert number(words, "edit_distance").value == pytest.approx(9 * 0.25 / 10)
    (two,) = made.people
    assert two.names == [ada.username, bob.username]
    signed = next(one for one in two.kinds if one.kind == Kind.CRASH_LOCALIZATION).measures
    assert number(signed, "start_shift").value == pytest.approx(0.5)
    kappa = number(next(one for one in two.kinds if one.kind == Kind.CRASH_RECOGNITION).measures, "kappa")
    assert kappa.value == pytest.approx(0.0)  # Ada said yes every time: chance explains all


def test_what_counts_and_what_is_left_out(corpus: Corpus, guideline: Guideline, ada: User, bob: User) -> None:
    case = case_of(corpus, guideline)
    review(case, ada, YES)
    review(case, ada, NO, at=DAY + timedelta(hours=1))  # takes the place of her first
    assert report(Asked()).counts.pairs == 0, "nobody is compared with themselves"
    review(case, bob, YES)
    gone = make_user()
    withdraw(review=review(case, gone, NO), by=gone)
    record_skip(case=case, reviewer=make_user(), origin="skip", lead_seconds=1.0)
    Review.objects.create(case=case, reviewer=make_user(), origin="open")
    dropped = case_of(corpus, guideline)
    review(dropped, ada, YES)
    review(dropped, bob, YES)
    move(dropped, CaseStatus.EXCLUDED, by=None, reason="not a road")
    made = report(Asked())
    left = made.counts.left_out
    assert (made.counts.pairs, made.counts.cases, made.counts.people) == (1, 1, 2)
    assert (left.open, left.skipped, left.withdrawn, left.repeated) == (1, 1, 1, 1)
    assert (left.of_excluded_cases, left.alone) == (2, 0)
    (apart,) = made.cases
    assert (apart.case, apart.apart) == (case.pk, 1.0), "her later word, no, counts"


def test_three_people_make_three_pairs(corpus: Corpus, guideline: Guideline) -> None:
    case = case_of(corpus, guideline)
    people = [make_user() for _ in range(3)]
    for person, said in zip(people, (YES, YES, NO), strict=True):
        review(case, person, said)
    made = report(Asked())
    assert (made.counts.pairs, made.counts.cases, made.counts.people) == (3, 1, 3)
    assert {tuple(group.names) for group in made.people} == {
        (people[0].username, people[1].username), (people[0].username, people[2].username),
        (people[1].username, people[2].username),
    }  # fmt: skip
    assert len(made.cases) == 1


def test_drafts_in_view_are_told_apart(corpus: Corpus, guideline: Guideline, ada: User, bob: User) -> None:
    shared = case_of(corpus, guideline, drafted=True)
    review(shared, ada, CRASH)
    review(shared, bob, {**CRASH, **NO})
    mixed = case_of(corpus, guideline, drafted=True)
    review(mixed, ada, CRASH)
    review(mixed, bob, CRASH, shown={})
    partly = case_of(corpus, guideline, drafted=True)
    some = {kind: one for kind, one in drafts(partly).items() if kind != Kind.CRASH_RECOGNITION}
    review(partly, ada, CRASH, shown=some)
    review(partly, bob, CRASH, shown=some)
    blind = case_of(corpus, guideline)
    review(blind, ada, CRASH)
    review(blind, bob, CRASH)
    made = report(Asked())
    names = ("all", "drafted", "mixed", "blind")
    assert {name: arm(made, Kind.CRASH_RECOGNITION, name).compared for name in names} == {
        "all": 4, "drafted": 1, "mixed": 2, "blind": 1,
    }  # fmt: skip
    assert arm(made, Kind.CRASH_LOCALIZATION, "drafted").compared == 2
    assert made.counts.blind_pairs == 1
    of_shared = arm(made, Kind.CRASH_RECOGNITION, "drafted")
    assert (of_shared.same_draft, of_shared.both_kept) == (1, 0), "Bob changed it"
    kept = arm(made, Kind.CRASH_LOCALIZATION, "drafted")
    assert (kept.same_draft, kept.both_kept) == (2, 2)
    assert arm(made, Kind.CRASH_LOCALIZATION, "blind").both_kept == 0, (
        "two people who say the same are two answers"
    )


def test_answers_that_tell_nothing_are_not_compared(
    corpus: Corpus, guideline: Guideline, ada: User, bob: User
) -> None:
    case = case_of(corpus, guideline)
    review(case, ada, NO_CRASH)
    review(case, bob, {**NO_CRASH, Kind.CAUSAL_REASONING: text("He slept.")})
    made = report(Asked())
    for kind in NEGATIVE_TEXT:
        assert arm(made, kind).compared == 0, "the fixed sentence of a clip without a crash"
        assert next(one for one in made.kinds if one.kind == kind).incomparable == 1
    spans = arm(made, Kind.CRASH_LOCALIZATION)
    assert (spans.compared, number(spans.measures, "tiou").count) == (1, 0)
    other = case_of(corpus, guideline)
    review(other, ada, {**CRASH, Kind.CRASH_LOCALIZATION: ABSENT})
    review(other, bob, YES)
    assert arm(report(Asked()), Kind.CRASH_LOCALIZATION).compared == 1, (
        "Bob gave none: no answer is no absence"
    )


def test_narrowed_by_corpus_guideline_kind_source_and_day(
    corpus: Corpus, guideline: Guideline, ada: User, bob: User
) -> None:
    for place, source in enumerate(("north", "south", "south")):
        case = case_of(corpus, guideline, source=source)
        review(case, ada, YES, at=DAY - timedelta(days=60))
        review(case, bob, YES, at=DAY + timedelta(days=place))
    other = case_of(make_corpus(), guideline, source="north")
    review(other, ada, YES)
    review(other, bob, YES)

    def pairs(**asked: Any) -> int:
        return report(Asked(**asked)).counts.pairs

    assert pairs() == 4
    assert pairs(corpus=corpus.pk) == 3
    assert pairs(corpus=corpus.pk, source="south") == 2
    assert pairs(guideline=guideline.pk) == 4
    assert pairs(guideline=guideline.pk + 1) == 0
    assert pairs(since=date(2026, 3, 5)) == 2, "the later review of a pair says when it was made"
    assert pairs(until=date(2026, 3, 4)) == 2
    assert pairs(since=date(2026, 3, 5), until=date(2026, 3, 5)) == 1
    one = report(Asked(kind=Kind.CRASH_RECOGNITION))
    assert [of_kind.kind for of_kind in one.kinds] == [Kind.CRASH_RECOGNITION]
    made = report(Asked(), period="week")
    assert [(group.names, group.pairs) for group in made.sources] == [(["north"], 2), (["south"], 2)]
    assert [(group.names, group.pairs) for group in made.periods] == [(["2026-03-02"], 4)]


def test_a_period_begins_on_its_first_day() -> None:
    assert begin(date(2026, 3, 1), "month") == date(2026, 3, 1)
    assert begin(date(2026, 3, 1), "week") == date(2026, 2, 23)


def test_more_cases_need_no_more_queries(corpus: Corpus, guideline: Guideline, ada: User, bob: User) -> None:
    def queries(more: int) -> int:
        for _ in range(more):
            case = case_of(corpus, guideline)
            review(case, ada, YES)
            review(case, bob, NO)
        with CaptureQueriesContext(
            connection,
        ) as captured:
            report(Asked())
        return len(captured)

    few = queries(2)
    assert queries(10) == few <= 6


def test_intervals_come_with_enough_recordings_and_are_the_same_again(
    corpus: Corpus, guideline: Guideline, ada: User, bob: User
) -> None:
    for place in range(24):
        case = case_of(corpus, guideline, recording=f"drive {place % 19}")
        review(case, ada, YES)
        review(case, bob, NO if place % 4 == 0 else YES)
    same = number(arm(report(Asked()), Kind.CRASH_RECOGNITION).measures, "same")
    assert (same.value, same.low, same.count, same.recordings) == (0.75, None, 24, 19)
    case = case_of(corpus, guideline, recording="drive 20")
    review(case, ada, YES)
    review(case, bob, YES)
    made = report(Asked())
    same = number(arm(made, Kind.CRASH_RECOGNITION).measures, "same")
    assert same.recordings == 20
    assert same.low is not None
    assert same.high is not None
    assert 0.4 < same.low < 0.76 < same.high < 1.0
    assert report(Asked()) == made


def test_people_of_any_role_are_compared(corpus: Corpus, guideline: Guideline, ada: User) -> None:
    case = case_of(corpus, guideline)
    review(case, ada, YES)
    review(case, make_user(Role.LEAD), YES)
    assert report(Asked()).counts.pairs == 1


@pytest.mark.parametrize("purpose", ["second", "adjudicate"])
def test_who_looked_over_anothers_answers_is_not_compared_with_them(purpose: str) -> None:
    corpus, guideline = make_corpus(), make_guideline()
    case = case_of(corpus, guideline)
    review(case, make_user())
    looked = review(case, make_user())
    Review.objects.filter(pk=looked.pk).update(purpose=purpose)
    found = report(Asked())
    assert (found.counts.pairs, found.counts.left_out.looked_over, found.counts.left_out.alone) == (0, 1, 1)


def test_alpha_for_unitising_is_that_of_the_clips_laid_end_to_end() -> None:
    corpus, guideline, people = (
        make_corpus(),
        make_guideline(),
        sorted((make_user(), make_user()), key=lambda u: u.pk),
    )
    continua = []
    for number in range(25):
        case = case_of(corpus, guideline)
        marked = [[(1.0, 2.0 + number / 20)], [(1.2, 2.5)] if number % 5 else []]
        for person, spans in zip(people, marked, strict=True):
            said = span(*spans[0]) if spans else ABSENT
            review(case, person, {Kind.CRASH_LOCALIZATION: said})
        continua.append(Continuum(5.0, marked))
    (kind,) = report(Asked(kind=Kind.CRASH_LOCALIZATION)).kinds
    (number_,) = [one for one in kind.arms[0].measures if one.name == "unitised_alpha"]
    assert number_.value == pytest.approx(alpha(continua))
    assert number_.low is not None
    assert number_.high is not None
    assert number_.low < number_.value < number_.high
