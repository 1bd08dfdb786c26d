"""Dataset versions over HTTP."""

import hashlib
from typing import Any

import pytest
from django.core.files.storage import default_storage
from rest_framework.test import APIClient

from annotations.datasets import services
from annotations.datasets.models import DatasetVersion
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import cancel, claim_next
from crashdesk.jobs.tasks import perform
from tests.factories import make_corpus, make_guideline
from tests.unit.annotations.datasets.conftest import Approved
from tests.unit.annotations.datasets.test_services import freeze, tamper


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def client(lead: User) -> APIClient:
    return client_of(lead)


def body(approved: Approved, **changes: Any) -> dict[str, Any]:
    return {"corpus": approved.corpus.pk, "guideline": approved.guideline.pk, "split_seed": 4} | changes


def frozen(client: APIClient, wanted: dict[str, Any]) -> Job:
    """The job of a freeze, done as a worker does it."""
    response = client.post("/api/dataset-versions", wanted)
    assert response.status_code == 202, response.data
    job = claim_next("data")
    assert job is not None
    assert job.pk == response.data["id"]
    perform(job)
    job.refresh_from_db()
    return job


def test_freezing_is_a_job_that_names_its_version(client: APIClient, approved: Approved) -> None:
    job = frozen(client, body(approved, val_share=0.2, test_share=0.2, note="one"))
    assert job.result == {
        "dataset_version": job.result["dataset_version"], "number": 1, "records": 6, "approved_by_policy": 0,
        "policy_cases_left_out": 0,
    }  # fmt: skip
    detail = client.get(f"/api/dataset-versions/{job.result['dataset_version']}").data
    assert (detail["number"], detail["record_count"], detail["note"]) == (1, 6, "one")
    assert (detail["unseen_count"], detail["unseen_left_out"]) == (0, 0)
    assert sum(detail["splits"].values()) == 6
    assert detail["created_by"] == "the-lead"
    assert detail["corpus_name"] == "Night drives"
    listed = client.get(f"/api/dataset-versions?corpus={approved.corpus.pk}").data["results"]
    assert [row["content_hash"] for row in listed] == [detail["content_hash"]]


def test_freezing_twice_fails_and_names_the_version_there_is(client: APIClient, approved: Approved) -> None:
    frozen(client, body(approved))
    again = frozen(client, body(approved))
    assert again.state == JobState.FAILED
    assert again.error == "Night drives v1 already holds exactly these answers in these splits."


def test_a_freeze_whose_worker_died_after_the_commit_finds_its_version(
    client: APIClient, approved: Approved
) -> None:
    job = frozen(client, body(approved))
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED, finished_at=None, result={})
    again = claim_next("data")
    assert again is not None
    perform(again)
    again.refresh_from_db()
    assert (again.state, again.result) == (JobState.DONE, job.result)


def test_a_cancelled_freeze_leaves_no_version(client: APIClient, approved: Approved) -> None:
    client.post("/api/dataset-versions", body(approved))
    job = claim_next("data")
    assert job is not None
    cancel(job.pk, by=None)
    perform(job)
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert not DatasetVersion.objects.exists()


def test_with_nothing_approved_the_freeze_is_refused_at_once(client: APIClient) -> None:
    wanted = {"corpus": make_corpus().pk, "guideline": make_guideline().pk}
    response = client.post("/api/dataset-versions", wanted)
    assert (response.status_code, response.data["error"]["code"]) == (409, "nothing_approved")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"val_share": 0.7, "test_share": 0.7}, "val_share"),
        ({"val_share": -1}, "val_share"),
        ({"split_seed": 2**31}, "split_seed"),
        ({"corpus": 0}, "corpus"),
    ],
)
def test_bad_fields_are_named(
    client: APIClient, approved: Approved, changes: dict[str, Any], field: str
) -> None:
    response = client.post("/api/dataset-versions", body(approved, **changes))
    assert response.status_code == 400
    assert field in response.data["error"]["fields"]


def test_annotators_look_but_neither_freeze_nor_take_away(annotator: User, approved: Approved) -> None:
    version = freeze(approved)
    made = services.export(version=version, export_format="parquet", by=None)
    client = client_of(annotator)
    assert client.get(f"/api/dataset-versions/{version.pk}").status_code == 200
    assert client.post("/api/dataset-versions", body(approved)).status_code == 403
    export = {"format": "parquet"}
    assert client.post(f"/api/dataset-versions/{version.pk}/export", export).status_code == 403
    assert client.get(f"/api/exports/{made.pk}/download").status_code == 403
    for what in ("records", "diff"):
        assert client.get(f"/api/dataset-versions/{version.pk}/{what}").status_code == 403
    assert client.get(f"/api/dataset-versions/{version.pk}/verify").status_code == 200


def test_versions_can_be_neither_changed_nor_deleted(client: APIClient, approved: Approved) -> None:
    version = freeze(approved)
    assert client.patch(f"/api/dataset-versions/{version.pk}", {"note": "x"}).status_code in {403, 405}
    assert client.delete(f"/api/dataset-versions/{version.pk}").status_code in {403, 405}
    assert DatasetVersion.objects.exists()


def test_records_come_in_pages(client: APIClient, approved: Approved) -> None:
    version = freeze(approved)
    page = client.get(f"/api/dataset-versions/{version.pk}/records?page_size=4&with_count=true").data
    assert (page["count"], len(page["results"])) == (6, 4)
    train = client.get(f"/api/dataset-versions/{version.pk}/records?split=train").data
    assert {row["split"] for row in train["results"]} == {"train"}
    assert client.get(f"/api/dataset-versions/{version.pk}/records?split=dev").status_code == 400


def test_the_difference_to_the_version_before(client: APIClient, approved: Approved) -> None:
    first, second = freeze(approved), freeze(approved, split_seed=11)
    found = client.get(f"/api/dataset-versions/{second.pk}/diff").data
    assert found["against"] == first.pk
    assert found == client.get(f"/api/dataset-versions/{second.pk}/diff?against={first.pk}").data
    assert found["moved"]
    assert found["moved"][0].keys() == {"video", "before", "after"}
    assert set(found["changed"]) == {
        "crash_recognition", "crash_description", "causal_reasoning", "prevention_reasoning",
        "crash_localization", "pre_crash_localization",
    }  # fmt: skip
    assert client.get(f"/api/dataset-versions/{first.pk}/diff").status_code == 404
    assert client.get(f"/api/dataset-versions/{first.pk}/diff?against=x").status_code == 400


def test_verification_tells_both_hashes(client: APIClient, approved: Approved) -> None:
    version = freeze(approved)
    url = f"/api/dataset-versions/{version.pk}/verify"
    assert client.get(url).data == {
        "intact": True,
        "content_hash": version.content_hash,
        "recomputed": version.content_hash,
    }
    tamper(version)
    assert client.get(url).data["intact"] is False


def test_an_export_is_a_job_and_then_a_download(client: APIClient, approved: Approved) -> None:
    version = freeze(approved)
    response = client.post(f"/api/dataset-versions/{version.pk}/export", {"format": "crashchat"})
    assert (response.status_code, response.data["kind"]) == (202, "export")
    made = services.export(version=version, export_format="crashchat", by=None)
    (row,) = client.get(f"/api/dataset-versions/{version.pk}/exports").data["results"]
    assert row["sha256"] == made.sha256
    assert row["download_url"] == f"/api/exports/{made.pk}/download"
    for accept in ("*/*", "application/zip"):
        download = client.get(row["download_url"], HTTP_ACCEPT=accept)
        assert download.status_code == 200
        content = b"".join(download.streaming_content)
        assert hashlib.sha256(content).hexdigest() == made.sha256
        assert download["Content-Disposition"] == 'attachment; filename="night-drives-v1-crashchat.zip"'
        assert int(download["Content-Length"]) == len(content)
    assert client.get(f"/api/exports?version={version.pk}").data["count"] == 1


def test_an_unknown_format_is_refused(client: APIClient, approved: Approved) -> None:
    version = freeze(approved)
    response = client.post(f"/api/dataset-versions/{version.pk}/export", {"format": "xml"})
    assert (response.status_code, list(response.data["error"]["fields"])) == (400, ["format"])


def test_a_lost_file_says_so(client: APIClient, approved: Approved) -> None:
    made = services.export(version=freeze(approved), export_format="parquet", by=None)
    default_storage.delete(made.storage_name)
    response = client.get(f"/api/exports/{made.pk}/download")
    assert (response.status_code, response.data["error"]["code"]) == (410, "export_missing")


@pytest.mark.parametrize("model", ["datasetversion", "datasetrecord", "export"])
def test_the_admin_only_shows(admin: User, approved: Approved, model: str) -> None:
    services.export(version=freeze(approved), export_format="parquet", by=None)
    client = APIClient()
    client.force_login(admin)
    assert client.get(f"/admin/datasets/{model}/").status_code == 200
    assert client.get(f"/admin/datasets/{model}/add/").status_code == 403
