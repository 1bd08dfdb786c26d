"""The API client, against a live server."""

from collections.abc import Iterator

import pytest
from pytest_django.live_server_helper import LiveServer

from crashdesk.accounts.models import Role
from crashdesk.accounts.services import ensure_user
from crashdesk.api.errors import Problem
from crashdesk.demo.client import ApiError, Client, JobEndedError
from crashdesk.jobs import registry, services
from crashdesk.jobs.running import Running
from crashdesk.jobs.tasks import perform

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client(live_server: LiveServer) -> Iterator[Client]:
    ensure_user(
        username="ada", email="ada@crashdesk.example", role=Role.LEAD, password="a long pass", by=None
    )
    client = Client(live_server.url, "ada", "a long pass")
    yield client
    client.session.close()


def refuse(running: Running) -> None:
    raise Problem("no_such_folder", "There is no such folder.")


def test_refusals_carry_the_error_body(client: Client, live_server: LiveServer) -> None:
    assert client.get("me")["role"] == "lead"
    with pytest.raises(ApiError, match="corpus") as refusal:
        client.post("prediction-runs")
    assert (refusal.value.status, refusal.value.code) == (400, "invalid")
    with pytest.raises(ApiError, match="credentials_refused"):
        Client(live_server.url, "ada", "wrong")


def test_a_failed_job_is_said_and_a_slow_one_times_out(client: Client) -> None:
    registry._HANDLERS["refuse"] = registry.Handler("refuse", "data", refuse)
    job = services.enqueue("refuse", {}, by=None)
    with pytest.raises(TimeoutError, match="still queued"):
        client.wait_for_job(job.pk, timeout_s=0)
    claimed = services.claim_next("data")
    assert claimed is not None
    perform(claimed)
    with pytest.raises(JobEndedError, match="no such folder"):
        client.wait_for_job(job.pk)
    assert [found["id"] for found in client.all("jobs", kind="refuse")] == [job.pk]
    del registry._HANDLERS["refuse"]
