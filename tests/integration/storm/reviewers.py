"""Simulated reviewers: threads that use Label Studio as its own pages do, each signed in as somebody else."""

import copy
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

PATIENCE_SECONDS = 240.0
Region = dict[str, Any]

HABITS: dict[str, int] = {
    "accept": 34, "edit": 26, "accept then edit": 10, "skip": 8, "delete": 5, "delete and answer again": 5,
    "only a draft": 5, "no crash": 4, "somebody else answers too": 3,
}  # fmt: skip
"""What a reviewer does with a case, of a hundred."""


@dataclass
class Did:
    """How one case looks in Label Studio when its reviewer is through: who, and the last result (None: nothing)."""

    habit: str
    email: str
    result: list[Region] | None
    skipped: bool = False
    other: str = ""


@dataclass
class Reviewer:
    """One person at Label Studio. Whatever fails is tried again, after a look at what has come of it."""

    url: str
    email: str
    token: str
    seed: int
    did: dict[int, Did] = field(default_factory=dict)
    regretted: list[int] = field(default_factory=list)
    retries: int = 0

    def work(
        self, tasks: list[int], other: "Reviewer", done: Callable[[], None], stop: threading.Event
    ) -> None:
        """Answer the tasks, one after the other."""
        for task in tasks:
            if stop.is_set():
                return
            chance = random.Random(f"{self.seed}:{task}")
            habit = chance.choices(list(HABITS), list(HABITS.values()))[0]
            self.did[task] = self._do(habit, task, other, chance)
            done()
        for annotation in self.regretted:  # by now they have come home
            self._ask("DELETE", f"/api/annotations/{annotation}/", None)

    def _do(self, habit: str, task: int, other: "Reviewer", chance: random.Random) -> Did:
        drawn = self._opened(task)
        if habit == "only a draft":
            self._ask("POST", f"/api/tasks/{task}/drafts", {"result": drawn, "lead_time": 3})
            return Did(habit, self.email, None)
        if habit == "skip":
            self._submit(task, [], skip=True)
            return Did(habit, self.email, [], skipped=True)
        result = {"edit": edited, "no crash": denied}.get(habit, _as_it_is)(drawn, chance)
        annotation = self._submit(task, result)
        if habit == "accept then edit":
            result = edited(drawn, chance)
            self._ask("PATCH", f"/api/annotations/{annotation}/", {"result": result, "lead_time": 20.5})
        elif habit == "delete":
            self.regretted.append(annotation)
            return Did(habit, self.email, None)
        elif habit == "delete and answer again":
            self._ask("DELETE", f"/api/annotations/{annotation}/", None)
            result = edited(drawn, chance)
            self._submit(task, result)
        elif habit == "somebody else answers too":
            other._submit(task, edited(drawn, chance))
            return Did(habit, self.email, result, other=other.email)
        return Did(habit, self.email, result)

    def _opened(self, task: int) -> list[Region]:
        """What the editor shows when the task is opened: the prediction, as regions to change."""
        shown = self._ask("GET", f"/api/tasks/{task}/", None)
        return copy.deepcopy(shown["predictions"][0]["result"]) if shown["predictions"] else []

    def _submit(self, task: int, result: list[Region], *, skip: bool = False) -> int:
        body = {"result": result, "lead_time": 12.5, "was_cancelled": skip}
        before = {one["id"] for one in self._mine(task)}
        while True:
            made = self._ask("POST", f"/api/tasks/{task}/annotations", body, once=True)
            if made is not None:
                return int(made["id"])
            new = [one["id"] for one in self._mine(task) if one["id"] not in before]
            if new:  # it had been saved before Label Studio died
                return int(new[0])

    def _mine(self, task: int) -> list[dict[str, Any]]:
        shown = self._ask("GET", f"/api/tasks/{task}/", None)
        return [one for one in shown["annotations"] if self._number in (one["completed_by"], _id(one))]

    @property
    def _number(self) -> int:
        if not hasattr(self, "_own_number"):
            self._own_number = int(self._ask("GET", "/api/current-user/whoami", None)["id"])
        return self._own_number

    def _ask(self, method: str, path: str, body: Any, *, once: bool = False) -> Any:
        """The answer; waits while Label Studio is down. `once`: None instead of asking twice."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        headers = {"Authorization": f"Token {self.token}", "Connection": "close"}
        while True:
            try:
                answer = requests.request(method, self.url + path, json=body, headers=headers, timeout=60)
            except (requests.ConnectionError, requests.Timeout):
                answer = None
            if answer is not None and answer.status_code < 500:
                if method == "DELETE" and answer.status_code == 404:
                    return {}
                if answer.status_code >= 400:
                    raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
                return answer.json() if answer.content else {}
            self.retries += 1
            if time.monotonic() > deadline:
                raise TimeoutError(f"Label Studio did not come back for {method} {path}")
            time.sleep(0.5)
            if once:
                return None


def _id(annotation: dict[str, Any]) -> Any:
    person = annotation["completed_by"]
    return person["id"] if isinstance(person, dict) else person


def _as_it_is(drawn: list[Region], chance: random.Random) -> list[Region]:
    return copy.deepcopy(drawn)


def edited(drawn: list[Region], chance: random.Random) -> list[Region]:
    """Edges moved, words changed, or the crash drawn anew."""
    result = copy.deepcopy(drawn)
    for region in result:
        if "ranges" in region["value"] and chance.random() < 0.6:
            span = region["value"]["ranges"][0]
            span["start"] = max(1, span["start"] + chance.randint(-3, 3))
            span["end"] = max(span["start"], span["end"] + chance.randint(-2, 4))
            if chance.random() < 0.2:
                region["id"] = f"drawn{chance.randrange(10**6)}"
        elif "text" in region["value"] and chance.random() < 0.4:
            region["value"]["text"] = [f"{region['value']['text'][0]} Take {chance.randrange(1000)}."]
    return result


def denied(drawn: list[Region], chance: random.Random) -> list[Region]:
    """No crash: the spans are removed, and the form hides the texts."""
    return [
        {"id": "crash_recognition", "from_name": "crash", "to_name": "video", "type": "choices",
         "value": {"choices": ["No"]}}
    ]  # fmt: skip


def sign_up(url: str, invitation: str, email: str, seed: int) -> Reviewer:
    """A new member of Label Studio, with a token of their own."""
    browser = requests.Session()
    browser.get(url + invitation, timeout=60)
    form = {
        "email": email,
        "password": "a-Long-enough-1",
        "csrfmiddlewaretoken": browser.cookies["csrftoken"],
    }
    with browser:
        browser.post(url + invitation, data=form, headers={"Referer": url}, timeout=60).raise_for_status()
        token = browser.get(f"{url}/api/current-user/token", timeout=60).json()["token"]
    return Reviewer(url, email, token, seed)
