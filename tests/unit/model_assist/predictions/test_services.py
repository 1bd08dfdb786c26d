"""Prediction runs: one job per case, answers all or none and once, cases moved and given back."""

from pathlib import Path

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, CaseStatus
from annotations.corpora.models import VideoFinding
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from model_assist.crashchat.answers import ClipAnswers, FramesUsed, KindAnswer
from model_assist.crashchat.errors import FrameReadError
from model_assist.predictions import outcome, services, work
from model_assist.predictions.control import cancel_run
from model_assist.predictions.models import CasePrediction
from model_assist.predictions.progress import counts_of
from tests.factories import CRASH, make_case, make_corpus, make_guideline, make_model_version, make_video

pytestmark = pytest.mark.django_db
FRAMES = FramesUsed(
    fps=10.0, count=2, times_us=[0, 100_000], source_indices=[2, 5], source_pts_us=[66_667, 166_667], width=56,
    height=28, visual_tokens=4, reader="pyav", damaged=0,
)  # fmt: skip


class Engine:
    """Says the same about every clip, or fails as told: the engine itself has its own tests."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked: list[str] = []

    def answer(self, path: Path, prompts: dict[str, str]) -> ClipAnswers:
        self.asked.append(path.name)
        if self.error:
            raise self.error
        answers = {
            kind: KindAnswer(
                kind=kind, raw_text="raw", state=said.state, value=said.value, reason="", confidence=0.7,  # type: ignore[arg-type]
                confidence_detail={"mean_prob": 0.7}, adapter="linguistic", prompt_version="0123456789ab",
            )
            for kind, said in CRASH.items()
        }  # fmt: skip
        return ClipAnswers(answers=answers, frames=FRAMES, duration_us=5_000_000, timings={"decode": 0.5})


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    monkeypatch.setattr(work, "engine_for", lambda version: engine)
    return engine


def run_next() -> Job:
    job = claim_next("gpu")
    assert job is not None
    perform(job)
    job.refresh_from_db()
    return job


def start(count: int = 1, status: CaseStatus = CaseStatus.READY) -> tuple[services.PredictionRun, list[int]]:
    make_model_version("the-model")
    corpus, guideline = make_corpus(), make_guideline()
    cases = [make_case(status, video=make_video(corpus)) for _ in range(count)]
    run = services.start_run(corpus=corpus, guideline=guideline, by=None)
    return run, [case.pk for case in cases]


def test_six_answers_with_their_provenance_and_the_case_is_predicted(engine: Engine) -> None:
    run, (case_id,) = start()
    assert run_next().state == JobState.DONE
    answers = Answer.objects.filter(case_id=case_id)
    assert {answer.kind for answer in answers} == set(Kind.values)
    answer = answers.get(kind=Kind.CRASH_LOCALIZATION)
    assert (answer.model_version, answer.adapter, answer.confidence) == ("the-model", "linguistic", 0.7)
    assert answer.frames["times_us"] == [0, 100_000]
    assert answer.case.status == CaseStatus.PREDICTED
    assert counts_of([run])[run.pk] == {
        "queued": 0, "paused": 0, "running": 0, "done": 1, "failed": 0, "cancelled": 0,
    }  # fmt: skip


def test_doing_a_case_twice_writes_nothing_new(engine: Engine) -> None:
    run, (case_id,) = start()
    run_next()
    prediction = CasePrediction.objects.get(run=run)
    said = engine.answer(Path("clip.mp4"), {})
    assert outcome.write(prediction=prediction, said=said) == 0
    assert Answer.objects.filter(case_id=case_id).count() == 6


def test_a_case_claimed_by_a_killed_worker_is_taken_over(engine: Engine) -> None:
    run, (_case_id,) = start()
    case = CasePrediction.objects.get(run=run).case
    outcome.begin(case.pk)
    case.refresh_from_db()
    assert case.status == CaseStatus.PREDICTING
    run_next()
    case.refresh_from_db()
    assert case.status == CaseStatus.PREDICTED


def test_a_clip_that_cannot_be_read_gets_a_finding_and_the_others_go_on(engine: Engine) -> None:
    run, _case_ids = start(2)
    engine.error = FrameReadError("the clip ends in the middle of a frame")
    job = run_next()
    assert (job.state, "middle of a frame" in job.error) == (JobState.FAILED, True)
    engine.error = None
    assert run_next().state == JobState.DONE
    assert VideoFinding.objects.get().code == "frames_unreadable"
    statuses = [row.case.status for row in CasePrediction.objects.filter(run=run).order_by("id")]
    assert statuses == [CaseStatus.READY, CaseStatus.PREDICTED]


def test_cases_further_on_get_answers_but_stay_where_they_are(engine: Engine) -> None:
    _, (case_id,) = start(status=CaseStatus.APPROVED)
    run_next()
    answer = Answer.objects.filter(case_id=case_id, model_version="the-model").first()
    assert answer is not None
    assert answer.case.status == CaseStatus.APPROVED


def test_cancelling_gives_the_cases_back(engine: Engine, lead: User) -> None:
    run, _ = start(3)
    run_next()
    assert cancel_run(run=run, by=lead) == 2
    statuses = sorted(row.case.status for row in CasePrediction.objects.filter(run=run))
    assert statuses == [CaseStatus.PREDICTED, CaseStatus.READY, CaseStatus.READY]


def test_nothing_to_predict_is_said() -> None:
    make_model_version()
    with pytest.raises(Problem, match="ready for the model"):
        services.start_run(corpus=make_corpus(), guideline=make_guideline(), by=None)


def test_cancelling_a_second_run_leaves_the_first_ones_claim_alone(engine: Engine, lead: User) -> None:
    run, (case_id,) = start()
    case = CasePrediction.objects.get(run=run).case
    second = services.start_run(corpus=run.corpus, guideline=run.guideline, by=lead)
    first_job = claim_next("gpu")
    assert first_job is not None
    outcome.begin(case_id)
    assert cancel_run(run=second, by=lead) == 1
    case.refresh_from_db()
    assert case.status == CaseStatus.PREDICTING
    perform(first_job)
    case.refresh_from_db()
    assert case.status == CaseStatus.PREDICTED
