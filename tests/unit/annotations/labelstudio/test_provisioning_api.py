"""Checking, provisioning and rewording by address."""

from typing import Any

from annotations.cases.models import CaseStatus
from annotations.labelstudio import provisioning
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.provisioning import provision, run_check
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from tests.factories import make_case
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio
from tests.unit.annotations.labelstudio.test_api import as_user
from tests.unit.annotations.labelstudio.test_check import Server


def test_a_check_is_a_job_whose_result_says_what_to_do(lead: User, monkeypatch: Any) -> None:
    monkeypatch.setattr(provisioning, "default_client", Server)
    response = as_user(lead).post("/api/labelstudio/check")
    assert response.status_code == 202
    job = claim_next("sync")
    assert job is not None
    perform(job)
    result = Job.objects.get(pk=response.json()["id"]).result
    assert result["ok"] is True
    assert result["findings"][0]["code"] == "reachable"
    assert run_check.__doc__


def test_projects_are_provisioned_by_a_job(lead: User, studio: FakeLabelStudio, monkeypatch: Any) -> None:
    monkeypatch.setattr(provisioning, "default_client", lambda: studio)
    case = make_case(CaseStatus.READY)
    response = as_user(lead).post("/api/labelstudio/provision", {"corpus": case.corpus_id})
    assert response.status_code == 202
    job = claim_next("sync")
    assert job is not None
    perform(job)
    (made,) = Job.objects.get(pk=job.pk).result["projects"]
    project = LabelStudioProject.objects.get()
    assert made == {"id": project.pk, "project_id": project.project_id, "url": project.url}
    again = provision(corpus=case.corpus, guideline=None, by=lead, client=studio)
    assert again == [project]


def test_a_form_is_reworded_by_address(lead: User, annotator: User) -> None:
    case = make_case(CaseStatus.READY)
    body = {"corpus": case.corpus_id, "wording": {"crash": "Unfall"}}
    first = as_user(lead).post("/api/labelstudio/form", {"corpus": case.corpus_id}).json()
    assert (first["version"], first["wording"]) == (1, {})
    second = as_user(lead).post("/api/labelstudio/form", body).json()
    assert (second["version"], second["wording"]) == (2, {"crash": "Unfall"})
    wrong = as_user(lead).post("/api/labelstudio/form", body | {"wording": {"weather": "Rain"}})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "invalid_form")
    assert as_user(annotator).post("/api/labelstudio/form", body).status_code == 403
