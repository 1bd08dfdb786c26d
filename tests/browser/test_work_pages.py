"""The pages of work in a real browser: keys, the comments on a moment, the lead's board."""

import pytest
from playwright.sync_api import Page, expect

from annotations.cases.models import Case, CaseStatus
from annotations.comments.models import Comment
from annotations.corpora.models import Media
from annotations.reviews.models import Assignment
from crashdesk.accounts.models import User
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from tests import factories
from tests.assign_made import bare_cases, drafted, given, people, planned_corpus
from tests.browser.conftest import SignIn


@pytest.fixture
def case(clip: Media) -> Case:
    return factories.make_case(CaseStatus.SUBMITTED, video=factories.make_video(media=clip))


def test_one_key_takes_the_next_case_and_opens_it(sign_in: SignIn, annotator: User) -> None:
    (case,) = drafted(planned_corpus())
    page = sign_in(annotator, "/work")
    page.keyboard.press("n")
    page.wait_for_url(f"**/review/{case.pk}")
    assert Assignment.objects.get().person == annotator
    page.goto("/work")
    expect(page.get_by_role("link", name=f"Answer case {case.pk}")).to_be_visible()
    page.get_by_role("button", name=f"Give back case {case.pk}").click()
    expect(page.locator("[data-flash]")).to_contain_text("is free for others")
    expect(page.get_by_text("Nothing is waiting for you by name")).to_be_visible()


def test_where_nothing_waits_it_says_so(sign_in: SignIn, annotator: User) -> None:
    page = sign_in(annotator, "/work")
    page.get_by_role("button", name="Next case").click()
    expect(page.locator("[data-take-said]")).to_contain_text("Nothing waits for you")


def test_a_comment_on_the_moment_on_screen_and_the_way_back_to_it(
    case: Case, sign_in: SignIn, lead: User, annotator: User
) -> None:
    page = sign_in(annotator, f"/cases/{case.pk}")
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.get_by_label("about the moment on screen").check()
    page.get_by_label("Say something").fill(f"Brake lights? @{lead.username} @nobody.here")
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.locator(".said-text")).to_have_text(f"Brake lights? @{lead.username} @nobody.here")
    expect(page.locator("[data-strangers]")).to_contain_text("@nobody.here")
    assert Comment.objects.get().at_us == 100_000
    page.locator("main").click(position={"x": 5, "y": 5})
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("[data-frame-text]")).to_have_text("frame 34 of 90")
    page.get_by_role("button", name="Go to 0.100 s").click()
    expect(page.locator("[data-frame-text]")).to_have_text("frame 4 of 90")


def test_a_mention_leads_from_the_header_to_the_comment_and_is_answered(
    case: Case, sign_in: SignIn, lead: User, annotator: User
) -> None:
    page = sign_in(annotator, f"/cases/{case.pk}")
    page.get_by_label("Say something").fill(f"@{lead.username} early?")
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.locator(".said-text")).to_have_count(1)
    page = sign_in(lead, "/")
    page.get_by_role("link", name="Inbox 1 unread").click()
    page.get_by_role("link", name="mentioned you").click()
    page.get_by_text("Reply", exact=True).first.click()
    page.get_by_label("Reply").fill("No, it fits.")
    page.get_by_role("button", name="Reply", exact=True).click()
    expect(page.locator(".thread__replies .said-text")).to_have_text("No, it fits.")
    page.get_by_role("button", name="Settle").click()
    expect(page.get_by_text("Settled by the-lead")).to_be_visible()
    page.get_by_role("button", name="Reopen").click()
    expect(page.get_by_role("button", name="Settle")).to_be_visible()
    page.get_by_text("Edit", exact=True).click()
    page.get_by_label("New words").fill("It fits.")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("edited").click()
    expect(page.locator(".said-before .said-text")).to_have_text("No, it fits.")


def do_next(queue: str) -> None:
    """What a worker would do now."""
    job = claim_next(queue)
    assert job is not None
    perform(job)


def test_a_lead_assigns_a_selection_and_releases_it(sign_in: SignIn, lead: User) -> None:
    corpus, (ann, bob) = planned_corpus(), people(2)
    cases = bare_cases(corpus, 3)
    page: Page = sign_in(lead, f"/board?corpus={corpus.pk}")
    assign = page.get_by_role("button", name="Assign 0")
    expect(assign).to_be_disabled()
    page.get_by_label(f"Choose case {cases[0].pk}").check()
    page.get_by_label(f"Choose case {cases[2].pk}").check()
    page.locator("select[name=to]").select_option(f"person:{ann.username}")
    page.get_by_role("button", name="Assign 2").click()
    told = page.locator("[data-progress]")
    expect(told).to_contain_text("waits for a free worker")
    do_next("data")
    expect(told).to_contain_text("2 assigned")
    expect(page.get_by_role("button", name="Assign 0")).to_be_disabled()
    page.locator("select[name=to]").select_option("round_robin")
    page.get_by_label("at most").fill("7")
    page.get_by_role("button", name="that match").click()
    expect(told).to_contain_text("waits for a free worker")
    do_next("data")
    expect(told).to_contain_text("1 assigned")
    page.get_by_role("link", name="With people").click()
    page.get_by_label("Choose all on this page").check()
    page.get_by_label("Why").fill("on leave")
    page.get_by_role("button", name="Release 3").click()
    expect(page.locator("[data-flash]")).to_contain_text("3 released.")
    assert not Assignment.objects.filter(state="open").exists()
    assert bob.pk


def test_evening_out(sign_in: SignIn, lead: User) -> None:
    corpus, (ann, bob) = planned_corpus(), people(2)
    for case in bare_cases(corpus, 4):
        given(case, ann)
    page = sign_in(lead, f"/board?corpus={corpus.pk}")
    page.get_by_role("button", name="Even out").click()
    expect(page.locator("[data-flash]")).to_contain_text("even")
    assert Assignment.objects.filter(person=bob, state="open").count() == 2
