"""The way to a real Label Studio and back: what a reviewer did there is found here, exactly and once."""

import copy
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import requests
from django.utils import timezone
from pytest_django import Settings

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus
from annotations.cases.workflow import move
from annotations.labelstudio import rows
from annotations.labelstudio.check import State, check_server
from annotations.labelstudio.client import Client, LabelStudioRefused, Reply
from annotations.labelstudio.client import client as configured_client
from annotations.labelstudio.conversion import from_regions
from annotations.labelstudio.external_ids import opaque_key, spoken_key
from annotations.labelstudio.forms import change_form
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask, LabelStudioToken
from annotations.labelstudio.provision import SECRET_HEADER, ensure_project, webhook_secret
from annotations.labelstudio.pull import PullReport, pull_project
from annotations.labelstudio.push import deep_link, find_tasks, proxy_map, push_assignment, push_cases
from annotations.labelstudio.reconcile import reconcile
from annotations.labelstudio.refreshing import remove_doubles
from annotations.labelstudio.renewing import renew
from annotations.labelstudio.tasks import poll
from annotations.reviews.decisions import approve, return_case
from annotations.reviews.models import Assignment, Purpose, Review, ReviewOutcome, Way
from crashdesk.accounts.models import Role, User
from crashdesk.embedded.config import LABELSTUDIO_EMAIL, secrets
from crashdesk.embedded.labelstudio import LabelStudio
from tests.factories import (
    NO_CRASH,
    add_drafts,
    make_case,
    make_user,
    make_video,
)

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.django_db]


def _left_overs(client: Client) -> list[int]:
    return [project["id"] for project in client.get("/api/projects")["results"]]


def predicted(project: LabelStudioProject, **fields: Any) -> Case:
    video = make_video(project.corpus)
    return make_case(CaseStatus.PREDICTED, video=video, guideline=project.guideline, **fields)


def task_id(case: Case) -> int:
    pk = LabelStudioTask.objects.get(case=case, assignment=None).task_id
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


def test_a_corpus_over_several_projects(
    project: LabelStudioProject, client: Client, settings: Settings
) -> None:
    settings.LABELSTUDIO_PART_SIZE = 2
    made = [predicted(project) for _ in range(5)]
    assert push_cases(project, client=client, by=None).pushed == 5
    parts = list(LabelStudioProject.objects.order_by("part"))
    assert [part.part for part in parts] == [1, 2, 3]
    shown = {
        part.part: sorted(
            task["data"]["case_id"]
            for page in client.tasks(part.linked_id, fields="task_only")
            for task in page
        )
        for part in parts
    }
    ids = [case.pk for case in made]
    assert shown == {1: ids[:2], 2: ids[2:4], 3: ids[4:]}
    assert push_cases(project, client=client, by=None).pushed == 0


def test_a_reworded_form_is_shown_and_finished_work_still_reads(
    project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    pk = submit(client, cases[0], shown(client, cases[0]))
    pulled(project, client)
    change_form(
        corpus=project.corpus, guideline=project.guideline, by=None,
        wording={"crash": "Unfall", "yes": "Ja", "no": "Nein"}, suggestions={"cause": ["Speeding."]},
    )  # fmt: skip
    assert push_cases(project, client=client, by=None).migrated == 5
    config = client.get(f"/api/projects/{project.project_id}/")["label_config"]
    assert '<Choice value="Ja" alias="Yes"' in config
    assert client.get(f"/api/annotations/{pk}/")["result"]
    submit(client, cases[1], shown(client, cases[1]))  # drafts of before fit the new form
    more = predicted(project)
    assert push_cases(project, client=client, by=None).pushed == 1  # and new ones are accepted by the server
    result = shown(client, more)
    region(result, "segments", "Crash")["timelinelabels"] = [
        "Unfall"
    ]  # as an editor without aliases would say it
    submit(client, more, result)
    report = pulled(project, client, full=True)
    assert (report.submitted, report.refused) == (2, [])
    assert person_answers() == {}


def test_many_pushes_at_once_and_a_dead_one_make_each_task_once(
    project: LabelStudioProject, client: Client
) -> None:
    made = [predicted(project) for _ in range(4)]
    doubled = {
        "external_id": opaque_key(made[0].pk, None),
        "case_id": made[0].pk,
        "video": "x",
        "fps": 30,
        "name": "x",
    }
    doubled["note"] = ""
    late = Late(client.url, client._token)
    late.task = {"data": doubled}
    with pytest.raises(KeyboardInterrupt):
        push_cases(
            project, client=late, by=None
        )  # killed, but Label Studio makes one of its tasks all the same
    LabelStudioTask.objects.update(sent_at=timezone.now() - rows.QUIET)
    report = push_cases(project, client=client, by=None)
    assert (report.pushed, report.adopted) == (4, 1)
    tasks = [task for page in client.tasks(project.linked_id, fields="task_only") for task in page]
    keys = sorted(opaque_key(case.pk, None) for case in made)
    assert sorted(task["data"]["external_id"] for task in tasks) == keys
    client.post(f"/api/projects/{project.project_id}/import", [{"data": doubled}])  # a copy that arrives late
    assert remove_doubles(LabelStudioTask.objects.all(), client) == 1
    assert client.get(f"/api/projects/{project.project_id}/")["task_number"] == 4


class Late(Client):
    """Dies instead of the import, of which Label Studio still carries out a part."""

    task: dict[str, Any]

    def call(self, method: str, path: str, **options: Any) -> Reply:
        if path.endswith("/import"):
            super().call(method, path, body=[self.task])
            raise KeyboardInterrupt
        return super().call(method, path, **options)


def test_a_gold_pass_has_its_own_task(project: LabelStudioProject, client: Client, cases: list[Case]) -> None:
    assignment = Assignment.objects.create(
        case=cases[0], person=make_user(Role.ANNOTATOR), purpose=Purpose.GOLD, way=Way.MANUAL
    )
    row = push_assignment(assignment, by=None, client=client)
    task = client.get(f"/api/tasks/{row.task_id}/")
    assert task["data"]["external_id"] == opaque_key(cases[0].pk, assignment.pk)
    assert [made["model_version"] for made in task["predictions"]] == ["tiny"]
    assert row.task_id != task_id(cases[0])


def test_keys_of_before_change_in_place_and_lose_nobodys_work(
    project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    for row in LabelStudioTask.objects.filter(case__in=cases[:3]):
        data = {**client.get(f"/api/tasks/{row.task_id}/")["data"], "external_id": spoken_key(*row.key)}
        client.patch(f"/api/tasks/{row.task_id}/", {"data": data})
        LabelStudioTask.objects.filter(pk=row.pk).update(external_id=data["external_id"])
    numbers = {case.pk: task_id(case) for case in cases}
    assert find_tasks(project, list(numbers), client) == numbers
    submit(client, cases[0], shown(client, cases[0]))
    assert renew(client=client) == 3
    assert renew(client=client) == 0
    assert find_tasks(project, list(numbers), client) == numbers
    tasks = [task for page in client.tasks(project.linked_id, fields="task_only") for task in page]
    keys = {task["id"]: task["data"]["external_id"] for task in tasks}
    assert keys == {numbers[case.pk]: opaque_key(case.pk, None) for case in cases}
    assert pulled(project, client).submitted == 1
    assert reconcile(project, client=client, by=None, repair=False).found == []


def test_the_check_finds_this_server_in_order(
    server: LabelStudio, client: Client, cases: list[Case], settings: Settings
) -> None:
    media = cases[-1].video.media
    assert media is not None
    proxy = server.config.media / media.proxy_name
    proxy.parent.mkdir(parents=True, exist_ok=True)
    proxy.write_bytes(b"0123456789")
    before = _left_overs(client)
    findings = {finding.code: finding for finding in check_server(client)}
    assert {code: finding.state.value for code, finding in findings.items()} == dict.fromkeys(
        findings, "ok"
    ), findings
    assert len(findings) == 8
    assert _left_overs(client) == before
    settings.LABELSTUDIO_MEDIA = "signed"  # nobody listens there
    settings.PUBLIC_URL = "http://127.0.0.1:9"
    assert {one.code: one for one in check_server(client)}["media"].state == State.ERROR


def test_legacy_tokens_may_be_switched_off(server: LabelStudio, client: Client, settings: Settings) -> None:
    settings.LABELSTUDIO_PASSWORD = secrets(server.config.home).labelstudio_password
    client.post("/api/jwt/settings", {"legacy_api_tokens_enabled": False})
    try:
        with pytest.raises(LabelStudioRefused, match="refuses CrashDesk's token"):
            client.get("/api/projects")
        assert configured_client().get("/api/projects")["count"] >= 0
        assert LabelStudioToken.objects.get().email == LABELSTUDIO_EMAIL
        findings = {finding.code: finding for finding in check_server(configured_client())}
        assert (findings["token"].state, findings["legacy_tokens"].state) == (State.OK, State.WARNING)
    finally:
        configured_client().post("/api/jwt/settings", {"legacy_api_tokens_enabled": True})
    assert client.get("/api/projects")["count"] >= 0
