"""Every page, light and dark, against axe-core's WCAG 2.1 AA rules; by keyboard; and at the width of a telephone."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from annotations.corpora.models import Media
from crashdesk.accounts.models import User
from tests.browser.conftest import SIZE, SignIn
from tests.browser.corpora_scene import enliven
from tests.browser.review_scene import at_work, nothing_yet
from tests.browser.scene import furnish

WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")
BY_SCHEME = {"light": WCAG, "dark": ("color-contrast",)}
REACH = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']"
MARK = f"""() => {{
    const groups = new Set();
    const counts = (element) => {{
        const seen = element.checkVisibility({{visibilityProperty: true}});
        if (element.disabled || element.tabIndex < 0 || !seen) return false;
        if (element.type !== "radio") return true;
        const first = !groups.has(element.name);
        groups.add(element.name);
        return first;
    }};
    const left = [...document.querySelectorAll("{REACH}")].filter(counts);
    window.outOfReach = new Map(left.map((element) => [element, element.outerHTML.slice(0, 160)]));
    const drawn = (style) => style.outlineStyle !== "none" || style.boxShadow !== "none";
    document.addEventListener("focusin", ({{target}}) => {{
        if (!drawn(getComputedStyle(target))) return;
        const group = (one) => one.type === "radio" && one.name === target.name;
        for (const one of window.outOfReach.keys()) if (one === target || group(one)) window.outOfReach.delete(one);
    }});
    const parts = left.filter((element) => element.type === "date").length;
    document.activeElement.blur();
    return left.length + 3 * parts + 1;
}}"""


def problems(page: Page, rules: Sequence[str] = WCAG) -> list[str]:
    """What axe finds, one line per element."""
    found = Axe().run(page, options={"runOnly": rules, "resultTypes": ["violations"]}).response["violations"]
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


def narrow_problems(page: Page) -> list[str]:
    """What a telephone's width brings up: a page that is too wide, and parts that only a mouse can scroll."""
    page.set_viewport_size({"width": 360, "height": 740})
    wide = page.evaluate("document.documentElement.scrollWidth")
    found = [f"{wide} px wide on 360"] if wide > 360 else []
    found += problems(page, ["scrollable-region-focusable"])
    page.set_viewport_size(SIZE)  # type: ignore[arg-type]
    return found


def out_of_reach(page: Page) -> list[str]:
    """What a person without a mouse cannot get to with Tab, or gets to without seeing it; of radio buttons one is
    enough, as the arrow keys reach the others."""
    for _ in range(page.evaluate(MARK)):
        page.keyboard.press("Tab")
    left: list[str] = page.evaluate("[...window.outOfReach.values()]")
    return left


def looked_over(page: Page, sign_in: SignIn, person: User, addresses: Sequence[str]) -> str:
    """Each address in both schemes, narrow, and by keyboard: all that is wrong, a line each, with the address."""
    wrong: list[str] = []
    sign_in(person, addresses[0])
    for address in addresses:
        page.goto(address)
        page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        found = out_of_reach(page)
        for scheme, rules in BY_SCHEME.items():
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            found += [f"{scheme}: {problem}" for problem in problems(page, rules)]
        found += narrow_problems(page)
        wrong += [f"{address}: {one}" for one in found]
    return "\n".join(wrong)


@pytest.mark.slow
def test_pages_of_the_workflow_with_much_on_them(
    page: Page, sign_in: SignIn, lead: User, clip: Media
) -> None:
    assert looked_over(page, sign_in, lead, at_work(lead, clip)) == ""


@pytest.mark.slow
def test_pages_of_the_workflow_with_nothing_on_them(page: Page, sign_in: SignIn, lead: User) -> None:
    assert looked_over(page, sign_in, lead, nothing_yet()) == ""
