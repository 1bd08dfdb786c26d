"""A dispute decided in a real browser with the keyboard, and the forms of plans and gold cases."""

import pytest
from playwright.sync_api import Page, expect

from annotations.cases.kinds import Kind
from annotations.cases.models import ApprovedAnswer, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.corpora.models import Media
from annotations.gold.models import GoldCase
from annotations.reviews.models import Choice, Dispute
from annotations.reviews.plans import current_plan
from crashdesk.accounts.models import User
from tests.browser.conftest import SignIn
from tests.disputes_made import make_dispute
from tests.factories import CRASH, make_case, make_corpus

CAUSE, SPAN = Kind.CAUSAL_REASONING.value, Kind.CRASH_LOCALIZATION.value
EARLY = {**CRASH, SPAN: Said("valued", {"start_us": 1_200_000, "end_us": 1_800_000})}
LATE = {
    **CRASH,
    SPAN: Said("valued", {"start_us": 2_200_000, "end_us": 2_800_000}),
    CAUSE: Said("valued", {"text": "Ice on the bridge."}),
}


@pytest.fixture
def dispute(clip: Media) -> Dispute:
    """About the span and the cause, of a clip of three seconds."""
    return make_dispute(EARLY, LATE, media=clip)


@pytest.fixture
def deciding(dispute: Dispute, sign_in: SignIn, reviewer: User) -> Page:
    page = sign_in(reviewer, f"/disputes/{dispute.pk}")
    page.get_by_role("button", name="Decide this dispute").click()
    expect(page.locator("[data-left]")).to_have_text("Still to decide: Cause, Crash span.")
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    return page


def test_a_dispute_is_decided_with_keys_alone(deciding: Page, dispute: Dispute, reviewer: User) -> None:
    page = deciding
    page.keyboard.press("2")  # the first task in dispute is the cause
    expect(page.locator("[data-left]")).to_have_text("Still to decide: When it crashes")
    expect(page.locator(f"[data-kind={CAUSE}] [data-side=second]")).to_have_attribute("data-chosen", "")
    page.keyboard.press("3")  # and now the span, in one's own times
    page.keyboard.press("Control+A")
    page.keyboard.type("1.25")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("2.000001")
    page.keyboard.press("Enter")
    expect(page.locator("[data-left]")).to_have_text("Everything in dispute is decided.")
    expect(page.locator("[data-lane=approved] .timeline__span")).to_be_visible()
    page.keyboard.press("a")
    expect(page.locator("[data-flash]")).to_have_text(f"Case {dispute.case_id} is approved as decided.")
    counts = {one.kind: one.answer for one in ApprovedAnswer.objects.filter(case=dispute.case_id)}
    assert counts[SPAN].value == {"start_us": 1_250_000, "end_us": 2_000_001}
    assert counts[SPAN].author == reviewer
    assert counts[CAUSE].pk == dispute.compared[CAUSE]["second"]["answer"]
    assert dict(dispute.rulings.values_list("kind", "choice"))[CAUSE] == Choice.SECOND
    assert Case.objects.get(pk=dispute.case_id).status == CaseStatus.APPROVED


def test_times_come_from_the_clip_and_nonsense_is_refused(deciding: Page, dispute: Dispute) -> None:
    page = deciding
    task = page.locator(f"[data-kind={SPAN}]")
    task.get_by_role("button", name="Neither, say it yourself").click()
    task.get_by_label("Start, seconds").fill("half past")
    task.get_by_role("button", name="Take this").last.click()
    expect(task.locator("[data-error]")).to_have_text("Times are seconds, for example 2.35.")
    page.keyboard.press("Escape")
    page.locator("[data-step='1']").click()
    page.locator("[data-step='1']").click()
    task.get_by_role("button", name="Neither, say it yourself").click()
    task.get_by_role("button", name="from the clip").first.click()
    expect(task.get_by_label("Start, seconds")).to_have_value("0.066667")
    assert not dispute.rulings.exists()


def test_what_a_mixture_breaks_is_said_at_once(deciding: Page) -> None:
    task = deciding.locator(f"[data-kind={Kind.CRASH_RECOGNITION.value}]")
    task.get_by_role("button", name="Neither, say it yourself").click()
    task.get_by_label("No crash").check()
    task.get_by_role("button", name="Take this").last.click()
    expect(deciding.locator("[data-findings]")).to_contain_text(
        "no crash, yet pre_crash_localization gives a time"
    )


def test_a_plan_is_set_in_percent(sign_in: SignIn, lead: User) -> None:
    corpus = make_corpus()
    page = sign_in(lead, f"/corpora/{corpus.pk}/plan")
    page.get_by_label("Answered by two people, % of cases").fill("12.5")
    page.get_by_label("Crash span, %").fill("60")
    page.get_by_role("button", name="Make this the plan").click()
    expect(page.locator("[data-flash]")).to_have_text("The plan has a new version.")
    plan = current_plan(corpus)
    assert (plan.version, plan.double_share, plan.thresholds) == (2, 0.125, {SPAN: 0.6})
    assert plan.double_seed > 0


def test_a_case_is_made_gold_with_tolerances_in_seconds(sign_in: SignIn, lead: User, clip: Media) -> None:
    case = make_case(CaseStatus.APPROVED)
    page = sign_in(lead, f"/gold?corpus={case.corpus_id}")
    page.get_by_label("Approved case, number").fill(str(case.pk))
    page.get_by_label("Onset may be off, s").fill("0.25")
    page.get_by_label("Cause, % other words").fill("30")
    page.get_by_role("button", name="Make it gold").click()
    expect(page.locator("[data-flash]")).to_have_text("The case is gold now.")
    gold = GoldCase.objects.get(case=case)
    assert gold.tolerances == {Kind.PRE_CRASH_LOCALIZATION.value: 250_000, CAUSE: 0.3}
