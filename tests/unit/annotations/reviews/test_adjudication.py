"""A third person decides: who may, what is kept, what counts in the end."""

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import ApprovedAnswer, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.reviews import adjudication
from annotations.reviews.assignments import release, take_next
from annotations.reviews.decisions import return_case
from annotations.reviews.disputes import live_dispute
from annotations.reviews.models import (
    Assignment,
    AssignmentState,
    Choice,
    Dispute,
    DisputeState,
    Purpose,
    Review,
    ReviewOutcome,
)
from annotations.reviews.passes import both_passes
from annotations.reviews.services import withdraw
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import history
from tests.disputes_made import LATE, answer, make_dispute
from tests.factories import CRASH, NO_CRASH

pytestmark = pytest.mark.django_db
CAUSE, SPAN = Kind.CAUSAL_REASONING, Kind.CRASH_LOCALIZATION
OWN = Said("valued", {"text": "The bridge was icy."})


def status_of(dispute: Dispute) -> str:
    return Case.objects.get(pk=dispute.case_id).status


def decided(by: User) -> Dispute:
    """A dispute whose cause is the adjudicator's own, and whose span is the second's."""
    dispute = adjudication.claim(dispute=make_dispute(), by=by)
    adjudication.rule(dispute=dispute, kind=SPAN, choice="second", by=by)
    adjudication.rule(dispute=dispute, kind=CAUSE, choice="own", said=OWN, by=by)
    return dispute


def test_a_third_person_decides_task_by_task(reviewer: User) -> None:
    dispute = decided(reviewer)
    assert status_of(dispute) == CaseStatus.ADJUDICATING
    case = adjudication.approve_decided(dispute=dispute, by=reviewer)
    assert case.status == CaseStatus.APPROVED
    counts = {
        one.kind: one.answer for one in ApprovedAnswer.objects.filter(case=case).select_related("answer")
    }
    assert len(counts) == 6
    assert (counts[CAUSE].value, counts[CAUSE].author) == (OWN.value, reviewer)
    assert counts[SPAN] == dispute.second.answers.get(kind=SPAN)
    assert counts[Kind.CRASH_DESCRIPTION] == dispute.first.answers.get(kind=Kind.CRASH_DESCRIPTION)
    choices = dict(dispute.rulings.values_list("kind", "choice"))
    assert (choices[CAUSE], choices[SPAN], choices[Kind.CRASH_DESCRIPTION]) == (
        Choice.OWN,
        Choice.SECOND,
        Choice.AGREED,
    )
    dispute.refresh_from_db()
    assert (dispute.state, dispute.closed_why) == (DisputeState.SETTLED, "decided")


def test_the_decision_is_kept_as_a_review_and_in_the_log(reviewer: User) -> None:
    dispute = decided(reviewer)
    adjudication.rule(dispute=dispute, kind=SPAN, choice="first", by=reviewer)
    case = adjudication.approve_decided(dispute=dispute, by=reviewer)
    review = Review.objects.get(case=case, purpose=Purpose.ADJUDICATE)
    assert (review.reviewer, review.outcome, review.answers.count()) == (reviewer, ReviewOutcome.SUBMITTED, 6)
    assert review.assignment is not None
    assert review.assignment.state == AssignmentState.DONE
    ruled = [event.data for event in history(dispute) if event.verb == "dispute.ruled"]
    assert [(one["kind"], one["choice"]) for one in ruled] == [
        (SPAN, "first"),
        (CAUSE, "own"),
        (SPAN, "second"),
    ]
    assert both_passes(case) is not None
    assert reviewer not in {passed.reviewer for passed in both_passes(case) or ()}


def test_neither_of_the_two_decides() -> None:
    dispute = make_dispute()
    person = dispute.first.reviewer
    person.role = Role.LEAD
    person.save()
    with pytest.raises(Problem) as caught:
        adjudication.claim(dispute=dispute, by=person)
    assert caught.value.code == "own_case"


def test_an_annotator_does_not_decide(annotator: User) -> None:
    with pytest.raises(Problem) as caught:
        adjudication.claim(dispute=make_dispute(), by=annotator)
    assert caught.value.status == 403


def test_one_adjudicator_at_a_time(reviewer: User, lead: User) -> None:
    dispute = adjudication.claim(dispute=make_dispute(), by=reviewer)
    with pytest.raises(Problem) as caught:
        adjudication.claim(dispute=dispute, by=lead)
    assert caught.value.code == "already_assigned"
    with pytest.raises(Problem) as caught:
        adjudication.rule(dispute=dispute, kind=SPAN, choice="first", by=lead)
    assert caught.value.code == "not_yours"
    assert adjudication.claim(dispute=dispute, by=reviewer) == dispute


def test_what_the_queue_gave_is_what_is_claimed(reviewer: User) -> None:
    dispute = make_dispute()
    given = take_next(person=reviewer, purposes={Purpose.ADJUDICATE})
    assert given is not None
    assert adjudication.claim(dispute=dispute, by=reviewer).assignment == given


def test_all_that_is_disputed_must_be_decided(reviewer: User) -> None:
    dispute = adjudication.claim(dispute=make_dispute(), by=reviewer)
    adjudication.rule(dispute=dispute, kind=SPAN, choice="first", by=reviewer)
    with pytest.raises(Problem) as caught:
        adjudication.approve_decided(dispute=dispute, by=reviewer)
    assert (caught.value.code, caught.value.fields) == ("undecided", {"kinds": [CAUSE]})
    assert status_of(dispute) == CaseStatus.ADJUDICATING


def test_a_mixture_that_breaks_the_rules_is_not_approved(reviewer: User) -> None:
    dispute = make_dispute(CRASH, NO_CRASH)
    adjudication.claim(dispute=dispute, by=reviewer)
    yes, no = ("first", "second") if dispute.compared[SPAN]["first"]["value"] else ("second", "first")
    for kind in Kind.values:
        adjudication.rule(dispute=dispute, kind=kind, choice=no, by=reviewer)
    adjudication.rule(dispute=dispute, kind=SPAN, choice=yes, by=reviewer)
    assert [finding.code for finding in adjudication.findings(dispute)] == ["time_without_crash"]
    with pytest.raises(Problem) as caught:
        adjudication.approve_decided(dispute=dispute, by=reviewer)
    assert caught.value.code == "blocked_by_findings"
    assert not Review.objects.filter(purpose=Purpose.ADJUDICATE).exists()
    adjudication.rule(dispute=dispute, kind=SPAN, choice=no, by=reviewer)
    assert adjudication.approve_decided(dispute=dispute, by=reviewer).status == CaseStatus.APPROVED


@pytest.mark.parametrize(
    ("choice", "said", "code"),
    [
        ("third", None, "invalid"),
        ("own", None, "invalid"),
        ("first", OWN, "invalid"),
        ("agreed", None, "invalid"),
        ("own", Said("valued", {"label": "yes"}), "invalid_answer"),
    ],
)
def test_what_is_no_decision_is_refused(reviewer: User, choice: str, said: Said | None, code: str) -> None:
    dispute = adjudication.claim(dispute=make_dispute(), by=reviewer)
    with pytest.raises(Problem) as caught:
        adjudication.rule(dispute=dispute, kind=CAUSE, choice=choice, said=said, by=reviewer)
    assert caught.value.code == code
    assert not dispute.rulings.exists()


def test_giving_back_lets_the_next_one_begin_anew(reviewer: User, lead: User) -> None:
    dispute = decided(reviewer)
    adjudication.show_names(dispute=dispute, by=reviewer)
    back = adjudication.give_back(dispute=dispute, by=reviewer, reason="I know one of them")
    assert (back.state, back.names_shown_at, status_of(dispute)) == (
        DisputeState.OPEN,
        None,
        CaseStatus.DISPUTED,
    )
    assert not back.rulings.exists()
    taken = adjudication.claim(dispute=back, by=lead)
    assert (taken.assignment.person, status_of(dispute)) == (lead, CaseStatus.ADJUDICATING)  # type: ignore[union-attr]


def test_a_reservation_that_was_taken_away_frees_the_dispute(reviewer: User, lead: User) -> None:
    dispute = decided(reviewer)
    assert dispute.assignment is not None
    release(assignment=dispute.assignment, by=lead)
    with pytest.raises(Problem) as caught:
        adjudication.rule(dispute=dispute, kind=SPAN, choice="first", by=reviewer)
    assert caught.value.code == "not_yours"
    taken = adjudication.claim(dispute=dispute, by=lead)
    assert (taken.state, taken.rulings.count()) == (DisputeState.CLAIMED, 0)


def test_an_edit_meanwhile_keeps_the_claim_and_the_rulings_it_does_not_touch(reviewer: User) -> None:
    dispute = decided(reviewer)
    late = (
        dispute.first if dispute.compared[SPAN]["first"]["value"]["start_us"] == 3_200_000 else dispute.second
    )
    answer(dispute.case, late.reviewer, {**LATE, CAUSE: Said("valued", {"text": "Fog."})}, revision="2")
    live = live_dispute(dispute.case)
    assert live is not None
    assert (live.pk != dispute.pk, live.state, live.assignment) == (
        True,
        DisputeState.CLAIMED,
        dispute.assignment,
    )
    assert list(live.rulings.values_list("kind", flat=True)) == [SPAN]
    assert adjudication.undecided(live) == [CAUSE]
    assert status_of(dispute) == CaseStatus.ADJUDICATING
    with pytest.raises(Problem) as caught:
        adjudication.approve_decided(dispute=dispute, by=reviewer)
    assert caught.value.code == "not_yours"


def test_a_withdrawal_meanwhile_ends_it_and_relieves_the_adjudicator(reviewer: User) -> None:
    dispute = decided(reviewer)
    withdraw(review=dispute.first, by=None)
    assert status_of(dispute) == CaseStatus.IN_REVIEW
    assert dispute.assignment is not None
    dispute.assignment.refresh_from_db()
    assert dispute.assignment.state == AssignmentState.RELEASED


def test_names_are_shown_only_when_asked_for_and_that_is_kept(reviewer: User) -> None:
    dispute = adjudication.claim(dispute=make_dispute(), by=reviewer)
    assert dispute.names_shown_at is None
    shown = adjudication.show_names(dispute=dispute, by=reviewer)
    assert shown.names_shown_at is not None
    assert history(dispute).first().verb == "dispute.names_shown"  # type: ignore[union-attr]


def test_a_case_returned_after_a_decision_is_weighed_again(reviewer: User, lead: User) -> None:
    dispute = decided(reviewer)
    case = adjudication.approve_decided(dispute=dispute, by=reviewer)
    return_case(case=case, reason="the span begins too late", by=lead)
    handed = Assignment.objects.get(case=case, state=AssignmentState.OPEN)
    assert handed.person in {dispute.first.reviewer, dispute.second.reviewer}
    second = both_passes(case)
    assert second is not None
    answer(case, second[1].reviewer, LATE, revision="3")
    assert status_of(dispute) == CaseStatus.DISPUTED
    live = live_dispute(case)
    assert live is not None
    assert live != dispute
    assert adjudication.claim(dispute=live, by=reviewer).state == DisputeState.CLAIMED
