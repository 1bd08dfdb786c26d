"""The auto-approval page in a browser: fit for everybody at any width, set up and previewed by its form."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from annotations.cases.kinds import Kind
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job
from model_assist.auto_approval.models import Policy
from model_assist.auto_approval.services import request_preview
from model_assist.auto_approval.tasks import look
from tests.browser.conftest import SignIn
from tests.browser.test_accessibility import problems
from tests.policy_made import World, work


@pytest.fixture
def world(lead: User) -> World:
    """A policy that ran, was audited, and stopped itself."""
    made = World.made()
    made.add(160, confidence=0.95)
    policy = made.running(lead, certify_at=1.0, sample_size=160)
    made.add(60, confidence=0.97)
    look()
    work("data")
    made.review(policy.decisions.filter(outcome="audit").values_list("case", flat=True), lead)
    made.add(60, confidence=0.97, error=0.9, seed=3)
    look()
    work("data")
    waiting = policy.decisions.filter(outcome="audit", judged_at__isnull=True)
    made.review(waiting.values_list("case", flat=True), lead)
    request_preview(
        corpus=made.corpus, guideline=made.guideline, max_error=0.05, by=lead,
        error_rules={"crash_recognition": {"rule": "differs"}},
    )  # fmt: skip
    look()
    work("data")
    return made


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_meets_wcag_aa(page: Page, sign_in: SignIn, lead: User, world: World, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    sign_in(lead, f"/corpora/{world.corpus.pk}/policy")
    expect(page.locator("svg.plot--policy")).to_be_visible()
    expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert problems(page) == []
    if folder := os.environ.get("CRASHDESK_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"policy-{scheme}.png", full_page=True)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_lead_previews_and_sets_up_a_policy_with_the_form(page: Page, sign_in: SignIn, lead: User) -> None:
    world = World.made()
    world.add(20)
    sign_in(lead, f"/corpora/{world.corpus.pk}/policy")
    page.get_by_label("At most wrong, %").fill("4")
    page.get_by_label("Causal reasoning", exact=True).uncheck()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("The preview waits for a worker")).to_be_visible()
    args = Job.objects.get().args
    assert args["max_error"] == 0.04
    assert set(args["error_rules"]) == set(Kind.values) - {Kind.CAUSAL_REASONING}
    assert args["error_rules"][Kind.CRASH_LOCALIZATION] == {"rule": "tiou_below", "value": 0.5}
    page.get_by_label("Sample, cases").fill("3")
    page.get_by_role("button", name="Set up and draw the sample").click()
    expect(page.get_by_role("alert").filter(has_text="it takes")).to_be_visible()
    page.get_by_label("Sample, cases").fill("")
    page.get_by_role("button", name="Set up and draw the sample").click()
    expect(page.get_by_text("Nothing is approved yet.")).to_be_visible()
    policy = Policy.objects.get()
    assert (policy.max_error, policy.audit_share, policy.evidence) == (0.05, 0.1, "blind")
    assert policy.sample_size > 100
