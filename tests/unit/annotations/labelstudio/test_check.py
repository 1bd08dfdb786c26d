"""What is looked at of a Label Studio, and what to do about each."""

import io
import json
from typing import Any

import pytest
import requests
from django.core.management import CommandError, call_command

from annotations.labelstudio import check
from annotations.labelstudio.check import Finding, State, check_server
from annotations.labelstudio.management.commands import labelstudio_check, labelstudio_provision
from annotations.labelstudio.models import LabelStudioProject
from crashdesk.environment import S3Location
from tests.factories import make_case, make_media
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio

pytestmark = pytest.mark.django_db


class Server(FakeLabelStudio):
    """A Label Studio whose shortcomings can be chosen."""

    def __init__(self) -> None:
        super().__init__()
        self.release = "1.23.2"
        self.refuses_token = self.hides_jwt = False
        self.legacy = True
        self.validates = True

    def _answer(self, method: str, path: str, params: dict[str, Any], body: Any) -> Any:
        if path == "/api/version":
            return {"release": self.release}
        if path == "/api/current-user/whoami":
            if self.refuses_token:
                raise self._refuse(401, "no such token")
            return {"email": "bot@crashdesk.example"}
        if path == "/api/jwt/settings":
            if self.hides_jwt:
                raise self._refuse(403)
            return {"legacy_api_tokens_enabled": self.legacy}
        if method == "POST" and path.endswith("/import"):
            if self.validates:
                raise self._refuse(400, "Prediction validation failed")
            return {"task_ids": [1]}
        if method == "DELETE" and path.startswith("/api/projects/"):
            del self.projects[int(path.split("/")[3])]
            return None
        return super()._answer(method, path, params, body)


class Answer:
    """What a request for a video gets."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def __enter__(self) -> "Answer":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


class Bucket:
    """A storage that signs addresses."""

    def url(self, name: str) -> str:
        return f"https://s3.example/{name}?X-Amz=1"


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """Requests for videos; each is answered as a good server would."""
    seen: list[tuple[str, dict[str, str]]] = []

    def get(address: str, *, headers: dict[str, str], **_: Any) -> Answer:
        seen.append((address, headers))
        return Answer(206, Access_Control_Allow_Origin="http://127.0.0.1:8001")

    monkeypatch.setattr(check.requests, "get", get)
    return seen


def found(server: Server) -> dict[str, Finding]:
    return {finding.code: finding for finding in check_server(server)}


def test_a_good_server(server: Server, asked: list[tuple[str, dict[str, str]]], settings: Any) -> None:
    settings.LABELSTUDIO_TOKEN = "f" * 40
    media = make_media()
    findings = found(server)
    assert list(findings) == [
        "reachable", "version", "token", "legacy_tokens", "form", "prediction_validation", "webhooks", "media",
    ]  # fmt: skip
    assert {finding.state for finding in findings.values()} == {State.OK}
    ((address, headers),) = asked
    assert address == f"http://label-studio.example/data/local-files/?d={media.proxy_name}"
    assert (headers["Range"], headers["Authorization"]) == ("bytes=0-1", "Token token")
    assert server.projects == {}


def test_nobody_there_and_nothing_else_is_asked(server: Server) -> None:
    server.down = True
    findings = found(server)
    assert list(findings) == ["reachable"]
    assert "CRASHDESK_LABELSTUDIO_URL" in findings["reachable"].advice


def test_a_refused_token_says_how_to_get_one(server: Server) -> None:
    server.refuses_token = True
    findings = found(server)
    assert list(findings)[-1] == "token"
    assert findings["token"].state == State.ERROR
    assert "CRASHDESK_LABELSTUDIO_EMAIL" in findings["token"].advice


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"release": "1.20.0"}, "version", "tested with 1.23"),
        ({"legacy": False}, "legacy_tokens", "Remove CRASHDESK_LABELSTUDIO_TOKEN"),
        ({"hides_jwt": True}, "legacy_tokens", "owner"),
        ({"validates": False}, "prediction_validation", "fflag_feat_utc_210"),
        ({"refuse_webhooks": True}, "webhooks", "SSRF_PROTECTION_ENABLED=false"),
    ],
)
def test_what_could_be_better_is_a_warning_with_its_remedy(
    server: Server, settings: Any, change: dict[str, Any], code: str, words: str
) -> None:
    settings.LABELSTUDIO_TOKEN = "f" * 40
    for name, value in change.items():
        setattr(server, name, value)
    findings = found(server)
    assert findings[code].state == State.WARNING
    assert words in findings[code].advice
    assert server.projects == {}


def test_a_project_that_a_killed_check_left_behind_is_removed(server: Server) -> None:
    server.break_after = "/api/webhooks/"
    with pytest.raises(KeyboardInterrupt):
        check_server(server)
    server.projects[77] = {"id": 77, "title": "left", "description": check._marker()}
    server.projects[78] = {"id": 78, "title": "somebody's", "description": None}
    check_server(server)
    assert list(server.projects) == [78]


def test_no_clip_yet(server: Server) -> None:
    assert found(server)["media"].state == State.SKIPPED


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(200), "without ranges nobody can seek"),
        (Answer(404), "answers 404"),
        (Answer(206), "CORS"),
        (Answer(206, Access_Control_Allow_Origin="https://other.example"), "CORS"),
    ],
)
@pytest.mark.parametrize("storage", ["signed", "bucket"])
def test_videos_without_ranges_or_for_other_pages(
    server: Server, settings: Any, monkeypatch: pytest.MonkeyPatch, answer: Answer, words: str, storage: str
) -> None:
    make_media()
    if storage == "signed":
        settings.LABELSTUDIO_MEDIA = "signed"
    else:
        settings.STORAGE_LOCATION = S3Location("clips", "https://s3.example", "eu-west-1")
        monkeypatch.setattr(check, "default_storage", Bucket())
    monkeypatch.setattr(check.requests, "get", lambda *_, **__: answer)
    finding = found(server)["media"]
    assert finding.state == State.ERROR
    assert words in finding.found
    assert "X-Amz" not in finding.found
    assert ("PUBLIC_URL" if storage == "signed" else "CORS rules") in finding.advice


def test_videos_nobody_serves(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    make_media()

    def away(*_: Any, **__: Any) -> None:
        raise requests.ConnectionError("refused")

    monkeypatch.setattr(check.requests, "get", away)
    finding = found(server)["media"]
    assert (finding.state, "LOCAL_FILES_DOCUMENT_ROOT" in finding.advice) == (State.ERROR, True)


def test_the_command_prints_and_fails_where_something_is_wrong(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelstudio_check, "client", lambda: server)
    out = io.StringIO()
    call_command("labelstudio_check", stdout=out)
    assert "ok       version: 1.23.2" in out.getvalue()
    out = io.StringIO()
    call_command("labelstudio_check", "--json", stdout=out)
    assert json.loads(out.getvalue())[0] == {
        "code": "reachable", "state": "ok", "found": "http://label-studio.example answers", "advice": "",
    }  # fmt: skip
    server.refuses_token = True
    with pytest.raises(CommandError, match="token"):
        call_command("labelstudio_check", stdout=io.StringIO())


def test_projects_are_provisioned_by_command(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelstudio_provision, "client", lambda: server)
    case = make_case()
    for name in (case.corpus.name, str(case.corpus_id)):
        out = io.StringIO()
        call_command("labelstudio_provision", name, stdout=out)
        project = LabelStudioProject.objects.get()
        assert f"/projects/{project.project_id}/data (form version 1)" in out.getvalue()
    with pytest.raises(CommandError, match="no corpus 'nowhere'"):
        call_command("labelstudio_provision", "nowhere")
    with pytest.raises(CommandError, match="no guideline 99999"):
        call_command("labelstudio_provision", case.corpus.name, "--guideline", "99999")
