"""The script that tells of activity, in a real browser: on a case's page, and from a page of another origin."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from django.test import Client
from playwright.sync_api import Browser, Page
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from annotations.cases.models import CaseStatus
from annotations.corpora.models import Media
from annotations.effort.models import Activity
from crashdesk.accounts.models import User
from tests import factories
from tests.browser.conftest import SignIn

TOLD = "crashdeskActivity.send()"


def told(page: Page) -> Activity:
    """Send what is held, and the batch that arrived."""
    with page.expect_response(lambda answer: answer.url.endswith("/api/activity")) as answer:
        page.evaluate(TOLD)
    assert answer.value.status == 200
    return Activity.objects.latest("id")


def test_a_cases_page_tells_when_somebody_did_something_and_nothing_else(
    clip: Media, sign_in: SignIn, annotator: User
) -> None:
    case = factories.make_case(CaseStatus.PREDICTED, video=factories.make_video(media=clip))
    with sign_in_page(sign_in, annotator, f"/cases/{case.pk}") as page:
        page.evaluate("document.dispatchEvent(new Event('pointermove'))")  # made by a script: nobody did it
        page.evaluate(TOLD)
        assert not Activity.objects.exists()
        page.mouse.move(200, 300)
        page.wait_for_timeout(1100)
        page.keyboard.press("ArrowRight")
        row = told(page)
    assert (row.person, row.case_id, row.place) == (annotator, case.pk, "case")
    assert len(row.moments_us) == 2
    assert (row.keys, row.typed) == (1, 0)


@contextmanager
def sign_in_page(sign_in: SignIn, user: User, address: str) -> Iterator[Page]:
    """The page once its script has a ticket, and nothing of it under way any more at the end."""
    page = sign_in(user, "/cases")
    with page.expect_response(lambda answer: answer.url.endswith("/api/activity/ticket")):
        page.goto(address)
    yield page
    page.goto("about:blank")


def test_what_is_left_when_the_page_is_left_arrives_too(
    clip: Media, sign_in: SignIn, annotator: User
) -> None:
    case = factories.make_case(CaseStatus.PREDICTED, video=factories.make_video(media=clip))
    with sign_in_page(sign_in, annotator, f"/cases/{case.pk}") as page:
        page.mouse.move(200, 300)
        page.goto("/cases")
        for _ in range(50):
            if Activity.objects.exists():
                break
            page.wait_for_timeout(100)
    assert Activity.objects.filter(case=case, person=annotator).count() == 1


@contextmanager
def other_origin(html: str, task: dict[str, object]) -> Iterator[str]:
    """A page and a task of something that answers as Label Studio does, on a port of its own."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_task = self.path.startswith("/api/tasks/5/")
            body = (json.dumps(task) if is_task else html).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if is_task else "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("localhost", 0), Answers)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_inside_label_studio_the_case_is_found_from_the_task(
    browser: Browser, live_server: LiveServer, settings: Settings, annotator: User
) -> None:
    case = factories.make_case(CaseStatus.PREDICTED)
    crashdesk = live_server.url.replace("127.0.0.1", "localhost")
    settings.ALLOWED_HOSTS = ["*"]
    html = (
        f'<!doctype html><textarea></textarea><script src="{crashdesk}/static/frontend/activity.js"></script>'
    )
    client = Client()
    client.force_login(annotator)
    with other_origin(html, {"id": 5, "data": {"case_id": case.pk}}) as labelstudio:
        settings.LABELSTUDIO_PUBLIC_URL = labelstudio
        context = browser.new_context()
        context.add_cookies(
            [{"name": n, "value": c.value, "url": crashdesk} for n, c in client.cookies.items()]
        )
        page = context.new_page()
        page.goto(f"{labelstudio}/projects/1/data?task=5")
        page.wait_for_load_state("networkidle")
        page.locator("textarea").press_sequentially("abc")
        page.wait_for_load_state("networkidle")
        row = told(page)
        context.close()
    assert (row.person, row.case_id, row.place) == (annotator, case.pk, "labelstudio")
    assert row.typed == 3
