"""Whether an annotation that is gone was deleted by somebody, or Label Studio's database went back in time.

Label Studio moves a task's `updated_at` after every change of an annotation, so a task whose time lies before a change
that we have seen comes from an older database. A task that was touched since hides that; then the annotations made
shortly before and after the one that is gone are asked: an older database lacks some of them as well.
"""

from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from annotations.labelstudio.client import Client, task_filter
from annotations.labelstudio.models import LabelStudioAnnotation, LabelStudioProject

NEIGHBOURS = 5


class Witnesses:
    """Asks Label Studio only when what was listed does not tell."""

    def __init__(self, project: LabelStudioProject, client: Client) -> None:
        self._project, self._client = project, client

    def went_back(self, gone: LabelStudioAnnotation, task_changed_at: datetime) -> bool:
        """`task_changed_at`: when Label Studio says the task of the annotation that is gone was last changed."""
        if task_changed_at < gone.changed_at:
            return True
        others = LabelStudioAnnotation.objects.filter(
            task__project=self._project, task__task_id__isnull=False, deleted_at__isnull=True
        )
        others = others.exclude(task=gone.task_id).select_related("task")
        later = others.filter(changed_at__gte=gone.changed_at).order_by("changed_at")[:NEIGHBOURS]
        earlier = others.filter(changed_at__lt=gone.changed_at).order_by("-changed_at")[:NEIGHBOURS]
        neighbours = [*later, *earlier]
        tasks = self._tasks(sorted({one.task.task_id for one in neighbours if one.task.task_id is not None}))
        return any(_is_from_before(one, tasks.get(one.task.task_id or 0)) for one in neighbours)

    def is_there(self, task_id: int) -> bool:
        """Whether a task that was listed is still there."""
        return self._client.exists(f"/api/tasks/{task_id}/")

    def _tasks(self, ids: list[int]) -> dict[int, dict[str, Any]]:
        if not ids:
            return {}
        wanted = task_filter("id", "in_list", "Number", ids)
        pages = self._client.tasks(self._project.linked_id, [wanted])
        return {task["id"]: task for page in pages for task in page}


def _is_from_before(known: LabelStudioAnnotation, task: dict[str, Any] | None) -> bool:
    """Whether the task lacks an annotation of ours and has not changed since that was made."""
    if task is None or any(there["id"] == known.annotation_id for there in task["annotations"]):
        return False
    changed = parse_datetime(task["updated_at"])
    return changed is not None and changed < known.changed_at
