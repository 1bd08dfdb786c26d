"""What a case page says about the six answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.cases.kinds import Kind
from annotations.cases.models import CaseStatus
from annotations.cases.rules import Said
from annotations.cases.services import drafts
from annotations.reviews.services import record_submission
from frontend.answers import answers_of, compare
from tests import factories

SENTENCES = st.lists(st.sampled_from(["a", "car", "hits", "the", "truck", "van"]), max_size=8).map(" ".join)


@given(SENTENCES, SENTENCES)
def test_a_comparison_spells_both_texts(before: str, after: str) -> None:
    pieces = compare(before, after)
    assert " ".join(p.text for p in pieces if p.change != "removed") == after
    assert " ".join(p.text for p in pieces if p.change != "added") == before


@pytest.mark.django_db
def test_columns_follow_a_case_from_draft_to_approval() -> None:
    case = factories.make_case(CaseStatus.PREDICTED)
    rows = {row.kind: row for row in answers_of(case, duration_us=5_000_000).rows}
    span = rows[Kind.CRASH_LOCALIZATION]
    assert span.draft is not None
    assert span.draft.text == "2.000 – 3.500 s"  # noqa: RUF001
    assert span.draft.times_us == [2_000_000, 3_500_000]
    assert span.human is None
    assert span.approved is None

    corrected = {**factories.CRASH, Kind.CRASH_DESCRIPTION: Said("valued", {"text": "car hits a van."})}
    record_submission(
        case=case, reviewer=factories.make_user(), origin="test:1", answers=corrected, drafts=drafts(case),
        lead_seconds=9.0, revision="1",
    )  # fmt: skip
    answers = answers_of(case, duration_us=5_000_000)
    rows = {row.kind: row for row in answers.rows}
    described = rows[Kind.CRASH_DESCRIPTION].human
    assert described is not None
    assert described.same is False
    assert [(p.change, p.text) for p in described.pieces if p.change != "kept"] == [
        ("removed", "truck."), ("added", "van."),
    ]  # fmt: skip
    unchanged = rows[Kind.CRASH_RECOGNITION].human
    assert unchanged is not None
    assert unchanged.same is True
    assert answers.checked == "person's answers"
    assert len(rows[Kind.CRASH_DESCRIPTION].history) == 2


@pytest.mark.django_db
def test_broken_rules_are_named() -> None:
    said = {**factories.CRASH, Kind.PRE_CRASH_LOCALIZATION: Said("valued", {"at_us": 3_000_000})}
    case = factories.make_case(CaseStatus.PREDICTED, said=said)
    assert [finding.code for finding in answers_of(case, duration_us=5_000_000).findings] == [
        "onset_after_start"
    ]


@pytest.mark.django_db
def test_an_absent_answer_reads_as_none() -> None:
    case = factories.make_case(CaseStatus.PREDICTED, said=factories.NO_CRASH)
    rows = {row.kind: row for row in answers_of(case, duration_us=5_000_000).rows}
    shown = rows[Kind.CRASH_LOCALIZATION].draft
    assert shown is not None
    assert shown.text == "None: no crash"
    assert shown.times_us == []
