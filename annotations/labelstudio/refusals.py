"""Annotations that were not taken: a finding on the clip says which and why, until the cause is gone."""

from collections.abc import Collection, Sequence
from typing import Any

from annotations.corpora.models import Severity, VideoFinding
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from crashdesk.api.errors import Problem

FINDING = "labelstudio_annotation_refused"
STANDING = "standing"
"""Of a finding's data: how the case stood when its task was last looked at (annotations.labelstudio.waking)."""


def name_refusal(row: LabelStudioTask, task_id: int, problems: Sequence[Problem]) -> None:
    """One finding per task, whatever is wrong with it."""
    found: dict[str, Any] = {"video_id": row.case.video_id, "code": FINDING, "subject": f"task {task_id}"}
    held = VideoFinding.objects.filter(**found).values_list("data", flat=True).first() or {}
    said = "; ".join(dict.fromkeys(problem.message for problem in problems))
    VideoFinding.objects.update_or_create(
        **found,
        defaults={
            "severity": Severity.ERROR,
            "message": f"an annotation of task {task_id} was not taken: {said}"[:500],
            "data": {
                **{name: value for name, value in held.items() if name == STANDING},
                "task": task_id,
                "code": problems[0].code,
                "codes": [one.code for one in problems],
            },
        },
    )


def forget_refusal(row: LabelStudioTask) -> None:
    """Everything the task says has been taken: an earlier refusal of it is no longer true."""
    VideoFinding.objects.filter(video=row.case.video_id, code=FINDING, data__task=row.task_id).delete()


def refused_before(project: LabelStudioProject, task_ids: Collection[int]) -> set[int]:
    """Those of the tasks that a finding names: they are looked at again, so that it goes when its cause is gone."""
    findings = VideoFinding.objects.filter(
        video__corpus=project.corpus_id, code=FINDING, data__task__in=list(task_ids)
    )
    return set(findings.values_list("data__task", flat=True))
