"""Label Studio's WSGI application for gunicorn, behind CrashDesk's guard. Run by Label Studio's own Python.

Label Studio Community lets every member do everything. Here each request is first put to CrashDesk (GUARD_URL, the
same question that nginx asks by auth_request), and only what CrashDesk allows reaches Label Studio. CrashDesk's own
calls carry GUARD_KEY and pass at once. Without GUARD_URL somebody else stands in front (nginx, or nobody).

Two things are always done here, because a proxy cannot: what a member saves keeps only the fields that the editor
sends, so that nobody signs as somebody else; and the pages load CrashDesk's scripts (GUARD_DESK).

The projects page asks /heidi-tips/, and the server then fetches a file from the internet; here the path answers 404
and the page simply shows no tip.
"""

import hmac
import http.client
import importlib
import io
import json
import logging
import os
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, urlsplit

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

logger = logging.getLogger("crashdesk.guard")

PUBLIC = re.compile(
    r"/(static|react-app|label-studio-frontend|dm)/.*|/(favicon\.ico|sw\.js|sw-fallback\.js|health/?)"
)
WRITES = re.compile(
    r"/api/(tasks/\d+/annotations(/\d+/drafts)?|tasks/\d+/drafts|annotations/\d+|drafts/\d+)/?"
)
KEPT = frozenset(
    {
        *("id", "result", "lead_time", "started_at", "was_cancelled", "unique_id"),
        *("draft_id", "parent_prediction", "parent_annotation"),
    }
)
PROOFS = ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY")
MAX_BODY = 32 * 1024 * 1024
ASK_SECONDS = 20.0
SCRIPTS = ("activity.js", "labelstudio.js")


class Guard:
    """Wraps Label Studio's application."""

    def __init__(self, application: Callable[..., Iterable[bytes]], settings: dict[str, str]) -> None:
        self._labelstudio = application
        self._url, self._key = urlsplit(settings.get("GUARD_URL", "")), settings.get("GUARD_KEY", "")
        self._desk = settings.get("GUARD_DESK", "").rstrip("/")

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The WSGI entry point."""
        path, method = environ.get("PATH_INFO", ""), environ.get("REQUEST_METHOD", "")
        if path.startswith("/heidi-tips"):
            return _answer(start_response, "404 Not Found", {"detail": "no tips here"})
        if method in {"GET", "HEAD"} and PUBLIC.fullmatch(path):
            return self._labelstudio(environ, start_response)
        for name in PROOFS:  # an empty one proves nothing, so it is none
            if not environ.get(name, "").strip():
                environ.pop(name, None)
        key = environ.pop("HTTP_X_CRASHDESK_KEY", "")
        if self._key and hmac.compare_digest(key.encode("latin-1"), self._key.encode()):
            return self._labelstudio(environ, start_response)
        if self._url.netloc:
            refusal = self._ask(environ, key, start_response)
            if refusal is not None:
                return refusal
        if not any(name in environ for name in PROOFS):
            problem = _only_what_members_send(environ, path, method)
            if problem is not None:
                return _answer(start_response, problem, {"detail": "CrashDesk does not let this pass."})
        if self._desk and method == "GET" and not path.startswith(("/api/", "/data/", "/tasks/")):
            return self._with_scripts(environ, start_response)
        return self._labelstudio(environ, start_response)

    def _ask(self, environ: Environ, key: str, start_response: StartResponse) -> Iterable[bytes] | None:
        """CrashDesk's refusal as an answer; None when the request may pass (its query perhaps narrowed)."""
        query = environ.get("QUERY_STRING", "")
        path = quote(environ.get("PATH_INFO", "").encode("latin-1"))
        headers = {
            "X-Original-Method": environ.get("REQUEST_METHOD", ""),
            "X-Original-URI": f"{path}?{query}" if query else path,
            "X-Original-Host": environ.get("HTTP_HOST", ""),
            "Cookie": environ.get("HTTP_COOKIE", ""),
            "Authorization": environ.get("HTTP_AUTHORIZATION", ""),
            "X-Api-Key": environ.get("HTTP_X_API_KEY", ""),
            "X-CrashDesk-Key": key,
            "Connection": "close",
        }
        try:
            connection = http.client.HTTPConnection(self._url.netloc, timeout=ASK_SECONDS)
            connection.request(
                "GET", self._url.path, headers={name: value for name, value in headers.items() if value}
            )
            said = connection.getresponse()
            said.read()
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            logger.warning("CrashDesk does not answer at %s: %s", self._url.geturl(), error)
            body = {"detail": "CrashDesk does not answer, so nobody may pass. Try again in a moment."}
            return _answer(start_response, "503 Service Unavailable", body)
        if said.status in (200, 204):
            narrowed = said.headers.get("X-CrashDesk-Query")
            if narrowed is not None:
                environ["QUERY_STRING"] = narrowed
                environ["RAW_URI"] = environ["REQUEST_URI"] = f"{path}?{narrowed}"
            return None
        where = said.headers.get("X-CrashDesk-Location", "")
        if where and environ.get("REQUEST_METHOD") == "GET" and "text/html" in environ.get("HTTP_ACCEPT", ""):
            start_response(
                "302 Found", [("Location", where), ("Content-Length", "0"), ("Cache-Control", "no-store")]
            )
            return [b""]
        status = {401: "401 Unauthorized", 403: "403 Forbidden"}.get(said.status, "503 Service Unavailable")
        reason = said.headers.get("X-CrashDesk-Reason", "CrashDesk could not say whether this is allowed.")
        return _answer(start_response, status, {"detail": reason})

    def _with_scripts(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Label Studio's answer, with CrashDesk's scripts in it where it is a page."""
        begun: list[Any] = []
        body: list[bytes] = []

        def held(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], None]:
            begun[:] = [status, headers]
            return body.append

        answer = self._labelstudio(environ, held)
        named = {name.lower(): value for name, value in begun[1]} if begun else {}
        is_page = named.get("content-type", "").startswith("text/html") and "content-encoding" not in named
        if not is_page:
            start_response(begun[0], begun[1])
            return answer
        try:
            body.extend(answer)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()
        page = b"".join(body).replace(b"</head>", self._tags(environ).encode() + b"</head>", 1)
        headers = [(name, value) for name, value in begun[1] if name.lower() != "content-length"]
        start_response(begun[0], [*headers, ("Content-Length", str(len(page)))])
        return [page]

    def _tags(self, environ: Environ) -> str:
        desk = same_host(self._desk, environ.get("HTTP_HOST", ""))
        tag = '<script src="{0}/static/frontend/{1}" data-desk="{0}" defer></script>'
        return "".join(tag.format(desk, script) for script in SCRIPTS)


def same_host(url: str, host: str) -> str:
    """The address of CrashDesk by the name under which the browser knows this machine, where that is loopback."""
    parts, seen = urlsplit(url), urlsplit(f"//{host}")
    names = {"127.0.0.1", "localhost", "::1"}
    if parts.hostname in names and seen.hostname in names and seen.hostname != parts.hostname:
        name = f"[{seen.hostname}]" if seen.hostname and ":" in seen.hostname else seen.hostname
        return f"{parts.scheme}://{name}:{parts.port}" if parts.port else f"{parts.scheme}://{name}"
    return url


def _only_what_members_send(environ: Environ, path: str, method: str) -> str | None:
    """Drop what nobody has asked CrashDesk about: the body of a GET, which Label Studio reads like a query, and every
    field that would change whose annotation it is or of which task. The status of a refusal, or None."""
    if method in {"GET", "HEAD"}:
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(), "0"
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    if method in {"GET", "HEAD", "DELETE", "OPTIONS"} or not WRITES.fullmatch(path):
        return None
    if environ.get("CONTENT_TYPE", "").split(";")[0].strip().lower() != "application/json":
        return "415 Unsupported Media Type"
    raw = environ["wsgi.input"].read(MAX_BODY + 1)
    if len(raw) > MAX_BODY:
        return "413 Content Too Large"
    try:
        said = json.loads(raw)
    except ValueError:
        return "400 Bad Request"
    if not isinstance(said, dict):
        return "400 Bad Request"
    kept = json.dumps({name: value for name, value in said.items() if name in KEPT}).encode()
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(kept), str(len(kept))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    return None


def _answer(start_response: StartResponse, status: str, body: dict[str, str]) -> list[bytes]:
    text = json.dumps(body).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(text))),
        ("Cache-Control", "no-store"),
    ]
    start_response(status, headers)
    return [text]


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """What gunicorn calls; Label Studio is loaded with the module, before gunicorn forks."""
    return _guarded(environ, start_response)


_guarded = Guard(importlib.import_module("core.wsgi").application, dict(os.environ))
