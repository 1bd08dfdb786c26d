"""The GPU worker's part of a run: answers all or none and once, cases moved and given back, batches that fail well."""

import signal
from datetime import timedelta
from typing import Any

import pytest
import torch
from celery.signals import worker_shutting_down
from django.utils import timezone
from pytest_django import Settings

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, Case, CaseStatus
from annotations.corpora.models import VideoFinding
from crashdesk.accounts.models import User
from crashdesk.audit.services import history
from crashdesk.jobs import together
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import claim_along, claim_next, retry, revive_expired
from crashdesk.jobs.tasks import perform
from model_assist.crashchat.batching_memory import OutOfMemoryError
from model_assist.crashchat.engine import ClipRequest
from model_assist.crashchat.errors import (
    CrashChatError,
    FrameReadError,
    FrameTimeoutError,
    ModelLoadError,
    ReaderCrashedError,
    UndecodableError,
)
from model_assist.predictions import outcome, services, work
from model_assist.predictions.control import cancel_run, resume_run
from model_assist.predictions.models import CasePrediction, PredictionRun
from tests.factories import make_case, make_corpus, make_guideline, make_model_version, make_video
from tests.unit.model_assist.predictions.fake_engine import FakeEngine, answers, clip_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    engine = FakeEngine()
    monkeypatch.setattr(work, "hold", lambda version: engine)
    return engine


def start(count: int = 1, status: CaseStatus = CaseStatus.READY) -> tuple[PredictionRun, list[int]]:
    make_model_version("the-model")
    corpus, guideline = make_corpus(), make_guideline()
    cases = [make_case(status, video=make_video(corpus)) for _ in range(count)]
    run = services.start_run(corpus=corpus, guideline=guideline, by=None)
    return run, [case.pk for case in cases]


def work_next() -> Job:
    """Let a worker take the next job, and what it takes along."""
    job = claim_next("gpu")
    assert job is not None
    perform(job)
    job.refresh_from_db()
    return job


def statuses(run: PredictionRun) -> list[str]:
    return [row.case.status for row in CasePrediction.objects.filter(run=run).order_by("id")]


def states(run: PredictionRun) -> list[tuple[str, int]]:
    return list(Job.objects.filter(group=run.group).order_by("id").values_list("state", "attempts"))


def clip_name(case_id: int) -> str:
    media = Case.objects.get(pk=case_id).video.media
    assert media is not None
    return media.storage_name.rsplit("/", 1)[1]


def test_six_answers_with_their_provenance_and_the_case_is_predicted(engine: FakeEngine) -> None:
    run, (case_id,) = start()
    assert work_next().state == JobState.DONE
    answers = Answer.objects.filter(case_id=case_id)
    assert {answer.kind for answer in answers} == set(Kind.values)
    answer = answers.get(kind=Kind.CRASH_LOCALIZATION)
    assert (answer.model_version, answer.adapter, answer.confidence) == ("the-model", "linguistic", 0.7)
    assert answer.frames["times_us"] == [0, 100_000]
    assert answer.case.status == CaseStatus.PREDICTED
    prediction = CasePrediction.objects.get(run=run)
    assert prediction.predicted_at is not None
    assert (prediction.seconds, prediction.device) == (0.5, "a fast GPU")


def test_a_whole_run_is_answered_in_batches(engine: FakeEngine) -> None:
    run, case_ids = start(5)
    work_next()
    assert engine.batches == [2, 2, 1]
    assert [clip_of(request) for request in engine.asked] == [clip_name(case_id) for case_id in case_ids]
    assert states(run) == [("done", 1)] * 5
    assert statuses(run) == [CaseStatus.PREDICTED] * 5
    assert Answer.objects.filter(case_id__in=case_ids).count() == 30


def test_the_engine_is_asked_for_the_runs_kinds_in_the_guidelines_words(engine: FakeEngine) -> None:
    run, (case_id,) = start()
    PredictionRun.objects.filter(pk=run.pk).update(kinds=[Kind.CRASH_RECOGNITION, Kind.CRASH_DESCRIPTION])
    work_next()
    (request,) = engine.asked
    assert list(request.kinds) == [Kind.CRASH_RECOGNITION, Kind.CRASH_DESCRIPTION]
    assert request.prompts is not None
    assert set(request.prompts) == set(Kind.values)
    media = Case.objects.get(pk=case_id).video.media
    assert media is not None
    assert request.features_key == f"features of {media.sha256}"
    assert Answer.objects.filter(case_id=case_id).count() == 2


def test_each_batch_is_written_before_the_next_is_answered(engine: FakeEngine) -> None:
    run, _ = start(4)
    written: list[int] = []
    engine.during = lambda batch: written.append(CasePrediction.objects.exclude(predicted_at=None).count())
    work_next()
    assert written == [0, 2]
    assert run.case_predictions.exclude(predicted_at=None).count() == 4


def test_doing_a_case_twice_writes_nothing_new(engine: FakeEngine) -> None:
    run, (case_id,) = start()
    work_next()
    prediction = CasePrediction.objects.get(run=run)
    assert outcome.write(prediction=prediction, said=answers(engine.asked[0])) == 0
    assert Answer.objects.filter(case_id=case_id).count() == 6


def test_a_job_whose_answers_are_there_already_is_simply_done(engine: FakeEngine) -> None:
    run, _ = start(3)
    first = CasePrediction.objects.filter(run=run).order_by("id").first()
    assert first is not None
    CasePrediction.objects.filter(pk=first.pk).update(predicted_at=timezone.now())
    assert work_next().result == {"new_answers": 0}
    assert len(engine.asked) == 2
    assert states(run) == [("done", 1)] * 3


def test_a_case_claimed_by_a_killed_worker_is_taken_over(engine: FakeEngine) -> None:
    run, (case_id,) = start()
    outcome.begin(case_id)
    assert statuses(run) == [CaseStatus.PREDICTING]
    work_next()
    assert statuses(run) == [CaseStatus.PREDICTED]


def test_a_killed_workers_cases_are_each_done_once_and_alone(engine: FakeEngine) -> None:
    run, case_ids = start(3)
    first = claim_next("gpu")
    assert first is not None
    claim_along(first, 2)
    for case_id in case_ids:
        outcome.begin(case_id)
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert revive_expired() == 3
    for _ in range(3):
        work_next()
    assert engine.batches == [1, 1, 1]
    assert statuses(run) == [CaseStatus.PREDICTED] * 3
    assert Answer.objects.filter(case_id__in=case_ids).count() == 18


def test_a_clip_that_cannot_be_read_gets_a_finding_and_the_others_go_on(engine: FakeEngine) -> None:
    run, case_ids = start(4)
    broken = clip_name(case_ids[1])

    def look(request: ClipRequest) -> CrashChatError | None:
        return UndecodableError("it ends in the middle of a frame") if clip_of(request) == broken else None

    engine.outcome = look
    work_next()
    assert states(run) == [("done", 1), ("failed", 1), ("done", 1), ("done", 1)]
    job = Job.objects.get(state=JobState.FAILED)
    assert "middle of a frame" in job.error
    finding = VideoFinding.objects.get()
    assert (finding.code, finding.video.cases.get().pk) == ("frames_unreadable", case_ids[1])
    assert statuses(run)[1] == CaseStatus.READY


@pytest.mark.parametrize(
    ("error", "blamed"),
    [
        (FrameTimeoutError("no frames after 60 s"), True),
        (ReaderCrashedError("it died"), True),
        (FrameReadError("[Errno 12] Cannot allocate memory"), False),
    ],
)
def test_a_reader_that_hung_or_died_is_tried_again_alone_and_then_set_aside(
    engine: FakeEngine, error: CrashChatError, blamed: bool
) -> None:
    run, case_ids = start(3)
    poison = clip_name(case_ids[0])
    engine.outcome = lambda request: error if clip_of(request) == poison else None
    work_next()
    assert states(run) == [("queued", 1), ("done", 1), ("done", 1)]
    assert not VideoFinding.objects.exists()
    for _ in range(2):
        Job.objects.update(not_before=None)
        work_next()
    assert states(run) == [("failed", 3), ("done", 1), ("done", 1)]
    told = Job.objects.get(state=JobState.FAILED).error
    assert told.startswith("Traceback")
    assert str(error) in told
    assert list(VideoFinding.objects.values_list("message", flat=True)) == [str(error)] * blamed
    assert statuses(run) == [CaseStatus.READY, CaseStatus.PREDICTED, CaseStatus.PREDICTED]
    engine.outcome = lambda request: None
    retry(Job.objects.get(state=JobState.FAILED).pk, by=None)
    work_next()
    assert statuses(run) == [CaseStatus.PREDICTED] * 3
    assert not VideoFinding.objects.exists(), "it could be read after all"


def test_a_clip_too_large_for_the_memory_is_tried_alone(engine: FakeEngine) -> None:
    run, case_ids = start(2)
    large = clip_name(case_ids[0])

    def look(request: ClipRequest) -> CrashChatError | None:
        crowded = len(engine.batches) == 1
        return OutOfMemoryError("9 GiB wanted") if crowded and clip_of(request) == large else None

    engine.outcome = look
    work_next()
    assert states(run) == [("queued", 1), ("done", 1)]
    assert "9 GiB wanted" in Job.objects.get(state=JobState.QUEUED).error
    Job.objects.update(not_before=None)
    work_next()
    assert states(run) == [("done", 2), ("done", 1)]
    assert not VideoFinding.objects.exists(), "the clip is not to blame"


def test_an_engine_that_fails_takes_only_what_it_had_begun(engine: FakeEngine) -> None:
    run, case_ids = start(6)
    engine.error = RuntimeError("the tensors do not fit together")
    work_next()
    assert states(run) == [("queued", 1)] * 4 + [("queued", 0)] * 2
    engine.error = None
    Job.objects.update(not_before=None)
    while Job.objects.filter(state=JobState.QUEUED).exists():
        work_next()
    assert statuses(run) == [CaseStatus.PREDICTED] * 6
    assert Answer.objects.filter(case_id__in=case_ids).count() == 36


def test_a_gpu_broken_beyond_repair_ends_the_process(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    signals: list[Any] = []
    monkeypatch.setattr(work.os, "kill", lambda pid, number: signals.append((pid, number)))
    run, _ = start(3)
    engine.error = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    work_next()
    assert signals == [(work.os.getpid(), signal.SIGTERM)]
    assert states(run) == [("queued", 1)] * 3


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (ModelLoadError("/models/base: config.json is missing"), False),
        (RuntimeError("CUDA out of memory"), False),
        (torch.AcceleratorError("CUDA error: the device is gone"), True),
    ],
)
def test_a_model_that_cannot_be_loaded_holds_the_run_and_charges_no_case(
    monkeypatch: pytest.MonkeyPatch, lead: User, error: Exception, ends: bool
) -> None:
    def refuse(version: object) -> FakeEngine:
        raise error

    signals: list[int] = []
    monkeypatch.setattr(work.os, "kill", lambda pid, number: signals.append(number))
    monkeypatch.setattr(work, "hold", refuse)
    run, _ = start(3)
    work_next()
    assert states(run) == [("paused", 0)] * 3
    assert signals == [signal.SIGTERM] * ends
    run.refresh_from_db()
    assert run.paused_at is not None
    (event,) = history(run).filter(verb="prediction_run.paused")
    assert str(error) in event.data["reason"]
    assert statuses(run) == [CaseStatus.READY] * 3
    monkeypatch.setattr(work, "hold", lambda version: FakeEngine())
    resume_run(run=run, by=lead)
    work_next()
    assert statuses(run) == [CaseStatus.PREDICTED] * 3


def test_what_another_run_has_answered_meanwhile_is_not_asked_again(engine: FakeEngine) -> None:
    run, case_ids = start(2)
    now = services.predict_now(case=Case.objects.get(pk=case_ids[0]), by=None)
    work_next()
    assert states(now) == [("done", 1)]
    work_next()
    assert states(run) == [("done", 1)] * 2
    assert [clip_of(request) for request in engine.asked] == [clip_name(pk) for pk in case_ids]


def test_a_person_who_waits_comes_before_the_clips_read_ahead(engine: FakeEngine) -> None:
    run, _ = start(8)
    other = services.start_run(corpus=run.corpus, guideline=run.guideline, by=None)
    Job.objects.filter(group=other.group).update(state=JobState.PAUSED)

    def ask_during_the_first(batch: list[ClipRequest]) -> None:
        if not engine.batches:
            urgent = Job.objects.filter(group=other.group).order_by("id").values("pk")[:1]
            Job.objects.filter(pk__in=urgent).update(state=JobState.QUEUED, priority=-10)

    engine.during = ask_during_the_first
    work_next()
    assert states(run) == [("done", 1)] * 2 + [("queued", 0)] * 6
    assert statuses(run) == [CaseStatus.PREDICTED] * 2 + [CaseStatus.READY] * 6
    work_next()
    assert ("done", 1) in states(other)


def test_a_worker_told_to_stop_ends_its_batch_and_leaves_the_rest(engine: FakeEngine) -> None:
    run, _ = start(8)

    def stop_during_the_second(batch: list[ClipRequest]) -> None:
        if len(engine.batches) == 1:
            worker_shutting_down.send(sender="gpu@here", sig="SIGTERM", how="Warm", exitcode=0)

    engine.during = stop_during_the_second
    try:
        work_next()
    finally:
        together._stopping.clear()
    assert states(run) == [("done", 1)] * 4 + [("queued", 0)] * 4
    assert statuses(run) == [CaseStatus.PREDICTED] * 4 + [CaseStatus.READY] * 4


def test_cancelling_stops_before_anything_more_is_written(engine: FakeEngine, lead: User) -> None:
    run, case_ids = start(6)

    def cancel_in_the_second(batch: list[ClipRequest]) -> None:
        if len(engine.batches) == 1:
            cancel_run(run=run, by=lead)

    engine.during = cancel_in_the_second
    work_next()
    assert [state for state, _ in states(run)] == ["done"] * 2 + ["cancelled"] * 4
    assert statuses(run) == [CaseStatus.PREDICTED] * 2 + [CaseStatus.READY] * 4
    assert Answer.objects.filter(case_id__in=case_ids).count() == 12


def test_cases_further_on_get_answers_but_stay_where_they_are(engine: FakeEngine) -> None:
    _, (case_id,) = start(status=CaseStatus.APPROVED)
    work_next()
    answer = Answer.objects.filter(case_id=case_id, model_version="the-model").first()
    assert answer is not None
    assert answer.case.status == CaseStatus.APPROVED


def test_cancelling_a_second_run_leaves_the_first_ones_claim_alone(engine: FakeEngine, lead: User) -> None:
    run, (case_id,) = start()
    second = services.start_run(corpus=run.corpus, guideline=run.guideline, by=lead)
    first_job = claim_next("gpu")
    assert first_job is not None
    outcome.begin(case_id)
    assert cancel_run(run=second, by=lead) == 1
    assert statuses(run) == [CaseStatus.PREDICTING]
    perform(first_job)
    assert statuses(run) == [CaseStatus.PREDICTED]


def test_a_clip_missing_from_the_storage_fails_its_own_case_only(
    engine: FakeEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, case_ids = start(2)
    real, missing = work.local_path, clip_name(case_ids[0])

    def fetch(name: str) -> Any:
        if name.endswith(missing):
            raise FileNotFoundError(f"the bucket has no {name}")
        return real(name)

    monkeypatch.setattr(work, "local_path", fetch)
    settings.JOB_MAX_ATTEMPTS = 1
    work_next()
    assert states(run) == [("failed", 1), ("done", 1)]
    assert "the bucket has no" in Job.objects.get(state=JobState.FAILED).error
    assert statuses(run) == [CaseStatus.READY, CaseStatus.PREDICTED]
