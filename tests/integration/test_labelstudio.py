"""The way to a real Label Studio and back: what a reviewer did there is found here, exactly and once."""

import copy
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from pytest_django import Settings

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus
from annotations.cases.workflow import move
from annotations.labelstudio.client import Client, LabelStudioRefused, Reply
from annotations.labelstudio.conversion import from_regions
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.provision import SECRET_HEADER, ensure_project, webhook_secret
from annotations.labelstudio.pull import PullReport, pull_project
from annotations.labelstudio.push import deep_link, find_tasks, proxy_map, push_cases
from annotations.labelstudio.tasks import poll
from annotations.reviews.decisions import approve, return_case
from annotations.reviews.models import Review, ReviewOutcome
from crashdesk.accounts.models import Role, User
from crashdesk.embedded.config import LABELSTUDIO_EMAIL, embedded_labelstudio_url, secrets
from crashdesk.embedded.labelstudio import LabelStudio, LabelStudioError
from crashdesk.embedded.testing import services
from tests.factories import (
    NO_CRASH,
    add_drafts,
    make_case,
    make_corpus,
    make_guideline,
    make_user,
    make_video,
)

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.django_db]

START_SECONDS = 180


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudio]:
    """An empty Label Studio on its own PostgreSQL, for all tests of this module."""
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


def _wait_until_ready(studio: LabelStudio, process: subprocess.Popen[bytes], log: Path) -> None:
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
    for pk in _left_overs(client):
        client.delete(f"/api/projects/{pk}/")
    return ensure_project(corpus=corpus, guideline=guideline, by=None, client=client)


def _left_overs(client: Client) -> list[int]:
    return [project["id"] for project in client.get("/api/projects")["results"]]


@pytest.fixture
def cases(project: LabelStudioProject, client: Client) -> list[Case]:
    """Six cases on show, drafted as crashes."""
    made = [predicted(project) for _ in range(6)]
    assert push_cases(project, client=client, by=None).pushed == 6
    return made


def predicted(project: LabelStudioProject, **fields: Any) -> Case:
    video = make_video(project.corpus)
    return make_case(CaseStatus.PREDICTED, video=video, guideline=project.guideline, **fields)


def task_id(case: Case) -> int:
    pk = LabelStudioTask.objects.get(case=case).task_id
    assert pk is not None
    return pk


def shown(client: Client, case: Case) -> list[dict[str, Any]]:
    """What the editor copies when a reviewer opens the task."""
    result: list[dict[str, Any]] = client.get(f"/api/tasks/{task_id(case)}/")["predictions"][0]["result"]
    return copy.deepcopy(result)


def submit(client: Client, case: Case, result: Any, **fields: Any) -> int:
    body = {"result": result, "lead_time": 21.5, **fields}
    pk: int = client.post(f"/api/tasks/{task_id(case)}/annotations", body)["id"]
    return pk


def region(result: list[dict[str, Any]], name: str, label: str | None = None) -> dict[str, Any]:
    (found,) = [
        part for part in result
        if part["from_name"] == name and label in (None, *part["value"].get("timelinelabels", []))
    ]  # fmt: skip
    value: dict[str, Any] = found["value"]
    return value


def pulled(project: LabelStudioProject, client: Client, **options: Any) -> PullReport:
    return pull_project(project, client=client, **options)


def person_answers() -> dict[tuple[int, str], Any]:
    rows = Answer.objects.filter(author_kind=AuthorKind.PERSON)
    return {(answer.case_id, answer.kind): answer.value for answer in rows}


def status(case: Case) -> str:
    case.refresh_from_db()
    return case.status


def test_the_reviewers_changes_are_found_and_nothing_else(
    project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    as_it_was, moved, reworded, skipped, deleted, garbled = cases
    submit(client, as_it_was, shown(client, as_it_was))
    result = shown(client, moved)
    crash = region(result, "segments", "Crash")["ranges"][0]
    assert crash == {"start": 61, "end": 105}
    crash["end"] += 3
    submit(client, moved, result)
    result = shown(client, reworded)
    region(result, "cause")["text"] = ["The truck braked hard.\n"]
    submit(client, reworded, result)
    submit(client, skipped, [], was_cancelled=True)
    gone = submit(client, deleted, shown(client, deleted))
    result = shown(client, garbled)
    region(result, "segments", "Crash")["ranges"][0]["end"] = 1
    submit(client, garbled, result)

    report = pulled(project, client)
    assert (report.submitted, report.skipped, report.withdrawn, report.refused) == (5, 1, 0, [])
    client.delete(f"/api/annotations/{gone}/")
    assert pulled(project, client).withdrawn == 1
    assert pulled(project, client).changes == 0
    assert pulled(project, client, full=True).changes == 0

    assert person_answers() == {
        (moved.pk, Kind.CRASH_LOCALIZATION): {"start_us": 2_000_000, "end_us": 3_600_000},
        (reworded.pk, Kind.CAUSAL_REASONING): {"text": "The truck braked hard."},
    }
    assert [status(case) for case in cases] == [
        "submitted", "submitted", "submitted", "in_review", "in_review", "submitted"
    ]  # fmt: skip
    outcomes = {review.case_id: review.outcome for review in Review.objects.all()}
    assert outcomes[skipped.pk] == ReviewOutcome.SKIPPED
    assert outcomes[deleted.pk] == ReviewOutcome.WITHDRAWN
    review = garbled.reviews.get()
    assert [problem["code"] for problem in review.problems] == ["range_outside"]
    assert review.lead_seconds == 21.5
    assert approve(case=moved, by=make_user(Role.LEAD)).status == CaseStatus.APPROVED


def test_tasks_stand_in_review_order_and_the_stream_follows(
    project: LabelStudioProject, client: Client
) -> None:
    made = [predicted(project) for _ in range(3)]
    for case, rank in zip(made, [3, 1, 2], strict=True):
        Case.objects.filter(pk=case.pk).update(review_rank=rank)
    push_cases(project, client=client, by=None)
    following = client.get(f"/api/projects/{project.project_id}/next")
    assert following["data"]["case_id"] == made[1].pk
    Case.objects.filter(pk=made[0].pk).update(review_rank=0)
    assert push_cases(project, client=client, by=None).reordered == 1
    (view,) = client.get("/api/dm/views", project=project.project_id)
    ordered = client.get("/api/tasks", project=project.project_id, view=view["id"])["tasks"]
    assert [task["data"]["case_id"] for task in ordered] == [made[0].pk, made[1].pk, made[2].pk]
    shown_version = client.get(f"/api/projects/{project.project_id}/")["model_version"]
    assert shown_version == "tiny"


class Killed(Client):
    """Dies right after the tasks were made, before anything was written down."""

    def call(self, method: str, path: str, **options: Any) -> Reply:
        reply = super().call(method, path, **options)
        if path.endswith("/import"):
            raise KeyboardInterrupt
        return reply


def test_a_push_killed_after_the_import_makes_no_task_twice(
    project: LabelStudioProject, client: Client
) -> None:
    made = [predicted(project) for _ in range(3)]
    with pytest.raises(KeyboardInterrupt):
        push_cases(project, client=Killed(client.url, client._token), by=None)
    assert push_cases(project, client=client, by=None).pushed == 3
    tasks = [task for page in client.tasks(project.linked_id, fields="task_only") for task in page]
    assert sorted(task["data"]["case_id"] for task in tasks) == [case.pk for case in made]
    assert find_tasks(project, [case.pk for case in made], client) == {
        case.pk: task_id(case) for case in made
    }


def test_an_edit_and_a_return(project: LabelStudioProject, client: Client, cases: list[Case]) -> None:
    case, lead = cases[0], make_user(Role.LEAD)
    pk = submit(client, case, shown(client, case))
    pulled(project, client)
    result = shown(client, case)
    region(result, "segments", "Pre-crash")["ranges"][0]["start"] = 31
    client.patch(f"/api/annotations/{pk}/", {"result": result})
    assert pulled(project, client).submitted == 1
    assert person_answers() == {(case.pk, Kind.PRE_CRASH_LOCALIZATION): {"at_us": 1_000_000}}

    return_case(case=case, reason="is it really that early?", by=lead)
    case.refresh_from_db()
    assert push_cases(project, client=client, by=None).updated == 1
    data = client.get(f"/api/tasks/{task_id(case)}/")["data"]
    assert data["note"] == "Returned: is it really that early?"
    assert pulled(project, client).changes == 0
    assert status(case) == CaseStatus.IN_REVIEW
    client.patch(f"/api/annotations/{pk}/", {"result": result})
    assert pulled(project, client).submitted == 1
    assert status(case) == CaseStatus.SUBMITTED
    assert len(person_answers()) == 1


def test_new_drafts_are_shown_in_place_of_the_old(
    project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    case = cases[0]
    move(case, CaseStatus.PREDICTED, by=None)
    newer = add_drafts(case, NO_CRASH, model_version="better")
    push_cases(project, client=client, by=None)
    predictions = client.get(f"/api/tasks/{task_id(case)}/")["predictions"]
    assert {made["model_version"] for made in predictions} == {"tiny", "better"}
    assert client.get(f"/api/projects/{project.project_id}/")["model_version"] == "better"
    (latest,) = [made["result"] for made in predictions if made["model_version"] == "better"]
    submit(client, case, latest)
    pulled(project, client)
    assert person_answers() == {}
    assert {answer.pk for answer in case.reviews.get().answers.all()} == {
        answer.pk for answer in newer.values()
    }


def test_the_server_accepts_every_prediction_and_refuses_a_bad_one(
    project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    result = shown(client, cases[0])
    assert {part["id"] for part in result} == set(Kind.values)
    result[0]["value"]["timelinelabels"] = ["Bang"]
    body = [{"data": {"case_id": 1, "video": "x", "fps": 30}, "predictions": [{"result": result}]}]
    with pytest.raises(LabelStudioRefused) as refused:
        client.post(f"/api/projects/{project.project_id}/import", body)
    assert refused.value.http_status == 400


def test_the_proxy_plays_from_the_shared_folder(
    server: LabelStudio, project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    media = cases[0].video.media
    assert media is not None
    proxy = server.config.media / media.proxy_name
    proxy.parent.mkdir(parents=True, exist_ok=True)
    proxy.write_bytes(b"0123456789")
    address = client.url + client.get(f"/api/tasks/{task_id(cases[0])}/")["data"]["video"]
    headers = {"Authorization": f"Token {client._token}", "Range": "bytes=2-4"}
    response = requests.get(address, headers=headers, timeout=10)
    assert (response.status_code, response.content) == (206, b"234")
    link = deep_link(cases[0])
    assert link is not None
    assert link.startswith(f"{client.url}/projects/{project.project_id}/data?task=")


def test_an_invited_person_is_known_by_their_address(
    project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    known = make_user(Role.ANNOTATOR)
    User.objects.filter(pk=known.pk).update(email=f"ann{os.getpid()}@crashdesk.example")
    known.refresh_from_db()
    browser = _signed_up(client, known.email)
    body = {"result": shown(client, cases[0])}
    headers = {"X-CSRFToken": browser.cookies["csrftoken"], "Referer": client.url}
    address = f"{client.url}/api/tasks/{task_id(cases[0])}/annotations"
    with browser:
        assert browser.post(address, json=body, headers=headers, timeout=10).status_code == 201
    pulled(project, client)
    assert cases[0].reviews.get().reviewer == known


def _signed_up(client: Client, email: str) -> requests.Session:
    invitation = client.url + client.get("/api/invite")["invite_url"]
    browser = requests.Session()
    browser.get(invitation, timeout=10)
    form = {
        "email": email,
        "password": "a-Long-enough-1",
        "csrfmiddlewaretoken": browser.cookies["csrftoken"],
    }
    response = browser.post(invitation, data=form, headers={"Referer": client.url}, timeout=10)
    assert response.status_code == 200, response.text[:500]
    return browser


def test_tasks_and_projects_deleted_there_are_noticed_here(
    project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    submit(client, cases[0], shown(client, cases[0]))
    pulled(project, client)
    for case in cases[:2]:
        client.delete(f"/api/tasks/{task_id(case)}/")
    assert pulled(project, client, full=True).vanished == 2
    assert [status(case) for case in cases[:3]] == ["submitted", "predicted", "in_review"]
    assert push_cases(project, client=client, by=None).pushed == 1
    client.delete(f"/api/projects/{project.project_id}/")
    assert poll() == 0
    project.refresh_from_db()
    assert project.project_id is None
    again = ensure_project(corpus=project.corpus, guideline=project.guideline, by=None, client=client)
    assert again.pk == project.pk
    assert again.project_id is not None


def test_the_webhook_reaches_us_with_the_secret(
    client: Client, project: LabelStudioProject, settings: Settings, cases: list[Case]
) -> None:
    seen: list[tuple[str, str | None]] = []
    arrived = threading.Event()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append((self.path, self.headers.get(SECRET_HEADER)))
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(204)
            self.end_headers()
            arrived.set()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Silent."""

    listener = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    try:
        settings.PUBLIC_URL = f"http://127.0.0.1:{listener.server_port}"
        ensure_project(corpus=project.corpus, guideline=project.guideline, by=None, client=client)
        submit(client, cases[0], shown(client, cases[0]))
        assert arrived.wait(5)
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
    assert seen[0] == ("/api/labelstudio/webhook", webhook_secret())


def test_what_comes_back_reads_as_what_went_out(
    project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    row = LabelStudioTask.objects.select_related("case__video__media").get(case=cases[0])
    media = row.case.video.media
    assert media is not None
    reading = from_regions(shown(client, cases[0]), drafts={}, frames=proxy_map(row, media))
    assert reading.unread == []
    assert reading.said[Kind.CRASH_LOCALIZATION].value == {"start_us": 2_000_000, "end_us": 3_500_000}
