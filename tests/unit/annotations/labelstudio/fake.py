"""Label Studio's API in memory: what CrashDesk uses of it, behaving as tests/integration/test_labelstudio.py shows."""

import copy
import itertools
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from annotations.labelstudio.client import Client, LabelStudioDown, LabelStudioRefused, Reply

OWNER = {"id": 1, "email": "admin@crashdesk.example"}


class FakeLabelStudio(Client):
    """`down` refuses every call; `break_after` raises once after a call whose path ends with it was carried out."""

    def __init__(self) -> None:
        super().__init__("http://label-studio.example", "token")
        self.projects: dict[int, dict[str, Any]] = {}
        self.all_tasks: dict[int, dict[str, Any]] = {}
        self.storages: list[dict[str, Any]] = []
        self.views: list[dict[str, Any]] = []
        self.hooks: list[dict[str, Any]] = []
        self.users = [OWNER]
        self.calls: list[str] = []
        self.down = False
        self.break_after = ""
        self._dies_at: int | None = None
        self._dies_carried_out = False
        self._befores: dict[str, Callable[[], object]] = {}
        self.refuse_names: set[str] = set()
        self.refuse_webhooks = False
        self.unique_ids: set[str] = set()
        self._ids = itertools.count(1)
        self._clock = datetime(2026, 5, 1, tzinfo=UTC)

    def die_at(self, number: int | None, *, carried_out: bool = False) -> None:
        """Raise at the call with this number from now on, before or after it is carried out; None: never."""
        self._dies_at, self._dies_carried_out = number, carried_out

    def before(self, path_ends: str, do: Callable[[], object]) -> None:
        """Do something once, just before the next call of such a path."""
        self._befores[path_ends] = do

    def put(self, project: int, data: dict[str, Any]) -> int:
        """A task that is there all of a sudden; its id."""
        task_ids: list[int] = self._import(project, [{"data": data, "predictions": []}])["task_ids"]
        return task_ids[0]

    # --- what a test does as a reviewer -------------------------------------------------------------------

    def later(self, seconds: float = 1.0) -> str:
        """Let time pass; the new time as Label Studio writes it."""
        self._clock += timedelta(seconds=seconds)
        return self._clock.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def task_of(self, case_id: int) -> dict[str, Any]:
        (task,) = [task for task in self.all_tasks.values() if task["data"].get("case_id") == case_id]
        return task

    def annotate(
        self, case_id: int, result: Any, *, by: int | None = 1, skip: bool = False
    ) -> dict[str, Any]:
        now, task = self.later(), self.task_of(case_id)
        annotation = {
            "id": next(self._ids), "result": result, "completed_by": by, "was_cancelled": skip, "lead_time": 7.5,
            "created_at": now, "updated_at": now,
        }  # fmt: skip
        task["annotations"].append(annotation)
        task["updated_at"] = now
        return annotation

    def edit(self, case_id: int, annotation: dict[str, Any], **changes: Any) -> None:
        annotation.update(changes, updated_at=self.later())
        self.task_of(case_id)["updated_at"] = annotation["updated_at"]

    def delete_annotation(self, case_id: int, annotation: dict[str, Any]) -> None:
        task = self.task_of(case_id)
        task["annotations"].remove(annotation)
        task["updated_at"] = self.later()

    # --- the API ----------------------------------------------------------------------------------------

    def call(
        self, method: str, path: str, *, params: dict[str, Any] | None = None, body: Any = None
    ) -> Reply:
        if self.down:
            raise LabelStudioDown("labelstudio_down", "Label Studio does not answer.", status=503)
        self.calls.append(f"{method} {path}")
        for ending in [ending for ending in self._befores if path.endswith(ending)]:
            self._befores.pop(ending)()
        dies = self._dies_at == 0
        if self._dies_at is not None:
            self._dies_at -= 1
        if dies and not self._dies_carried_out:
            raise KeyboardInterrupt
        data = self._answer(method, path, params or {}, json.loads(json.dumps(body)))
        if dies:
            raise KeyboardInterrupt
        if self.break_after and path.endswith(self.break_after):
            self.break_after = ""
            raise KeyboardInterrupt
        return Reply(data=data, at=self._clock)

    def _answer(self, method: str, path: str, params: dict[str, Any], body: Any) -> Any:
        routes: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", r"/health", lambda: {"status": "UP"}),
            ("GET", r"/api/users", lambda: self.users),
            ("GET", r"/api/projects", lambda: {"results": list(self.projects.values()), "next": None}),
            ("POST", r"/api/projects/validate/", lambda: None),
            ("POST", r"/api/projects", lambda: self._add_project(body)),
            ("GET", r"/api/projects/(\d+)/", lambda pk: self._project(pk)),
            ("PATCH", r"/api/projects/(\d+)/", lambda pk: self._project(pk).update(body)),
            ("POST", r"/api/projects/(\d+)/import", lambda pk: self._import(int(pk), body)),
            ("POST", r"/api/projects/(\d+)/import/predictions", lambda pk: self._predict(body)),
            ("DELETE", r"/api/predictions/(\d+)/", lambda pk: self._remove_prediction(int(pk))),
            ("GET", r"/api/tasks", lambda: self._list(params)),
            ("GET", r"/api/tasks/(\d+)/", lambda pk: self._task(int(pk))),
            ("PATCH", r"/api/tasks/(\d+)/", lambda pk: self._patch_task(int(pk), body)),
            ("DELETE", r"/api/tasks/(\d+)/", lambda pk: self.all_tasks.pop(self._task(int(pk))["id"])),
            ("POST", r"/api/tasks/(\d+)/annotations", lambda pk: self._add_annotation(int(pk), body)),
            ("PATCH", r"/api/annotations/(\d+)/", lambda pk: self._patch_annotation(int(pk), body)),
            ("DELETE", r"/api/annotations/(\d+)/", lambda pk: self._remove_annotation(int(pk))),
            ("GET", r"/api/storages/\w+", lambda: self.storages),
            ("POST", r"/api/storages/\w+", lambda: self.storages.append(body)),
            ("GET", r"/api/dm/views", lambda: self.views),
            ("POST", r"/api/dm/views", lambda: self.views.append(body)),
            ("GET", r"/api/webhooks/", lambda: self.hooks),
            ("POST", r"/api/webhooks/", lambda: self._add_hook(body)),
            ("PATCH", r"/api/webhooks/(\d+)/", lambda pk: self.hooks[0].update(body)),
        ]
        for verb, pattern, answer in routes:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                return answer(*found.groups())
        raise AssertionError(f"the fake knows no {method} {path}")

    def _refuse(self, status: int, detail: str = "no") -> LabelStudioRefused:
        return LabelStudioRefused(
            "labelstudio_refused", f"{status}: {detail}", http_status=status, detail=detail
        )

    def _add_project(self, body: dict[str, Any]) -> dict[str, Any]:
        project = body | {"id": next(self._ids), "model_version": ""}
        self.projects[project["id"]] = project
        return project

    def _add_hook(self, body: dict[str, Any]) -> None:
        if self.refuse_webhooks:
            raise self._refuse(403, "reserved network address")
        self.hooks.append(body | {"id": next(self._ids)})

    def _project(self, pk: str) -> dict[str, Any]:
        if int(pk) not in self.projects:
            raise self._refuse(404)
        return self.projects[int(pk)]

    def _import(self, project: int, tasks: list[dict[str, Any]]) -> dict[str, Any]:
        bad = [task["data"]["name"] for task in tasks if task["data"]["name"] in self.refuse_names]
        if bad:
            raise self._refuse(400, f"bad prediction of {bad[0]}")
        made = []
        for task in tasks:
            pk = next(self._ids)
            self.all_tasks[pk] = task | {
                "id": pk, "project": project, "annotations": [], "updated_at": self.later(0.001),
                "predictions": [one | {"id": next(self._ids)} for one in task["predictions"]],
            }  # fmt: skip
            made.append(pk)
        return {"task_count": len(made), "task_ids": made}

    def _predict(self, predictions: list[dict[str, Any]]) -> None:
        for made in predictions:
            task = self.all_tasks[made.pop("task")]
            task["predictions"].append(made | {"id": next(self._ids)})
            task["updated_at"] = self.later(0.001)

    def _remove_prediction(self, pk: int) -> None:
        for task in self.all_tasks.values():
            task["predictions"] = [made for made in task["predictions"] if made["id"] != pk]

    def _patch_task(self, pk: int, body: dict[str, Any]) -> None:
        if pk not in self.all_tasks:
            raise self._refuse(404)
        self.all_tasks[pk].update(body, updated_at=self.later(0.001))

    def _task(self, pk: int) -> dict[str, Any]:
        if pk not in self.all_tasks:
            raise self._refuse(404)
        return copy.deepcopy(self.all_tasks[pk])

    def _add_annotation(self, task_id: int, body: dict[str, Any]) -> dict[str, Any]:
        task, now, unique = self.all_tasks[self._task(task_id)["id"]], self.later(), body.get("unique_id")
        if unique in self.unique_ids:
            raise self._refuse(409, "annotation with this unique id already exists")
        self.unique_ids |= {unique} if unique else set()
        made = {name: value for name, value in body.items() if name != "unique_id"}
        made |= {"id": next(self._ids), "created_at": now, "updated_at": now, "updated_by": OWNER["id"]}
        made.setdefault("completed_by", OWNER["id"])
        task["annotations"].append(made)
        task["updated_at"] = now
        return copy.deepcopy(made)

    def _holding(self, annotation_id: int) -> tuple[dict[str, Any], dict[str, Any]]:
        for task in self.all_tasks.values():
            for annotation in task["annotations"]:
                if annotation["id"] == annotation_id:
                    return task, annotation
        raise self._refuse(404)

    def _patch_annotation(self, pk: int, body: dict[str, Any]) -> dict[str, Any]:
        task, annotation = self._holding(pk)
        task["updated_at"] = self.later()
        annotation.update(body, updated_at=task["updated_at"], updated_by=OWNER["id"])
        return copy.deepcopy(annotation)

    def _remove_annotation(self, pk: int) -> None:
        task, annotation = self._holding(pk)
        task["annotations"].remove(annotation)
        task["updated_at"] = self.later()

    def _list(self, params: dict[str, Any]) -> dict[str, Any]:
        self._project(str(params["project"]))
        found = [task for task in self.all_tasks.values() if task["project"] == params["project"]]
        for item in json.loads(params["query"]).get("filters", {"items": []})["items"]:
            found = [task for task in found if self._passes(task, item)]
        start = (params["page"] - 1) * params["page_size"]
        page = found[start : start + params["page_size"]]
        return {"tasks": json.loads(json.dumps(page)), "total": len(found)}

    def _passes(self, task: dict[str, Any], item: dict[str, Any]) -> bool:
        column = item["filter"].removeprefix("filter:tasks:")
        value = task["data"].get(column[5:]) if column.startswith("data.") else task[column]
        if item["operator"] == "in_list":
            return value in item["value"]
        assert item["operator"] == "greater", item
        return bool(value > item["value"])
