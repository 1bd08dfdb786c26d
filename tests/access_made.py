"""One of everything that a corpus can hold, and what requests that name no row of theirs ask for.

The permission matrix lays two such corpora side by side. A new collection of the API gets a line in `OBJECTS`, a new
request without a row in its address one in `BODIES`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus, Guideline
from annotations.comments.services import comment_on
from annotations.corpora.models import (
    Access,
    BucketSource,
    Corpus,
    DuplicateCluster,
    DuplicateMember,
    DuplicateVerdict,
    ImportFormat,
    ImportRun,
    Upload,
    Video,
)
from annotations.corpus_audit.models import CorpusAudit, FindingAcknowledgement
from annotations.datasets.models import DatasetVersion, Export, ExportFormat
from annotations.gold.models import GoldScore
from annotations.gold.pauses import pause
from annotations.gold.services import mark
from annotations.labelstudio.models import LabelStudioProject
from annotations.reviews.assignments import assign
from annotations.reviews.models import Dispute, Purpose, Review, Way
from annotations.reviews.plans import current_plan
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.audit.models import AuditEvent
from crashdesk.jobs.services import enqueue
from model_assist.auto_approval.models import Policy
from model_assist.predictions.models import PredictionRun
from model_assist.registry.models import ModelVersion
from model_assist.selection.models import SelectionRound
from model_assist.suspects.models import Suspect
from model_assist.training.models import TrainingRun
from tests.factories import make_case, make_guideline, make_model_version, make_user, make_video


@dataclass(frozen=True)
class World:
    """A corpus for members only, with what is asked of it. `mark`: a word that is in the names of all that it holds."""

    mark: str

    @cached_property
    def corpus(self) -> Corpus:
        return Corpus.objects.create(name=f"corpus {self.mark}", access=Access.MEMBERS)

    @cached_property
    def admin(self) -> User:
        return make_user(Role.ADMIN)

    @cached_property
    def guideline(self) -> Guideline:
        return make_guideline()

    @cached_property
    def model(self) -> ModelVersion:
        return ModelVersion.objects.filter(in_use=True).first() or make_model_version()

    def video(self) -> Video:
        number = Video.objects.filter(corpus=self.corpus).count()
        return make_video(self.corpus, name=f"{self.mark}-{number}.mp4", source=f"source {self.mark}")

    def case(self, status: CaseStatus = CaseStatus.SUBMITTED) -> Case:
        return make_case(status, video=self.video(), guideline=self.guideline, lead=self.admin)

    def hold(self, user: User, role: Role) -> None:
        """Make somebody a member."""
        Membership.objects.create(user=user, corpus=self.corpus, role=role)

    @cached_property
    def submitted(self) -> Case:
        return self.case()

    @cached_property
    def approved(self) -> Case:
        return self.case(CaseStatus.APPROVED)

    @cached_property
    def version(self) -> DatasetVersion:
        return DatasetVersion.objects.create(
            corpus=self.corpus, guideline=self.guideline, number=1, note=self.mark, split_seed=0, val_share=0.1,
            test_share=0.1, content_hash="0" * 64, record_count=0,
        )  # fmt: skip

    @cached_property
    def run(self) -> PredictionRun:
        return PredictionRun.objects.create(
            corpus=self.corpus,
            guideline=self.guideline,
            model_version=self.model,
            filters={"source": self.mark},
        )

    @cached_property
    def cluster(self) -> DuplicateCluster:
        made = DuplicateCluster.objects.create(note=self.mark)
        for _ in range(2):
            DuplicateMember.objects.create(cluster=made, video=self.video())
        return made

    @cached_property
    def audit(self) -> CorpusAudit:
        report = {"findings": [], "note": self.mark}
        return CorpusAudit.objects.create(
            corpus=self.corpus, inputs_hash="0" * 64, code_version=self.mark, report=report
        )

    @cached_property
    def project(self) -> LabelStudioProject:
        number = LabelStudioProject.objects.count() + 1
        return LabelStudioProject.objects.create(
            corpus=self.corpus, guideline=self.guideline, project_id=number, title=self.mark
        )


def _video(world: World) -> Any:
    video = world.video()
    media = video.media
    assert media is not None
    for field in ("proxy_name", "thumbnail_name", "storyboard_name"):
        setattr(media, field, default_storage.save(f"{field}/{media.sha256}", ContentFile(b"bytes")))
    media.storyboard = {"columns": 1, "rows": 1, "tile_width": 8, "tile_height": 8, "times_us": [0]}
    media.save()
    return video.pk


def _upload(world: World) -> Any:
    return Upload.objects.create(
        corpus=world.corpus, name=f"{world.mark}.mp4", size=9, created_by=world.admin,
        expires_at=timezone.now() + timedelta(hours=1),
    ).pk  # fmt: skip


def _verdict(world: World) -> Any:
    first, second = world.video(), world.video()
    return DuplicateVerdict.objects.create(
        first=first, second=second, same=True, reason=world.mark, by=world.admin
    ).pk


def _export(world: World) -> Any:
    return Export.objects.create(
        version=world.version, format=ExportFormat.PARQUET, storage_name=f"exports/{world.mark}", sha256="0" * 64,
        size=1,
    ).pk  # fmt: skip


def _acknowledged(world: World) -> Any:
    return FindingAcknowledgement.objects.create(
        corpus=world.corpus, code="made_up", subject=world.mark, count=1, severity="info", reason=world.mark,
        by=world.admin,
    ).pk  # fmt: skip


def _dispute(world: World) -> Any:
    case = world.case(CaseStatus.IN_REVIEW)
    first, second = (
        Review.objects.create(
            case=case, reviewer=make_user(), origin=f"{world.mark}:{number}", outcome="submitted",
            submitted_at=timezone.now(),
        )
        for number in range(2)
    )  # fmt: skip
    plan = current_plan(world.corpus)
    return Dispute.objects.create(case=case, plan=plan, first=first, second=second, compared={}).pk


def _gold_score(world: World) -> Any:
    gold = mark(case=world.case(CaseStatus.APPROVED), by=world.admin)
    review = gold.case.reviews.get()
    return GoldScore.objects.create(
        gold=gold, review=review, person=review.reviewer, score=1.0, by_kind={}, counts=True,
        answered_at=timezone.now(), scored_at=timezone.now(),
    ).pk  # fmt: skip


def _suspect(world: World) -> Any:
    case = world.approved
    answer = case.approved.first()
    assert answer is not None
    return Suspect.objects.create(
        case=case, answer=answer.answer, kind=answer.kind, approved=True, score=0.9, by_model=0.9,
        seen_at=timezone.now(), evidence={"model": None, "people": [], "duplicates": []},
    ).pk  # fmt: skip


def _assignment(world: World) -> Any:
    world_case, person = world.case(CaseStatus.PREDICTED), make_user(Role.ANNOTATOR)
    world.hold(person, Role.ANNOTATOR)
    return assign(
        case=world_case, person=person, purpose=Purpose.ANNOTATE, way=Way.MANUAL, by=None, minutes=None
    ).pk


def _pause(world: World) -> Any:
    person = make_user(Role.ANNOTATOR)
    world.hold(person, Role.ANNOTATOR)
    return pause(person=person, corpus=world.corpus, reason=world.mark, by=world.admin).pk


def _membership(world: World) -> Any:
    return Membership.objects.create(user=make_user(), corpus=world.corpus, role=Role.REVIEWER).pk


def _job(world: World) -> Any:
    return enqueue("audit", {"corpus_id": world.corpus.pk, "note": world.mark}, by=None).pk


def _event(world: World) -> Any:
    return AuditEvent.objects.create(
        actor=world.mark, verb="made.up", subject_type="corpus", subject_id=1, corpus_id=world.corpus.pk
    ).pk


def _import(world: World) -> Any:
    return ImportRun.objects.create(
        corpus=world.corpus, format=ImportFormat.FOLDER, path=f"/srv/{world.mark}"
    ).pk


def _training(world: World) -> Any:
    job = enqueue("train", {}, by=None, corpus_id=world.corpus.pk)
    return TrainingRun.objects.create(dataset_version=world.version, start_from=world.model, job_id=job.pk).pk


def _policy(world: World) -> int:
    return Policy.objects.create(
        corpus=world.corpus, guideline=world.guideline, model_version=world.model, version=1, max_error=0.05,
        error_rules={"crash_recognition": {"rule": "differs"}}, sample_size=100, sample_seed=1, audit_share=0.1,
        audit_seed=2, calibrations={}, stop_detail=world.mark,
    ).pk  # fmt: skip


OBJECTS: Final[Mapping[str, Callable[[World], Any]]] = {
    "assignments": _assignment,
    "audit-acknowledgements": _acknowledged,
    "audit-log": _event,
    "audits": lambda world: world.audit.pk,
    "auto-approval-policies": _policy,
    "buckets": lambda world: BucketSource.objects.create(corpus=world.corpus, url=f"s3://b/{world.mark}").pk,
    "cases": lambda world: world.submitted.pk,
    "comments": lambda world: comment_on(case=world.submitted, text=world.mark, by=world.admin).pk,
    "corpora": lambda world: world.corpus.pk,
    "dataset-versions": lambda world: world.version.pk,
    "disputes": _dispute,
    "duplicate-clusters": lambda world: world.cluster.pk,
    "duplicate-verdicts": _verdict,
    "exports": _export,
    "gold-cases": lambda world: mark(case=world.approved, by=world.admin).pk,
    "gold-scores": _gold_score,
    "imports": _import,
    "jobs": _job,
    "labelstudio/projects": lambda world: world.project.pk,
    "memberships": _membership,
    "pauses": _pause,
    "prediction-runs": lambda world: world.run.pk,
    "review-plans": lambda world: current_plan(world.corpus).pk,
    "reviews": lambda world: world.case(CaseStatus.APPROVED).reviews.get().pk,
    "selection-rounds": lambda world: (
        SelectionRound.objects.create(
            corpus=world.corpus, guideline=world.guideline, size=1, random_share=0, seed=0
        ).pk
    ),
    "suspects": _suspect,
    "training-runs": _training,
    "uploads": _upload,
    "videos": _video,
}
"""By the beginning of the address: makes one row in a corpus and returns its id."""


def _cases(world: World) -> dict[str, Any]:
    return {"corpus": world.corpus.pk, "cases": [world.submitted.pk]}


def _frozen(world: World) -> dict[str, Any]:
    world.case(CaseStatus.APPROVED)
    return {"corpus": world.corpus.pk, "guideline": world.guideline.pk}


def _asked(world: World) -> dict[str, Any]:
    world.case(CaseStatus.READY)
    return {"corpus": world.corpus.pk, "guideline": world.guideline.pk, "model_version": world.model.pk}


def _promised(world: World) -> dict[str, Any]:
    return {"corpus": world.corpus.pk, "guideline": world.guideline.pk, "max_error": 0.05}


BODIES: Final[Mapping[str, Callable[[World], dict[str, Any]]]] = {
    "POST /api/activity": lambda world: {
        "case": world.submitted.pk, "batch": "00000000-0000-4000-8000-000000000000", "place": "case", "at": [1],
        "now": 1,
    },
    "POST /api/assignments": _cases,
    "POST /api/assignments/rebalance": lambda world: {"corpus": world.corpus.pk},
    "POST /api/assignments/release": lambda world: {"ids": [_assignment(world)]},
    "POST /api/audits": lambda world: {"corpus": world.corpus.pk},
    "POST /api/auto-approval-policies": _promised,
    "POST /api/auto-approval-policies/preview": _promised,
    "POST /api/buckets": lambda world: {"corpus": world.corpus.pk, "url": "s3://b/c"},
    "POST /api/cases/approve": lambda world: {"ids": [world.submitted.pk]},
    "POST /api/comments": lambda world: {"case": world.submitted.pk, "text": "look"},
    "POST /api/dataset-versions": _frozen,
    "POST /api/duplicate-clusters": lambda world: {"videos": [world.video().pk, world.video().pk]},
    "POST /api/duplicate-clusters/search": lambda world: {"corpus": world.corpus.pk},
    "POST /api/gold-cases": lambda world: {"case": world.approved.pk},
    "POST /api/imports": lambda world: {"corpus": world.corpus.name, "format": "folder", "path": "{folder}"},
    "POST /api/labelstudio/form": lambda world: {"corpus": world.corpus.pk, "guideline": world.guideline.pk},
    "POST /api/labelstudio/provision": lambda world: {
        "corpus": world.corpus.pk, "guideline": world.guideline.pk
    },
    "POST /api/labelstudio/pull": lambda world: {"project": world.project.pk},
    "POST /api/labelstudio/push": lambda world: {"corpus": world.corpus.pk},
    "POST /api/labelstudio/reconcile": lambda world: {"project": world.project.pk},
    "POST /api/memberships": lambda world: {
        "corpus": world.corpus.pk, "user": make_user().username, "role": "reviewer"
    },
    "POST /api/pauses": lambda world: {
        "corpus": world.corpus.pk, "person": make_user().username, "reason": "because"
    },
    "POST /api/prediction-runs": _asked,
    "POST /api/prediction-runs/estimate": _asked,
    "POST /api/review-plans": lambda world: {"corpus": world.corpus.pk},
    "POST /api/selection-rounds": lambda world: {
        "corpus": world.corpus.pk, "guideline": world.guideline.pk, "size": 1
    },
    "POST /api/suspects/search": lambda world: {"corpus": world.corpus.pk},
    "POST /api/training-runs": lambda world: {"dataset_version": world.version.pk},
    "POST /api/uploads": lambda world: {"corpus": world.corpus.name, "name": "new.mp4", "size": 9},
    "POST /api/work/next": lambda world: {"corpus": world.corpus.pk},
}  # fmt: skip
"""What a request that names no row in its address says about the one corpus."""
