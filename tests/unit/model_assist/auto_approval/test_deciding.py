import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, ApprovedAnswer, Case, CaseStatus
from annotations.datasets.services import freeze
from annotations.reviews.draws import chance
from annotations.reviews.models import Assignment, Purpose, Way
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from model_assist.auto_approval import services
from model_assist.auto_approval.models import Outcome, Policy, PolicyDecision, PolicyState, StopReason
from model_assist.auto_approval.tasks import look
from model_assist.calibration.evidence import reviews_of
from model_assist.registry.models import ModelVersion
from tests.factories import make_model_version, make_user
from tests.policy_made import World, calibrate, keep, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db: None) -> World:
    return World.made()


@pytest.fixture
def policy(world: World, lead: User) -> Policy:
    """Certified on cases that are all right and all as sure as each other: its threshold is 0.9."""
    world.add(160, confidence=0.9)
    made = world.certified(lead, certify_at=1.0, sample_size=160)
    assert made.certificate.threshold == pytest.approx(0.9, abs=1e-6)
    return made


def outcomes(policy: Policy) -> dict[int, str]:
    return dict(policy.decisions.values_list("case", "outcome"))


def test_sure_cases_are_approved_with_the_policy_named_and_the_rest_is_left_alone(
    world: World, policy: Policy, lead: User
) -> None:
    sure, unsure = world.add(40, confidence=0.95), world.add(10, confidence=0.5)
    services.start(policy=policy, by=lead)
    work("data")
    held = outcomes(policy)
    audited = {case.pk for case in sure if chance(2, "auto-approval audit", case.pk) < 0.2}
    assert {pk for pk, outcome in held.items() if outcome == Outcome.AUDIT} == audited != set()
    approved = {case.pk for case in sure} - audited
    assert {pk for pk, outcome in held.items() if outcome == Outcome.APPROVED} == approved
    assert all(held[case.pk] == Outcome.BELOW for case in unsure)
    assert set(ApprovedAnswer.objects.exclude(policy="").values_list("case", flat=True)) == approved
    words = ApprovedAnswer.objects.filter(case__in=approved).first()
    assert words is not None
    assert words.policy.startswith(f"policy 1 (id {policy.pk}), threshold 0.9")
    assert words.policy.endswith("audit slice 0.2")
    assert Case.objects.filter(pk__in=audited, status=CaseStatus.PREDICTED).count() == len(audited)
    event = AuditEvent.objects.filter(verb="auto_approval.decided").latest("id")
    assert set(event.data["cases"]["approved"]) == approved


def test_what_was_drawn_for_people_before_is_audited_and_never_approved(
    world: World, policy: Policy, lead: User, annotator: User
) -> None:
    blind, double, second, gold, taken, free = world.add(6, confidence=0.99)
    keep(blind, "blind")
    keep(double, "double")
    keep(second, "second")
    for case, purpose in ((gold, Purpose.GOLD), (taken, Purpose.ANNOTATE)):
        Assignment.objects.create(case=case, person=annotator, purpose=purpose, way=Way.MANUAL)
    Policy.objects.filter(pk=policy.pk).update(audit_share=0.0100001)
    services.start(policy=policy, by=lead)
    work("data")
    held = outcomes(policy)
    assert {held[case.pk] for case in (blind, double, second)} == {Outcome.KEPT}
    assert held[gold.pk] == held[taken.pk] == Outcome.REFUSED
    assert held[free.pk] in (Outcome.APPROVED, Outcome.AUDIT)
    assert not ApprovedAnswer.objects.filter(case__in=[blind, double, second, gold, taken]).exists()
    assert (
        policy.decisions.get(case=taken).reason
        == f"Case {taken.pk} is with people; no policy may approve it."
    )


@pytest.mark.parametrize(
    ("kind", "changes", "why"),
    [
        (Kind.CRASH_LOCALIZATION, {"state": "absent", "value": None}, "crash_localization is absent"),
        (Kind.PRE_CRASH_LOCALIZATION, {"value": {"at_us": 3_000_000}}, "after the crash has begun"),
        (Kind.CAUSAL_REASONING, {"state": "unparsable", "value": None}, "the text is no answer"),
        (Kind.CRASH_RECOGNITION, {"value": {"label": "no"}}, "no crash, yet"),
        (Kind.CRASH_RECOGNITION, {"confidence": None}, "no calibrated confidence"),
    ],
)
def test_a_case_whose_answers_do_not_fit_together_goes_to_people(
    world: World, policy: Policy, lead: User, kind: Kind, changes: dict[str, object], why: str
) -> None:
    (case,) = world.add(1, confidence=0.99)
    Answer.objects.filter(case=case, kind=kind).update(**changes)
    services.start(policy=policy, by=lead)
    work("data")
    decision = policy.decisions.get(case=case)
    assert decision.outcome == Outcome.REFUSED
    assert why in decision.reason
    case.refresh_from_db()
    assert case.status == CaseStatus.PREDICTED


def test_a_draft_of_another_model_is_not_the_policys_to_approve(
    world: World, policy: Policy, lead: User
) -> None:
    (case,) = world.add(1, confidence=0.99)
    answer = Answer.objects.get(case=case, kind=Kind.CAUSAL_REASONING)
    answer.pk, answer.model_version = None, "newer"
    answer.save(force_insert=True)
    services.start(policy=policy, by=lead)
    work("data")
    assert policy.decisions.get(case=case).reason == "another model version has answered since"


def test_newly_predicted_cases_are_seen_by_the_beat_and_each_is_decided_once(
    world: World, policy: Policy, lead: User
) -> None:
    services.start(policy=policy, by=lead)
    work("data")
    assert look() == 0
    new = world.add(15, confidence=0.97)
    assert look() == 1
    work("data")
    assert set(outcomes(policy)) == {case.pk for case in new}
    assert look() == 0
    assert PolicyDecision.objects.count() == 15


def test_it_waits_for_the_audit_rather_than_running_ahead_of_it(
    world: World, policy: Policy, lead: User
) -> None:
    Policy.objects.filter(pk=policy.pk).update(most_open_audits=3)
    world.add(80, confidence=0.95)
    services.start(policy=policy, by=lead)
    (job,) = work("data")
    assert job.result["ended"] == "audit_waits"
    assert (job.result["audit"], look()) == (3, 0)
    before = policy.decisions.count()
    assert before < 80
    world.review(policy.decisions.filter(outcome="audit").values_list("case", flat=True), lead)
    assert look() == 1
    work("data")
    assert policy.decisions.count() > before


def test_errors_in_the_audit_stop_it_and_nothing_is_approved_afterwards(
    world: World, policy: Policy, lead: User
) -> None:
    services.start(policy=policy, by=lead)
    world.add(100, confidence=0.95, error=1.0)
    work("data")
    audited = list(policy.decisions.filter(outcome="audit").values_list("case", flat=True))
    world.review(audited, lead)
    world.add(30, confidence=0.95)
    look()
    policy.refresh_from_db()
    assert (policy.state, policy.stop_reason) == (PolicyState.STOPPED, StopReason.DRIFT)
    assert "the alarm rings at 1,000" in policy.stop_detail
    decided = policy.decisions.count()
    assert work("data") == []
    assert policy.decisions.count() == decided
    event = AuditEvent.objects.get(verb="auto_approval.stopped")
    assert event.data["verdict"]["evidence"] >= 1000
    with pytest.raises(Problem, match="cannot be started"):
        services.start(policy=policy, by=lead)


def test_the_bound_stops_it_when_the_promise_can_no_longer_be_given(
    world: World, policy: Policy, lead: User
) -> None:
    Policy.objects.filter(pk=policy.pk).update(patience=10**8)
    services.start(policy=policy, by=lead)
    world.add(150, confidence=0.95, error=1.0)  # some 30 of them audited
    work("data")
    world.review(policy.decisions.filter(outcome="audit").values_list("case", flat=True), lead)
    look()
    policy.refresh_from_db()
    assert policy.stop_reason == StopReason.BOUND
    assert "and the limit is 10.0%" in policy.stop_detail


def test_a_stop_by_hand_holds_at_once_and_can_be_taken_back(world: World, policy: Policy, lead: User) -> None:
    services.start(policy=policy, by=lead)
    services.stop(policy=policy, by=lead, detail="new cameras next week")
    world.add(5, confidence=0.99)
    (job,) = work("data")
    assert job.result["ended"] == "stopped"
    assert not policy.decisions.exists()
    with pytest.raises(Problem, match="does not run"):
        services.stop(policy=policy, by=lead)
    assert services.start(policy=policy, by=lead).state == PolicyState.RUNNING
    work("data")
    assert policy.decisions.count() == 5


def test_a_new_calibration_stops_it_until_it_is_certified_again(
    world: World, policy: Policy, lead: User
) -> None:
    services.start(policy=policy, by=lead)
    calibrate(world.model, [Kind.CRASH_RECOGNITION])
    world.add(5, confidence=0.99)
    (job,) = work("data")
    policy.refresh_from_db()
    assert (job.result["ended"], policy.stop_reason) == ("stopped", StopReason.RECALIBRATED)
    assert not policy.decisions.exists()
    with pytest.raises(Problem):
        services.start(policy=policy, by=lead)


def test_a_calibration_of_a_kind_it_does_not_judge_does_not_stop_it(
    world: World, policy: Policy, lead: User
) -> None:
    services.start(policy=policy, by=lead)
    calibrate(world.model, [Kind.CAUSAL_REASONING])
    look()
    policy.refresh_from_db()
    assert policy.state == PolicyState.RUNNING


def test_another_model_in_use_stops_it(world: World, policy: Policy, lead: User) -> None:
    services.start(policy=policy, by=lead)
    ModelVersion.objects.update(in_use=False)
    ModelVersion.objects.filter(pk=make_model_version("next").pk).update(in_use=True)
    look()
    policy.refresh_from_db()
    assert policy.stop_reason == StopReason.NEW_MODEL


def test_a_newer_policy_takes_the_place_of_the_running_one(world: World, policy: Policy, lead: User) -> None:
    Policy.objects.filter(pk=policy.pk).update(most_open_audits=1)
    services.start(policy=policy, by=lead)
    world.add(200, confidence=0.9, seed=2)
    newer = world.certified(lead, certify_at=1.0, sample_size=180)
    services.start(policy=newer, by=lead)
    policy.refresh_from_db()
    assert (newer.state, policy.stop_reason) == (PolicyState.CERTIFIED, StopReason.REPLACED)


def test_what_a_policy_approved_is_no_evidence_for_the_model_and_exports_say_so(
    world: World, policy: Policy, lead: User
) -> None:
    before = len(reviews_of(world.model, Kind.CRASH_RECOGNITION).usable)
    world.add(20, confidence=0.99)
    services.start(policy=policy, by=lead)
    work("data")
    assert policy.decisions.filter(outcome="approved").exists()
    assert len(reviews_of(world.model, Kind.CRASH_RECOGNITION).usable) == before
    version = freeze(corpus=world.corpus, guideline=world.guideline, by=lead)
    named = {
        record.content["answers"][Kind.CRASH_RECOGNITION]["lineage"]["approved_by"]
        for record in version.records.all()
    }
    assert len(named) == 2
    assert {name.split(",")[0] for name in named} == {lead.username, f"policy 1 (id {policy.pk})"}


def test_undoing_gives_back_what_is_still_the_policys_and_tells_of_each_case(
    world: World, policy: Policy, lead: User
) -> None:
    world.add(20, confidence=0.99)
    services.start(policy=policy, by=lead)
    work("data")
    approved = sorted(policy.decisions.filter(outcome="approved").values_list("case", flat=True))
    world.review(approved[:1], lead)  # a person has approved this one anew
    with pytest.raises(Problem, match="Say why"):
        services.request_undo(policy=policy, reason=" ", by=lead)
    services.request_undo(policy=policy, reason="the camera was turned", by=lead)
    (job,) = work("data")
    assert job.result == {"given_back": len(approved) - 1, "left_alone": 1}
    assert set(Case.objects.filter(pk__in=approved[1:]).values_list("status", flat=True)) == {"predicted"}
    assert not ApprovedAnswer.objects.exclude(policy="").exists()
    alone = policy.decisions.get(case=approved[0])
    assert (alone.undone_at, alone.undo_problem != "") == (None, True)
    assert policy.decisions.filter(undone_by=lead).count() == len(approved) - 1
    policy.refresh_from_db()
    assert (policy.state, policy.stop_detail) == (PolicyState.STOPPED, "undone: the camera was turned")
    services.start(policy=policy, by=lead)
    work("data")
    assert not ApprovedAnswer.objects.exclude(policy="").exists()  # decided once: they stay with people


def test_only_leads_start_stop_and_undo(policy: Policy) -> None:
    reviewer = make_user(Role.REVIEWER)
    for act in (
        lambda: services.start(policy=policy, by=reviewer),
        lambda: services.stop(policy=policy, by=reviewer),
        lambda: services.request_undo(policy=policy, reason="x", by=reviewer),
        lambda: services.request_certification(policy=policy, by=reviewer),
    ):
        with pytest.raises(Problem) as refused:
            act()
        assert refused.value.code == "not_allowed"
