"""A desk with something on it, for pictures and for checks that need full pages."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.cases.rules import Said
from annotations.cases.services import drafts
from annotations.corpora.demo.corpus import generate
from annotations.corpora.media_store import store
from annotations.corpora.models import Corpus, Media, Video
from annotations.corpora.services import process_media
from annotations.datasets.models import DatasetVersion
from annotations.datasets.services import freeze
from annotations.reviews.services import record_submission
from crashdesk.accounts.models import Role, User
from crashdesk.jobs.models import Job, JobState
from model_assist.registry.models import Evaluation
from model_assist.training.models import TrainingRun
from tests import factories

ROUND = [
    CaseStatus.READY, CaseStatus.READY, CaseStatus.PREDICTED, CaseStatus.PREDICTED, CaseStatus.SUBMITTED,
    *[CaseStatus.APPROVED] * 6,
]  # fmt: skip


@dataclass(frozen=True)
class DemoClip:
    """A clip of the demo corpus through the real store, probe and proxy, with its ground truth."""

    media: Media
    said: dict[str, Said]
    source: str
    recording: str

    @property
    def crash(self) -> bool:
        return self.said["crash_recognition"].value == {"label": "yes"}


def demo_clips(folder: Path, clips: int) -> list[DemoClip]:
    """The first clips of the demo corpus."""
    generate(folder, clips=clips)
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    made = []
    for row in rows[:clips]:
        stored = store(folder / row["file"])
        media = Media.objects.create(sha256=stored.sha256, size=stored.size, storage_name=stored.name)
        said = {kind: Said(answer["state"], answer["value"]) for kind, answer in row["truth"].items()}
        made.append(DemoClip(process_media(media.pk), said, row["source"], row["recording"]))
    return made


def corrected(said: Mapping[str, Said]) -> dict[str, Said]:
    """What a person makes of a draft: other words, and a span that starts later and ends earlier."""
    described, span = said["crash_description"].value, said["crash_localization"].value
    assert described is not None
    assert span is not None
    third = (span["end_us"] - span["start_us"]) // 3
    moved = {"start_us": span["start_us"] + third, "end_us": span["end_us"] - third // 2}
    return {
        **said,
        "crash_description": Said("valued", {"text": described["text"].rstrip(".") + " at low speed."}),
        "crash_localization": Said("valued", moved),
    }


def furnish(folder: Path, lead: User, *, clips: int = 1) -> Case:
    """A corpus with cases at every step, a version, a training run, two models and jobs; returns one to look at."""
    corpus = Corpus.objects.create(name="Demo crossings", licence="CC-BY-4.0")
    made = demo_clips(folder, clips)
    factories.make_model_version("tiny-1")
    look = next(clip for clip in made if clip.crash)
    others = [clip for clip in made if clip is not look] or made
    for number, status in enumerate(ROUND):
        clip = others[number % len(others)]
        factories.make_case(
            status, said=clip.said, video=_video(corpus, clip, number), confidence=0.62 + number / 40, lead=lead,
            model_version="tiny-1",
        )  # fmt: skip
    case = factories.make_case(
        CaseStatus.IN_REVIEW,
        said=look.said,
        video=_video(corpus, look, 11),
        model_version="tiny-1",
        confidence=0.71,
    )
    record_submission(
        case=case, reviewer=_named("ada"), origin="labelstudio:annotation:17", answers=corrected(look.said),
        drafts=drafts(case), lead_seconds=31.0, revision="1",
    )  # fmt: skip
    factories.make_video(corpus, media=None)
    version = freeze(
        corpus=corpus, guideline=case.guideline, by=lead, note="first round", val_share=0.2, test_share=0.2
    )
    _train(version, lead)
    _jobs()
    case.refresh_from_db()
    return case


def _named(name: str) -> User:
    user = User(username=name, email=f"{name}@crashdesk.example", role=Role.ANNOTATOR)
    user.set_unusable_password()
    user.save()
    return user


def _video(corpus: Corpus, clip: DemoClip, number: int) -> Video:
    return factories.make_video(
        corpus,
        media=clip.media,
        name=f"videos/demo_{number + 1:04d}.mp4",
        source=clip.source,
        recording=clip.recording,
    )


def _train(version: DatasetVersion, lead: User) -> None:
    base = factories.make_model_version("tiny-2", adapters={})
    curve = [
        {"adapter": adapter, "step": step, "loss": round(start * 0.93**step + 0.03 * (step * 7 % 5), 3)}
        for adapter, start in (("linguistic", 2.6), ("perception", 1.9))
        for step in range(40)
    ]
    run = TrainingRun.objects.create(
        dataset_version=version, start_from=base, loss_curve=curve, model_version=base, created_by=lead,
        finished_at=timezone.now(),
    )  # fmt: skip
    metrics = {"crash_recognition": {"f1": 0.91}, "crash_localization": {"miou": 0.47, "ap_50": 0.52}}
    Evaluation.objects.create(model_version=base, dataset_version=version, split="test", metrics=metrics)
    assert run.pk


def _jobs() -> None:
    claim = {
        "state": JobState.RUNNING,
        "token": uuid.uuid4(),
        "lease_until": timezone.now() + timedelta(minutes=5),
    }
    Job.objects.create(
        kind="train", queue="gpu", group="training_run:2", progress_done=18, progress_total=40,
        message="perception: step 18", **claim,
    )  # fmt: skip
    Job.objects.create(kind="process_media", queue="media", args={"media_id": 4}, message="probing", **claim)
    for number in range(12):
        state = JobState.DONE if number < 7 else JobState.QUEUED
        Job.objects.create(
            kind="predict", queue="gpu", group="prediction_run:3", state=state, args={"case": number}
        )
    Job.objects.create(
        kind="export", queue="data", state=JobState.FAILED, args={"version_id": 1}, finished_at=timezone.now(),
        error="the storage is full: 12 MB wanted, 3 MB left",
    )  # fmt: skip
