"""Where a case lies in Label Studio."""

from django.conf import settings

from annotations.cases.models import Case
from annotations.labelstudio.models import LabelStudioTask


def labelstudio_link(case: Case) -> str | None:
    """The address of the case's task in Label Studio's data manager, or None before it has been pushed."""
    task = LabelStudioTask.objects.select_related("project").filter(case=case, task_id__isnull=False).first()
    if task is None:
        return None
    return f"{settings.LABELSTUDIO_PUBLIC_URL}/projects/{task.project.project_id}/data?task={task.task_id}"
