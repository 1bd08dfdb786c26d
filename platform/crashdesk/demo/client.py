"""A small client of CrashDesk's own HTTP API: the demo and the end-to-end test use the API as anybody would."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests


class ApiError(Exception):
    """The API refused; the message is its error body's."""

    def __init__(self, status: int, body: Any) -> None:
        error = body.get("error", {}) if isinstance(body, dict) else {}
        super().__init__(
            f"{status} {error.get('code', '')}: {error.get('message', body)} {error.get('fields') or ''}"
        )
        self.status, self.code = status, error.get("code", "")


class JobEndedError(Exception):
    """A job that was waited for failed or was cancelled."""


Report = Callable[[dict[str, Any]], None]


class Client:
    """Calls below http://host:port/api/ as one user."""

    def __init__(self, base_url: str, username: str, password: str, *, timeout_s: float = 60) -> None:
        self.base, self.timeout = base_url.rstrip("/") + "/api/", timeout_s
        self.session = requests.Session()
        token = self.post("token", {"username": username, "password": password})["token"]
        self.session.headers["Authorization"] = f"Token {token}"

    def request(self, method: str, path: str, **kwargs: Any) -> Any:
        """The JSON answer. Raises ApiError for any refusal, requests.RequestException when nobody answers."""
        response = self.session.request(method, self.base + path, timeout=self.timeout, **kwargs)
        body = response.json() if "json" in response.headers.get("Content-Type", "") else response.text[:500]
        if not response.ok:
            raise ApiError(response.status_code, body)
        return body

    def get(self, path: str, **params: Any) -> Any:
        return self.request("GET", path, params=params)

    def post(self, path: str, data: dict[str, Any] | None = None) -> Any:
        return self.request("POST", path, json=data or {})

    def all(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Every item of a paginated list."""
        cursor: dict[str, str] = {}
        while True:
            body = self.get(path, **params, **cursor, page_size=200)
            yield from body["results"]
            if not body["next"]:
                return
            cursor = {"cursor": parse_qs(urlsplit(body["next"]).query)["cursor"][0]}

    def download(self, path: str) -> bytes:
        response = self.session.get(self.base + path, timeout=self.timeout)
        if not response.ok:
            raise ApiError(response.status_code, response.text[:500])
        return response.content

    def wait_for_job(
        self, job_id: int, *, timeout_s: float = 900, report: Report | None = None
    ) -> dict[str, Any]:
        """Wait until a job is done, reporting its state. Raises JobEndedError when it fails, TimeoutError too late."""
        deadline = time.monotonic() + timeout_s
        while True:
            job: dict[str, Any] = self.get(f"jobs/{job_id}")
            if report:
                report(job)
            if job["state"] == "done":
                return job
            if job["state"] in {"failed", "cancelled"}:
                raise JobEndedError(f"job {job_id} ({job['kind']}) {job['state']}: {job['error'][-2000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"job {job_id} ({job['kind']}) is still {job['state']} after {timeout_s} s"
                )
            time.sleep(0.5)

    def wait_until(self, what: str, ready: Callable[[], bool], *, timeout_s: float = 300) -> None:
        """Poll until `ready()`. Raises TimeoutError naming `what`."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {timeout_s} s")
            time.sleep(0.5)
