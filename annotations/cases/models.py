"""Guidelines, cases, answers and approvals."""

import hashlib
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce

from annotations.cases.kinds import TEXT_KINDS, AnswerState, Kind
from annotations.corpora.models import Corpus, Video
from annotations.corpora.search import with_words, words_index


class Guideline(models.Model):
    """A versioned set of task definitions and prompts."""

    name = models.CharField(max_length=100)
    version = models.PositiveIntegerField()
    text = models.TextField(blank=True, help_text="instructions for people, Markdown")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        ordering = ["name", "-version"]
        constraints = [models.UniqueConstraint(fields=["name", "version"], name="guideline_version_once")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


def prompt_version(text: str) -> str:
    """Twelve hexadecimal digits of the wording's SHA-256: the same words are the same version everywhere."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Prompt(models.Model):
    """The question the model is asked for one kind under one guideline."""

    guideline = models.ForeignKey(Guideline, on_delete=models.CASCADE, related_name="prompts")
    kind = models.CharField(max_length=30, choices=Kind)
    text = models.TextField()
    version = models.CharField(max_length=12)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["guideline", "kind"], name="prompt_once_per_kind")]

    def __str__(self) -> str:
        return f"{self.kind} {self.version}"


class CaseStatus(models.TextChoices):
    """Stored in the database: never rename one without a migration. Moves: annotations/cases/workflow.py."""

    NEW = "new"
    READY = "ready"
    PREDICTING = "predicting"
    PREDICTED = "predicted"
    IN_REVIEW = "in_review"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    DISPUTED = "disputed"
    ADJUDICATING = "adjudicating"
    APPROVED = "approved"
    EXCLUDED = "excluded"


UNRANKED: Final = 2**31 - 1


def in_review_order() -> Coalesce:
    """Where a case stands in the reviewers' order: by its rank, those without one last. Indexed."""
    return Coalesce("review_rank", UNRANKED)


class Case(models.Model):
    """One video to be answered under one guideline: shown once, answered six times."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="cases")
    video = models.ForeignKey(Video, on_delete=models.PROTECT, related_name="cases")
    guideline = models.ForeignKey(Guideline, on_delete=models.PROTECT, related_name="cases")
    status = models.CharField(max_length=12, choices=CaseStatus, default=CaseStatus.NEW)
    status_changed_at = models.DateTimeField(auto_now_add=True)
    lacks_media = models.BooleanField(
        default=False, help_text="only annotations were imported: nothing to watch"
    )
    excluded_reason = models.CharField(max_length=300, blank=True)
    returned_reason = models.CharField(max_length=500, blank=True)
    review_rank = models.PositiveIntegerField(
        null=True, help_text="order for reviewers, from the last selection round"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["video", "guideline"], name="case_once_per_guideline"),
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in CaseStatus]), name="case_status_known"
            ),
            models.CheckConstraint(
                condition=Q(status="excluded") & ~Q(excluded_reason="")
                | ~Q(status="excluded") & Q(excluded_reason=""),
                name="case_excluded_with_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["corpus", "status"]),
            models.Index(fields=["status", "id"], name="case_by_status"),
            models.Index("status_changed_at", "id", name="case_by_change"),
            models.Index(in_review_order(), "id", name="case_by_rank"),
            models.Index("corpus", in_review_order(), "id", name="case_by_corpus_and_rank"),
            models.Index("status", in_review_order(), "id", name="case_by_status_and_rank"),
        ]

    def __str__(self) -> str:
        return f"case {self.pk}"


class AuthorKind(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    MODEL = "model"
    PERSON = "person"
    IMPORT = "import"


class Answer(models.Model):
    """One immutable value for (case, kind), with author and provenance. Nothing is overwritten."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="answers")
    kind = models.CharField(max_length=30, choices=Kind)
    state = models.CharField(max_length=12, choices=AnswerState)
    value = models.JSONField(null=True)
    reason = models.CharField(max_length=300, blank=True, help_text="why there is no usable value")
    created_at = models.DateTimeField(auto_now_add=True)

    author_kind = models.CharField(max_length=10, choices=AuthorKind)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    origin = models.CharField(
        max_length=120, blank=True, help_text="stable key of what it came from: repeats find it again"
    )
    draft = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        related_name="corrections",
        help_text="what the person started from",
    )

    raw_text = models.TextField(blank=True, help_text="what the model or the imported file literally said")
    confidence = models.FloatField(null=True, help_text="0 to 1, models only")
    confidence_detail = models.JSONField(default=dict)
    model_version = models.CharField(max_length=100, blank=True)
    adapter = models.CharField(max_length=100, blank=True)
    prompt_version = models.CharField(max_length=12, blank=True)
    frames = models.JSONField(
        default=dict, help_text="the frames the model saw: fps, times in microseconds, size, reader"
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["case", "kind", "model_version", "prompt_version"],
                condition=Q(author_kind="model"),
                name="model_answers_once",
            ),
            models.UniqueConstraint(
                fields=["case", "kind", "origin"], condition=~Q(origin=""), name="answer_once_per_origin"
            ),
            models.CheckConstraint(
                condition=Q(author_kind="person", author__isnull=False)
                | ~Q(author_kind="person") & Q(author__isnull=True),
                name="person_answers_have_an_author",
            ),
            models.CheckConstraint(
                condition=Q(author_kind="model") & ~Q(model_version="")
                | ~Q(author_kind="model") & Q(model_version=""),
                name="model_answers_name_their_model",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["valued", "out_of_clip"], value__isnull=False)
                | Q(state__in=["absent", "unparsable"], value__isnull=True),
                name="answer_value_fits_state",
            ),
        ]
        indexes = [
            models.Index(fields=["case", "kind", "id"]),
            words_index(KT("value__text"), name="answer_words", condition=Q(kind__in=TEXT_KINDS)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of case {self.case_id}"


def case_has_said(text: str, among: Q | None = None) -> Q:
    """Of cases: some answer in words (`among`: of these) holds these words, or their beginnings."""
    texts = Answer.objects.filter(among or Q(), kind__in=TEXT_KINDS)
    found = with_words(texts, text, KT("value__text"), column="case_id")
    return Q(pk__in=[]) if found is None else Q(pk__in=found)


class ApprovedAnswer(models.Model):
    """The pointer to the answer that counts. History stays in the answers and the audit log."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="approved")
    kind = models.CharField(max_length=30, choices=Kind)
    answer = models.ForeignKey(Answer, on_delete=models.PROTECT, related_name="approvals")
    approved_at = models.DateTimeField(auto_now_add=True)
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    policy = models.CharField(
        max_length=150, blank=True, default="", db_default="",
        help_text="auto-approval policy that approved it unseen, threshold and audit slice; empty: a person did",
    )  # fmt: skip

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["case", "kind"], name="approved_once_per_kind")]
