"""The page of a model's calibrations in a browser: fit for everybody, at any width, and a fit asked for on the spot."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from annotations.cases.kinds import Kind
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job
from model_assist.calibration.work import fit
from model_assist.registry.models import ModelVersion
from tests.browser.conftest import SignIn
from tests.browser.test_accessibility import problems
from tests.factories import make_model_version
from tests.unit.model_assist.calibration.made import reviewed


@pytest.fixture
def model(lead: User) -> ModelVersion:
    """A model that is too sure of itself, calibrated on 400 reviewed answers."""
    made = make_model_version("tiny-2")
    reviewed(made, 400, lead, blind=0.1)
    fit(model_version=made, kind=Kind.CRASH_RECOGNITION, by=lead)
    return made


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_meets_wcag_aa(
    page: Page, sign_in: SignIn, lead: User, model: ModelVersion, scheme: str
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    sign_in(lead, f"/models/{model.pk}/calibration")
    expect(page.locator("svg.plot--square")).to_have_count(2)
    page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert problems(page) == []
    if folder := os.environ.get("CRASHDESK_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"calibration-{scheme}.png", full_page=True)
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_lead_asks_for_a_fit(page: Page, sign_in: SignIn, lead: User, model: ModelVersion) -> None:
    sign_in(lead, f"/models/{model.pk}/calibration")
    page.get_by_role("button", name="Fit now").click()
    expect(page.get_by_text("A fit waits for a worker")).to_be_visible()
    assert Job.objects.get().args["model_version"] == model.pk
