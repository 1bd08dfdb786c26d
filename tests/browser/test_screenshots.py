"""The pictures in docs/images: CRASHDESK_SCREENSHOTS=1 python -m pytest tests/browser/test_screenshots.py"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from crashdesk.accounts.models import User
from tests.browser.conftest import SignIn
from tests.browser.scene import furnish

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"


@pytest.mark.skipif(
    os.environ.get("CRASHDESK_SCREENSHOTS") != "1", reason="set CRASHDESK_SCREENSHOTS=1 to redraw"
)
def test_draw_the_pictures_of_the_documentation(
    page: Page, sign_in: SignIn, admin: User, tmp_path: Path
) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    case = furnish(tmp_path, admin, clips=12)
    page.goto("/login")
    page.screenshot(path=IMAGES / "login.png")
    sign_in(admin, "/")
    expect(page.locator(".job").first).to_be_visible()
    page.goto("/cases")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=IMAGES / "cases.png")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(f"/cases/{case.pk}")
        page.wait_for_function("document.querySelector('video').readyState >= 2")
        for _ in range(3):
            page.keyboard.press("]")
        page.wait_for_function("!document.querySelector('video').seeking")
        page.wait_for_timeout(800)
        page.screenshot(path=IMAGES / f"case-{scheme}.png", full_page=True)
