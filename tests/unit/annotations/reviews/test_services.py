"""Submitted, skipped and withdrawn reviews."""

from collections.abc import Mapping

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.cases.services import drafts
from annotations.cases.workflow import move
from annotations.reviews.changes import says_the_same
from annotations.reviews.decisions import return_case
from annotations.reviews.models import Review, ReviewOutcome
from annotations.reviews.services import (
    latest_submitted,
    record_skip,
    record_submission,
    withdraw,
)
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import history
from tests.factories import CRASH, make_case, make_user

TEXT = Kind.CAUSAL_REASONING
ORIGIN = "labelstudio:annotation:17"


def submit(case: Case, by: User, revision: str = "a", changed: Mapping[str, Said] = CRASH) -> Review:
    return record_submission(
        case=case, reviewer=by, origin=ORIGIN, answers={**CRASH, **changed}, drafts=drafts(case), lead_seconds=12.5,
        revision=revision,
    )  # fmt: skip


def text(words: str) -> Said:
    return Said("valued", {"text": words})


def person_answers(case: Case) -> list[Answer]:
    return list(Answer.objects.filter(case=case, author_kind=AuthorKind.PERSON))


def test_an_untouched_draft_is_the_reviews_answer(annotator: User) -> None:
    case = make_case(CaseStatus.IN_REVIEW)
    review = submit(case, annotator, changed={TEXT: text(f"  {CRASH[TEXT].value['text']}\n")})  # type: ignore[index]
    assert person_answers(case) == []
    assert {answer.kind: answer for answer in review.answers.all()} == drafts(case)
    case.refresh_from_db()
    assert case.status == CaseStatus.SUBMITTED
    assert review.lead_seconds == 12.5


def test_only_what_differs_becomes_a_persons_answer(annotator: User) -> None:
    case = make_case(CaseStatus.IN_REVIEW)
    span = Said("valued", {"start_us": 2_000_000, "end_us": 3_500_001})
    review = submit(case, annotator, changed={Kind.CRASH_LOCALIZATION: span})
    (answer,) = person_answers(case)
    assert (answer.kind, answer.value, answer.author) == (Kind.CRASH_LOCALIZATION, span.value, annotator)
    assert answer.draft == drafts(case)[Kind.CRASH_LOCALIZATION]
    assert answer.origin == f"{ORIGIN}@a"
    assert answer in review.answers.all()
    assert review.answers.count() == 6


def test_the_same_submission_twice_is_one(annotator: User) -> None:
    case = make_case(CaseStatus.IN_REVIEW)
    first, second = (submit(case, annotator, changed={TEXT: text("Ice.")}) for _ in range(2))
    assert first == second
    assert len(person_answers(case)) == 1
    assert Review.objects.count() == 1


def test_an_edit_adds_an_answer_and_keeps_the_earlier_ones(annotator: User) -> None:
    case = make_case(CaseStatus.IN_REVIEW)
    submit(case, annotator, "a", {TEXT: text("Ice."), Kind.CRASH_DESCRIPTION: text("Van hits tree.")})
    review = submit(
        case, annotator, "b", {TEXT: text("Fog."), Kind.CRASH_DESCRIPTION: text("Van hits tree.")}
    )
    said = [(answer.kind, answer.value) for answer in person_answers(case)]
    assert sorted(words["text"] for kind, words in said if kind == TEXT) == ["Fog.", "Ice."]  # type: ignore[index]
    assert len(said) == 3  # the description was not said anew
    now = {answer.kind: answer.value for answer in review.answers.all()}
    assert now[TEXT] == {"text": "Fog."}
    back = submit(case, annotator, "a", {TEXT: text("Ice.")})
    assert {answer.kind: answer.value for answer in back.answers.all()}[TEXT] == {"text": "Ice."}
    assert len(person_answers(case)) == 3


def test_a_returned_case_is_submitted_again(annotator: User, lead: User) -> None:
    case = make_case(CaseStatus.IN_REVIEW)
    submit(case, annotator)
    return_case(case=case, reason="look at the cause", by=lead)
    submit(case, annotator, "b", {TEXT: text("Fog.")})
    case.refresh_from_db()
    assert case.status == CaseStatus.SUBMITTED


def test_a_case_not_yet_in_review_gets_there_on_the_way(annotator: User) -> None:
    case = make_case(CaseStatus.PREDICTED)
    submit(case, annotator)
    case.refresh_from_db()
    assert case.status == CaseStatus.SUBMITTED


@pytest.mark.parametrize("status", [CaseStatus.EXCLUDED, CaseStatus.PREDICTING])
def test_a_case_that_takes_no_submission_keeps_its_status_and_says_so(
    annotator: User, status: CaseStatus
) -> None:
    case = make_case(status)
    review = submit(case, annotator)
    case.refresh_from_db()
    assert case.status == status
    assert history(review).first().verb == "review.case_left_alone"  # type: ignore[union-attr]


def test_a_value_of_the_wrong_shape_writes_nothing(annotator: User) -> None:
    case = make_case(CaseStatus.IN_REVIEW)
    with pytest.raises(Problem, match="start_us"):
        submit(
            case, annotator, changed={Kind.CRASH_LOCALIZATION: Said("valued", {"start_us": -1, "end_us": 2})}
        )
    assert Review.objects.count() == 0
    case.refresh_from_db()
    assert case.status == CaseStatus.IN_REVIEW


def test_skipping_leaves_the_case_for_the_next_person(annotator: User) -> None:
    case = make_case(CaseStatus.IN_REVIEW)
    review = record_skip(case=case, reviewer=annotator, origin=ORIGIN, lead_seconds=3.0)
    assert record_skip(case=case, reviewer=annotator, origin=ORIGIN, lead_seconds=3.0) == review
    case.refresh_from_db()
    assert (case.status, review.outcome) == (CaseStatus.IN_REVIEW, ReviewOutcome.SKIPPED)
    submit(case, annotator)
    review.refresh_from_db()
    assert review.outcome == ReviewOutcome.SUBMITTED


def test_a_submission_turned_into_a_skip_gives_the_case_back(annotator: User) -> None:
    case = make_case(CaseStatus.IN_REVIEW)
    submit(case, annotator)
    record_skip(case=case, reviewer=annotator, origin=ORIGIN, lead_seconds=3.0)
    case.refresh_from_db()
    assert case.status == CaseStatus.IN_REVIEW
    assert latest_submitted(case) is None


def test_withdrawing_gives_the_case_back_and_keeps_the_answers(annotator: User) -> None:
    case = make_case(CaseStatus.IN_REVIEW)
    review = submit(case, annotator, changed={TEXT: text("Ice.")})
    withdrawn = withdraw(review=review, by=None)
    assert withdraw(review=review, by=None) == withdrawn
    case.refresh_from_db()
    assert (case.status, withdrawn.outcome) == (CaseStatus.IN_REVIEW, ReviewOutcome.WITHDRAWN)
    assert len(person_answers(case)) == 1


def test_another_submitted_review_keeps_the_case_submitted(annotator: User) -> None:
    case = make_case(CaseStatus.SUBMITTED)
    review = submit(case, annotator)
    withdraw(review=review, by=None)
    case.refresh_from_db()
    assert case.status == CaseStatus.SUBMITTED


def test_withdrawing_leaves_an_approved_case_alone(annotator: User) -> None:
    case = make_case(CaseStatus.APPROVED)
    review = case.reviews.get()
    withdraw(review=review, by=make_user())
    case.refresh_from_db()
    assert case.status == CaseStatus.APPROVED
    assert [event.verb for event in history(review)][:2] == ["review.case_left_alone", "review.withdrawn"]


def test_the_newest_submission_counts(annotator: User) -> None:
    case = make_case(CaseStatus.SUBMITTED)
    newest = submit(case, annotator)
    assert latest_submitted(case) == newest


def test_states_are_part_of_what_is_said() -> None:
    value = {"start_us": 1, "end_us": 2}
    assert not says_the_same(Said("valued", value), Said("out_of_clip", value))
    assert says_the_same(Said("absent", None), Said("absent", None))


def test_moving_is_not_undone_by_a_late_repeat(annotator: User, lead: User) -> None:
    case = make_case(CaseStatus.APPROVED)
    submit(case, annotator)
    case.refresh_from_db()
    assert case.status == CaseStatus.APPROVED
    move(case, CaseStatus.RETURNED, by=lead, reason="again")
    assert latest_submitted(case) is not None
