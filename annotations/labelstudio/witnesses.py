"""Whether an annotation that is gone was deleted by somebody, or Label Studio's database went back in time.

A deletion concerns that annotation; an older database lacks everything that came later as well. So later annotations
are the witnesses: is one of them still there, the database is as new as it was. Are all of them gone, or is there none,
the tasks' own times decide: Label Studio moves a task's `updated_at` when one of its annotations is deleted.
"""

from datetime import datetime

from django.utils.dateparse import parse_datetime

from annotations.labelstudio.client import Client, task_filter
from annotations.labelstudio.models import LabelStudioAnnotation, LabelStudioProject

ASKED = 5


class Witnesses:
    """Asks Label Studio only when an annotation is gone, and then once per pull for each moment that matters."""

    def __init__(self, project: LabelStudioProject, client: Client) -> None:
        self._project, self._client = project, client
        self._present_from: datetime | None = None

    def went_back(self, gone: LabelStudioAnnotation, task_changed_at: datetime) -> bool:
        """`task_changed_at`: when Label Studio says the task of the annotation that is gone was last changed."""
        if self._present_from is not None and self._present_from > gone.changed_at:
            return False
        later = LabelStudioAnnotation.objects.filter(
            task__project=self._project, task__task_id__isnull=False, deleted_at__isnull=True,
            changed_at__gt=gone.changed_at,
        )  # fmt: skip
        witnesses = list(
            later.exclude(task=gone.task_id).select_related("task").order_by("-changed_at")[:ASKED]
        )
        rolled_back = task_changed_at < gone.changed_at
        if not witnesses:
            return rolled_back
        tasks = {}
        wanted = task_filter("id", "in_list", "Number", sorted({one.task.task_id or 0 for one in witnesses}))
        for page in self._client.tasks(self._project.linked_id, [wanted]):
            tasks |= {task["id"]: task for task in page}
        for one in witnesses:
            task = tasks.get(one.task.task_id)
            if task is None:
                continue
            if any(there["id"] == one.annotation_id for there in task["annotations"]):
                self._present_from = one.changed_at
                return False
            changed = parse_datetime(task["updated_at"])
            rolled_back = rolled_back or (changed is not None and changed < one.changed_at)
        return rolled_back
