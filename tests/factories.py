"""Objects for tests, brought to a status by walking the real workflow with the real services."""

import hashlib
import itertools
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from annotations.cases.default_prompts import DEFAULT_PROMPTS
from annotations.cases.kinds import NEGATIVE_TEXT, Kind
from annotations.cases.models import Answer, Case, CaseStatus, Guideline
from annotations.cases.rules import Said
from annotations.cases.services import (
    ModelProvenance,
    add_model_answer,
    drafts,
    ensure_case,
    ensure_guideline,
)
from annotations.cases.workflow import move
from annotations.corpora.media.timemap import TimeMap
from annotations.corpora.models import Corpus, Media, MediaState, Video
from annotations.reviews.decisions import approve
from annotations.reviews.services import record_submission
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import claim_next, fail, finish
from model_assist.crashchat.answers import ClipAnswers, FramesUsed, KindAnswer
from model_assist.crashchat.settings import EngineSettings
from model_assist.predictions import outcome
from model_assist.predictions.choosing import question_versions
from model_assist.predictions.models import CasePrediction, PredictionRun
from model_assist.predictions.services import start_run
from model_assist.registry.models import ModelVersion
from model_assist.registry.services import register

_numbers = itertools.count(1)

CRASH: Mapping[str, Said] = {
    Kind.CRASH_RECOGNITION: Said("valued", {"label": "yes"}),
    Kind.CRASH_DESCRIPTION: Said("valued", {"text": "car hits a truck."}),
    Kind.CAUSAL_REASONING: Said("valued", {"text": "The car driver looked away from the road."}),
    Kind.PREVENTION_REASONING: Said("valued", {"text": "Drivers should keep their eyes on the road."}),
    Kind.CRASH_LOCALIZATION: Said("valued", {"start_us": 2_000_000, "end_us": 3_500_000}),
    Kind.PRE_CRASH_LOCALIZATION: Said("valued", {"at_us": 1_200_000}),
}
NO_CRASH: Mapping[str, Said] = {
    Kind.CRASH_RECOGNITION: Said("valued", {"label": "no"}),
    **{kind: Said("valued", {"text": text}) for kind, text in NEGATIVE_TEXT.items()},
    Kind.CRASH_LOCALIZATION: Said("absent", None),
    Kind.PRE_CRASH_LOCALIZATION: Said("absent", None),
}


def make_user(role: Role = Role.REVIEWER) -> User:
    number = next(_numbers)
    user = User(username=f"{role.value}-{number}", email=f"{role.value}{number}@crashdesk.example", role=role)
    user.set_unusable_password()
    user.save()
    return user


def make_corpus(name: str = "") -> Corpus:
    return Corpus.objects.create(name=name or f"corpus {next(_numbers)}")


def make_guideline(prompts: Mapping[str, str] = DEFAULT_PROMPTS) -> Guideline:
    return ensure_guideline(name="six tasks", prompts=prompts, by=None)


def make_media(*, seconds: int = 5, fps: Fraction = Fraction(30), **fields: Any) -> Media:
    """Media as it is once probed; the bytes themselves are not stored."""
    sha256 = hashlib.sha256(str(next(_numbers)).encode()).hexdigest()
    times = TimeMap.constant(int(seconds * fps), fps)
    values: dict[str, Any] = {
        "sha256": sha256, "size": 1000, "storage_name": f"videos/{sha256[:2]}/{sha256}.mp4", "container": "mp4",
        "codec": "h264", "width": 320, "height": 180, "state": MediaState.READY, "time_map": times.encode(),
        "duration_us": times.duration_us, "start_us": 0, "frame_count": len(times), "fps_num": fps.numerator,
        "fps_den": fps.denominator, "proxy_name": f"proxies/{sha256[:2]}/{sha256}.mp4", "proxy_fps_num": fps.numerator,
        "proxy_fps_den": fps.denominator, "proxy_frame_count": len(times),
    }  # fmt: skip
    return Media.objects.create(**{**values, **fields})


def make_video(corpus: Corpus | None = None, **fields: Any) -> Video:
    number = next(_numbers)
    values = {
        "name": f"videos/clip_{number:04d}.mp4",
        "source": "made up",
        "recording": f"recording {number}",
    }
    values["media"] = fields.pop("media") if "media" in fields else make_media()
    return Video.objects.create(corpus=corpus or make_corpus(), **{**values, **fields})


def add_drafts(
    case: Case, said: Mapping[str, Said] = CRASH, *, model_version: str = "tiny", confidence: float = 0.8
) -> dict[str, Answer]:
    """Let a model of that name answer the case."""
    provenance = ModelProvenance(
        model_version=model_version, adapter="linguistic", prompt_version="0123456789ab", raw_text="raw",
        confidence=confidence,
    )  # fmt: skip
    return {
        kind: add_model_answer(case=case, kind=kind, said=what, provenance=provenance)[0]
        for kind, what in said.items()
    }


def make_case(
    status: CaseStatus = CaseStatus.READY,
    *,
    said: Mapping[str, Said] = CRASH,
    video: Video | None = None,
    guideline: Guideline | None = None,
    reviewer: User | None = None,
    lead: User | None = None,
    model_version: str = "tiny",
    confidence: float = 0.8,
) -> Case:
    """A case walked to `status` through predicting, review and approval."""
    case, _ = ensure_case(video=video or make_video(), guideline=guideline or make_guideline(), by=None)
    if status == CaseStatus.EXCLUDED:
        move(case, CaseStatus.EXCLUDED, by=None, reason="unusable in this test")
        return case
    path = [
        CaseStatus.READY, CaseStatus.PREDICTING, CaseStatus.PREDICTED, CaseStatus.IN_REVIEW, CaseStatus.SUBMITTED,
        CaseStatus.APPROVED,
    ]  # fmt: skip
    for step in path[1 : path.index(status) + 1]:
        if step == CaseStatus.PREDICTED:
            add_drafts(case, said, model_version=model_version, confidence=confidence)
        if step == CaseStatus.SUBMITTED:
            record_submission(
                case=case, reviewer=reviewer or make_user(), origin=f"test:{case.pk}", answers=said,
                drafts=drafts(case), lead_seconds=20.0, revision="1",
            )  # fmt: skip
        elif step == CaseStatus.APPROVED:
            approve(case=case, by=lead or make_user(Role.LEAD))
        else:
            move(case, step, by=None)
        case.refresh_from_db()
    return case


def make_model_version(name: str = "tiny", **fields: Any) -> ModelVersion:
    """A registered model version without weights: for tests that never load it."""
    values: dict[str, Any] = {"base": "hub/none", "adapters": {}, "engine_settings": EngineSettings()}
    return register(name=name, by=None, **{**values, **fields})


def model_says(
    prediction: CasePrediction, said: Mapping[str, Said] = CRASH, *, seconds: float = 0.5
) -> ClipAnswers:
    """What an engine would hand over for a case of a run: its kinds, asked in the guideline's words."""
    run = prediction.run
    versions = question_versions(run.guideline, run.kinds)
    answers = {
        kind: KindAnswer(
            kind=kind, raw_text="raw", state=said[kind].state, value=said[kind].value, reason="", confidence=0.7,  # type: ignore[arg-type]
            confidence_detail={}, adapter="linguistic", prompt_version=version,
        )
        for kind, version in versions.items()
    }  # fmt: skip
    frames = FramesUsed(
        fps=10.0, count=1, times_us=[0], source_indices=[0], source_pts_us=[0], width=56, height=28, visual_tokens=2,
        reader="pyav", damaged=0,
    )  # fmt: skip
    return ClipAnswers(answers=answers, frames=frames, duration_us=5_000_000, timings={"answers": seconds})


def work_on(run: PredictionRun, *, error: Exception | None = None) -> CasePrediction:
    """Do the next case of the gpu queue, which must be one of this run, as a worker does; or let it fail like that."""
    job = claim_next("gpu")
    assert job is not None
    prediction = run.case_predictions.select_related("run__model_version", "run__guideline", "case").get(
        pk=job.args["case_prediction"]
    )
    outcome.begin(prediction.case_id)
    try:
        if error is not None:
            raise error
        new = outcome.write(prediction=prediction, said=model_says(prediction))
        finish(job, {"new_answers": new})
    except Exception as raised:
        if raised is not error:
            raise
        fail(job, raised)
    prediction.refresh_from_db()
    return prediction


def make_prediction_run(
    *, cases: int = 3, done: int = 0, failed: int = 0, corpus: Corpus | None = None, **asked: Any
) -> PredictionRun:
    """A run over that many new cases of a corpus, of which some are answered and then some have failed for good."""
    if not ModelVersion.objects.filter(in_use=True).exists():
        make_model_version()
    corpus, guideline = corpus or make_corpus(), make_guideline()
    for _ in range(cases):
        make_case(video=make_video(corpus), guideline=guideline)
    run = start_run(corpus=corpus, guideline=guideline, by=None, **asked)
    for _ in range(done):
        work_on(run)
    for _ in range(failed):
        prediction = work_on(run, error=Problem("frames_unreadable", "clip.mp4: no frame can be read"))
        assert Job.objects.get(group=run.group, args__case_prediction=prediction.pk).state == "failed"
    return run
