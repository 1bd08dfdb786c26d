"""Label Studio over HTTP: a thin client whose refusals are Problems that say what to do."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from django.conf import settings

from annotations.labelstudio.key import key_header
from annotations.labelstudio.tokens import Authority, GivenToken, authority
from crashdesk.api.errors import Problem

TIMEOUT_SECONDS = (3.05, 120)
PAGE = 100


class LabelStudioDown(Problem):
    """Nobody answers at the address; waiting or starting Label Studio helps."""


class LabelStudioRefused(Problem):
    """Label Studio answered, and said no. `http_status` is its status, `detail` its own words."""

    def __init__(self, code: str, message: str, *, http_status: int, detail: str) -> None:
        super().__init__(code, message, status=502)
        self.http_status, self.detail = http_status, detail


@dataclass(frozen=True)
class Reply:
    """A parsed answer, the server's own clock when it was given (to the second, rounded down) and how long it took."""

    data: Any
    at: datetime
    took: timedelta = timedelta()

    @property
    def asked_at(self) -> datetime:
        """The server's own clock when it was asked, or up to a second and the way there and back earlier."""
        return self.at - self.took


class Client:
    """Calls to one Label Studio as one person. Raises LabelStudioDown and LabelStudioRefused."""

    def __init__(self, url: str, token: str = "", *, authority: Authority | None = None) -> None:
        self.url, self._token = url.rstrip("/"), token
        self._authority = authority or GivenToken(token)

    def call(
        self, method: str, path: str, *, params: dict[str, Any] | None = None, body: Any = None
    ) -> Reply:
        """One request; `body` is sent as JSON. A fresh connection each time: Label Studio's own server is
        slower on kept-alive ones."""
        try:
            header = self._authority.header()
            response = self._send(method, path, header, params=params, body=body)
            if response.status_code == 401 and self._authority.renew(header):
                response = self._send(method, path, self._authority.header(), params=params, body=body)
        except requests.Timeout as error:
            message = f"Label Studio at {self.url} did not answer {method} {path} in time."
            raise LabelStudioDown("labelstudio_down", message, status=503) from error
        except requests.ConnectionError as error:
            message = (
                f"Label Studio does not answer at {self.url}. Start it, or check CRASHDESK_LABELSTUDIO_URL."
            )
            raise LabelStudioDown("labelstudio_down", message, status=503) from error
        except requests.HTTPError as error:  # of the token's own addresses
            raise _refusal(error.response, error.request.method or "", error.request.url or "") from error
        except requests.RequestException as error:
            message = f"Label Studio at {self.url} broke off its answer to {method} {path}."
            raise LabelStudioDown("labelstudio_down", message, status=503) from error
        if response.status_code >= 400:
            raise _refusal(response, method, path)
        return Reply(data=_json(response, path), at=_server_time(response), took=response.elapsed)

    def _send(
        self, method: str, path: str, header: str, *, params: dict[str, Any] | None, body: Any
    ) -> requests.Response:
        headers = {"Authorization": header, "Connection": "close", **key_header()}
        return requests.request(
            method, self.url + path, params=params, json=body, headers=headers, timeout=TIMEOUT_SECONDS
        )

    def authorization(self) -> dict[str, str]:
        """The headers that say who we are, for a request that is not answered in JSON."""
        return {"Authorization": self._authority.header(), **key_header()}

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, params=params).data

    def post(self, path: str, body: Any, **params: Any) -> Any:
        return self.call("POST", path, params=params, body=body).data

    def patch(self, path: str, body: Any) -> Any:
        return self.call("PATCH", path, body=body).data

    def delete(self, path: str) -> None:
        self.call("DELETE", path)

    def exists(self, path: str) -> bool:
        """Whether GET answers with anything but 404."""
        try:
            self.get(path)
        except LabelStudioRefused as refused:
            if refused.http_status == 404:
                return False
            raise
        return True

    def tasks(
        self, project_id: int, filters: Sequence[dict[str, Any]] = (), *, fields: str = "all"
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of a project's tasks that pass every filter, by id. `fields`: "all" brings annotations."""
        seen, page = 0, 1
        while True:
            reply = self.task_page(project_id, filters, fields=fields, page=page).data
            if reply["tasks"]:
                yield reply["tasks"]
            seen, page = seen + len(reply["tasks"]), page + 1
            if seen >= reply["total"] or not reply["tasks"]:
                return

    def task_page(
        self, project_id: int, filters: Sequence[dict[str, Any]] = (), *, fields: str = "all", page: int = 1
    ) -> Reply:
        """One page of `tasks`, as {"tasks": [...], "total": n}; n counts the tasks of all pages."""
        query: dict[str, Any] = {"ordering": ["tasks:id"]}
        if filters:
            query["filters"] = {"conjunction": "and", "items": list(filters)}
        asked = {"project": project_id, "query": json.dumps(query), "fields": fields}
        return self.call("GET", "/api/tasks", params=asked | {"page_size": PAGE, "page": page})

    def now(self) -> datetime:
        """The server's clock, to the second, rounded down."""
        return self.call("GET", "/health").at


def task_filter(column: str, operator: str, kind: str, value: Any) -> dict[str, Any]:
    """One condition of the Data Manager, e.g. task_filter("updated_at", "greater", "Datetime", "2026-…Z")."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}


def _refusal(response: requests.Response, method: str, path: str) -> LabelStudioRefused:
    is_json = "json" in response.headers.get("Content-Type", "")
    detail = (
        response.text[:1000] if is_json else f"no JSON ({response.headers.get('Content-Type', 'no type')})"
    )
    if response.status_code in (401, 403):
        code, message = (
            "labelstudio_token",
            "Label Studio refuses CrashDesk's token; run manage.py labelstudio_check",
        )
    else:
        code, message = (
            "labelstudio_refused",
            f"Label Studio answered {response.status_code} to {method} {path}",
        )
    return LabelStudioRefused(code, f"{message}: {detail}", http_status=response.status_code, detail=detail)


def _json(response: requests.Response, path: str) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except requests.JSONDecodeError as error:
        message = f"{response.url} answered, but not as Label Studio does; check CRASHDESK_LABELSTUDIO_URL."
        raise LabelStudioRefused(
            "labelstudio_refused", message, http_status=response.status_code, detail=path
        ) from error


def _server_time(response: requests.Response) -> datetime:
    stamp = response.headers.get("Date")
    return parsedate_to_datetime(stamp).astimezone(UTC) if stamp else datetime.now(UTC)


def client() -> Client:
    """The client of the Label Studio that the settings name."""
    url, token = settings.LABELSTUDIO_URL, settings.LABELSTUDIO_TOKEN
    by = authority(url, token, settings.LABELSTUDIO_EMAIL, settings.LABELSTUDIO_PASSWORD)
    return Client(url, token, authority=by)
