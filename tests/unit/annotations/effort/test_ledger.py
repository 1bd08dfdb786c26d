from datetime import timedelta

import pytest
from pytest_django import Settings

from annotations.cases.models import Case
from annotations.corpora.models import Corpus
from annotations.effort.ledger import Arm, Asked, Entry, entries
from annotations.effort.report import report
from annotations.effort.table import COLUMNS, lines
from annotations.reviews.changes import Change
from annotations.reviews.models import CaseDraw, Purpose, Review
from crashdesk.accounts.models import User
from tests.effort_made import NOON, drawn_case, moments, submit
from tests.factories import make_corpus, make_guideline, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def corpus() -> Corpus:
    return make_corpus("effort")


@pytest.fixture
def case(corpus: Corpus) -> Case:
    return drawn_case(corpus, make_guideline(), blind=False)


def only(**asked: object) -> Entry:
    (entry,) = entries(Asked(**asked))  # type: ignore[arg-type]
    return entry


def test_idle_time_is_cut_out_and_lead_time_kept_as_it_is(case: Case, reviewer: User) -> None:
    moments(reviewer, case, [1000, 970, 940, 50, 20], typed=3)
    submit(case, reviewer, lead_seconds=1234.5)
    entry = only()
    assert (entry.active_us, entry.moments, entry.typed) == (90_000_000, 5, 3)
    assert entry.lead_seconds == 1234.5


def test_the_limit_stands_in_one_place_and_holds_for_the_past(
    case: Case, reviewer: User, settings: Settings
) -> None:
    moments(reviewer, case, [200, 110, 20])
    submit(case, reviewer)
    assert only().active_us == 0
    settings.ACTIVITY_IDLE_SECONDS = 90
    assert only().active_us == 180_000_000
    assert report(Asked()).idle_seconds == 90


def test_nothing_measured_is_not_no_time(case: Case, reviewer: User) -> None:
    submit(case, reviewer)
    assert only().active_us is None
    moments(reviewer, case, [5])
    assert only().active_us is None
    assert report(Asked()).overall.active_total is None


def test_what_somebody_else_did_or_did_afterwards_or_at_another_case_does_not_count(
    corpus: Corpus, case: Case, reviewer: User
) -> None:
    moments(reviewer, case, [30, 10])
    moments(make_user(), case, [40, 20])
    moments(reviewer, case, [-10, -30])
    other = drawn_case(corpus, case.guideline, blind=False)
    moments(reviewer, other, [25, 15])
    submit(case, reviewer)
    assert (
        only().active_us == 15_000_000
    )  # 30 to 25; then the person was at the other case until 10, and submitted at 0


def test_a_second_review_of_the_same_person_begins_where_the_first_ended(case: Case, reviewer: User) -> None:
    moments(reviewer, case, [3630, 3610])
    submit(case, reviewer, at=NOON - timedelta(hours=1))
    moments(reviewer, case, [50, 10])
    submit(case, reviewer)
    assert [entry.active_us for entry in entries(Asked())] == [20_000_000, 40_000_000]


@pytest.mark.parametrize(
    ("blind", "drafted", "arm"),
    [
        (False, True, Arm.MODEL),
        (True, True, Arm.BLIND),
        (True, False, Arm.UNDRAFTED),
        (None, True, Arm.UNDRAWN),
    ],
)
def test_which_arm(corpus: Corpus, reviewer: User, blind: bool | None, drafted: bool, arm: Arm) -> None:
    case = drawn_case(corpus, make_guideline(), blind=blind, drafted=drafted)
    submit(case, reviewer, blind=bool(blind))
    if blind is None:
        CaseDraw.objects.filter(case=case).delete()  # as of a case from before there were draws
    assert only().arm == arm


def test_a_case_that_was_drawn_too_late_is_in_neither_arm(case: Case, reviewer: User) -> None:
    submit(case, reviewer)
    assert only().arm == Arm.MODEL
    CaseDraw.objects.filter(case=case).update(late=True)
    assert only().arm == Arm.UNDRAWN


@pytest.mark.parametrize(("purpose", "arm"), [(Purpose.GOLD, Arm.GOLD), (Purpose.DOUBLE, Arm.SECOND_PASS)])
def test_known_cases_and_second_passes_stand_apart(
    case: Case, reviewer: User, purpose: Purpose, arm: Arm
) -> None:
    review = submit(case, reviewer)
    Review.objects.filter(pk=review.pk).update(purpose=purpose)
    assert only().arm == arm


def test_a_draft_made_after_the_review_was_never_in_view(case: Case, reviewer: User) -> None:
    submit(case, reviewer, at=NOON - timedelta(days=2), blind=True)
    assert only().arm == Arm.UNDRAFTED


KEPT = {kind: Change("accepted", 0.0) for kind in ("crash_recognition", "crash_localization")}
MOVED = {**KEPT, "crash_localization": Change("edited", 0.25, -500_000, 1_000_000)}


@pytest.mark.parametrize(
    ("changes", "typed", "accepted", "keystroke_free"),
    [(KEPT, 0, True, True), (KEPT, 4, True, False), (MOVED, 0, False, False), ({}, 0, False, False)],
)
def test_keystroke_free_accepts(
    case: Case, reviewer: User, changes: dict[str, Change], typed: int, accepted: bool, keystroke_free: bool
) -> None:
    moments(reviewer, case, [30, 10], typed=typed)
    submit(case, reviewer, changes=changes)
    entry = only()
    assert (entry.accepted, entry.keystroke_free) == (accepted, keystroke_free)


def test_edits_and_shifts_per_kind(corpus: Corpus, reviewer: User) -> None:
    guideline = make_guideline()
    for changes in (KEPT, MOVED, MOVED):
        submit(drawn_case(corpus, guideline, blind=False), reviewer, changes=changes)
    made = report(Asked())
    span = next(one for one in made.kinds if one.kind == "crash_localization")
    assert (span.told, span.accepted, span.edited) == (3, 1, 2)
    assert (span.distance, span.start_shift, span.end_shift, span.moved) == (0.25, -0.5, 1.0, 0.75)
    assert made.edits_per_review == pytest.approx(2 / 3)


def test_by_person_by_arm_and_over_time(corpus: Corpus, reviewer: User) -> None:
    guideline, other = make_guideline(), make_user()
    for by, at in ((reviewer, NOON), (reviewer, NOON - timedelta(days=40)), (other, NOON)):
        case = drawn_case(corpus, guideline, blind=False)
        case.answers.update(created_at=NOON - timedelta(days=100))
        moments(by, case, [30, 10], until=at)
        submit(case, by, at=at)
    made = report(Asked())
    assert [(one.name, one.reviews, one.active_total) for one in made.people] == [
        (reviewer.username, 2, 40.0), (other.username, 1, 20.0),
    ]  # fmt: skip
    assert [(one.name, one.reviews) for one in made.periods] == [("2026-01-01", 1), ("2026-03-01", 2)]
    assert [one.name for one in report(Asked(), period="day").periods] == ["2026-01-23", "2026-03-04"]
    assert [(one.name, one.active_mean, one.lead_mean) for one in made.arms] == [("model", 20.0, 300.0)]
    assert report(Asked(person=other.username)).overall.reviews == 1
    assert report(Asked(since=NOON.date())).overall.reviews == 2
    assert report(Asked(corpora=[])).overall.reviews == 0


def test_the_table_has_a_line_for_every_review(case: Case, reviewer: User) -> None:
    moments(reviewer, case, [30, 10], keys=2)
    submit(case, reviewer, changes=MOVED)
    heading, row = "".join(lines(Asked())).splitlines()
    told = dict(zip(heading.split(","), row.split(","), strict=True))
    assert tuple(told) == COLUMNS
    assert (told["active_seconds"], told["label_studio_lead_seconds"]) == ("20.0", "300.0")
    assert (told["arm"], told["keys"], told["keystroke_free"]) == ("model", "2", "0")
    assert (told["crash_localization_change"], told["crash_localization_start_shift_seconds"]) == (
        "edited",
        "-0.5",
    )


def test_few_queries_however_many_reviews(
    corpus: Corpus, reviewer: User, django_assert_num_queries: object
) -> None:
    guideline = make_guideline()
    for _ in range(4):
        case = drawn_case(corpus, guideline, blind=False)
        moments(reviewer, case, [30, 10])
        submit(case, reviewer)
    with django_assert_num_queries(5):  # type: ignore[operator]
        assert len(entries(Asked())) == 4
