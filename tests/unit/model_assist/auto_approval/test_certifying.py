import random

import pytest

from annotations.cases.models import Answer, ApprovedAnswer, Case, CaseStatus
from annotations.reviews.draws import draws_of
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from model_assist.auto_approval import services
from model_assist.auto_approval.candidates import Setup, population
from model_assist.auto_approval.certification import needed
from model_assist.auto_approval.certifying import settle
from model_assist.auto_approval.models import Certificate, Policy, PolicyState
from model_assist.auto_approval.tasks import look
from model_assist.calibration.models import Calibration
from tests.factories import make_user
from tests.policy_made import World, calibrate, keep, work

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db: None) -> World:
    return World.made()


def test_a_new_policy_approves_nothing_and_draws_its_sample_by_a_recorded_seed(
    world: World, lead: User
) -> None:
    cases = world.add(200)
    policy = world.policy(lead, sample_size=120)
    assert (policy.state, policy.version, policy.answered, policy.sure, policy.candidates) == (
        PolicyState.COLLECTING, 1, 200, 200, 200,
    )  # fmt: skip
    drawn = list(policy.sample.order_by("pk").values_list("case", flat=True))
    assert drawn == random.Random(1).sample([case.pk for case in cases], 120)
    assert set(Case.objects.filter(review_rank=0).values_list("pk", flat=True)) == set(drawn)
    assert Case.objects.filter(status=CaseStatus.PREDICTED).count() == 200
    told = AuditEvent.objects.get(verb="auto_approval.sample_drawn")
    assert (told.data["seed"], told.data["sample"], told.data["candidates"]) == (1, 120, 200)
    created = AuditEvent.objects.get(verb="auto_approval.created")
    assert (created.actor, created.data["max_error"]) == (lead.username, 0.1)
    with pytest.raises(Problem, match="cannot be started"):
        services.start(policy=policy, by=lead)


def test_most_share_leaves_the_least_sure_out_of_the_draw(world: World, lead: User) -> None:
    world.add(300)
    policy = world.policy(lead, most_share=0.5, sample_size=120)
    assert policy.candidates == 150
    floor = min(policy.scores)
    assert all(row.score is not None and row.score >= floor for row in policy.sample.all())
    confidences = Answer.objects.filter(kind="crash_recognition", confidence__lt=floor - 1e-9)
    assert confidences.count() == 150


def test_certified_once_people_have_settled_the_sample_by_the_beat_alone(world: World, lead: User) -> None:
    world.add(320, error=0.01, seed=3)
    policy = world.policy(lead, certify_at=1.0, sample_size=200)
    drawn = list(policy.sample.values_list("case", flat=True))
    world.review(drawn[:-1], lead)
    assert look() == 0
    world.review(drawn[-1:], lead)
    assert look() == 1
    work("data")
    policy.refresh_from_db()
    assert policy.state == PolicyState.CERTIFIED
    made = Certificate.objects.get(policy=policy)
    wrong = sum(world.wrong[pk] for pk in drawn)
    taken = next(one for one in made.looks if one["threshold"] == made.threshold)
    assert taken == made.looks[-1]
    assert (taken["cases"], taken["wrong"], taken["coverage"]) == (200, wrong, 1.0)
    assert (made.attempt, made.delta, made.unsettled, made.sample) == (1, pytest.approx(0.025), 0, 200)
    assert made.standing == {
        "blind": {"cases": 0, "wrong": 0},
        "drafted": {"cases": 200, "wrong": wrong},
    }
    event = AuditEvent.objects.get(verb="auto_approval.certified")
    assert event.data["evidence_hash"] == made.evidence_hash
    assert settle(policy) == {"certificate": made.pk, "threshold": made.threshold}
    assert Certificate.objects.count() == 1


def test_many_errors_refuse_the_policy_and_say_where(world: World, lead: User) -> None:
    world.add(150, error=0.4)
    policy = world.certified(lead, sample_size=120)
    assert policy.state == PolicyState.REFUSED
    assert policy.certificate.threshold is None
    assert "Too many were wrong to show the promise at any threshold" in policy.stop_detail
    with pytest.raises(Problem):
        services.start(policy=policy, by=lead)


def test_a_case_still_open_counts_as_wrong_and_so_does_one_that_people_excluded(
    world: World, lead: User
) -> None:
    world.add(260)
    policy = world.policy(lead, certify_at=1.0, sample_size=200)
    drawn = list(policy.sample.values_list("case", flat=True))
    world.review(drawn[4:], lead)
    Case.objects.filter(pk__in=drawn[:2]).update(
        status=CaseStatus.EXCLUDED, excluded_reason="unusable clip: x"
    )
    services.request_certification(policy=policy, by=lead)
    work("data")
    made = Certificate.objects.get(policy=policy)
    assert (made.unsettled, made.excluded) == (2, 2)
    assert sum(row.wrong is not False for row in policy.sample.all()) == 4
    assert made.looks[-1]["coverage"] == 1.0
    assert made.looks[-1]["wrong"] == 4


def test_blind_evidence_is_the_control_arm_and_nothing_else(lead: User) -> None:
    world = World.made(blind_share=0.5)
    cases = world.add(300, seed=5)
    policy = world.policy(lead, evidence="blind", certify_at=1.0)
    arm = {pk for pk, draw in draws_of(cases).items() if draw.blind}
    drawn = set(policy.sample.values_list("case", flat=True))
    assert drawn == arm
    assert 120 < len(arm) < 180
    world.review(drawn, lead, blind=True)
    services.request_certification(policy=policy, by=lead)
    work("data")
    made = Certificate.objects.get(policy=policy)
    assert made.standing["drafted"] == {"cases": 0, "wrong": 0}
    taken = next(one for one in made.looks if one["threshold"] == made.threshold)
    assert made.standing["blind"] == {"cases": taken["cases"], "wrong": taken["wrong"]}


def test_too_small_a_control_arm_refuses_the_policy_and_says_how_many_it_takes(
    world: World, lead: User
) -> None:
    for case in world.add(100)[:20]:
        keep(case, "blind")
    policy = world.policy(lead, evidence="blind")
    assert policy.state == PolicyState.REFUSED
    least = needed(policy.promise, attempt=1)
    assert policy.stop_detail.startswith(
        "Only 20 cases of the control arm could be drawn from 100 candidates"
    )
    assert f"it takes {least}" in policy.stop_detail


def test_what_the_calibrations_were_made_from_is_no_evidence(world: World, lead: User) -> None:
    old = world.add(100)
    world.review([case.pk for case in old], lead)
    Calibration.objects.all()._raw_delete("default")
    calibrate(world.model)
    world.add(150, seed=1)
    policy = world.policy(lead, sample_size=120)
    assert policy.answered == 150
    assert not policy.sample.filter(case__in=old).exists()


def test_whatever_a_preview_or_a_certificate_has_shown_is_never_sampled(world: World, lead: User) -> None:
    """Also where its case was given back to people since: limits may have been chosen by its error."""
    cases = world.add(260)
    shown = [case.pk for case in cases[:100]]
    world.review(shown, lead)
    Case.objects.filter(pk__in=shown[:50]).update(status=CaseStatus.RETURNED)
    first = world.policy(lead, sample_size=100)
    assert first.answered == 160
    drawn = set(first.sample.values_list("case", flat=True))
    assert not drawn & set(shown)
    world.review(drawn, lead)
    services.request_certification(policy=first, by=lead)
    work("data")
    Case.objects.filter(pk__in=drawn).update(status=CaseStatus.RETURNED)
    ApprovedAnswer.objects.filter(case__in=drawn).delete()
    assert {one.pk for one in population(Setup.of(first))} == {case.pk for case in cases} - drawn - set(shown)


def test_trying_again_takes_a_smaller_chance_each_time(world: World, lead: User) -> None:
    world.add(260, error=0.4)
    assert world.certified(lead, sample_size=120).certificate.attempt == 1
    again = world.certified(lead, sample_size=120)
    assert (again.version, again.certificate.attempt) == (2, 2)
    assert again.certificate.delta == pytest.approx(0.05 / 6)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"max_error": 0.9}, "max_error"), ({"confidence": 1.0}, "confidence"), ({"audit_share": 0.0}, "audit_share"),
        ({"certify_at": 2.0}, "certify_at"), ({"most_share": 0.0}, "most_share"),
        ({"error_rules": {"crash_localization": {"rule": "tiou_below", "value": 0.5}}}, "error_rules"),
        ({"error_rules": {"crash_recognition": {"rule": "nonsense"}}}, "error_rules"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused_by_name(
    world: World, lead: User, given: dict[str, object], field: str
) -> None:
    with pytest.raises(Problem) as refused:
        world.policy(lead, **given)
    assert field in refused.value.fields
    assert not Policy.objects.exists()


def test_a_sample_that_could_never_show_it_and_a_model_without_calibration_are_refused(
    world: World, lead: User
) -> None:
    with pytest.raises(Problem) as refused:
        world.policy(lead, sample_size=10)
    assert refused.value.code == "sample_too_small"
    Calibration.objects.filter(kind="crash_recognition")._raw_delete("default")
    with pytest.raises(Problem) as refused:
        world.policy(lead)
    assert refused.value.code == "not_calibrated"


@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.REVIEWER, Role.ENGINEER])
def test_only_leads_and_admins_set_policies(world: World, role: Role) -> None:
    with pytest.raises(Problem) as refused:
        world.policy(make_user(role))
    assert refused.value.code == "not_allowed"
