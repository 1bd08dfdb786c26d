"""A real Label Studio behind its guard, CrashDesk as pytest-django's live server, and a real browser for both."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as django_settings
from playwright.sync_api import Browser, BrowserContext, Page, Response
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from annotations.corpora.media_store import store
from annotations.corpora.models import Media
from annotations.corpora.services import process_media
from annotations.labelstudio import guard_facts
from annotations.labelstudio.client import Client
from annotations.labelstudio.client import client as settings_client
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.provision import ensure_project
from crashdesk.accounts.models import Role, User
from crashdesk.embedded.config import LABELSTUDIO_EMAIL, guard_key, secrets
from crashdesk.embedded.labelstudio import LabelStudio, LabelStudioError
from crashdesk.embedded.testing import services
from tests.factories import make_corpus, make_guideline
from tests.unit.annotations.corpora.media.clips import constant_clip

START_SECONDS = 180
PASSWORD = "correct horse battery"
IMAGES = Path(__file__).resolve().parents[3] / "docs" / "images"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, live_server: LiveServer) -> Iterator[LabelStudio]:
    """Label Studio as the embedded start runs it: every request of a member is put to the live server."""
    with services(tmp_path_factory.mktemp("home")) as running:
        desk = urlsplit(live_server.url)
        config = replace(
            running.config, labelstudio_guard=True, port=desk.port or 0, public_url=live_server.url
        )
        studio = LabelStudio(config)
        try:
            studio.require_installed()
        except LabelStudioError as missing:
            pytest.skip(str(missing))
        studio.prepare()
        config.logs.mkdir(exist_ok=True)
        log = config.logs / "labelstudio.log"
        environment = studio.env | {"GUARD_KEY": guard_key(django_settings.SECRET_KEY)}
        with log.open("wb") as output:
            subprocess.run(studio.init_argv, env=studio.init_env, check=True, stdout=output, stderr=output)
            process = subprocess.Popen(studio.argv, env=environment, stdout=output, stderr=output)
            try:
                deadline = time.monotonic() + START_SECONDS
                while not studio.is_ready():
                    if process.poll() is not None or time.monotonic() > deadline:
                        pytest.fail(f"Label Studio did not start: {log.read_text(errors='replace')[-1500:]}")
                    time.sleep(0.2)
                yield studio
            finally:
                process.terminate()
                process.wait(timeout=30)


@pytest.fixture
def client(studio: LabelStudio, settings: Settings, live_server: LiveServer) -> Client:
    """CrashDesk configured for this Label Studio; the owner's own client."""
    settings.LABELSTUDIO_URL = f"http://127.0.0.1:{studio.config.labelstudio_port}"
    # the host name that the live server is reached by: cookies are shared by host
    settings.LABELSTUDIO_PUBLIC_URL = (
        f"http://{urlsplit(live_server.url).hostname}:{studio.config.labelstudio_port}"
    )
    settings.PUBLIC_URL = live_server.url
    settings.LABELSTUDIO_TOKEN = secrets(studio.config.home).labelstudio_token
    settings.LABELSTUDIO_EMAIL = LABELSTUDIO_EMAIL
    settings.LABELSTUDIO_PASSWORD = secrets(studio.config.home).labelstudio_password
    settings.LABELSTUDIO_MEDIA = "storage"
    settings.STORAGE_LOCATION = str(studio.config.media)
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(studio.config.media), "allow_overwrite": True},
        },
    }
    guard_facts.draft_facts.cache_clear()
    return settings_client()


@pytest.fixture
def project(client: Client, transactional_db: None) -> LabelStudioProject:
    corpus = make_corpus(f"Ring road {time.monotonic_ns() % 10**9}")
    return ensure_project(corpus=corpus, guideline=make_guideline(), by=None, client=client)


@pytest.fixture
def clip(client: Client, transactional_db: None, tmp_path: Path) -> Media:
    """Two seconds at 30 frames per second through the real probe and proxy: short enough for the whole timeline."""
    stored = store(constant_clip(tmp_path / "clip.mp4", 60))
    media = Media.objects.create(sha256=stored.sha256, size=stored.size, storage_name=stored.name)
    return process_media(media.pk)


def make_person(name: str, role: Role = Role.ANNOTATOR) -> User:
    """Somebody with a password for CrashDesk's own sign-in."""
    user = User(username=name, email=f"{name}@crashdesk.example", role=role, first_name=name.title())
    user.set_password(PASSWORD)
    user.save()
    return user


@dataclass
class Window:
    """A browser of one person: what Label Studio refused it, and what went wrong in its pages."""

    page: Page
    labelstudio: str
    refused: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def note(self, response: Response) -> None:
        if response.url.startswith(self.labelstudio) and response.status >= 400:
            path = response.url.removeprefix(self.labelstudio)
            self.refused.append(f"{response.status} {response.request.method} {path}")

    def sign_in(self, user: User) -> None:
        """By CrashDesk's form, as a person does it."""
        self.page.goto("/login")
        self.page.get_by_label("User name").fill(user.username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """What a script in Label Studio's page gets: {"status", "text"}. Not noted as a refusal of the interface."""
        before = len(self.refused)
        said: dict[str, Any] = self.page.evaluate(
            """async ([method, path, body]) => {
                const headers = {"Content-Type": "application/json"};
                const options = {method, headers, body: body === null ? undefined : JSON.stringify(body)};
                const answer = await fetch(path, options);
                return {status: answer.status, text: await answer.text()};
            }""",
            [method, path, body],
        )
        del self.refused[before:]
        return said

    def keep_picture(self, name: str, folder: Path) -> None:
        """A screenshot, into docs/images with CRASHDESK_SCREENSHOTS=1."""
        target = IMAGES if os.environ.get("CRASHDESK_SCREENSHOTS") == "1" else folder
        self.page.screenshot(path=target / f"labelstudio-{name}.png")


@pytest.fixture
def window(
    browser: Browser, client: Client, live_server: LiveServer, settings: Settings
) -> Iterator[Callable[[], Window]]:
    """Opens browsers of their own; every request to another host is an error."""
    contexts: list[BrowserContext] = []
    opened: list[Window] = []

    def make() -> Window:
        size: Any = {"width": 1360, "height": 1000}
        context = browser.new_context(base_url=live_server.url, viewport=size, locale="en-GB")
        context.set_default_timeout(20_000)
        contexts.append(context)
        made = Window(context.new_page(), settings.LABELSTUDIO_PUBLIC_URL)
        ours = (live_server.url, made.labelstudio, "data:", "blob:")
        made.page.on("response", made.note)
        made.page.on("pageerror", lambda error: made.errors.append(str(error)))
        made.page.on(
            "request",
            lambda request: None if request.url.startswith(ours) else made.errors.append(request.url),
        )
        opened.append(made)
        return made

    yield make
    for one in opened:  # what is sent on leaving would meet tables that are just being emptied
        one.page.evaluate("() => { navigator.sendBeacon = () => true; }")
    for context in contexts:
        context.close()
    assert [error for one in opened for error in one.errors] == []


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures are kept when they are not for the documentation; pytest keeps those of its last three runs."""
    return tmp_path_factory.mktemp("labelstudio-pages")
