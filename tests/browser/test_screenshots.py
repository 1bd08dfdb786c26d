"""The pictures in docs/images: CRASHDESK_SCREENSHOTS=1 python -m pytest tests/browser/test_screenshots.py"""

import io
import os
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from crashdesk.accounts.models import User
from tests.browser.conftest import SignIn
from tests.browser.review_scene import at_work
from tests.browser.scene import demo_clips, furnish

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
MOST_BYTES = 200_000

pytestmark = pytest.mark.skipif(
    os.environ.get("CRASHDESK_SCREENSHOTS") != "1", reason="set CRASHDESK_SCREENSHOTS=1 to redraw"
)


def keep(
    page: Page, name: str, *, full: bool = False, method: Image.Quantize = Image.Quantize.MEDIANCUT
) -> None:
    """A picture of the page, or of what is in view, in as many colours as its size allows.

    `method` chooses them: MAXCOVERAGE keeps rare ones, and tints large areas a little.
    """
    path = IMAGES / f"{name}.png"
    with Image.open(io.BytesIO(page.screenshot(full_page=full))) as picture:
        for colours in (256, 128, 64, 32):
            few = picture.convert("RGB").quantize(colours, method, dither=Image.Dither.NONE)
            few.save(path, optimize=True)
            if path.stat().st_size < MOST_BYTES:
                return
    raise AssertionError(f"{name}: {path.stat().st_size} bytes in {colours} colours")


def test_draw_the_pictures_of_the_documentation(
    page: Page, sign_in: SignIn, admin: User, tmp_path: Path
) -> None:
    case = furnish(tmp_path, admin, clips=12)
    page.goto("/login")
    keep(page, "login")
    sign_in(admin, "/")
    expect(page.locator(".job").first).to_be_visible()
    page.goto("/cases")
    page.wait_for_load_state("networkidle")
    keep(page, "cases")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(f"/cases/{case.pk}")
        page.wait_for_function("document.querySelector('video').readyState >= 2")
        for _ in range(3):
            page.keyboard.press("]")
        page.wait_for_function("!document.querySelector('video').seeking")
        page.wait_for_timeout(800)
        keep(page, f"case-{scheme}", full=True)


def test_draw_the_pictures_of_the_review(page: Page, sign_in: SignIn, lead: User, tmp_path: Path) -> None:
    clip = next(one.media for one in demo_clips(tmp_path, 12) if one.crash)
    addresses = at_work(lead, clip)
    sign_in(lead, "/work")
    keep(page, "queue")
    page.goto(next(one for one in addresses if one.startswith("/disputes/")))
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    page.keyboard.press("]")
    page.wait_for_function("!document.querySelector('video').seeking")
    page.wait_for_timeout(500)
    keep(page, "adjudication", full=True, method=Image.Quantize.MAXCOVERAGE)
    page.goto(next(one for one in addresses if one.startswith("/effort?")))
    keep(page, "effort")
