"""The first page in a real browser: sign in, numbers that move by themselves, jobs that can be cancelled."""

import uuid
from datetime import timedelta

from django.utils import timezone
from playwright.sync_api import Page, expect

from annotations.cases.models import CaseStatus
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from tests import factories
from tests.browser.conftest import SignIn


def running_job() -> Job:
    return Job.objects.create(
        kind="train", queue="gpu", state=JobState.RUNNING, token=uuid.uuid4(), progress_done=4, progress_total=10,
        message="epoch 1", lease_until=timezone.now() + timedelta(minutes=5), corpus_id=factories.make_corpus().pk,
    )  # fmt: skip


def test_a_person_signs_in_and_sees_the_numbers_move(page: Page, lead: User) -> None:
    lead.set_password("a long enough one")
    lead.save()
    factories.make_case(CaseStatus.PREDICTED)
    page.goto("/")
    page.get_by_label("User name").fill(lead.username)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not match")
    page.get_by_label("Password").fill("a long enough one")
    page.get_by_role("button", name="Sign in").click()
    number = page.locator('[data-step="predicted"] [data-value]')
    expect(number).to_have_text("1")
    factories.make_case(CaseStatus.PREDICTED)
    expect(number).to_have_text("2")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_running_job_shows_its_progress_and_can_be_cancelled(sign_in: SignIn, lead: User) -> None:
    job = running_job()
    page = sign_in(lead, "/")
    row = page.locator(".job", has_text="Train")
    expect(row).to_contain_text("4 of 10")
    row.get_by_role("button", name="Cancel").click()
    expect(row).to_contain_text("Stopping")
    job.refresh_from_db()
    assert job.cancel_requested


def test_a_refused_cancel_says_why(sign_in: SignIn, lead: User) -> None:
    job = running_job()
    page = sign_in(lead, "/")
    page.route("**/api/loop", lambda route: route.abort())
    Job.objects.filter(pk=job.pk).update(state=JobState.DONE, token=None, lease_until=None)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".job [data-error]")).to_contain_text("has ended already")


def test_an_annotator_sees_progress_without_buttons(sign_in: SignIn, annotator: User) -> None:
    running_job()
    page = sign_in(annotator, "/")
    expect(page.locator(".job", has_text="Train")).to_contain_text("4 of 10")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)


def test_new_records_appear_without_a_reload(sign_in: SignIn, engineer: User) -> None:
    page = sign_in(engineer, "/")
    expect(page.locator("#models")).to_contain_text("No model is registered")
    factories.make_model_version("night-rider")
    expect(page.locator("#models")).to_contain_text("night-rider")


def test_a_model_is_promoted_with_a_reason(sign_in: SignIn, engineer: User) -> None:
    first = factories.make_model_version("first")
    type(first).objects.filter(pk=first.pk).update(in_use=True)
    second = factories.make_model_version("second")
    type(first).objects.filter(pk=second.pk).update(in_use=False)
    page = sign_in(engineer, "/")
    row = page.locator("#models tr", has_text="second")
    row.get_by_text("Promote…").click()
    row.get_by_label("Why this model").fill("better spans")
    row.get_by_role("button", name="Put second in use").click()
    expect(page.locator('[data-step="model"] [data-value]')).to_have_text("second")
    expect(page.locator("#models tr.current")).to_contain_text("better spans")
