"""Approve, return, exclude, reopen: who may, when, and what stays."""

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import ApprovedAnswer, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.cases.workflow import InvalidMove
from annotations.reviews import decisions
from annotations.reviews.services import record_submission
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from tests.factories import CRASH, NO_CRASH, make_case, make_user


def submitted_with(said: dict[str, Said], problems: list[dict[str, str]] | None = None) -> Case:
    case = make_case(CaseStatus.IN_REVIEW)
    record_submission(
        case=case, reviewer=make_user(), origin="t:1", answers=said, drafts={}, lead_seconds=None, revision="1",
        problems=problems or [],
    )  # fmt: skip
    return case


def codes(problem: Problem) -> set[str]:
    return {finding["code"] for finding in problem.fields["findings"]}


def test_approval_points_at_the_submitted_answers(reviewer: User) -> None:
    case = decisions.approve(case=make_case(CaseStatus.SUBMITTED), by=reviewer)
    assert case.status == CaseStatus.APPROVED
    pointed = {pointer.kind: pointer.answer for pointer in ApprovedAnswer.objects.filter(case=case)}
    assert pointed == {answer.kind: answer for answer in case.reviews.get().answers.all()}
    assert len(pointed) == 6


def test_broken_rules_block_and_are_all_listed(reviewer: User) -> None:
    said = {**CRASH, Kind.CRASH_LOCALIZATION: Said("valued", {"start_us": 1_000_000, "end_us": 9_000_000})}
    case = submitted_with(said)
    with pytest.raises(Problem) as caught:
        decisions.approve(case=case, by=reviewer)
    assert codes(caught.value) == {"span_beyond_clip", "onset_after_start"}
    case.refresh_from_db()
    assert case.status == CaseStatus.SUBMITTED
    assert not ApprovedAnswer.objects.exists()


def test_a_warning_does_not_block(reviewer: User) -> None:
    said = {**CRASH, Kind.CRASH_LOCALIZATION: Said("valued", {"start_us": 2_000_000, "end_us": 2_000_000})}
    assert decisions.approve(case=submitted_with(said), by=reviewer).status == CaseStatus.APPROVED


def test_no_crash_is_approved_without_times(reviewer: User) -> None:
    assert decisions.approve(case=submitted_with(dict(NO_CRASH)), by=reviewer).status == CaseStatus.APPROVED


def test_what_could_not_be_read_blocks_by_name(reviewer: User) -> None:
    unread = {"code": "several_ranges", "kind": Kind.CRASH_LOCALIZATION, "message": "2 ranges"}
    said = {kind: what for kind, what in CRASH.items() if kind != Kind.CRASH_LOCALIZATION}
    with pytest.raises(Problem) as caught:
        decisions.approve(case=submitted_with(said, [unread]), by=reviewer)
    assert codes(caught.value) == {"several_ranges", "missing_answer"}


def test_only_a_submitted_case_is_approved(reviewer: User) -> None:
    with pytest.raises(InvalidMove):
        decisions.approve(case=make_case(CaseStatus.IN_REVIEW), by=reviewer)


def test_an_annotator_may_not_decide(annotator: User) -> None:
    case = make_case(CaseStatus.SUBMITTED)
    for decide in (
        lambda: decisions.approve(case=case, by=annotator),
        lambda: decisions.approve_many(case_ids=[case.pk], by=annotator),
        lambda: decisions.return_case(case=case, reason="no", by=annotator),
        lambda: decisions.exclude(case=case, reason="no", by=annotator),
        lambda: decisions.reopen(case=make_case(CaseStatus.EXCLUDED), by=annotator),
    ):
        with pytest.raises(Problem) as caught:
            decide()
        assert caught.value.status == 403


def test_one_bad_case_never_sinks_the_batch(reviewer: User) -> None:
    good, bad = make_case(CaseStatus.SUBMITTED), make_case(CaseStatus.READY)
    made = decisions.approve_many(case_ids=[bad.pk, 999_999, good.pk, good.pk], by=reviewer)
    outcome = [(one.case_id, one.problem and one.problem.code) for one in made]
    assert outcome == [(bad.pk, "invalid_move"), (999_999, "not_found"), (good.pk, None)]
    good.refresh_from_db()
    assert good.status == CaseStatus.APPROVED


def test_returning_needs_a_reason_and_keeps_it(lead: User) -> None:
    case = make_case(CaseStatus.SUBMITTED)
    for reason in ("  ", "x" * 501):
        with pytest.raises(Problem):
            decisions.return_case(case=case, reason=reason, by=lead)
    returned = decisions.return_case(case=case, reason=" the cause is wrong ", by=lead)
    assert (returned.status, returned.returned_reason) == (CaseStatus.RETURNED, "the cause is wrong")


def test_returning_an_approved_case_takes_its_answers_out_of_count(lead: User) -> None:
    case = make_case(CaseStatus.APPROVED)
    decisions.return_case(case=case, reason="look again", by=lead)
    assert not ApprovedAnswer.objects.filter(case=case).exists()


def test_excluding_and_reopening(lead: User) -> None:
    case = decisions.exclude(case=make_case(CaseStatus.IN_REVIEW), reason="night, nothing visible", by=lead)
    assert (case.status, case.excluded_reason) == (CaseStatus.EXCLUDED, "night, nothing visible")
    case = decisions.reopen(case=case, by=lead)
    assert (case.status, case.excluded_reason) == (CaseStatus.READY, "")


def test_reopening_an_approved_case_returns_it(lead: User) -> None:
    case = decisions.reopen(case=make_case(CaseStatus.APPROVED), by=lead, reason="new guideline")
    assert (case.status, case.returned_reason) == (CaseStatus.RETURNED, "new guideline")


def test_an_open_case_is_not_reopened(lead: User) -> None:
    with pytest.raises(InvalidMove):
        decisions.reopen(case=make_case(CaseStatus.READY), by=lead)
