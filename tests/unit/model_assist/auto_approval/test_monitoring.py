from datetime import UTC, datetime, timedelta

import pytest

from annotations.reviews.models import ReviewPlan
from crashdesk.accounts.models import User
from model_assist.auto_approval.models import Outcome, Policy, PolicyDecision
from model_assist.auto_approval.monitoring import approved_since, warning_of
from tests.policy_made import World

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 1, tzinfo=UTC)


def decided(policy: Policy, world: World, *outcomes: str, hour: int, **told: object) -> None:
    """So many newly decided cases; audited ones are settled in the same hour."""
    for case, outcome in zip(world.add(len(outcomes)), outcomes, strict=True):
        row = PolicyDecision.objects.create(policy=policy, case=case, outcome=outcome, answers={}, **told)
        at = START + timedelta(hours=hour)
        judged = None if outcome == Outcome.APPROVED else at
        PolicyDecision.objects.filter(pk=row.pk).update(decided_at=at, judged_at=judged)


@pytest.mark.parametrize(("evidence", "since"), [("any", 2), ("blind", 5)])
def test_approvals_are_counted_from_the_last_audited_case_that_counts(
    lead: User, evidence: str, since: int
) -> None:
    world = World.made()
    world.add(2)
    policy = world.policy(lead, evidence=evidence)
    assert approved_since(policy) == 0
    decided(policy, world, "approved", "approved", "approved", "approved", hour=1)
    decided(policy, world, "kept", hour=2, wrong=False, blind=True)
    decided(policy, world, "approved", "approved", "approved", hour=3)
    decided(policy, world, "audit", hour=4, wrong=False, blind=False)
    decided(policy, world, "approved", "approved", hour=5)
    assert approved_since(policy) == since


def test_an_empty_control_arm_is_told_at_once_and_other_evidence_once_it_is_overdue(lead: User) -> None:
    world = World.made()
    world.add(2)
    policy = world.policy(lead, evidence="blind", audit_share=0.1)
    assert warning_of(policy, 0) == ""
    assert warning_of(policy, 1).startswith("1 case approved since the last audited case that counts")
    assert "control arm (blind_share) is empty" in warning_of(policy, 1)
    newest = ReviewPlan.objects.filter(corpus=world.corpus).count() + 1
    ReviewPlan.objects.create(corpus=world.corpus, version=newest, blind_share=0.1, blind_seed=7)
    assert warning_of(policy, 99) == ""
    assert "control arm" not in warning_of(policy, 101)
    assert warning_of(policy, 101).startswith("101 cases approved")
    policy.evidence = "any"
    assert (warning_of(policy, 99), bool(warning_of(policy, 101))) == ("", True)
