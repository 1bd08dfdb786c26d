"""Chromium or Chrome of this machine, driven by Playwright against pytest-django's live server."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from annotations.corpora.media_store import store
from annotations.corpora.models import Media
from annotations.corpora.services import process_media
from crashdesk.accounts.models import User
from tests.unit.annotations.corpora.media.clips import constant_clip

SIZE = {"width": 1360, "height": 900}
SignIn = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser and commits to the database, because the server answers in a thread."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture
def page(browser: Browser, live_server: LiveServer) -> Iterator[Page]:
    """A page of a fresh profile. Fails the test on any script error and on any request to another host."""
    context = browser.new_context(base_url=live_server.url, viewport=SIZE, locale="en-GB")  # type: ignore[arg-type]
    context.set_default_timeout(10_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((live_server.url, "data:")) else errors.append(request.url)
        ),
    )
    yield page
    # What is sent on leaving would meet tables that are just being emptied.
    page.evaluate("() => { navigator.sendBeacon = () => true; }")
    context.close()
    answered()
    assert errors == []


def answered(patience_s: float = 30) -> None:
    """Wait until the live server has answered what the page had asked: it uses the tables that are emptied next."""
    deadline = time.monotonic() + patience_s
    while under_way := [one.name for one in threading.enumerate() if "process_request_thread" in one.name]:
        assert time.monotonic() < deadline, f"still answering: {under_way}"
        time.sleep(0.02)


@pytest.fixture
def sign_in(page: Page, live_server: LiveServer) -> SignIn:
    """Sign somebody in without the form, and open an address."""

    def open_as(user: User, address: str) -> Page:
        client = Client()
        client.force_login(user)
        cookies = [{"name": n, "value": c.value, "url": live_server.url} for n, c in client.cookies.items()]
        page.context.add_cookies(cookies)  # type: ignore[arg-type]
        page.goto(address)
        return page

    return open_as


@pytest.fixture
def clip(transactional_db: None, tmp_path: Path) -> Media:
    """A clip of 90 frames at 30 per second, every frame showing its number, through the real probe and proxy."""
    stored = store(constant_clip(tmp_path / "clip.mp4", 90, gop=60, b_frames=2))
    media = Media.objects.create(sha256=stored.sha256, size=stored.size, storage_name=stored.name)
    return process_media(media.pk)
