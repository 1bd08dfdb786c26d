"""Corpora whose model errs in a known way, and people who know the truth: for tests of auto-approval."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.utils import timezone

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, ApprovedAnswer, AuthorKind, Case, CaseStatus, Guideline
from annotations.corpora.models import Corpus, Video
from annotations.reviews.models import CaseDraw, ReviewPlan
from annotations.reviews.plans import current_plan
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from model_assist.auto_approval import services
from model_assist.auto_approval.models import Policy
from model_assist.calibration.models import Calibration
from model_assist.registry.models import ModelVersion
from tests.factories import CRASH, NO_CRASH, make_corpus, make_guideline, make_model_version

SURE = 0.999999


def calibrate(model: ModelVersion, kinds: Iterable[str] = Kind.values) -> None:
    """Calibrations that take confidence for what it is, as if fitted long ago."""
    Calibration.objects.bulk_create(
        Calibration(
            model_version=model, kind=kind, method="logistic", parameters={"slope": 1.0, "intercept": 0.0},
            evidence="all", pairs=100, right=90, recordings=100, rule="made up", standing={}, left_out={}, before={},
            after={}, folds=5, seed=0, answers_hash="0" * 64,
        )
        for kind in kinds
    )  # fmt: skip


@dataclass
class World:
    """A corpus of predicted cases. `wrong`: case id to whether recognition is wrong, which people alone know."""

    corpus: Corpus
    guideline: Guideline
    model: ModelVersion
    wrong: dict[int, bool] = field(default_factory=dict)

    @classmethod
    def made(cls, *, blind_share: float = 0.0, name: str = "tiny") -> "World":
        model = ModelVersion.objects.filter(name=name).first() or make_model_version(name)
        if not Calibration.objects.filter(model_version=model).exists():
            calibrate(model)
        world = cls(make_corpus(), make_guideline(), model)
        if blind_share:
            plan = current_plan(world.corpus)
            ReviewPlan.objects.create(
                corpus=world.corpus,
                version=plan.version + 1,
                blind_share=blind_share,
                blind_seed=7,
            )
        return world

    def add(
        self, number: int, *, error: float = 0.0, confidence: float | None = None, seed: int = 0
    ) -> list[Case]:
        """So many newly predicted cases of a clip each; a share `error` wrong. Confidence is drawn unless given."""
        random = np.random.default_rng(seed)
        wrong = random.random(number) < error
        sure = random.beta(12, 1, number) if confidence is None else np.full(number, confidence)
        first = Video.objects.count()
        videos = Video.objects.bulk_create(
            Video(corpus=self.corpus, name=f"{self.corpus.pk}_{first + n}.mp4", recording=f"r{first + n}")
            for n in range(number)
        )
        cases = Case.objects.bulk_create(
            Case(corpus=self.corpus, video=video, guideline=self.guideline, status=CaseStatus.PREDICTED)
            for video in videos
        )
        Answer.objects.bulk_create(
            Answer(
                case=case, kind=kind, state=said.state, value=said.value, author_kind=AuthorKind.MODEL,
                model_version=self.model.name, confidence=float(sure[n]) if kind == Kind.CRASH_RECOGNITION else SURE,
            )
            for n, case in enumerate(cases)
            for kind, said in CRASH.items()
        )  # fmt: skip
        self.wrong |= {case.pk: bool(wrong[n]) for n, case in enumerate(cases)}
        return cases

    def review(self, cases: Iterable[int], by: User, *, blind: bool = False) -> None:
        """People approve the truth about these cases, having seen the draft or not."""
        ids = sorted(cases)
        drafts: dict[int, dict[str, Answer]] = {pk: {} for pk in ids}
        for answer in Answer.objects.filter(case__in=ids, author_kind=AuthorKind.MODEL):
            drafts[answer.case_id][answer.kind] = answer
        people, held = list[Answer](), Answer.objects.count()
        for pk in ids:
            for kind, said in (NO_CRASH if self.wrong[pk] else CRASH).items():
                if blind or self.wrong[pk]:
                    draft = None if blind else drafts[pk][kind]
                    people.append(
                        Answer(
                            case_id=pk, kind=kind, state=said.state, value=said.value, author=by, draft=draft,
                            author_kind=AuthorKind.PERSON, origin=f"made:{pk}:{held}",
                        )
                    )  # fmt: skip
        said = {(one.case_id, one.kind): one for one in Answer.objects.bulk_create(people)}
        ApprovedAnswer.objects.filter(case__in=ids).delete()
        ApprovedAnswer.objects.bulk_create(
            ApprovedAnswer(
                case_id=pk, kind=kind, answer=said.get((pk, kind)) or drafts[pk][kind], approved_by=by
            )
            for pk in ids
            for kind in Kind.values
        )
        Case.objects.filter(pk__in=ids).update(status=CaseStatus.APPROVED, status_changed_at=timezone.now())

    def policy(self, by: User, **settings: Any) -> Policy:
        """A policy that judges recognition, with its sample drawn, by the same seeds each time."""
        wanted: dict[str, Any] = {
            "max_error": 0.1, "evidence": "any", "error_rules": {"crash_recognition": {"rule": "differs"}},
            "audit_share": 0.2, "most_share": 1.0,
        }  # fmt: skip
        policy = services.create(
            corpus=self.corpus, guideline=self.guideline, by=by, **{**wanted, **settings}
        )
        Policy.objects.filter(pk=policy.pk).update(sample_seed=1, audit_seed=2)
        work("data")
        policy.refresh_from_db()
        return policy

    def certified(self, by: User, **settings: Any) -> Policy:
        """The same, reviewed and certified."""
        policy = self.policy(by, **settings)
        self.review(policy.sample.values_list("case", flat=True), by)
        services.request_certification(policy=policy, by=by)
        work("data")
        policy.refresh_from_db()
        return policy

    def running(self, by: User, **settings: Any) -> Policy:
        """The same, started and run once."""
        policy = services.start(policy=self.certified(by, **settings), by=by)
        work("data")
        policy.refresh_from_db()
        return policy


def work(queue: str) -> list[Job]:
    """Do every job that waits in a queue, as a worker does."""
    done = []
    while (job := claim_next(queue)) is not None:
        perform(job)
        job.refresh_from_db()
        done.append(job)
    return done


def keep(case: Case, *what: str) -> None:
    """Let chance have kept the case for people."""
    plan = current_plan(case.corpus)
    wanted = {name: name in what for name in ("blind", "double", "second")}
    CaseDraw.objects.update_or_create(case=case, defaults={"plan": plan, **wanted})
