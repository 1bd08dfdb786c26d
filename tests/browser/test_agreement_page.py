"""The page about agreement in a browser: fit for everybody, at any width, and the second look is one click away."""

import os
import random
import re
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from annotations.cases.kinds import Kind
from annotations.corpora.models import Corpus
from crashdesk.accounts.models import User
from tests.browser.conftest import SignIn
from tests.browser.test_accessibility import problems
from tests.factories import CRASH, make_corpus, make_guideline
from tests.unit.annotations.quality.made import DAY, NO, case_of, onset, review, span, text


@pytest.fixture
def reviewed(lead: User, reviewer: User, annotator: User) -> Corpus:
    """Three people, three months, half of the cases with drafts; one case that two people see quite differently."""
    corpus, guideline, draw = make_corpus("Two roads"), make_guideline(), random.Random(3)
    people = [lead, reviewer, annotator]
    for number in range(60):
        case = case_of(
            corpus, guideline, drafted=number % 2 == 0, source=("town", "motorway")[number % 3 == 0]
        )
        for person in draw.sample(people, 2):
            begin = 2 + draw.uniform(-0.3, 0.3)
            said = {
                **CRASH,
                Kind.CRASH_LOCALIZATION: span(begin, begin + 1.5),
                Kind.PRE_CRASH_LOCALIZATION: onset(begin - draw.uniform(0.2, 1.2)),
                Kind.CRASH_DESCRIPTION: text(
                    draw.choice(["car hits a truck.", "A car hits a van.", "truck turns"])
                ),
            }
            if draw.random() < 0.1:
                said |= NO
            review(case, person, said, at=DAY + timedelta(days=number * 1.4))
    return corpus


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_meets_wcag_aa(
    page: Page, sign_in: SignIn, lead: User, reviewed: Corpus, scheme: str
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    sign_in(lead, f"/agreement?corpus={reviewed.pk}")
    expect(page.locator("svg.plot").first).to_be_visible()
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert problems(page) == []
    if folder := os.environ.get("CRASHDESK_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"agreement-{scheme}.png", full_page=True)
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto("/agreement")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_from_the_corpus_to_the_case_that_needs_a_second_look(
    page: Page, sign_in: SignIn, lead: User, reviewed: Corpus
) -> None:
    sign_in(lead, f"/corpora/{reviewed.pk}")
    page.get_by_role("main").get_by_role("link", name="Agreement").click()
    page.get_by_role("combobox", name="Kind").select_option("Crash or not")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="Crash or not")).to_be_visible()
    expect(page.get_by_role("heading", name="Onset")).to_have_count(0)
    page.get_by_role("region", name="For a second look").get_by_role("link").first.click()
    expect(page).to_have_url(re.compile(r"/cases/\d+$"))
