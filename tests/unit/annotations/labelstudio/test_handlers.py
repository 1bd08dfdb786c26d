"""What the results of sync jobs say: everybody who may look into the corpus reads them."""

import json
from importlib import import_module

import pytest
from django.apps import apps
from django.test import Client

from annotations.cases.models import Case
from annotations.corpora.models import VideoFinding
from annotations.labelstudio import comparing
from annotations.labelstudio.comparing import ask_to_reconcile
from annotations.labelstudio.handlers import PULL
from annotations.labelstudio.models import LabelStudioProject
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import enqueue
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio
from tests.unit.annotations.labelstudio.test_api import performed
from tests.unit.annotations.labelstudio.test_taking import BEN, ann, ask, ben, case, drawn

__all__ = ["ann", "ben", "case"]
pytestmark = pytest.mark.django_db

OLD = {
    "projects": {
        "7": {
            "submitted": 1, "skipped": 0, "withdrawn": 0, "vanished": 0,
            "refused": [{"task": 5, "code": "labelstudio_wrong_person", "message": "case 3 is ada's, not ben's."}],
        },
        "8": {"found": 1, "open": 1, "single": [{"code": "labelstudio_two_people", "message": "ada, and so has ben"}]},
    }
}  # fmt: skip
REDACTED = {
    "projects": {
        "7": {"submitted": 1, "skipped": 0, "withdrawn": 0, "vanished": 0, "refused": [{"task": 5}]},
        "8": {"found": 1, "open": 1},
    }
}


@pytest.fixture
def refused(project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User) -> int:
    """The task that the wrong person answered."""
    ask(case, ann)
    studio.annotate(case.pk, drawn(studio, case), by=BEN)
    studio.later(60)
    number: int = studio.task_of(case.pk)["id"]
    return number


@pytest.mark.parametrize("kind", ["pull", "reconcile"])
def test_the_result_names_tasks_and_neither_people_nor_reasons(
    kind: str, client: Client, project: LabelStudioProject, refused: int, ann: User, ben: User, lead: User,
    annotator: User, studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(comparing, "client", lambda: studio)
    if kind == "pull":
        enqueue(PULL, {"project": project.pk}, by=lead, corpus_id=project.corpus_id)
    else:
        ask_to_reconcile(project=project, repair=False, by=lead)
    job = performed()
    assert job.state == JobState.DONE, job.error
    finding = VideoFinding.objects.get()
    assert {ann.username, ben.username} <= set(finding.message.replace(",", " ").split()), (
        "said where it may be"
    )
    client.force_login(annotator)
    read = client.get(f"/api/jobs/{job.pk}")
    assert read.status_code == 200
    result = read.json()["result"]["projects"][str(project.pk)]
    assert (result.get("refused"), result.get("open")) == (
        ([{"task": refused}], None) if kind == "pull" else (None, 1)
    )
    told = json.dumps(read.json())
    for hidden in (ann.username, ben.username, finding.message, "wrong_person", "answered", "assigned"):
        assert hidden not in told


def test_results_of_before_are_redacted_by_the_migration() -> None:
    old = [
        Job.objects.create(kind=kind, queue="sync", state=JobState.DONE, result=OLD)
        for kind in ("labelstudio_pull", "labelstudio_reconcile")
    ]
    bare = Job.objects.create(kind="labelstudio_pull", queue="sync", state=JobState.DONE, result={})
    other = Job.objects.create(kind="export", queue="data", state=JobState.DONE, result=OLD)
    migration = import_module("crashdesk.jobs.migrations.0007_redact_results")
    for _ in range(2):
        migration.redact(apps, None)
        found = dict(Job.objects.values_list("pk", "result"))
        assert found == {old[0].pk: REDACTED, old[1].pk: REDACTED, bare.pk: {}, other.pk: OLD}
