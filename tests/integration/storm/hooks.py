"""A bad network between Label Studio's webhooks and CrashDesk: some are lost, some come twice, some late."""

import heapq
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import requests

LOST, TWICE, LATE = 0.3, 0.2, 0.3
LATE_SECONDS = 3.0
PASSED_ON = ("X-CrashDesk-Secret", "Content-Type")


class Chaos:
    """Answers Label Studio at once, and does to each webhook what chance wants. `seconds`: how long CrashDesk took."""

    def __init__(self, target: str, *, seed: int) -> None:
        self.target, self.counts, self.seconds = target, Counter[str](), list[float]()
        self._random = random.Random(seed)
        self._lock = threading.Condition()
        self._due: list[tuple[float, int, str, Mapping[str, str], bytes]] = []
        self._number, self._ended = 0, False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._threads = [
            threading.Thread(target=self._server.serve_forever, daemon=True),
            threading.Thread(target=self._pass_on, daemon=True),
        ]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._ended = True
            self._lock.notify()
        self._server.shutdown()
        for thread in self._threads:
            thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        chaos = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                self.send_response(204)
                self.end_headers()
                headers = {name: self.headers[name] for name in PASSED_ON if self.headers[name]}
                chaos.arrived(self.path, headers, body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Silent."""

        return Handler

    def arrived(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        with self._lock:
            self.counts["sent by Label Studio"] += 1
            if self._random.random() < LOST:
                self.counts["lost"] += 1
                return
            copies = 2 if self._random.random() < TWICE else 1
            self.counts["doubled"] += copies - 1
            for _ in range(copies):
                late = self._random.random() < LATE
                self.counts["late"] += late
                due = time.monotonic() + (self._random.uniform(0, LATE_SECONDS) if late else 0)
                self._number += 1
                heapq.heappush(self._due, (due, self._number, path, headers, body))
            self._lock.notify()

    def _pass_on(self) -> None:
        while True:
            with self._lock:
                while not self._ended and (not self._due or self._due[0][0] > time.monotonic()):
                    self._lock.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._ended:
                    return
                _, _, path, headers, body = heapq.heappop(self._due)
            status, seconds = knock(self.target + path, headers, body)
            self.counts[f"answered {status}"] += 1
            self.seconds.append(seconds)


def knock(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, float]:
    """Status and seconds of one webhook, the connection included."""
    started = time.perf_counter()
    answer = requests.post(url, data=body, headers={**headers, "Connection": "close"}, timeout=30)
    return answer.status_code, time.perf_counter() - started
