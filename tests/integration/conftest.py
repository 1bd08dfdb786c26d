"""One real Label Studio for all tests that need one: it takes most of a minute to start."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from annotations.cases.models import Case, CaseStatus
from annotations.labelstudio.client import Client
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.provision import ensure_project
from annotations.labelstudio.push import push_cases
from crashdesk.embedded.config import LABELSTUDIO_EMAIL, embedded_labelstudio_url, secrets
from crashdesk.embedded.labelstudio import LabelStudio, LabelStudioError
from crashdesk.embedded.testing import services
from tests.factories import make_case, make_corpus, make_guideline, make_video

START_SECONDS = 180


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """An empty Label Studio on its own PostgreSQL."""
    with services(tmp_path_factory.mktemp("home")) as running:
        studio = LabelStudio(running.config)
        try:
            studio.require_installed()
        except LabelStudioError as missing:
            pytest.skip(str(missing))
        studio.prepare()
        studio.config.logs.mkdir(exist_ok=True)
        log = studio.config.logs / "labelstudio.log"
        with log.open("wb") as output:
            subprocess.run(studio.init_argv, env=studio.init_env, check=True, stdout=output, stderr=output)
            process = subprocess.Popen(studio.argv, env=studio.env, stdout=output, stderr=output)
            try:
                _wait_until_ready(studio, process, log)
                yield studio
            finally:
                process.terminate()
                process.wait(timeout=30)


def _wait_until_ready(studio: LabelStudio, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not studio.is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"Label Studio did not start: {log.read_text(errors='replace')[-1500:]}")
        time.sleep(0.2)


@pytest.fixture
def client(server: LabelStudio, settings: Settings) -> Client:
    """CrashDesk configured for this server and its media folder."""
    settings.LABELSTUDIO_URL = settings.LABELSTUDIO_PUBLIC_URL = embedded_labelstudio_url(server.config)
    settings.LABELSTUDIO_TOKEN = secrets(server.config.home).labelstudio_token
    settings.LABELSTUDIO_EMAIL = LABELSTUDIO_EMAIL
    settings.STORAGE_LOCATION = str(server.config.media)
    return Client(settings.LABELSTUDIO_URL, settings.LABELSTUDIO_TOKEN)


@pytest.fixture
def project(client: Client) -> LabelStudioProject:
    # Names are new in each test: the database is rolled back, Label Studio is not.
    corpus = make_corpus(f"Ring road {time.monotonic_ns() % 10**9}")
    guideline = make_guideline()
    for pk in [project["id"] for project in client.get("/api/projects")["results"]]:
        client.delete(f"/api/projects/{pk}/")
    return ensure_project(corpus=corpus, guideline=guideline, by=None, client=client)


@pytest.fixture
def cases(project: LabelStudioProject, client: Client) -> list[Case]:
    """Six cases on show, drafted as crashes."""
    made = [
        make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
        for _ in range(6)
    ]
    assert push_cases(project, client=client, by=None).pushed == 6
    return made
