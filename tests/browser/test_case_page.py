"""The page of a case in a real browser: frames that are exactly the frames asked for, keys, decisions."""

import pytest
from playwright.sync_api import Page, expect

from annotations.cases.models import Case, CaseStatus
from annotations.cases.rules import Said
from annotations.corpora.models import Media
from crashdesk.accounts.models import User
from tests import factories
from tests.browser.conftest import SignIn
from tests.unit.annotations.corpora.media.clips import BAR, BITS

SAID = {
    **factories.CRASH,
    "crash_localization": Said("valued", {"start_us": 1_000_000, "end_us": 2_000_000}),
    "pre_crash_localization": Said("valued", {"at_us": 500_000}),
}
READ_PICTURE = f"""video => {{
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  const row = context.getImageData(0, 20, canvas.width, 1).data;
  let number = 0;
  for (let bit = 0; bit < {BITS}; bit += 1) {{
    if (row[4 * (bit * {BAR} + {BAR // 2})] > 127) number += 2 ** bit;
  }}
  return number;
}}"""


@pytest.fixture
def case(clip: Media) -> Case:
    """Submitted, with a span from frame 30 to 60 and a cue at frame 15."""
    return factories.make_case(CaseStatus.SUBMITTED, said=SAID, video=factories.make_video(media=clip))


@pytest.fixture
def watching(case: Case, sign_in: SignIn, lead: User) -> Page:
    page = sign_in(lead, f"/cases/{case.pk}")
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    return page


def picture(page: Page) -> int:
    """The frame number drawn into the picture on screen, once seeking has come to rest."""
    page.wait_for_function(
        "(() => { const v = document.querySelector('video'); return !v.seeking && v.readyState >= 2; })()"
    )
    page.wait_for_timeout(60)
    return int(page.locator("video").evaluate(READ_PICTURE))


def shows(page: Page, frame: int) -> None:
    expect(page.locator("[data-frame-text]")).to_have_text(f"frame {frame + 1} of 90")
    assert picture(page) == frame


def test_the_video_really_seeks(watching: Page) -> None:
    video = watching.locator("video")
    assert video.evaluate("v => v.seekable.length > 0 && v.seekable.end(0) > 2.9")
    shows(watching, 0)
    scale = watching.get_by_role("slider", name="Position in the clip")
    box = scale.bounding_box()
    assert box is not None
    watching.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + box["height"] / 2)
    shows(watching, 45)
    assert video.evaluate("v => v.currentTime") == pytest.approx(45.5 / 30, abs=1e-3)
    assert scale.get_attribute("aria-valuetext") == "1.500 seconds, frame 46 of 90"


def test_keys_step_frames_and_seconds_and_lose_none(watching: Page) -> None:
    for _ in range(3):
        watching.keyboard.press("ArrowRight")
    shows(watching, 3)
    watching.keyboard.press("ArrowLeft")
    shows(watching, 2)
    watching.keyboard.press("Shift+ArrowRight")
    shows(watching, 32)
    watching.evaluate(
        """() => { for (let n = 0; n < 30; n += 1)
             document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true})); }"""
    )
    shows(watching, 62)
    for _ in range(3):
        watching.keyboard.press("Shift+ArrowRight")
    shows(watching, 89)


def test_brackets_jump_between_edges(watching: Page) -> None:
    for frame in (15, 30, 60):
        watching.keyboard.press("]")
        shows(watching, frame)
    watching.keyboard.press("[")
    shows(watching, 30)


def test_playing_and_pausing_rests_on_the_frame_that_is_named(watching: Page) -> None:
    watching.keyboard.press("Space")
    watching.wait_for_function("document.querySelector('video').currentTime > 0.4")
    watching.keyboard.press("Space")
    expect(watching.get_by_role("button", name="Play", exact=True)).to_be_visible()
    watching.wait_for_timeout(200)
    named = watching.locator("[data-frame-text]").inner_text()
    assert picture(watching) == int(named.split()[1]) - 1 > 0


def test_a_time_of_an_answer_seeks_to_it(watching: Page) -> None:
    watching.locator(
        '[data-kind="crash_localization"] [data-column="Draft"] [data-seek-us="1000000"]'
    ).click()
    shows(watching, 30)


def test_single_keys_can_be_switched_off_and_stay_off(watching: Page) -> None:
    watching.keyboard.press("?")
    switch = watching.get_by_label("Single keys work anywhere on the page")
    expect(switch).to_be_checked()
    switch.uncheck()
    watching.keyboard.press("Escape")
    watching.keyboard.press("ArrowRight")
    shows(watching, 0)
    watching.reload()
    watching.wait_for_function("document.querySelector('video').readyState >= 2")
    watching.keyboard.press("ArrowRight")
    shows(watching, 0)
    watching.get_by_role("slider").focus()
    watching.keyboard.press("ArrowRight")
    shows(watching, 1)


def test_typing_a_reason_is_no_shortcut(watching: Page) -> None:
    address = watching.url
    watching.get_by_text("Return…").click()
    watching.get_by_label("What has to change").press_sequentially("just a joke? [k] ")
    expect(watching.get_by_label("What has to change")).to_have_value("just a joke? [k] ")
    shows(watching, 0)
    assert watching.url == address


def test_j_and_k_walk_through_the_narrowed_list(watching: Page, case: Case) -> None:
    other = factories.make_case(CaseStatus.SUBMITTED)
    factories.make_case(CaseStatus.READY)
    watching.goto(f"/cases/{case.pk}?status=submitted")
    watching.keyboard.press("k")
    watching.wait_for_url(f"**/cases/{other.pk}?status=submitted")
    watching.keyboard.press("j")
    watching.wait_for_url(f"**/cases/{case.pk}?status=submitted")


def test_a_refused_approval_says_why_and_a_good_one_shows(watching: Page, case: Case) -> None:
    Case.objects.filter(pk=case.pk).update(status=CaseStatus.IN_REVIEW)
    watching.get_by_role("button", name="Approve the answers").click()
    expect(watching.locator("form[data-post$=approve] [role=alert]")).to_contain_text(
        "only what was submitted is approved"
    )
    Case.objects.filter(pk=case.pk).update(status=CaseStatus.SUBMITTED)
    watching.get_by_role("button", name="Approve the answers").click()
    expect(watching.locator("h1 .pill")).to_have_text("Approved")
    expect(watching.locator("[data-flash]")).to_contain_text(f"Case {case.pk} is approved.")
    assert Case.objects.get(pk=case.pk).approved.count() == 6


def test_a_return_needs_a_reason_and_shows_it(watching: Page, case: Case) -> None:
    watching.get_by_text("Return…").click()
    button = watching.get_by_role("button", name="Return to the annotator")
    button.click()
    case.refresh_from_db()
    assert case.status == CaseStatus.SUBMITTED
    watching.get_by_label("What has to change").fill("   ")
    button.click()
    expect(watching.locator("form[data-post$=return-with-comment] [role=alert]")).to_contain_text(
        "text: This field may not be blank."
    )
    watching.get_by_label("What has to change").fill("The span starts too late")
    button.click()
    expect(watching.get_by_text("Returned: The span starts too late")).to_be_visible()
    expect(watching.locator(".said-text")).to_have_text("The span starts too late")


def test_a_clip_that_cannot_be_loaded_is_named(case: Case, sign_in: SignIn, lead: User, page: Page) -> None:
    page.route("**/proxy", lambda route: route.fulfill(status=404, body=""))
    sign_in(lead, f"/cases/{case.pk}")
    expect(page.locator("[data-video-error]")).to_contain_text("could not be played")
