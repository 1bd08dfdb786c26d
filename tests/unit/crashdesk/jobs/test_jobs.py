"""Claims, leases, retries and cancels of jobs, against a real PostgreSQL."""

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from pytest_django import Settings

from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.jobs import registry, services
from crashdesk.jobs import running as running_module
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.running import ClaimLost, Running, renew
from crashdesk.jobs.tasks import perform

pytestmark = pytest.mark.django_db


class Probe:
    """Stands for real work: does what the test tells it and notes what happened."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.gave_up: list[int] = []
        self.error: Exception | None = None
        self.before_end: Any = None

    def run(self, running: Running) -> dict[str, Any]:
        self.ran.append(running.job.pk)
        if self.before_end:
            self.before_end(running)
        running.check()
        if self.error:
            raise self.error
        return {"answer": 42}

    def give_up(self, job: Job) -> None:
        self.gave_up.append(job.pk)


@pytest.fixture
def probe() -> Iterator[Probe]:
    probe = Probe()
    registry._HANDLERS["probe"] = registry.Handler("probe", "data", probe.run, probe.give_up)
    yield probe
    del registry._HANDLERS["probe"]


def wait_until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < deadline, "not within 20 s"
        time.sleep(0.02)


def queue_one(**kwargs: Any) -> Job:
    return services.enqueue("probe", {}, by=None, **kwargs)


def claim() -> Job:
    job = services.claim_next("data")
    assert job is not None
    return job


def test_a_job_runs_once_and_keeps_its_result(probe: Probe) -> None:
    job = queue_one()
    perform(claim())
    job.refresh_from_db()
    assert (job.state, job.result, job.attempts) == (JobState.DONE, {"answer": 42}, 1)
    assert services.claim_next("data") is None


def test_the_most_urgent_job_comes_first(probe: Probe) -> None:
    queue_one(priority=5)
    urgent = queue_one(priority=-5)
    assert claim() == urgent


def test_a_failure_is_retried_after_a_pause_and_then_set_aside(probe: Probe) -> None:
    probe.error = RuntimeError("the disk is full")
    job = queue_one()
    for attempt in (1, 2, 3):
        perform(claim())
        job.refresh_from_db()
        assert job.attempts == attempt
        assert "the disk is full" in job.error
        if attempt < 3:
            assert job.state == JobState.QUEUED
            assert services.claim_next("data") is None
            Job.objects.update(not_before=None)
    assert job.state == JobState.FAILED
    assert probe.gave_up == [job.pk]


def test_a_refusal_is_not_retried(probe: Probe) -> None:
    probe.error = Problem("no_such_folder", "There is no such folder.")
    job = queue_one()
    perform(claim())
    job.refresh_from_db()
    assert (job.state, job.error) == (JobState.FAILED, "There is no such folder.")


def test_a_dead_workers_job_is_done_by_another(probe: Probe) -> None:
    job = queue_one()
    dead = claim()
    assert services.revive_expired() == 0
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert services.revive_expired() == 1
    perform(claim())
    job.refresh_from_db()
    assert (job.state, job.attempts) == (JobState.DONE, 2)
    assert not services.finish(dead, {"answer": "stale"})
    job.refresh_from_db()
    assert job.result == {"answer": 42}


def test_a_job_that_kills_its_workers_is_set_aside(probe: Probe) -> None:
    job = queue_one()
    for _ in range(3):
        claim()
        Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
        services.revive_expired()
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert "died 3 times" in job.error
    assert probe.gave_up == [job.pk]


def test_cancelling_a_waiting_job_ends_it_at_once(probe: Probe, lead: User) -> None:
    job = services.cancel(queue_one().pk, by=lead)
    assert job.state == JobState.CANCELLED
    assert services.claim_next("data") is None
    with pytest.raises(Problem, match="has ended"):
        services.cancel(job.pk, by=lead)


def test_cancelling_a_running_job_stops_it_at_its_next_step(probe: Probe, lead: User) -> None:
    def cancel_meanwhile(running: Running) -> None:
        services.cancel(running.job.pk, by=lead)
        renew([running])

    probe.before_end = cancel_meanwhile
    job = queue_one()
    perform(claim())
    job.refresh_from_db()
    assert (job.state, job.result) == (JobState.CANCELLED, {})
    assert probe.gave_up == [job.pk]


def test_a_worker_that_lost_its_claim_writes_nothing(probe: Probe) -> None:
    def lose_the_claim(running: Running) -> None:
        Job.objects.filter(pk=running.job.pk).update(state=JobState.QUEUED, token=None, lease_until=None)
        renew([running])

    probe.before_end = lose_the_claim
    job = queue_one()
    perform(claim())
    job.refresh_from_db()
    assert (job.state, job.result) == (JobState.QUEUED, {})


def test_a_failed_job_can_be_retried_by_hand(probe: Probe, lead: User) -> None:
    probe.error = Problem("refused", "No.")
    job = queue_one()
    perform(claim())
    probe.error = None
    services.retry(job.pk, by=lead)
    perform(claim())
    job.refresh_from_db()
    assert job.state == JobState.DONE
    with pytest.raises(Problem, match="is done"):
        services.retry(job.pk, by=lead)


def test_progress_is_kept(probe: Probe) -> None:
    probe.before_end = lambda running: running.progress(3, 3, "three of three")
    job = queue_one()
    perform(claim())
    job.refresh_from_db()
    assert (job.progress_done, job.progress_total, job.message) == (3, 3, "three of three")


def test_a_lost_wake_up_is_sent_again(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[str] = []
    monkeypatch.setattr(services, "wake", woken.append)
    queue_one()
    assert services.wake_waiting() == []
    Job.objects.update(woken_at=timezone.now() - timedelta(minutes=1))
    assert services.wake_waiting() == ["data"] == woken


def test_one_wake_up_stands_for_the_jobs_at_the_head_of_a_queue(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "wake", lambda queue: None)
    monkeypatch.setattr(services, "AT_THE_HEAD", 2)
    long_ago = timezone.now() - timedelta(minutes=1)
    jobs = [queue_one() for _ in range(3)]
    Job.objects.update(woken_at=long_ago)
    assert services.wake_waiting() == ["data"]
    assert Job.objects.filter(woken_at__gt=long_ago).count() == 2
    assert services.wake_waiting() == []
    perform(claim())
    assert services.wake_waiting() == []
    perform(claim())
    assert services.wake_waiting() == ["data"]
    Job.objects.filter(pk=jobs[2].pk).update(
        woken_at=long_ago, not_before=timezone.now() + timedelta(minutes=1)
    )
    assert services.wake_waiting() == []  # a retry is told of when it is due


def test_a_whole_group_is_cancelled(probe: Probe, lead: User) -> None:
    services.enqueue_many("probe", [{}, {}, {}], by=lead, group="g:1")
    assert services.cancel_group("g:1", by=lead) == 3
    assert set(Job.objects.values_list("state", flat=True)) == {JobState.CANCELLED}


def test_a_failing_job_that_was_to_stop_is_cancelled_not_retried(probe: Probe, lead: User) -> None:
    def cancel_then_fail(running: Running) -> None:
        services.cancel(running.job.pk, by=lead)
        raise RuntimeError("and then it broke")

    probe.before_end = cancel_then_fail
    job = queue_one()
    perform(claim())
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert "then it broke" in job.error


def test_a_fresh_check_sees_a_cancel_before_the_next_heartbeat(probe: Probe, lead: User) -> None:
    def cancel_meanwhile(running: Running) -> None:
        services.cancel(running.job.pk, by=lead)
        running.check()
        running.check(fresh=True)
        raise AssertionError("it went on")

    probe.before_end = cancel_meanwhile
    job = queue_one()
    perform(claim())
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED


def test_retrying_needs_the_permission_to_start(probe: Probe, lead: User, engineer: User) -> None:
    registry._HANDLERS["probe"] = registry.Handler("probe", "data", probe.run, None, Action.TRAIN)
    job = services.cancel(queue_one().pk, by=lead)
    with pytest.raises(Problem, match="does not allow to train"):
        services.retry(job.pk, by=lead)
    assert services.retry(job.pk, by=engineer).state == JobState.QUEUED


def test_one_job_that_cannot_be_given_up_does_not_hold_up_the_others(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(job: Job) -> None:
        raise RuntimeError("its case is gone")

    registry._HANDLERS["stuck"] = registry.Handler("stuck", "data", probe.run, refuse)
    stuck, other = services.enqueue("stuck", {}, by=None), queue_one()
    claim(), claim()
    past = timezone.now() - timedelta(seconds=1)
    Job.objects.update(lease_until=past)
    Job.objects.filter(pk=stuck.pk).update(attempts=3)
    assert services.revive_expired() == 1
    other.refresh_from_db()
    stuck.refresh_from_db()
    assert (other.state, stuck.state) == (JobState.QUEUED, JobState.RUNNING)
    del registry._HANDLERS["stuck"]


def test_the_heartbeat_outlives_a_failing_database(
    probe: Probe, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.JOB_LEASE_SECONDS = 2
    renewals: list[float] = []

    def renew(claims: Collection[Running]) -> None:
        renewals.append(time.monotonic())
        if len(renewals) == 1:
            raise OperationalError("the database restarts")

    monkeypatch.setattr(running_module, "renew", renew)
    queue_one()
    with Running(claim()) as running:
        wait_until(lambda: len(renewals) >= 2)
        running.check()


def test_a_database_that_stays_away_ends_the_claim(
    probe: Probe, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.JOB_LEASE_SECONDS = 0.2

    def renew(claims: Collection[Running]) -> None:
        raise OperationalError("the database is gone")

    monkeypatch.setattr(running_module, "renew", renew)
    queue_one()
    with Running(claim()) as running:
        wait_until(lambda: running.must_stop)
        with pytest.raises(ClaimLost):
            running.check()


def test_work_that_many_ask_for_waits_once(probe: Probe) -> None:
    first = services.enqueue_once("probe", {"of": 1}, by=None)
    assert services.enqueue_once("probe", {"of": 1}, by=None) == first
    assert services.enqueue_once("probe", {"of": 2}, by=None) != first
    assert claim() == first
    again = services.enqueue_once("probe", {"of": 1}, by=None)
    assert again != first, "what runs already may have missed the newest news"


@pytest.mark.django_db(transaction=True)
def test_progress_inside_a_transaction_is_seen_while_it_lasts(probe: Probe) -> None:
    queue_one()
    job = claim()
    seen: list[tuple[int, int | None, str]] = []

    def look() -> bool:
        try:
            seen.append(Job.objects.values_list("progress_done", "progress_total", "message").get(pk=job.pk))
        finally:
            connection.close()
        return seen[-1] == (3, 7, "three of seven")

    with Running(job) as running, transaction.atomic(), ThreadPoolExecutor(1) as elsewhere:
        running.progress_in_transaction(3, 7, "three of seven")
        wait_until(lambda: elsewhere.submit(look).result())


def test_a_paused_group_is_not_claimed_until_it_is_resumed(probe: Probe) -> None:
    for _ in range(3):
        queue_one(group="run:1")
    other = queue_one(group="run:2")
    running = claim()
    assert services.pause_group("run:1") == 2
    assert claim() == other
    assert services.claim_next("data") is None
    probe.error = RuntimeError("try again")
    perform(running)
    running.refresh_from_db()
    assert running.state == JobState.PAUSED, "a retry waits with its group"
    assert services.resume_group("run:1") == 3
    assert claim().group == "run:1"


def test_a_group_is_held_even_when_nothing_of_it_waits(probe: Probe, lead: User) -> None:
    job = queue_one(group="run:1")
    running = claim()
    assert services.pause_group("run:1") == 0
    probe.error = RuntimeError("try again")
    perform(running)
    job.refresh_from_db()
    assert job.state == JobState.PAUSED
    services.cancel_group("run:1", by=lead)
    services.retry(job.pk, by=lead)
    job.refresh_from_db()
    assert job.state == JobState.QUEUED, "a cancelled group is no longer held"
    services.pause_group("run:1")
    services.cancel(job.pk, by=lead)
    services.retry(job.pk, by=lead)
    job.refresh_from_db()
    assert job.state == JobState.PAUSED


def test_a_paused_job_can_be_cancelled(probe: Probe) -> None:
    job = queue_one(group="run:1")
    services.pause_group("run:1")
    assert services.cancel_group("run:1", by=None) == 1
    job.refresh_from_db()
    assert (job.state, probe.gave_up) == (JobState.CANCELLED, [job.pk])
