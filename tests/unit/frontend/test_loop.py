"""The numbers of the loop, and the JSON that the first page polls."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from annotations.cases.models import CaseStatus
from annotations.corpora.models import MediaState
from crashdesk.accounts.models import Role, User
from crashdesk.audit.models import AuditEvent
from crashdesk.jobs.models import Job, JobState
from frontend.loop import Loop, loop
from tests import factories

pytestmark = pytest.mark.django_db


def seen() -> Loop:
    """The loop as an admin sees it."""
    return loop(factories.make_user(Role.ADMIN))


def make_job(**fields: Any) -> Job:
    return Job.objects.create(**{"kind": "predict_case", "queue": "gpu", **fields})


def make_running(**fields: Any) -> Job:
    claim = {
        "token": "6d4f0f3e-5d0c-4c53-9a3f-0a2a53f7a3d1",
        "lease_until": timezone.now(),
        "state": JobState.RUNNING,
    }
    return make_job(**claim, **fields)


def values() -> dict[str, str]:
    return {step["key"]: step["value"] for step in seen()["steps"]}


def details() -> dict[str, list[str]]:
    return {step["key"]: step["details"] for step in seen()["steps"]}


def test_an_empty_desk_says_what_to_do_first() -> None:
    assert values() == {
        "imported": "0", "ready": "0", "predicted": "0", "in_review": "0", "approved": "0", "dataset_versions": "0",
        "training_runs": "0", "model": "none",
    }  # fmt: skip
    hint = seen()["hint"]
    assert hint is not None
    assert "Nothing is imported" in hint["text"]


def test_numbers_follow_the_cases() -> None:
    corpus = factories.make_corpus()
    for status in (CaseStatus.READY, CaseStatus.PREDICTED, CaseStatus.SUBMITTED, CaseStatus.APPROVED):
        factories.make_case(status, video=factories.make_video(corpus))
    factories.make_video(corpus, media=None)
    unusable = factories.make_media(state=MediaState.UNUSABLE, proxy_name="")
    factories.ensure_case(
        video=factories.make_video(corpus, media=unusable), guideline=factories.make_guideline(), by=None
    )
    assert values() | {"model": ""} == {
        "imported": "6", "ready": "1", "predicted": "1", "in_review": "1", "approved": "1", "dataset_versions": "0",
        "training_runs": "0", "model": "",
    }  # fmt: skip
    assert details()["imported"] == ["1 lack media", "1 unusable"]
    assert details()["in_review"] == ["1 to approve"]
    assert details()["approved"] == ["1 excluded"]


def test_single_jobs_are_rows_and_many_of_one_group_are_one_row() -> None:
    for state in (JobState.DONE, JobState.DONE, JobState.FAILED, JobState.QUEUED):
        make_job(
            state=state, group="prediction_run:7", error="out of memory" if state == JobState.FAILED else ""
        )
    running = make_running(group="training_run:1", kind="train", progress_done=3, progress_total=10)
    waiting = make_job(group="import:2", kind="import")
    shown = seen()
    assert [(g["name"], g["done"], g["failed"], g["total"]) for g in shown["groups"]] == [
        ("prediction_run:7", 2, 1, 4)
    ]
    assert shown["groups"][0]["cancel_url"] == "/api/prediction-runs/7/cancel"
    assert [job["id"] for job in shown["jobs"]] == [running.pk, waiting.pk]
    assert (shown["jobs"][0]["done"], shown["jobs"][0]["total"]) == (3, 10)


def test_lately_failed_jobs_are_shown_with_their_error() -> None:
    make_job(state=JobState.FAILED, error="no such file", finished_at=timezone.now())
    make_job(state=JobState.FAILED, error="long ago", finished_at=timezone.now() - timedelta(days=3))
    assert [job["error"] for job in seen()["failures"]] == ["no such file"]


def test_events_lead_to_their_case() -> None:
    AuditEvent.objects.create(actor="ada", verb="case.in_review", subject_type="case", subject_id=12)
    event = seen()["events"][0]
    assert (event["actor"], event["verb"], event["subject"], event["url"]) == (
        "ada",
        "in review",
        "case 12",
        "/cases/12",
    )


@pytest.mark.parametrize(
    ("verb", "subject_type", "words"),
    [
        ("dataset.frozen", "datasetversion", "dataset version 3 frozen"),
        ("answer.written", "case", "case 3 answer written"),
        ("training_run.started", "trainingrun", "training run 3 started"),
        ("thing.gone", "vanished", "vanished 3 thing gone"),
    ],
)
def test_events_read_as_words(verb: str, subject_type: str, words: str) -> None:
    AuditEvent.objects.create(actor="ada", verb=verb, subject_type=subject_type, subject_id=3)
    event = seen()["events"][0]
    assert f"{event['subject']} {event['verb']}" == words


def test_a_new_model_version_changes_the_revision() -> None:
    before = seen()["revision"]
    factories.make_model_version("other")
    assert seen()["revision"] != before


def test_polling_needs_a_sign_in(client: Client, annotator: User) -> None:
    assert client.get("/api/loop").status_code in {401, 403}
    client.force_login(annotator)
    body = client.get("/api/loop").json()
    assert {"steps", "hint", "jobs", "groups", "failures", "events", "revision"} <= body.keys()


def test_polling_costs_a_fixed_number_of_queries(
    client: Client, annotator: User, django_assert_max_num_queries: Any
) -> None:
    for number in range(5):
        factories.make_case(CaseStatus.PREDICTED)
        make_job(group=f"import:{number}")
    client.force_login(annotator)
    with django_assert_max_num_queries(30):
        client.get("/api/loop")
