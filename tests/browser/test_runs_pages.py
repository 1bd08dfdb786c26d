"""Prediction runs in a browser: chosen with a dry run at hand, started, held, resumed, and a failed case looked at."""

import pytest
from playwright.sync_api import Page, expect

from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from model_assist.predictions.models import PredictionRun
from tests import factories
from tests.browser.conftest import SignIn
from tests.browser.test_accessibility import problems


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no broker to ask and none to wake."""
    monkeypatch.setattr("model_assist.predictions.estimate.somebody_listens", lambda: False)
    monkeypatch.setattr("crashdesk.jobs.services.wake", lambda queue: None)
    monkeypatch.setattr("model_assist.predictions.services.wake", lambda queue: None)


def test_a_run_from_the_form_to_a_failed_case(sign_in: SignIn, lead: User) -> None:
    corpus = factories.make_corpus("Two roads")
    for number in range(5):
        factories.make_case(video=factories.make_video(corpus, split=("train", "val")[number > 1]))
    factories.make_model_version("the-model")
    page = sign_in(lead, "/runs")
    page.get_by_role("link", name="Start the first one").click()
    start = page.get_by_role("button", name="Start the run")
    expect(start).to_have_text("Start the run with 5 cases")
    page.get_by_label("Split").select_option("val")
    expect(start).to_have_text("Start the run with 3 cases")
    preview = page.locator("[data-preview]")
    expect(preview).to_contain_text("No run of this model version was measured yet")
    expect(preview).to_contain_text("No worker of the gpu queue answered")
    assert problems(page) == []
    page.get_by_label("At most").fill("2")
    page.keyboard.press("Enter")
    expect(page.locator("[data-progress]")).to_contain_text("waits for a free worker")
    run = PredictionRun.objects.get()
    assert run.filters == {"split": "val", "limit": 2}

    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-progress]")).to_contain_text("held since")
    assert problems(page) == []
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()

    factories.work_on(run)
    expect(page.locator("[data-progress]")).to_contain_text("1 of 2 answered")
    failed = factories.work_on(
        run, error=Problem("frames_unreadable", "the clip ends in the middle of a frame")
    )
    expect(page.locator("[data-progress]")).to_contain_text("over, 1 without an answer")
    page.get_by_role("link", name="1 failed").click()
    row = page.get_by_role("row", name=f"Case {failed.case_id}")
    expect(row).to_contain_text("the clip ends in the middle of a frame")
    assert problems(page) == []
    row.get_by_role("button", name=f"Try case {failed.case_id} again").click()
    expect(page.get_by_role("status").first).to_contain_text("is tried again")
    expect(page.locator("[data-progress]")).to_contain_text("waits for a free worker")


def test_run_pages_fit_a_narrow_screen(page: Page, sign_in: SignIn, lead: User) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    run = factories.make_prediction_run(cases=3, done=1, failed=1)
    for address in ("/runs", "/runs/new", f"/runs/{run.pk}", f"/runs/{run.pk}?state=failed"):
        sign_in(lead, address)
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
