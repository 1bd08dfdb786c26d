"""What counts as a reviewed answer, and what its reviewer had in view."""

import hashlib
from collections.abc import Mapping

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.cases.services import ModelProvenance, add_model_answer, drafts
from annotations.cases.workflow import move
from annotations.reviews.decisions import approve
from annotations.reviews.services import record_submission
from crashdesk.accounts.models import User
from model_assist.calibration.evidence import answers_hash, mean_rouge_l, reviews_of
from model_assist.calibration.models import Evidence
from model_assist.registry.models import ModelVersion
from tests.factories import CRASH, add_drafts, make_case, make_model_version
from tests.unit.model_assist.calibration.made import reviewed

pytestmark = pytest.mark.django_db
OTHER_WORDS = {**CRASH, Kind.CAUSAL_REASONING: Said("valued", {"text": "It rained."})}


@pytest.fixture
def model(db: None) -> ModelVersion:
    return make_model_version("tiny")


def walked(
    lead: User, *, drafted_by: str | None = "tiny", said: Mapping[str, Said] = CRASH, late: str | None = None
) -> Case:
    """An approved case whose reviewer saw that model's drafts (None: none), and one more model's later answers."""
    case = make_case(CaseStatus.PREDICTING)
    if drafted_by:
        add_drafts(case, model_version=drafted_by)
    move(case, CaseStatus.PREDICTED, by=None)
    record_submission(
        case=case, reviewer=lead, origin=f"test:{case.pk}", answers=said, drafts=drafts(case), lead_seconds=1.0,
        revision="1",
    )  # fmt: skip
    case.refresh_from_db()
    approve(case=case, by=lead)
    if late:
        add_drafts(case, model_version=late)
    return case


def test_what_the_reviewer_had_in_view(model: ModelVersion, lead: User) -> None:
    walked(lead)  # taken over as it stood
    walked(lead, said=OTHER_WORDS)  # corrected from this model's draft
    walked(lead, drafted_by="older", late="tiny")  # another model's draft
    walked(lead, drafted_by="older", said=OTHER_WORDS, late="tiny")
    walked(lead, drafted_by=None, late="tiny")  # nothing in view
    found = reviews_of(model, Kind.CAUSAL_REASONING)
    assert [one.standing for one in found.usable] == ["anchored", "anchored", "other", "other", "blind"]
    assert [one.right for one in found.usable] == [True, False, True, False, True]
    assert found.standing == {"anchored": 2, "other": 2, "blind": 1}
    assert found.left_out == {}


def test_an_imported_answer_was_no_model_s_draft(model: ModelVersion, lead: User) -> None:
    case = walked(lead, drafted_by=None, late="tiny")
    approved = case.approved.get(kind=Kind.CRASH_RECOGNITION)
    imported = Answer.objects.create(
        case=case, kind=Kind.CRASH_RECOGNITION, state="valued", value={"label": "no"}, author_kind=AuthorKind.IMPORT,
        origin="file",
    )  # fmt: skip
    approved.answer = imported
    approved.save()
    (one,) = reviews_of(model, Kind.CRASH_RECOGNITION).usable
    assert (one.standing, one.right, one.approved_id) == ("blind", False, imported.pk)


def test_only_approved_cases_and_this_model_s_answers_count(model: ModelVersion, lead: User) -> None:
    make_case(CaseStatus.SUBMITTED)
    make_case(CaseStatus.APPROVED, model_version="older", lead=lead)
    assert reviews_of(model, Kind.CRASH_RECOGNITION).usable == []


def test_what_cannot_be_calibrated_is_counted(model: ModelVersion, lead: User) -> None:
    for number, fields in enumerate(
        (
            {"state": "unparsable", "value": None, "confidence": 0.0},
            {"confidence_detail": {"gated": True}},
            {"confidence": None},
            {},
        )
    ):
        case = walked(lead, drafted_by=None)
        values = {"state": "valued", "value": {"at_us": number}, "confidence": 0.5, **fields}
        Answer.objects.create(
            case=case,
            kind=Kind.PRE_CRASH_LOCALIZATION,
            author_kind=AuthorKind.MODEL,
            model_version="tiny",
            **values,
        )
    found = reviews_of(model, Kind.PRE_CRASH_LOCALIZATION)
    assert found.left_out == {"unparsable": 1, "gated": 1, "without_confidence": 1}
    assert len(found.usable) == 1


def test_of_several_wordings_the_newest_answer_counts(model: ModelVersion, lead: User) -> None:
    case = walked(lead)
    newer, _ = add_model_answer(
        case=case, kind=Kind.CRASH_RECOGNITION, said=Said("valued", {"label": "no"}),
        provenance=ModelProvenance(
            model_version="tiny", adapter="", prompt_version="f" * 12, raw_text="No", confidence=0.6
        ),
    )  # fmt: skip
    (one,) = reviews_of(model, Kind.CRASH_RECOGNITION).usable
    assert (one.answer_id, one.confidence, one.right) == (newer.pk, 0.6, False)


def test_a_clip_without_a_recording_is_one_of_its_own(model: ModelVersion, lead: User) -> None:
    case = walked(lead)
    case.video.recording = ""
    case.video.save()
    (one,) = reviews_of(model, Kind.CRASH_RECOGNITION).usable
    assert one.recording == f"video {case.video_id}"


def test_blind_answers_are_preferred_where_there_are_enough(model: ModelVersion, lead: User) -> None:
    reviewed(model, 90, lead, blind=1.0)
    reviewed(model, 50, lead, seed=1)
    found = reviews_of(model, Kind.CRASH_RECOGNITION)
    assert found.standing == {"anchored": 50, "other": 0, "blind": 90}
    assert (found.chosen("auto")[0], len(found.chosen("auto")[1])) == (Evidence.ALL, 140)
    assert (found.chosen("blind")[0], len(found.chosen("blind")[1])) == (Evidence.BLIND, 90)
    reviewed(model, 10, lead, blind=1.0, seed=2)
    found = reviews_of(model, Kind.CRASH_RECOGNITION)
    assert (found.chosen("auto")[0], len(found.chosen("auto")[1])) == (Evidence.BLIND, 100)
    assert len(found.chosen("all")[1]) == 150


def test_texts_are_measured_by_rouge_too(model: ModelVersion, lead: User) -> None:
    walked(lead, said={**CRASH, Kind.CRASH_DESCRIPTION: Said("valued", {"text": "car hits a bus."})})
    found = reviews_of(model, Kind.CRASH_DESCRIPTION).usable
    # "car hits a truck." for "car hits a bus.": 3 of 4 words in order, P = R = F = .75
    assert mean_rouge_l(found) == pytest.approx(0.75)
    assert mean_rouge_l(reviews_of(model, Kind.CRASH_RECOGNITION).usable) is None


def test_the_hash_is_of_the_answers_ids(model: ModelVersion, lead: User) -> None:
    walked(lead)
    walked(lead, said=OTHER_WORDS)
    found = reviews_of(model, Kind.CAUSAL_REASONING).usable
    lines = "".join(
        f"{one.answer_id} {one.approved_id}\n" for one in sorted(found, key=lambda one: one.answer_id)
    )
    assert answers_hash(found) == answers_hash(found[::-1]) == hashlib.sha256(lines.encode()).hexdigest()
    assert answers_hash(found[:1]) != answers_hash(found)
