import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import ApprovedAnswer, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.cases.services import drafts
from annotations.cases.workflow import InvalidMove, move
from annotations.reviews.by_policy import approve_by_policy, take_back
from annotations.reviews.decisions import approve, return_case
from annotations.reviews.draws import draw_of
from annotations.reviews.models import Assignment, CaseDraw, Purpose, Way
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from tests.factories import CRASH, make_case

pytestmark = pytest.mark.django_db
WORDS = "policy 3, threshold 0.91, audit slice 10 %"


def approved(case: Case) -> Case:
    return approve_by_policy(case=case, answers=drafts(case).values(), policy=WORDS)


def test_a_draft_is_approved_with_the_policy_named_on_each_answer_and_in_the_log() -> None:
    case = approved(make_case(CaseStatus.PREDICTED))
    rows = ApprovedAnswer.objects.filter(case=case)
    assert case.status == CaseStatus.APPROVED
    assert {(row.kind, row.policy, row.approved_by) for row in rows} == {
        (kind, WORDS, None) for kind in Kind.values
    }
    moved = AuditEvent.objects.get(verb="case.approved", subject_id=case.pk)
    assert (moved.actor, moved.data) == ("system", {"from": "predicted", "reason": WORDS})
    assert AuditEvent.objects.get(verb="answers.approved", subject_id=case.pk).data["policy"] == WORDS


def test_it_is_taken_back_as_a_whole_and_only_from_a_policy(lead: User) -> None:
    case = take_back(case=approved(make_case(CaseStatus.PREDICTED)), reason="the camera was changed", by=lead)
    assert case.status == CaseStatus.PREDICTED
    assert not ApprovedAnswer.objects.filter(case=case).exists()
    event = AuditEvent.objects.filter(verb="case.predicted", subject_id=case.pk).latest("id")
    assert (event.actor, event.data["reason"]) == (lead.username, "the camera was changed")
    with pytest.raises(Problem) as refused:
        take_back(case=case, reason="again", by=lead)
    assert refused.value.code == "not_by_policy"
    by_person = make_case(CaseStatus.APPROVED)
    with pytest.raises(Problem) as refused:
        take_back(case=by_person, reason="not its own", by=lead)
    assert refused.value.code == "not_by_policy"
    by_person.refresh_from_db()
    assert by_person.status == CaseStatus.APPROVED


def test_a_person_may_still_return_what_a_policy_approved(lead: User) -> None:
    case = return_case(case=approved(make_case(CaseStatus.PREDICTED)), reason="look", by=lead)
    assert case.status == CaseStatus.RETURNED
    assert not ApprovedAnswer.objects.filter(case=case).exists()


@pytest.mark.parametrize("what", ["blind", "double", "second"])
def test_what_chance_keeps_for_people_stays_with_people(what: str) -> None:
    case = make_case(CaseStatus.PREDICTED)
    CaseDraw.objects.filter(pk=draw_of(case).pk).update(**{what: True})
    refuse(case, "kept_for_people")


def test_a_case_that_people_have_is_left_to_them(annotator: User) -> None:
    case = make_case(CaseStatus.PREDICTED)
    Assignment.objects.create(case=case, person=annotator, purpose=Purpose.ANNOTATE, way=Way.MANUAL)
    refuse(case, "with_people")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Kind.CRASH_LOCALIZATION, Said("absent", None)),
        (Kind.PRE_CRASH_LOCALIZATION, Said("valued", {"at_us": 3_000_000})),
        (Kind.CRASH_LOCALIZATION, Said("valued", {"start_us": 2_000_000, "end_us": 2_000_000})),
        (Kind.CRASH_DESCRIPTION, Said("unparsable", None)),
    ],
)
def test_answers_that_contradict_each_other_are_never_approved_unseen(kind: Kind, said: Said) -> None:
    refuse(make_case(CaseStatus.PREDICTED, said={**CRASH, kind: said}), "blocked_by_findings")


def test_only_six_answers_of_a_model_to_this_case_count() -> None:
    case, other = make_case(CaseStatus.PREDICTED), make_case(CaseStatus.PREDICTED)
    mine, theirs = drafts(case), drafts(other)
    with pytest.raises(Problem) as refused:
        approve_by_policy(case=case, answers=list(mine.values())[:5], policy=WORDS)
    assert refused.value.code == "answers_incomplete"
    mixed = {**mine, Kind.CAUSAL_REASONING: theirs[Kind.CAUSAL_REASONING]}
    with pytest.raises(Problem) as refused:
        approve_by_policy(case=case, answers=mixed.values(), policy=WORDS)
    assert refused.value.code == "not_a_draft"
    with pytest.raises(Problem) as refused:
        approve_by_policy(case=case, answers=mine.values(), policy=" ")
    assert refused.value.code == "policy_unnamed"


@pytest.mark.parametrize("status", [CaseStatus.IN_REVIEW, CaseStatus.APPROVED])
def test_only_a_predicted_case_can_be_approved_unseen(status: CaseStatus) -> None:
    case = make_case(status)
    case.reviews.update(outcome="withdrawn", withdrawn_at="2026-01-01T00:00Z")
    refuse(case, "invalid_move", status=status)


def test_people_do_not_get_the_policys_doors(lead: User) -> None:
    with pytest.raises(InvalidMove):
        move(make_case(CaseStatus.PREDICTED), CaseStatus.APPROVED, by=lead)
    with pytest.raises(Problem):
        approve(case=make_case(CaseStatus.PREDICTED), by=lead)
    with pytest.raises(InvalidMove):
        move(make_case(CaseStatus.APPROVED), CaseStatus.PREDICTED, by=lead)


def refuse(case: Case, code: str, *, status: CaseStatus = CaseStatus.PREDICTED) -> None:
    before = set(ApprovedAnswer.objects.values_list("pk", flat=True))
    with pytest.raises(Problem) as refused:
        approved(case)
    assert refused.value.code == code
    case.refresh_from_db()
    assert case.status == status
    assert set(ApprovedAnswer.objects.values_list("pk", flat=True)) == before
