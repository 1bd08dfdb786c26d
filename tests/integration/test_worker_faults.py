"""Workers that are killed, starved and cut off: every case of a run is answered exactly once, and none is stuck.

Real processes: Celery workers with a small random model of the real architecture, PostgreSQL, a broker. Each fault
waits until it is seen from outside that the worker is in the middle of what it is to be hurt in.
"""

import contextlib
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from pytest_django import DjangoDbBlocker

from annotations.cases.models import Case
from annotations.corpora.models import Media
from crashdesk.embedded.testing import services
from model_assist.crashchat.settings import EngineSettings
from model_assist.crashchat.tiny import TINY_SETTINGS, save_tiny
from model_assist.predictions.models import CasePrediction
from model_assist.registry.models import ModelVersion
from tests.factories import make_model_version
from tests.integration.workers import (
    ATTEMPTS,
    CLIPS_PER_BATCH,
    Plant,
    Run,
    Worker,
    clear,
    make_clips,
    on_database,
    opened,
    wait_until,
)

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

QUICK = replace(TINY_SETTINGS, clips_per_batch=CLIPS_PER_BATCH, gate_localisation=False)
SLOW = replace(
    QUICK, fps=10.0, max_frames=64, max_tokens=4000, max_new_tokens=dict.fromkeys(QUICK.max_new_tokens, 2)
)
"""Thousands of visual tokens and hardly an answer: most of the time goes into the prefill."""
SLOWEST = replace(SLOW, max_frames=60, prefill_chunk=1)
"""Token by token: a prefill that no machine is through with before one has looked."""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[Plant]:
    home = tmp_path_factory.mktemp("plant")
    storage = home / "storage"
    storage.mkdir()
    with (
        services(home / "services", broker=True) as running,
        on_database(running.database_url),
        django_db_blocker.unblock(),
    ):
        call_command("migrate", verbosity=0)
        plant = Plant(running, home, storage)
        plant.start("tick,data", "-B", "-s", str(home / "schedule"))
        try:
            yield plant
        finally:
            plant.end()


@pytest.fixture(scope="module")
def clips(plant: Plant) -> list[Media]:
    return make_clips(plant.storage, 12)


@pytest.fixture(scope="module")
def models(plant: Plant) -> Callable[[EngineSettings], ModelVersion]:
    """Model versions over one random base: they differ in how clips are sampled."""
    base = plant.home / "base"
    save_tiny(base, seed=3)
    made: dict[str, ModelVersion] = {}

    def model(settings: EngineSettings) -> ModelVersion:
        name = f"{settings.max_frames} frames"
        if name not in made:
            made[name] = make_model_version(name, base=str(base), engine_settings=settings)
        return made[name]

    return model


@pytest.fixture(autouse=True)
def logs_of_a_failure(plant: Plant, request: pytest.FixtureRequest) -> Iterator[None]:
    clear(plant.features)
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before:
        for worker in plant.workers:
            print(f"--- {worker.log.name}\n{worker.said()[-4000:]}")


def kill_while_decoding(run: Run, worker: Worker) -> Case:
    """Stop the decoder that has a clip of the run open, then kill its worker. Returns the clip's case."""
    worker.go_on()
    paths = {run.path_of(case): case for case in run.cases}
    held: list[tuple[int, Case]] = []

    def caught() -> bool:
        for pid in worker.decoders():
            if not opened(pid) & set(paths):
                continue
            os.kill(pid, signal.SIGSTOP)
            if still := opened(pid) & set(paths):
                held.append((pid, paths[still.pop()]))
                return True
            os.kill(pid, signal.SIGCONT)
        return False

    wait_until("a decoder has a clip open", caught)
    (pid, case) = held[0]
    assert run.job_of(case).state == "running"
    run.plant.kill(worker)
    os.kill(pid, signal.SIGCONT)
    wait_until(
        "the orphaned decoder ends by itself", lambda: not Path(f"/proc/{pid}").exists() or is_zombie(pid)
    )
    return case


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def kill_while_prefilling(run: Run, worker: Worker) -> Case:
    """Wait for a batch's features, ask the worker where it is until it says in the prefill, and kill it there."""
    worker.go_on()
    wait_until(
        "the vision tower is through with a batch",
        lambda: len(list(plant_files(run.plant))) >= CLIPS_PER_BATCH,
    )
    while "prefill_rows" not in worker.stacks():
        worker.go_on()
        assert "running" in run.states(), "the run ended before it was caught"
    case = next(case for case in run.cases if run.job_of(case).state == "running")
    run.plant.kill(worker)
    return case


def plant_files(plant: Plant) -> Iterator[Path]:
    return plant.features.rglob("*.features")


def kill_while_writing(run: Run, worker: Worker) -> Case:
    """Hold the last row that a case's answers touch, so that its transaction waits in the middle; kill it there."""
    case = run.cases[1]
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE "predictions_caseprediction"%%'
    """
    with transaction.atomic():
        CasePrediction.objects.select_for_update().get(pk=run.prediction_id(case))
        worker.go_on()
        wait_until("the writing waits for the row", lambda: run.plant.query(waiting) != [(0,)])
        assert run.outcome()[case.pk][3] == 0, "nothing of it is to be seen before it is all there"
        run.plant.kill(worker)
    return case


@pytest.mark.parametrize(
    ("sampling", "kill"),
    [(SLOW, kill_while_decoding), (SLOWEST, kill_while_prefilling), (QUICK, kill_while_writing)],
    ids=["decode", "prefill", "write"],
)
def test_a_worker_killed_at_work_loses_nothing_and_repeats_at_most_what_it_held(
    plant: Plant,
    clips: list[Media],
    models: Callable[[EngineSettings], ModelVersion],
    sampling: EngineSettings,
    kill: Callable[[Run, Worker], Case],
) -> None:
    (worker,) = plant.gpu_workers()
    worker.stop()  # a quick machine would be through with the run before anybody looks
    run = Run.over(plant, clips[:7], models(sampling))
    case = kill(run, worker)
    done = {pk for pk, (_, state, *_) in run.outcome().items() if state == "done"}
    assert case.pk not in done
    plant.gpu_workers()
    run.wait_for_end()
    run.check_complete()
    outcome = run.outcome()
    repeated = [pk for pk, (_, _, attempts, *_) in outcome.items() if attempts == 2]
    assert case.pk in repeated
    assert not done & set(repeated)
    assert len(repeated) <= 3 * CLIPS_PER_BATCH


def stop_whoever_opens(path: str, worker: Worker, enough: threading.Event) -> None:
    """What a clip does that hangs every decoder: its process does not move any more."""
    while not enough.is_set():
        for pid in worker.decoders():
            if path in opened(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
        time.sleep(0.002)


def test_a_clip_that_hangs_the_decoder_is_set_aside_and_the_others_go_on(
    plant: Plant, clips: list[Media], models: Callable[[EngineSettings], ModelVersion]
) -> None:
    (worker,) = plant.gpu_workers()
    worker.stop()
    run = Run.over(plant, clips[:6], models(SLOW))
    hangs, enough = run.cases[2], threading.Event()
    saboteur = threading.Thread(target=stop_whoever_opens, args=(run.path_of(hangs), worker, enough))
    saboteur.start()
    worker.go_on()
    try:
        run.wait_for_end()
    finally:
        enough.set()
        saboteur.join()
    assert worker.is_alive
    run.check_complete(but={hangs.pk: ("ready", "failed")})
    job = run.job_of(hangs)
    assert job.attempts == ATTEMPTS
    assert "no frames after" in job.error
    assert run.plant.query("SELECT code FROM corpora_videofinding WHERE video_id = %s", hangs.video_id) == [
        ("frames_unreadable",)
    ]


def test_a_clip_that_kills_its_worker_is_set_aside_and_its_neighbours_are_not(
    plant: Plant, clips: list[Media], models: Callable[[EngineSettings], ModelVersion]
) -> None:
    """As when a clip takes so much memory that the kernel kills whoever touches it."""
    run = Run.over(plant, clips[:5], models(SLOW))
    poison = run.cases[1]
    for _ in range(ATTEMPTS):
        (worker,) = plant.gpu_workers()
        wait_until(
            "the poison is opened",
            lambda worker=worker: any(run.path_of(poison) in opened(pid) for pid in worker.decoders()),
        )
        assert run.job_of(poison).state == "running"
        plant.kill(worker)
        wait_until("its lease runs out", lambda: run.job_of(poison).state != "running")
    plant.gpu_workers()
    run.wait_for_end()
    run.check_complete(but={poison.pk: ("ready", "failed")})
    assert f"the worker died {ATTEMPTS} times" in run.job_of(poison).error


def test_memory_that_runs_out_is_survived(
    plant: Plant, clips: list[Media], models: Callable[[EngineSettings], ModelVersion]
) -> None:
    """The kernel refuses the worker more memory for a while: what fails is tried again, alone."""
    (worker,) = plant.gpu_workers()
    warm = Run.over(plant, clips[:1], models(SLOW))
    warm.wait_for_end()
    clear(plant.features)
    size = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    run = Run.over(plant, clips[:6], models(SLOW))
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (size + 16 * 1024**2, resource.RLIM_INFINITY))
    try:
        wait_until("something fails for want of memory", lambda: short_of_memory(worker))
    finally:
        resource.prlimit(worker.pid, resource.RLIMIT_AS, no_limit)
    plant.gpu_workers()
    run.wait_for_end()
    run.check_complete()


def short_of_memory(worker: Worker) -> bool:
    return (
        re.search("allocate memory|not enough memory|MemoryError|start new thread", worker.said()) is not None
    )


def test_two_workers_share_one_run(
    plant: Plant, clips: list[Media], models: Callable[[EngineSettings], ModelVersion]
) -> None:
    workers = plant.gpu_workers(2)
    run = Run.over(plant, clips, models(SLOW))
    run.wait_for_end()
    run.check_complete()
    done_by = {
        name for (name,) in plant.query('SELECT worker FROM jobs_job WHERE "group" = %s', run.row.group)
    }
    assert done_by == {worker.name for worker in workers}
    assert {attempts for _, _, attempts, *_ in run.outcome().values()} == {1}


def test_a_broker_and_a_database_that_restart_cost_nothing(
    plant: Plant, clips: list[Media], models: Callable[[EngineSettings], ModelVersion]
) -> None:
    plant.gpu_workers()
    run = Run.over(plant, clips, models(SLOW))
    broker, database = plant.services.broker, plant.services.postgres
    assert broker is not None
    wait_until("some cases are done", lambda: run.states().get("done", 0) >= 2)
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    broker.stop()
    broker.start()
    wait_until("the run goes on", lambda: run.states().get("done", 0) >= 4)
    assert run.states().get("running", 0)
    connection.close()
    database.stop()
    time.sleep(1)
    database.start()
    run.wait_for_end()
    run.check_complete()
    after = Run.over(plant, clips[:2], models(QUICK))
    after.wait_for_end()
    after.check_complete()
