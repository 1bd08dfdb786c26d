"""Plays a reviewer through Label Studio's own API: opens tasks, corrects the draft, submits."""

import copy
from typing import Any
from urllib.parse import quote

import requests

Region = dict[str, Any]


class LabelStudioReviewer:
    """A person signed in to Label Studio, with their own account made through the owner's invite link."""

    def __init__(self, base_url: str, owner_token: str, *, email: str, password: str) -> None:
        self.base = base_url.rstrip("/")
        self.owner = requests.Session()
        self.owner.headers["Authorization"] = f"Token {owner_token}"
        self.session = requests.Session()
        self._sign_in(email, password)

    def _sign_in(self, email: str, password: str) -> None:
        invite = self._ok(self.owner.get(f"{self.base}/api/invite", timeout=30)).json()["token"]
        if self._submit("/user/login/", email, password).status_code == 302:
            return
        self.session.cookies.clear()
        answer = self._submit(f"/user/signup/?token={quote(invite)}", email, password)
        if answer.status_code != 302:
            raise RuntimeError(f"Label Studio refused to sign up {email} (status {answer.status_code})")

    def _submit(self, path: str, email: str, password: str) -> requests.Response:
        url = self.base + path
        self.session.get(url, timeout=60)
        form = {
            "email": email,
            "password": password,
            "csrfmiddlewaretoken": self.session.cookies["csrftoken"],
        }
        return self.session.post(url, data=form, headers={"Referer": url}, allow_redirects=False, timeout=60)

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
            answer = self._ok(self.session.get(f"{self.base}/api/tasks", params=query, timeout=60)).json()
            found += answer["tasks"]
            if len(found) >= answer["total"] or not answer["tasks"]:
                return found
            page += 1

    def task(self, task_id: int) -> dict[str, Any]:
        """The task with its predictions and annotations."""
        answer: dict[str, Any] = self._ok(
            self.session.get(f"{self.base}/api/tasks/{task_id}/", timeout=60)
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
        data = {"result": result, "lead_time": seconds, "parent_prediction": prediction_id}
        return int(self._write("POST", f"/api/tasks/{task_id}/annotations/", data)["id"])

    def update(self, annotation_id: int, result: list[Region]) -> None:
        """Submit the same annotation again with another content."""
        self._write("PATCH", f"/api/annotations/{annotation_id}/", {"result": result})

    def skip(self, task_id: int) -> int:
        """Skip a task, as the label stream's button does; returns the annotation's id."""
        data = {"result": [], "was_cancelled": True, "lead_time": 3.0}
        return int(self._write("POST", f"/api/tasks/{task_id}/annotations/?was_cancelled=1", data)["id"])

    def delete(self, annotation_id: int) -> None:
        """Delete an annotation."""
        self._write("DELETE", f"/api/annotations/{annotation_id}/")
