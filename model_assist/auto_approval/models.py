"""Auto-approval policies: what a lead has set, what was drawn and found, and what each policy did to which case."""

from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from annotations.cases.models import Case, Guideline
from annotations.corpora.models import Corpus
from model_assist.auto_approval.certification import Promise
from model_assist.auto_approval.errors import ErrorRule, rules_of
from model_assist.registry.models import ModelVersion

_SHARE = (MinValueValidator(0.0), MaxValueValidator(1.0))


class Evidence(models.TextChoices):
    """Whose word the promise rests on. Stored in the database: never rename one without a migration."""

    BLIND = "blind", "only people who saw no draft"
    ANY = "any", "everybody, those who saw the draft as well"


class PolicyState(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    COLLECTING = "collecting", "people review its sample"
    REFUSED = "refused", "no threshold keeps the promise"
    CERTIFIED = "certified", "certified, not started"
    RUNNING = "running", "approves cases"
    STOPPED = "stopped", "stopped"


class StopReason(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    BY_HAND = "by_hand", "somebody stopped it"
    BOUND = "bound_exceeds_limit", "the upper bound of the audited error exceeds the limit"
    DRIFT = "error_rate_rose", "of late more audited cases are wrong than the limit allows"
    RECALIBRATED = "recalibrated", "the model was calibrated anew"
    NEW_MODEL = "new_model", "another model version is in use"
    REPLACED = "replaced", "a newer policy was started"


class Policy(models.Model):
    """What a lead asks for, never changed: a change is a new version. Off until it is certified and then started."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="auto_approval_policies")
    guideline = models.ForeignKey(Guideline, on_delete=models.PROTECT, related_name="+")
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="+")
    version = models.PositiveIntegerField(help_text="counted per corpus and guideline")
    max_error = models.FloatField(
        validators=_SHARE, help_text="at most this share of the cases it approves may be wrong"
    )
    confidence = models.FloatField(default=0.95, help_text="how sure that has to be, e.g. 0.95")
    certify_at = models.FloatField(
        default=0.5, help_text="share of max_error below which the errors must lie when it is certified"
    )
    error_rules = models.JSONField(
        help_text="kind to what makes its answer wrong; other kinds are not judged"
    )
    evidence = models.CharField(max_length=5, choices=Evidence, default=Evidence.BLIND)
    most_share = models.FloatField(
        default=0.7, validators=_SHARE, help_text="at most this share of the candidates may skip a person"
    )
    sample_size = models.PositiveIntegerField(
        help_text="cases drawn for certification; with blind evidence all of the control arm are taken"
    )
    sample_seed = models.BigIntegerField()
    audit_share = models.FloatField(
        validators=_SHARE, help_text="of the cases it would approve, people go on reviewing this share"
    )
    audit_seed = models.BigIntegerField()
    most_open_audits = models.PositiveIntegerField(
        default=50, help_text="while so many audited cases wait for people, it approves nothing"
    )
    patience = models.PositiveIntegerField(
        default=1000,
        help_text="audited cases until the alarm on a risen error rate rings for nothing, on average",
    )
    calibrations = models.JSONField(
        help_text="kind to the id of the calibration that its scores are made with"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )

    drawn_at = models.DateTimeField(null=True, help_text="when its sample was drawn")
    answered = models.PositiveIntegerField(
        default=0, help_text="cases the model had answered by then, without those its scores were made from"
    )
    sure = models.PositiveIntegerField(default=0, help_text="of these a policy may approve, by the rules")
    candidates = models.PositiveIntegerField(
        default=0, help_text="the surest most_share of these: what the sample was drawn from"
    )
    scores = models.JSONField(
        default=list, help_text="the candidates' scores at even steps from the lowest to the highest"
    )

    state = models.CharField(max_length=10, choices=PolicyState, default=PolicyState.COLLECTING)
    started_at = models.DateTimeField(null=True, help_text="when it was last started")
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    stopped_at = models.DateTimeField(null=True)
    stopped_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    stop_reason = models.CharField(max_length=20, choices=StopReason, blank=True)
    stop_detail = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["corpus", "guideline", "version"], name="policy_version_once"),
            models.UniqueConstraint(
                fields=["corpus", "guideline"], condition=Q(state="running"), name="policy_runs_alone"
            ),
            models.CheckConstraint(
                condition=Q(state="stopped") & ~Q(stop_reason="") & Q(stopped_at__isnull=False)
                | ~Q(state="stopped") & Q(stop_reason="") & Q(stopped_at__isnull=True),
                name="policy_stopped_with_reason",
            ),
            models.CheckConstraint(
                condition=Q(max_error__gt=0, max_error__lt=1, confidence__gte=0.5, confidence__lt=1)
                & Q(certify_at__gt=0, certify_at__lte=1, audit_share__gt=0, audit_share__lt=1),
                name="policy_numbers_in_range",
            ),
        ]
        indexes = [models.Index(fields=["state", "id"], name="policy_by_state")]

    def __str__(self) -> str:
        return f"policy {self.version} of corpus {self.corpus_id}"

    @property
    def promise(self) -> Promise:
        return Promise(limit=self.max_error, confidence=self.confidence, certify_at=self.certify_at)

    @property
    def rules(self) -> dict[str, ErrorRule]:
        return rules_of(self.error_rules)

    @property
    def group(self) -> str:
        """The group of its jobs."""
        return f"auto_approval:{self.pk}"


class Certificate(models.Model):
    """What the sample showed, once per policy: the thresholds tried and the one that was chosen, if any was."""

    policy = models.OneToOneField(Policy, on_delete=models.PROTECT, related_name="certificate")
    attempt = models.PositiveIntegerField(
        help_text="the how-manieth policy of this model, corpus and guideline whose errors were looked at"
    )
    delta = models.FloatField(help_text="the chance of a wrong threshold that this attempt may take")
    threshold = models.FloatField(null=True, help_text="of the score; empty: none passed")
    looks = models.JSONField(help_text="the thresholds tried, in order, see certification.Look")
    tries = models.PositiveIntegerField(help_text="thresholds in the row")
    sample = models.PositiveIntegerField()
    unsettled = models.PositiveIntegerField(
        help_text="of the sample had no answer by people; each counts as wrong"
    )
    excluded = models.PositiveIntegerField(
        help_text="of the sample people have excluded; each counts as wrong"
    )
    standing = models.JSONField(help_text="cases and errors of the sample by what the reviewer had in view")
    evidence_hash = models.CharField(max_length=64, help_text="SHA-256 over the sample, see work.py")
    certified_at = models.DateTimeField(auto_now_add=True)
    job_id = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["-id"]

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refused: answers name the policy they were approved by, and that rests on this."""
        raise TypeError("a certificate is kept")


class Judged(models.Model):
    """A case of a policy and what people found of the model's answers to it."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="+")
    score = models.FloatField(null=True, help_text="see scoring.py; empty: the case has none")
    wrong = models.BooleanField(null=True, help_text="empty: people have not settled it")
    wrong_kinds = models.JSONField(default=list, help_text='the kinds that were wrong, or ["excluded"]')
    blind = models.BooleanField(null=True, help_text="whoever answered saw no draft")
    judged_at = models.DateTimeField(
        null=True, help_text="when people had first settled it: the audit's order"
    )
    checked_at = models.DateTimeField(null=True, help_text="when their answers were last compared")

    class Meta:
        abstract = True


class SampleCase(Judged):
    """A case drawn at random for certification."""

    policy = models.ForeignKey(Policy, on_delete=models.CASCADE, related_name="sample")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["policy", "case"], name="sample_case_once")]


class Outcome(models.TextChoices):
    """What a running policy decided. Stored in the database: never rename one without a migration."""

    APPROVED = "approved", "approved unseen"
    AUDIT = "audit", "drawn for the audit, left to people"
    KEPT = "kept", "sure enough, but drawn for people before"
    BELOW = "below", "not sure enough"
    REFUSED = "refused", "may not be approved unseen"


AUDITED = (Outcome.AUDIT, Outcome.KEPT)
"""Sure cases left to people by chance alone: what they find is what would have been approved."""


class PolicyDecision(Judged):
    """What a policy decided about a case, once."""

    policy = models.ForeignKey(Policy, on_delete=models.PROTECT, related_name="decisions")
    outcome = models.CharField(max_length=10, choices=Outcome)
    reason = models.CharField(max_length=300, blank=True, help_text="why it was kept or refused")
    draw = models.FloatField(null=True, help_text="the audit's draw: audited where below audit_share")
    answers = models.JSONField(
        default=dict, help_text="kind to the id of the model's answer that was looked at"
    )
    decided_at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    undo_problem = models.CharField(max_length=300, blank=True, help_text="why it could not be given back")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["policy", "case"], name="policy_decides_once")]
        indexes = [
            models.Index(fields=["policy", "outcome", "id"], name="decision_by_outcome"),
            models.Index(
                fields=["policy", "id"],
                condition=Q(outcome__in=["audit", "kept"], judged_at__isnull=True),
                name="decision_unjudged",
            ),
        ]
