"""The audit's page in a browser: fit for everybody, at any width, and a finding accepted on the spot."""

import pytest
from playwright.sync_api import Page, expect

from annotations.cases.models import Answer
from annotations.corpora.models import Corpus
from annotations.corpus_audit.auditing import audit_corpus
from annotations.corpus_audit.models import FindingAcknowledgement
from crashdesk.accounts.models import User
from tests.browser.conftest import SignIn
from tests.browser.test_accessibility import problems
from tests.factories import make_case, make_corpus, make_guideline, make_video


@pytest.fixture
def audited(lead: User) -> Corpus:
    """A corpus whose source gives the label away and whose splits share recordings, audited twice."""
    corpus, guideline = make_corpus("Two roads"), make_guideline()
    for number in range(40):
        video = make_video(
            corpus,
            source="AB"[number % 2],
            recording=f"recording {number // 4}",
            split=("train", "val")[number % 4 == 0],
        )
        Answer.objects.create(
            case=make_case(video=video, guideline=guideline), kind="crash_recognition", state="valued",
            value={"label": "yes" if number % 2 else "no"}, author_kind="import", origin="file",
        )  # fmt: skip
        if number == 38:
            audit_corpus(corpus, by=lead)
    audit_corpus(corpus, by=lead)
    return corpus


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_audit_meets_wcag_aa(
    page: Page, sign_in: SignIn, lead: User, audited: Corpus, scheme: str
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    sign_in(lead, f"/corpora/{audited.pk}/audit")
    expect(page.locator("svg.plot").first).to_be_visible()
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert problems(page) == []
    page.get_by_role("link", name="All clips of this finding").first.click()
    page.get_by_role("table").wait_for()
    assert problems(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"/corpora/{audited.pk}/audit")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_lead_accepts_a_finding_and_takes_it_back(
    page: Page, sign_in: SignIn, lead: User, audited: Corpus
) -> None:
    sign_in(lead, f"/corpora/{audited.pk}/audit")
    finding = page.locator("section.finding", has_text="Source answers: crash recognition")
    finding.get_by_text("Acknowledge…").click()
    finding.get_by_label("Why it may stay").fill("We score each source by itself.")
    finding.get_by_role("button", name="Acknowledge", exact=True).click()
    expect(finding).to_contain_text("Acknowledged by the-lead")
    assert FindingAcknowledgement.objects.get().reason == "We score each source by itself."
    finding.get_by_role("button", name="Withdraw").click()
    expect(finding.get_by_text("Acknowledge…")).to_be_visible()
    assert FindingAcknowledgement.objects.get().withdrawn_by == lead
