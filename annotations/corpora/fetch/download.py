"""Getting one clip over HTTP from an address that somebody wrote into a file: nothing about it is trusted.

Every connection, also those that redirects lead to, is made by `addresses.connect`: urllib3 asks no resolver and no
proxy of its own, while Host and TLS keep the name. A timer cuts the connection when the time is up, whatever the
server is doing then.
"""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urljoin

from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util.url import Url, parse_url

from annotations.corpora.fetch.addresses import RefusedAddress, Resolve, connect, resolve
from crashdesk.storage.incoming import Spool

CONNECT_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 30.0
MAX_REDIRECTS: Final = 5
PIECE: Final = 1 << 16
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_TYPES: Final = frozenset(
    {
        "application/octet-stream", "binary/octet-stream", "application/mp4", "application/mxf", "application/ogg",
        "application/x-matroska", "image/gif", "",
    }
)  # fmt: skip
_HEADERS: Final = {
    "User-Agent": "CrashDesk",
    "Accept": "video/*, */*;q=0.1",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


class Refused(Exception):
    """The address, or what it leads to, is none that may be fetched."""


class Failed(Exception):
    """The clip could not be had. `again`: another try may have more luck."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


@dataclass(frozen=True)
class Rules:
    """What a fetch may take. The last three are for tests: nothing that a setting says can loosen the rules."""

    max_bytes: int
    timeout_s: float
    allow_loopback: bool = False
    resolve: Resolve = resolve
    ssl_context: ssl.SSLContext | None = None


def download(url: str, spool: Spool, *, rules: Rules, progress: Callable[[int, int | None], None]) -> str:
    """Write what lies at `url` to the spool; returns the address it came from in the end.

    Refused or Failed with the reason; OSError when the disk refuses. `progress` is told (bytes, total if known) and
    may raise to stop.
    """
    with _Deadline(rules.timeout_s) as deadline:
        for _ in range(MAX_REDIRECTS + 1):
            connection, response = _ask(_checked(url), rules, deadline)
            try:
                if response.status not in _REDIRECTS:
                    _receive(response, spool, rules, deadline, progress)
                    return url
                url = urljoin(url, response.headers.get("Location", ""))
            finally:
                response.close()
                connection.close()
    raise Refused(f"more than {MAX_REDIRECTS} redirects")


def _checked(url: str) -> Url:
    try:
        found = parse_url(url)
    except LocationParseError as error:
        raise Refused("the address cannot be read") from error
    if found.scheme not in {"http", "https"} or not found.host:
        raise Refused("the address must begin with http:// or https://")
    if found.auth is not None:
        raise Refused("the address holds a user name or password")
    return found


def _ask(url: Url, rules: Rules, deadline: "_Deadline") -> tuple[HTTPConnection, BaseHTTPResponse]:
    """Connect, ask, and wait for the headers of the answer."""
    host = (url.host or "").removeprefix("[").removesuffix("]")

    def open_socket() -> socket.socket:
        port = url.port or (443 if url.scheme == "https" else 80)
        made = connect(
            host,
            port,
            timeout_s=CONNECT_TIMEOUT_S,
            resolve=rules.resolve,
            allow_loopback=rules.allow_loopback,
        )
        made.settimeout(READ_TIMEOUT_S)
        return deadline.watch(made)

    connection = _connection(url.scheme == "https", host, url.port, open_socket, rules.ssl_context)
    try:
        connection.request(
            "GET", url.request_uri, headers=_HEADERS, preload_content=False, decode_content=False
        )
        return connection, connection.getresponse()
    except (HTTPError, HTTPException, OSError, UnicodeError) as error:
        connection.close()
        raise deadline.blame(error) from error
    except RefusedAddress as error:
        connection.close()
        raise Refused(f"{host}: {error}") from error


def _connection(
    secure: bool,
    host: str,
    port: int | None,
    open_socket: Callable[[], socket.socket],
    ssl_context: ssl.SSLContext | None,
) -> HTTPConnection:
    """A connection of urllib3 whose socket is made by `open_socket` (as its own SOCKS connections do it)."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return open_socket()

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return open_socket()

    if secure:
        return Secure(host, port, ssl_context=ssl_context)
    return Plain(host, port)


def _receive(
    response: BaseHTTPResponse,
    spool: Spool,
    rules: Rules,
    deadline: "_Deadline",
    progress: Callable[[int, int | None], None],
) -> None:
    if response.status != 200:
        raise Failed(f"the server answers {response.status}", again=response.status in _TRY_AGAIN)
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in _TYPES and not kind.startswith("video/"):
        raise Refused(f"it is no video but {kind[:60]}")
    told = response.headers.get("Content-Length", "")
    total = int(told) if told.isascii() and told.isdigit() and len(told) < 19 else None
    limit = f"more than {rules.max_bytes // 1024**2} MiB"
    if total is not None and total > rules.max_bytes:
        raise Refused(f"it has {limit}")
    while piece := _read(response, deadline):
        spool.write(piece)
        if spool.size > rules.max_bytes:
            raise Refused(f"it has {limit}")
        progress(spool.size, total)
    if deadline.over:
        raise deadline.blame(None)


def _read(response: BaseHTTPResponse, deadline: "_Deadline") -> bytes:
    try:
        return response.read(PIECE, decode_content=False)
    except (HTTPError, HTTPException, OSError) as error:
        raise deadline.blame(error) from error


class _Deadline:
    """Cuts the watched connections when the time is up. A context manager."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._watched: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for watched in self._watched:
                watched.close()
            self._watched.clear()

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def watch(self, connection: socket.socket) -> socket.socket:
        """Cut this connection too when the time is up; a copy is kept, because TLS takes the original over."""
        with self._lock:
            self._watched.append(connection.dup())
        if self.over:
            self._cut()
        return connection

    def _cut(self) -> None:
        self._over.set()
        with self._lock:
            for watched in self._watched:
                with suppress(OSError):  # the other side was faster
                    watched.shutdown(socket.SHUT_RDWR)

    def blame(self, error: Any) -> Failed:
        """What went wrong, in words: the time, if it is up."""
        if self.over:
            return Failed(f"it took longer than {self._seconds:g} s", again=False)
        hopeless = isinstance(error, ssl.SSLCertVerificationError)
        return Failed(f"{type(error).__name__}: {error}", again=not hopeless)
