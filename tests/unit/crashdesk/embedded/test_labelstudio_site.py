"""The layer around Label Studio's application, with stand-ins for Label Studio and for CrashDesk's guard."""

import importlib
import io
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from crashdesk.embedded import labelstudio

PAGE = b"<html><head><title>x</title></head><body></body></html>"
Answer = tuple[str, dict[str, str], bytes]


class Studio:
    """Says back what it was asked."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.proofs: list[dict[str, str | None]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        seen = {name: environ.get(name, "") for name in ("PATH_INFO", "QUERY_STRING", "HTTP_X_CRASHDESK_KEY")}
        self.proofs.append({name: environ.get(name) for name in ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY")})
        self.seen.append(seen | {"body": environ["wsgi.input"].read()})
        kind = (
            "text/html; charset=utf-8" if environ["PATH_INFO"].startswith("/projects") else "application/json"
        )
        body = PAGE if kind.startswith("text/html") else b"{}"
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]


class Desk(BaseHTTPRequestHandler):
    """CrashDesk's guard: status and headers by path; 204 else."""

    says: dict[str, tuple[int, dict[str, str]]] = {}
    asked: list[dict[str, str]] = []

    def do_GET(self) -> None:
        self.asked.append(dict(self.headers))
        status, headers = self.says.get(self.headers["X-Original-URI"].split("?")[0], (204, {}))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silent."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as gunicorn loads it, around a Label Studio that does nothing."""
    core = ModuleType("core.wsgi")
    core.application = Studio()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "core", ModuleType("core"))
    monkeypatch.setitem(sys.modules, "core.wsgi", core)
    monkeypatch.syspath_prepend(str(Path(labelstudio.__file__).with_name("labelstudio_site")))
    monkeypatch.delitem(sys.modules, "crashdesk_labelstudio_wsgi", raising=False)
    return importlib.import_module("crashdesk_labelstudio_wsgi")


@pytest.fixture
def desk() -> Iterator[str]:
    Desk.says, Desk.asked = {}, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api/labelstudio/guard"
    server.shutdown()
    thread.join()
    server.server_close()


class Door:
    def __init__(self, site: ModuleType, guard_url: str) -> None:
        self.studio = Studio()
        settings = {"GUARD_URL": guard_url, "GUARD_KEY": "key", "GUARD_DESK": "http://127.0.0.1:8000"}
        self.guard = site.Guard(self.studio, settings)

    def __call__(self, method: str, address: str, body: bytes = b"", **more: str) -> Answer:
        path, _, query = address.partition("?")
        environ = {
            "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": "localhost:8001",
            "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body),
            **more,
        }  # fmt: skip
        begun: list[Any] = []
        parts = self.guard(
            environ, lambda status, headers, exc_info=None: begun.extend([status, dict(headers)])
        )
        return begun[0], begun[1], b"".join(parts)


@pytest.fixture
def door(site: ModuleType, desk: str) -> Door:
    return Door(site, desk)


def test_what_crashdesk_refuses_never_reaches_label_studio(door: Door) -> None:
    Desk.says["/api/projects/1/"] = (
        403,
        {"X-CrashDesk-Reason": "Not yours.", "X-CrashDesk-Location": "http://d/work"},
    )
    Desk.says["/projects/1/data"] = (401, {"X-CrashDesk-Location": "http://d/labelstudio?next=x"})
    Desk.says["/api/x"] = (500, {})
    status, _, body = door(
        "DELETE", "/api/projects/1/", HTTP_COOKIE="sessionid=s", HTTP_AUTHORIZATION="Token t"
    )
    assert (status, json.loads(body)) == ("403 Forbidden", {"detail": "Not yours."})
    assert {
        "Cookie": "sessionid=s",
        "Authorization": "Token t",
        "X-Original-Method": "DELETE",
    }.items() <= Desk.asked[0].items()
    assert door("GET", "/projects/1/data?task=1")[0] == "401 Unauthorized"
    status, headers, _ = door("GET", "/projects/1/data?task=1", HTTP_ACCEPT="text/html,*/*")
    assert (status, headers["Location"]) == ("302 Found", "http://d/labelstudio?next=x")
    assert door("GET", "/api/x")[0] == "503 Service Unavailable"
    assert door.studio.seen == []


def test_without_an_answer_nobody_passes(site: ModuleType) -> None:
    door = Door(site, "http://127.0.0.1:9/api/labelstudio/guard")
    assert door("GET", "/api/version")[0] == "503 Service Unavailable"
    assert door("GET", "/health")[0] == "200 OK"
    assert door("DELETE", "/health")[0] == "503 Service Unavailable"
    assert door("DELETE", "/api/projects/1", HTTP_X_CRASHDESK_KEY="wrong")[0] == "503 Service Unavailable"
    assert door("DELETE", "/api/projects/1", HTTP_X_CRASHDESK_KEY="key")[0] == "200 OK"
    assert [seen["PATH_INFO"] for seen in door.studio.seen] == ["/health", "/api/projects/1"]
    assert door.studio.seen[-1]["HTTP_X_CRASHDESK_KEY"] == ""


def test_a_narrowed_query_replaces_the_members_own(door: Door) -> None:
    Desk.says["/api/tasks"] = (204, {"X-CrashDesk-Query": "project=1&query=x"})
    door("GET", "/api/tasks?project=1&view=9", b'{"view": 9}')
    assert door.studio.seen == [
        {
            "PATH_INFO": "/api/tasks",
            "QUERY_STRING": "project=1&query=x",
            "HTTP_X_CRASHDESK_KEY": "",
            "body": b"",
        }
    ]


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/tasks/1/annotations/"), ("PATCH", "/api/annotations/4"), ("POST", "/api/tasks/1/drafts"),
     ("PATCH", "/api/drafts/3/"), ("POST", "/api/tasks/1/annotations/4/drafts")],
)  # fmt: skip
def test_only_the_editors_fields_are_saved(door: Door, method: str, path: str) -> None:
    said = {"result": [], "lead_time": 3, "completed_by": 1, "task": 9, "user": "x", "ground_truth": True}
    assert door(method, path, json.dumps(said).encode())[0] == "200 OK"
    assert json.loads(door.studio.seen[-1]["body"]) == {"result": [], "lead_time": 3}
    for body in (b"", b"[]", b"completed_by=1", b"{"):
        assert door(method, path, body)[0] == "400 Bad Request"
    assert (
        door(method, path, b"completed_by=1", CONTENT_TYPE="multipart/form-data")[0]
        == "415 Unsupported Media Type"
    )
    raw = json.dumps(said).encode()
    door(method, path, raw, HTTP_X_CRASHDESK_KEY="key")
    assert door.studio.seen[-1]["body"] == raw


def test_pages_load_crashdesks_scripts_under_the_name_the_browser_knows(door: Door) -> None:
    _, headers, page = door("GET", "/projects/1/data?task=2")
    text = page.decode()
    assert (
        '<script src="http://localhost:8000/static/frontend/activity.js" data-desk="http://localhost:8000"'
        in text
    )
    assert text.index("labelstudio.js") < text.index("</head>")
    assert headers["Content-Length"] == str(len(page))
    assert door("GET", "/api/version")[2] == b"{}"


def test_every_script_it_names_is_there(site: ModuleType) -> None:
    folder = Path(__file__).resolve().parents[4] / "frontend/static/frontend"
    assert [name for name in site.SCRIPTS if not (folder / name).exists()] == []


def test_tips_are_not_fetched(door: Door) -> None:
    assert door("GET", "/heidi-tips/")[0] == "404 Not Found"
    assert (door.studio.seen, Desk.asked) == ([], [])


@pytest.mark.parametrize(
    ("url", "host", "seen"),
    [
        ("http://127.0.0.1:8000", "localhost:8001", "http://localhost:8000"),
        ("http://127.0.0.1:8000", "[::1]:8001", "http://[::1]:8000"),
        ("http://127.0.0.1:8000", "127.0.0.1:8001", "http://127.0.0.1:8000"),
        ("https://desk.example.org", "localhost:8001", "https://desk.example.org"),
        ("http://127.0.0.1:8000", "evil.example", "http://127.0.0.1:8000"),
    ],
)
def test_loopback_names_stand_for_each_other(site: ModuleType, url: str, host: str, seen: str) -> None:
    assert site.same_host(url, host) == seen


@pytest.mark.parametrize("header", ["HTTP_AUTHORIZATION", "HTTP_X_API_KEY"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_proof_is_none(door: Door, header: str, value: str) -> None:
    body = json.dumps({"result": [], "completed_by": 1, "task": 9}).encode()
    door("POST", "/api/tasks/3/annotations/", body, **{header: value})
    door("GET", "/api/tasks?project=1", b'{"view": 9}', **{header: value})
    assert [seen["body"] for seen in door.studio.seen] == [b'{"result": []}', b""]
    assert [proof[header] for proof in door.studio.proofs] == [None, None]
    door("POST", "/api/tasks/3/annotations/", body, **{header: "Token t"})
    assert (door.studio.seen[-1]["body"], door.studio.proofs[-1][header]) == (body, "Token t")
