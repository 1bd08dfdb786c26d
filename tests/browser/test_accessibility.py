"""Every page, light and dark, against axe-core's WCAG 2.1 AA rules; and at the width of a telephone."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from crashdesk.accounts.models import User
from tests.browser.conftest import SignIn
from tests.browser.corpora_scene import enliven
from tests.browser.scene import furnish

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}


def problems(page: Page) -> list[str]:
    """What axe finds, one line per element."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:160]} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.slow
def test_pages_meet_wcag_aa(page: Page, sign_in: SignIn, admin: User, tmp_path: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    case = furnish(tmp_path, admin)
    page.goto("/login")
    assert problems(page) == []
    for address in ("/", "/cases", f"/cases/{case.pk}", *enliven(case.corpus, tmp_path, admin)):
        sign_in(admin, address)
        page.wait_for_timeout(200)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert problems(page) == [], address


def test_nothing_sticks_out_on_a_narrow_screen(
    page: Page, sign_in: SignIn, admin: User, tmp_path: Path
) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    case = furnish(tmp_path, admin)
    for address in ("/", "/cases", f"/cases/{case.pk}", *enliven(case.corpus, tmp_path, admin)):
        sign_in(admin, address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
