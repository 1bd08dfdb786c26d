"""Jobs of one group done together: who is claimed along, how each ends, and what is given back."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from celery.signals import worker_shutting_down
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.jobs import registry, services, tasks, together
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.running import Running, patiently, renew
from crashdesk.jobs.tasks import perform
from crashdesk.jobs.together import Together

pytestmark = pytest.mark.django_db


class Crew:
    """Stands for real work on several jobs: takes `at_once` of them, `ahead` before it ends the first."""

    def __init__(self) -> None:
        self.at_once, self.ahead = 2, 2
        self.shifts: list[list[int]] = []
        self.gave_up: list[int] = []
        self.write: Callable[[Job], dict[str, Any] | None] = lambda job: {"of": job.args["n"]}
        self.before: Callable[[Job], None] = lambda job: None

    def run(self, together: Together) -> None:
        done: list[int] = []
        self.shifts.append(done)
        held: list[Running] = []
        for running in together.jobs(self.at_once):
            self.before(running.job)
            held.append(running)
            if len(held) > self.ahead:
                self.end(together, held.pop(0), done)
            if together.is_over:
                return
        while held:
            self.end(together, held.pop(0), done)

    def end(self, together: Together, running: Running, done: list[int]) -> None:
        if together.conclude(running, lambda: self.write(running.job)):
            done.append(running.job.args["n"])

    def give_up(self, job: Job) -> None:
        self.gave_up.append(job.args["n"])


@pytest.fixture
def crew() -> Iterator[Crew]:
    crew = Crew()
    registry._HANDLERS["crew"] = registry.Handler("crew", "gpu", crew.run, crew.give_up, together=True)
    yield crew
    del registry._HANDLERS["crew"]


@pytest.fixture(autouse=True)
def not_stopping() -> Iterator[None]:
    yield
    together._stopping.clear()


def queue(*numbers: int, group: str = "run:1", priority: int = 0) -> list[Job]:
    many = [{"n": n} for n in numbers]
    return services.enqueue_many("crew", many, by=None, group=group, priority=priority)


def work_next() -> Job:
    job = services.claim_next("gpu")
    assert job is not None
    perform(job)
    job.refresh_from_db()
    return job


def states() -> dict[int, tuple[str, int]]:
    """By number: the job's state and how many attempts it was charged."""
    return {job.args["n"]: (job.state, job.attempts) for job in Job.objects.all()}


def test_one_worker_takes_a_whole_group_each_job_under_a_token_of_its_own(crew: Crew) -> None:
    jobs = queue(1, 2, 3, 4, 5)
    tokens: set[Any] = set()
    crew.before = lambda job: tokens.add(Job.objects.get(pk=job.pk).token)
    work_next()
    assert crew.shifts == [[1, 2, 3, 4, 5]]
    assert len(tokens) == 5
    for job in jobs:
        job.refresh_from_db()
        assert (job.state, job.attempts, job.result) == (JobState.DONE, 1, {"of": job.args["n"]})
        assert job.worker == services.worker_name()
        assert (job.token, job.lease_until) == (None, None)


def test_no_more_are_claimed_than_are_asked_for(crew: Crew) -> None:
    queue(*range(10))
    running: list[int] = []
    crew.before = lambda job: running.append(Job.objects.filter(state=JobState.RUNNING).count())
    work_next()
    assert max(running) <= crew.ahead + 1 + crew.at_once


def test_what_was_attempted_before_is_done_alone(crew: Crew) -> None:
    queue(1, 2, 3, 4)
    Job.objects.filter(args__n__in=[2, 3]).update(attempts=1)
    for _ in range(4):
        work_next()
    assert crew.shifts == [[1], [2], [3], [4]]
    assert services.claim_next("gpu") is None


def test_the_jobs_of_a_dead_worker_are_each_done_alone(crew: Crew) -> None:
    queue(1, 2, 3)
    first = services.claim_next("gpu")
    assert first is not None
    assert len(services.claim_along(first, 2)) == 2
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert services.revive_expired() == 3
    for _ in range(3):
        work_next()
    assert crew.shifts == [[1], [2], [3]]
    assert states() == dict.fromkeys([1, 2, 3], ("done", 2))


def test_other_groups_and_kinds_are_not_taken_along(crew: Crew) -> None:
    queue(1)
    queue(2, group="run:2")
    queue(3)
    for _ in range(3):
        work_next()
    assert crew.shifts == [[1], [2], [3]], "in the order of the queue"
    queue(4, 5, group="")
    work_next()
    assert crew.shifts[-1] == [4], "what belongs to no group has nothing in common"


def test_a_more_urgent_job_does_not_wait_for_the_whole_run(crew: Crew) -> None:
    queue(*range(20))

    def ask_at_the_third(job: Job) -> None:
        if job.args["n"] == 3:
            queue(100, group="person", priority=-10)

    crew.before = ask_at_the_third
    work_next()
    assert len(crew.shifts[0]) <= 3 + crew.ahead + crew.at_once
    work_next()
    assert crew.shifts[1] == [100]
    work_next()
    assert sorted(crew.shifts[0] + crew.shifts[2]) == list(range(20))


def test_a_failing_job_fails_alone_and_leaves_nothing_written(crew: Crew) -> None:
    queue(1, 2, 3)

    def write(job: Job) -> dict[str, Any]:
        User.objects.create(username=f"written-{job.args['n']}", email=f"{job.args['n']}@crashdesk.example")
        if job.args["n"] == 2:
            raise RuntimeError("the answers make no sense")
        return {}

    crew.write = write
    work_next()
    assert states() == {1: ("done", 1), 2: ("queued", 1), 3: ("done", 1)}
    assert not User.objects.filter(username="written-2").exists()
    assert "answers make no sense" in Job.objects.get(args__n=2).error


def test_an_earlier_step_that_fails_ends_only_its_own_job(crew: Crew) -> None:
    queue(1, 2)

    def find(job: Job) -> str:
        if job.args["n"] == 1:
            raise Problem("lacks_media", "It has no clip.")
        return "clip"

    def run(together: Together) -> None:
        for running in together.jobs(2):
            found = together.attempt(running, partial(find, running.job))
            if found is not None:
                together.conclude(running, partial(dict, path=found))

    registry._HANDLERS["crew"] = registry.Handler("crew", "gpu", run, crew.give_up, together=True)
    work_next()
    assert states() == {1: ("failed", 1), 2: ("done", 1)}
    assert crew.gave_up == [1]


def test_when_the_handler_fails_what_was_begun_is_charged_and_what_was_not_is_given_back(crew: Crew) -> None:
    queue(1, 2, 3, 4, 5)
    crew.at_once = 4

    def crash_at_the_second(job: Job) -> None:
        if job.args["n"] == 2:
            raise RuntimeError("the device is gone")

    crew.before = crash_at_the_second
    work_next()
    assert states() == {n: ("queued", 1 if n <= 2 else 0) for n in range(1, 6)}
    assert "device is gone" in Job.objects.get(args__n=1).error


def test_a_handler_that_fails_before_it_looks_at_a_job_does_not_go_on_for_ever(crew: Crew) -> None:
    queue(1, 2)

    def run(together: Together) -> None:
        raise RuntimeError("the model does not load")

    registry._HANDLERS["crew"] = registry.Handler("crew", "gpu", run, crew.give_up, together=True)
    work_next()
    assert states() == {1: ("queued", 1), 2: ("queued", 0)}


def test_what_the_handler_leaves_open_is_given_back_uncharged(crew: Crew) -> None:
    queue(1, 2, 3)
    registry._HANDLERS["crew"] = registry.Handler(
        "crew", "gpu", lambda together: next(together.jobs(3)) and None, crew.give_up, together=True
    )
    work_next()
    assert states() == dict.fromkeys([1, 2, 3], ("queued", 0))
    assert not Job.objects.exclude(token=None).exists()


def test_cancelling_the_group_stops_it_and_writes_nothing_more(crew: Crew, lead: User) -> None:
    queue(1, 2, 3, 4, 5, 6)
    crew.ahead = 0

    def cancel_at_the_third(job: Job) -> None:
        if job.args["n"] == 3:
            services.cancel_group("run:1", by=lead)

    crew.before = cancel_at_the_third
    work_next()
    assert {n: state for n, (state, _) in states().items()} == {
        n: "done" if n <= 2 else "cancelled" for n in range(1, 7)
    }
    assert sorted(crew.gave_up) == [3, 4, 5, 6]


def test_a_pause_lets_the_claimed_ones_finish_and_takes_no_more(crew: Crew) -> None:
    queue(*range(10))
    crew.ahead = 0

    def pause_at_the_third(job: Job) -> None:
        if job.args["n"] == 3:
            services.pause_group("run:1")

    crew.before = pause_at_the_third
    work_next()
    counted = [state for state, _ in states().values()]
    assert (counted.count("done"), counted.count("paused")) == (5, 5)
    services.resume_group("run:1")
    work_next()
    assert {state for state, _ in states().values()} == {"done"}


def test_a_lost_claim_is_left_to_its_new_holder(crew: Crew) -> None:
    queue(1, 2)

    def lose_the_first(job: Job) -> None:
        if job.args["n"] == 2:
            Job.objects.filter(args__n=1).update(state=JobState.QUEUED, token=None, lease_until=None)

    crew.before = lose_the_first
    work_next()
    assert crew.shifts == [[2]]
    assert states() == {1: ("queued", 1), 2: ("done", 1)}


def test_all_leases_are_renewed_by_one_statement(crew: Crew) -> None:
    queue(*range(8))
    first = services.claim_next("gpu")
    assert first is not None
    claims = [Running(job) for job in [first, *services.claim_along(first, 7)]]
    Job.objects.update(lease_until=timezone.now())
    Job.objects.filter(pk=claims[3].job.pk).update(cancel_requested=True)
    Job.objects.filter(pk=claims[5].job.pk).update(state=JobState.QUEUED, token=None, lease_until=None)
    with CaptureQueriesContext(connection) as queries:
        renew(claims)
    assert len([q for q in queries if q["sql"].startswith("UPDATE")]) == 1
    assert [claim.must_stop for claim in claims] == [n in (3, 5) for n in range(8)]
    assert Job.objects.filter(lease_until__gt=timezone.now() + timedelta(seconds=1)).count() == 7


def test_a_worker_told_to_stop_finishes_what_it_began(crew: Crew) -> None:
    queue(*range(10))
    crew.ahead = 0

    def stop_at_the_third(job: Job) -> None:
        if job.args["n"] == 3:
            worker_shutting_down.send(sender="gpu@here", sig="SIGTERM", how="Warm", exitcode=0)

    crew.before = stop_at_the_third
    work_next()
    assert crew.shifts == [[0, 1, 2, 3]]
    assert states() == {n: ("done", 1) if n <= 3 else ("queued", 0) for n in range(10)}


def test_after_a_shift_the_worker_goes_back_to_its_broker(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(1, 2, 3)
    woken: list[str] = []
    monkeypatch.setattr(tasks, "wake", woken.append)
    monkeypatch.setattr(tasks, "Together", lambda first: Together(first, shift_s=-1))
    tasks.work("gpu")
    assert crew.shifts == [[1]]
    assert woken == ["gpu", "gpu"], "once when it began, once because work is left"


def test_a_database_that_restarts_costs_seconds_not_the_work(settings: Settings) -> None:
    settings.JOB_LEASE_SECONDS = 30
    asked: list[bool] = []
    outcome: list[str] = []

    def step() -> str:
        asked.append(True)
        if len(asked) < 3:
            raise OperationalError("the database system is starting up")
        return "written"

    thread = threading.Thread(target=lambda: outcome.append(patiently(step)))
    thread.start()
    thread.join()
    assert (outcome, len(asked)) == (["written"], 3)


def test_a_database_that_stays_away_is_given_up(settings: Settings) -> None:
    settings.JOB_LEASE_SECONDS = 0
    caught: list[BaseException] = []

    def step() -> None:
        raise OperationalError("gone")

    def run() -> None:
        try:
            patiently(step)
        except OperationalError as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_a_kind_is_done_in_its_own_way_only(crew: Crew) -> None:
    with pytest.raises(TypeError, match="done together"):
        registry.handler_for("crew").work()
    with pytest.raises(TypeError, match="one by one"):
        registry.Handler("probe", "gpu", lambda running: None).work_together()
