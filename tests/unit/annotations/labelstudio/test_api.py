"""Pushing and pulling by address, the jobs behind it, and the webhook."""

import pytest
from django.db import connections
from rest_framework.test import APIClient

from annotations.cases.models import CaseStatus
from annotations.labelstudio import api, handlers
from annotations.labelstudio.locks import POLL, SPACE, only_one
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.provision import SECRET_HEADER, webhook_secret
from annotations.labelstudio.tasks import poll
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from tests.factories import make_case, make_video
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio


def as_user(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def performed() -> Job:
    """Do the waiting sync job as a worker would, and look at how it ended."""
    job = claim_next("sync")
    assert job is not None
    perform(job)
    job.refresh_from_db()
    return job


def test_push_then_pull(studio: FakeLabelStudio, lead: User) -> None:
    case = make_case(CaseStatus.PREDICTED)
    response = as_user(lead).post("/api/labelstudio/push", {"corpus": case.corpus_id})
    assert response.status_code == 202, response.json()
    job = performed()
    assert (job.state, job.result["pushed"]) == (JobState.DONE, 1), job.error
    studio.annotate(case.pk, studio.task_of(case.pk)["predictions"][0]["result"])
    assert as_user(lead).post("/api/labelstudio/pull", {}).status_code == 202
    job = performed()
    (result,) = job.result["projects"].values()
    assert result["submitted"] == 1
    case.refresh_from_db()
    assert case.status == CaseStatus.SUBMITTED


def test_a_corpus_without_cases_is_refused_by_name(studio: FakeLabelStudio, lead: User) -> None:
    corpus = make_video().corpus
    as_user(lead).post("/api/labelstudio/push", {"corpus": corpus.pk})
    job = performed()
    assert (job.state, job.error) == (JobState.FAILED, f"{corpus.name} has no cases to push.")


def test_a_label_studio_that_stays_away_fails_the_job_with_its_address(
    studio: FakeLabelStudio, lead: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(handlers, "PAUSE_SECONDS", 0.0)
    studio.down = True
    as_user(lead).post("/api/labelstudio/push", {"corpus": make_case().corpus_id})
    job = performed()
    assert (job.state, job.error) == (JobState.FAILED, "Label Studio does not answer.")


def test_a_push_waits_for_label_studio(
    studio: FakeLabelStudio, lead: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def back_up(_: float) -> None:
        studio.down = False

    studio.down = True
    monkeypatch.setattr("time.sleep", back_up)
    as_user(lead).post("/api/labelstudio/push", {"corpus": make_case(CaseStatus.PREDICTED).corpus_id})
    assert performed().state == JobState.DONE


@pytest.mark.parametrize("path", ["push", "pull"])
def test_an_annotator_may_neither_push_nor_pull(annotator: User, path: str) -> None:
    assert as_user(annotator).post(f"/api/labelstudio/{path}", {}).status_code == 403


def test_an_unknown_corpus_names_the_field(lead: User) -> None:
    response = as_user(lead).post("/api/labelstudio/push", {"corpus": 99})
    assert response.status_code == 400
    assert "corpus" in response.json()["error"]["fields"]


def test_projects_are_listed(project: LabelStudioProject, annotator: User) -> None:
    (shown,) = as_user(annotator).get("/api/labelstudio/projects").json()["results"]
    assert (shown["corpus_name"], shown["guideline_name"], shown["tasks"]) == ("Ring road", "six tasks v1", 0)
    assert shown["url"].endswith(f"/projects/{project.project_id}/data")


@pytest.mark.parametrize(("secret", "code"), [("", 403), ("wrong", 403), ("ü", 403), ("right", 204)])
def test_the_webhook_wants_the_secret_and_only_hints(
    secret: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[bool] = []
    monkeypatch.setattr(api.hints, "give", lambda: given.append(True))
    headers = {SECRET_HEADER: webhook_secret() if secret == "right" else secret}
    # without the mark django_db: asking the database would fail the test
    response = APIClient().post("/api/labelstudio/webhook", {"action": "ANNOTATION_CREATED"}, headers=headers)
    assert response.status_code == code
    assert given == ([True] if code == 204 else [])


def test_a_webhook_body_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.hints, "give", lambda: None)
    headers = {SECRET_HEADER: webhook_secret()}
    response = APIClient().generic("POST", "/api/labelstudio/webhook", b"{no json", headers=headers)
    assert response.status_code == 204


@pytest.mark.django_db(transaction=True)
def test_two_polls_never_overlap(project: LabelStudioProject, studio: FakeLabelStudio) -> None:
    studio.calls.clear()
    other = connections["default"].copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [SPACE, POLL])
            assert poll() == 0
            assert studio.calls == []
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [SPACE, POLL])
    finally:
        other.close()
    poll()
    assert studio.calls


def test_a_lock_is_given_back(db: None) -> None:
    for _ in range(2):
        with only_one(17) as held:
            assert held
