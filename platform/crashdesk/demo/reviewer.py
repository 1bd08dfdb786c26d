"""Plays a reviewer through Label Studio's own API: opens tasks, corrects the draft, submits."""

import copy
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

Region = dict[str, Any]


class LabelStudioReviewer:
    """A person who signs in to CrashDesk and opens every case in Label Studio from there, as a browser would.

    Lists and drafts are read with the owner's token: a member sees only their own tasks.
    """

    def __init__(self, base_url: str, owner_token: str, *, desk: str, username: str, password: str) -> None:
        self.base, self.desk = base_url.rstrip("/"), desk.rstrip("/")
        self.owner = requests.Session()
        self.owner.headers["Authorization"] = f"Token {owner_token}"
        self.session = requests.Session()
        self._sign_in(username, password)

    def _sign_in(self, username: str, password: str) -> None:
        url = f"{self.desk}/login"
        self._ok(self.session.get(url, timeout=60))
        form = {
            "username": username,
            "password": password,
            "csrfmiddlewaretoken": self.session.cookies["crashdesk_csrf"],
        }
        answer = self.session.post(
            url, data=form, headers={"Referer": url}, allow_redirects=False, timeout=60
        )
        if answer.status_code != 302:
            raise RuntimeError(f"CrashDesk refused to sign in {username} (status {answer.status_code})")

    def open(self, task_id: int) -> None:
        """Take the task's case and get Label Studio's cookies, by CrashDesk's own page for it."""
        self.open_case(self.task(task_id)["data"]["case_id"])

    def open_case(self, case_id: int) -> int:
        """Open a case as the person's browser does; returns the task that it is led to in Label Studio."""
        url = f"{self.desk}/review/{case_id}"
        answer = self.session.get(url, allow_redirects=False, timeout=60)
        if answer.status_code != 302:
            raise RuntimeError(
                f"CrashDesk does not open {url} (status {answer.status_code}): {answer.text[:2000]}"
            )
        return int(parse_qs(urlsplit(answer.headers["Location"]).query)["task"][0])

    @staticmethod
    def _ok(response: requests.Response) -> requests.Response:
        if not response.ok:
            raise RuntimeError(f"Label Studio: {response.status_code} {response.text[:500]}")
        return response

    def _write(self, method: str, path: str, data: dict[str, Any] | None = None) -> Any:
        headers = {"X-CSRFToken": self.session.cookies["csrftoken"], "Referer": self.base}
        answer = self._ok(
            self.session.request(method, self.base + path, json=data, headers=headers, timeout=60)
        )
        return answer.json() if answer.content else None

    def tasks(self, project_id: int) -> list[dict[str, Any]]:
        """Every task of a project in the order of the label stream, with its data."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            query = {"project": project_id, "page": page, "page_size": 100}
            answer = self._ok(self.owner.get(f"{self.base}/api/tasks", params=query, timeout=60)).json()
            found += answer["tasks"]
            if len(found) >= answer["total"] or not answer["tasks"]:
                return found
            page += 1

    def task(self, task_id: int) -> dict[str, Any]:
        """The task with its predictions and annotations."""
        answer: dict[str, Any] = self._ok(
            self.owner.get(f"{self.base}/api/tasks/{task_id}/", timeout=60)
        ).json()
        return answer

    def draft(self, task_id: int) -> tuple[list[Region], int | None, dict[str, Any]]:
        """A copy of the newest prediction's regions, the prediction's id, and the task's data."""
        task = self.task(task_id)
        predictions = sorted(task["predictions"], key=lambda prediction: prediction["id"])
        if not predictions:
            return [], None, task["data"]
        return copy.deepcopy(predictions[-1]["result"]), predictions[-1]["id"], task["data"]

    def submit(
        self, task_id: int, result: list[Region], prediction_id: int | None, seconds: float = 20.0
    ) -> int:
        """Submit an annotation that started from a prediction; returns its id."""
        self.open(task_id)
        data = {"result": result, "lead_time": seconds, "parent_prediction": prediction_id}
        return int(self._write("POST", f"/api/tasks/{task_id}/annotations/", data)["id"])

    def update(self, annotation_id: int, result: list[Region]) -> None:
        """Submit the same annotation again with another content."""
        self._write("PATCH", f"/api/annotations/{annotation_id}/", {"result": result})

    def skip(self, task_id: int) -> int:
        """Skip a task; returns the annotation's id."""
        self.open(task_id)
        data = {"result": [], "was_cancelled": True, "lead_time": 3.0}
        return int(self._write("POST", f"/api/tasks/{task_id}/annotations/?was_cancelled=1", data)["id"])

    def delete(self, annotation_id: int) -> None:
        """Delete an annotation."""
        self._write("DELETE", f"/api/annotations/{annotation_id}/")
