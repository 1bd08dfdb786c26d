"""The pages over the real services, in a real browser. Redraw the README's picture with CRASHDESK_SCREENSHOTS=1."""

import os

import pytest
from playwright.sync_api import Browser, Page, expect

from crashdesk.embedded.config import secrets
from tests.e2e.stack import Stack
from tests.e2e.test_loop import Loop
from tests.shared_data import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture
def page(browser: Browser, stack: Stack) -> Page:
    """Signed in as the lead, through the form."""
    if not any(corpus["name"] == "walk" for corpus in stack.client().all("corpora")):
        pytest.skip("shows what tests/e2e/test_loop.py leaves behind: run that file too")
    page = browser.new_context(base_url=stack.url, viewport={"width": 1360, "height": 900}).new_page()
    page.set_default_timeout(20_000)
    page.goto("/")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(secrets(stack.home).admin_password)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="The loop")).to_be_visible()
    return page


def test_the_loop_page_follows_a_running_prediction(stack: Stack, page: Page) -> None:
    loop = Loop(stack)
    run = loop.client.post("prediction-runs", loop.room("walk"))
    expect(page.locator(".job").first).to_be_visible()
    if os.environ.get("CRASHDESK_SCREENSHOTS") == "1":
        page.screenshot(path=ROOT / "docs" / "images" / "loop.png", full_page=True)
    loop.client.wait_until(
        "the run ends",
        lambda: loop.client.get(f"prediction-runs/{run['id']}")["progress"]["queued"] == 0,
        timeout_s=300,
    )
    numbers = page.locator("main").inner_text()
    assert str(len(loop.cases("walk", status="approved"))) in numbers


def test_the_clip_seeks_and_the_case_leads_to_label_studio(stack: Stack, page: Page) -> None:
    case = Loop(stack).cases("walk", status="approved")[0]
    page.goto(f"/cases/{case['id']}")
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    for _ in range(2):  # one second each
        page.keyboard.press("Shift+ArrowRight")
    page.wait_for_function("document.querySelector('video').currentTime > 1.9")
    assert page.evaluate("document.querySelector('video').currentTime") == pytest.approx(2.0, abs=0.11)
    link = page.get_by_role("link", name="Open in Label Studio").get_attribute("href") or ""
    assert link.startswith(stack.labelstudio_url)
    assert "task=" in link
