"""A token without a click: signing in once, keeping what was made, making another when it is refused."""

import itertools
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from annotations.labelstudio import tokens
from annotations.labelstudio.client import Client, LabelStudioRefused, client
from annotations.labelstudio.models import LabelStudioToken
from annotations.labelstudio.tokens import OwnToken, PersonalToken, authority, is_personal, make_token
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent

EMAIL, PASSWORD = "bot@crashdesk.example", "a-Long-enough-1"


class Studio:
    """What Label Studio 1.23 does about tokens: one personal token per account, access tokens of five minutes."""

    def __init__(self) -> None:
        self.legacy = ""
        self.personal: list[str] = []
        self.access: set[str] = set()
        self.numbers = itertools.count(1)
        self.seen: list[str] = []
        self.url = ""

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any, dict[str, str]]:
        self.seen.append(f"{method} {path}")
        if path == "/user/login/":
            if method == "GET":
                return 200, "form", {"Set-Cookie": "csrftoken=abc; Path=/"}
            right = b"password=a-Long-enough-1" in body and b"csrfmiddlewaretoken=abc" in body
            return (
                (302, "", {"Location": "/", "Set-Cookie": "sessionid=in; Path=/"})
                if right
                else (200, "form", {})
            )
        if path == "/api/token/refresh/":
            if json.loads(body)["refresh"] not in self.personal:
                return 401, {"detail": "Token is blacklisted"}, {}
            made = f"access-{next(self.numbers)}"
            self.access.add(made)
            return 200, {"access": made}, {}
        if path.startswith("/api/token/"):
            if "sessionid=in" not in headers.get("Cookie", "") or (
                method == "POST" and headers.get("X-CSRFToken") != "abc"
            ):
                return 403, {"detail": "no"}, {}
            if path == "/api/token/blacklist/":
                self.personal = []
                return 204, None, {}
            if method == "GET":
                return 200, [{"token": one[:8]} for one in self.personal], {}
            if self.personal:
                return 409, {"detail": "You already have a valid token."}, {}
            self.personal = [f"personal.token.{next(self.numbers)}"]
            return 201, {"token": self.personal[0]}, {}
        allowed = {f"Bearer {one}" for one in self.access} | (
            {f"Token {self.legacy}"} if self.legacy else set()
        )
        if headers.get("Authorization") in allowed:
            return 200, {"release": "1.23.2"}, {}
        return 401, {"detail": "legacy token authentication has been disabled"}, {}


@pytest.fixture
def studio() -> Iterator[Studio]:
    state = Studio()

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said, more = state.answer(self.command, self.path, self.headers, body)
            content = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **more}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _do

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    tokens._access.clear()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def bot(studio: Studio, token: str = "") -> Client:
    return Client(studio.url, token, authority=authority(studio.url, token, EMAIL, PASSWORD))


@pytest.mark.django_db
def test_a_token_is_made_by_signing_in_and_kept(studio: Studio) -> None:
    assert bot(studio).get("/api/version") == {"release": "1.23.2"}
    assert LabelStudioToken.objects.get().token == studio.personal[0]
    assert AuditEvent.objects.get(verb="labelstudio.token_made").data == {"url": studio.url, "email": EMAIL}
    studio.seen.clear()
    tokens._access.clear()  # another process
    bot(studio).get("/api/version")
    assert studio.seen == ["POST /api/token/refresh/", "GET /api/version"]
    bot(studio).get("/api/version")
    assert studio.seen[2:] == ["GET /api/version"]


@pytest.mark.django_db
def test_a_refused_legacy_token_is_replaced_by_an_own_one(studio: Studio) -> None:
    studio.legacy = "f" * 40
    assert bot(studio, "f" * 40).get("/api/version")
    assert not LabelStudioToken.objects.exists()
    studio.legacy = ""  # somebody switches legacy tokens off
    assert bot(studio, "f" * 40).get("/api/version")
    assert LabelStudioToken.objects.get().token == studio.personal[0]


@pytest.mark.django_db
def test_an_expired_access_token_is_renewed_within_the_call(studio: Studio) -> None:
    bot(studio).get("/api/version")
    studio.access.clear()
    assert bot(studio).get("/api/version") == {"release": "1.23.2"}
    assert LabelStudioToken.objects.get().token == studio.personal[0]


@pytest.mark.django_db
def test_a_revoked_token_is_made_anew_and_an_unknown_one_revoked(studio: Studio) -> None:
    bot(studio).get("/api/version")
    studio.personal, first = ["personal.token.else"], studio.personal[0]  # a person made one by hand
    tokens._access.clear()
    assert bot(studio).get("/api/version")
    assert LabelStudioToken.objects.get().token == studio.personal[0]
    assert studio.personal[0] not in (first, "personal.token.else")


@pytest.mark.django_db
def test_of_two_who_find_the_token_refused_only_the_first_makes_one(studio: Studio) -> None:
    made = make_token(studio.url, EMAIL, PASSWORD)
    again = make_token(studio.url, EMAIL, PASSWORD, instead_of="an older one")
    assert again == made
    assert studio.seen.count("POST /api/token/") == 1


@pytest.mark.django_db
def test_a_wrong_password_says_what_to_check(studio: Studio) -> None:
    wrong = OwnToken(studio.url, email=EMAIL, password="other")
    with pytest.raises(Problem, match="does not let bot@crashdesk"):
        Client(studio.url, authority=wrong).get("/api/version")


def test_a_configured_personal_token_is_used_as_it_is(studio: Studio) -> None:
    studio.personal = ["personal.token.9"]
    mine = Client(studio.url, authority=PersonalToken(studio.url, "personal.token.9"))
    assert mine.get("/api/version")
    studio.access.clear()
    assert mine.get("/api/version")
    studio.personal, studio.access = [], set()
    with pytest.raises(LabelStudioRefused, match="refuses CrashDesk's token"):
        mine.get("/api/version")


def test_nothing_configured_says_what_to_set(settings: Any) -> None:
    settings.LABELSTUDIO_TOKEN = settings.LABELSTUDIO_EMAIL = ""
    with pytest.raises(Problem, match="Set CRASHDESK_LABELSTUDIO_TOKEN, or"):
        client()


def test_kinds_of_tokens() -> None:
    assert is_personal("eyJh.eyJ0.abc")
    assert not is_personal("f" * 40)
