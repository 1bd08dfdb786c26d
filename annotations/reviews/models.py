"""Who is asked to look at a case, under which plan, and what came of it."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, Case
from annotations.corpora.models import Corpus

_SHARE = (MinValueValidator(0.0), MaxValueValidator(1.0))


class Strategy(models.TextChoices):
    """How cases find their people. Stored in the database: never rename one without a migration."""

    PULL = "pull", "people take the next case themselves"
    ROUND_ROBIN = "round_robin", "in turn"
    SKILL_AND_LOAD = "skill_and_load", "the best free person first"


class ReviewPlan(models.Model):
    """How a corpus is reviewed. Never changed: a change is a new version, and cases keep the one they were drawn under.

    Shares are 0 to 1, each drawn by its own seed (annotations.reviews.draws).
    """

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="review_plans")
    version = models.PositiveIntegerField()
    strategy = models.CharField(max_length=20, choices=Strategy, default=Strategy.PULL)
    reservation_minutes = models.PositiveIntegerField(
        default=120, help_text="after this long without a submission a taken case goes to somebody else"
    )
    blind_share = models.FloatField(default=0.0, validators=_SHARE, help_text="cases shown without a draft")
    blind_seed = models.BigIntegerField(default=0)
    double_share = models.FloatField(default=0.0, validators=_SHARE, help_text="cases answered by two people")
    double_seed = models.BigIntegerField(default=0)
    second_share = models.FloatField(
        default=0.0, validators=_SHARE, help_text="cases that another person must look over before approval"
    )
    second_seed = models.BigIntegerField(default=0)
    thresholds = models.JSONField(
        default=dict, help_text="kind to the least agreement, 0 to 1, below which two answers are disputed"
    )
    gold_entrance = models.PositiveIntegerField(
        default=0, help_text="gold cases to be answered before any other"
    )
    gold_share = models.FloatField(default=0.0, validators=_SHARE, help_text="gold cases among those taken")
    gold_seed = models.BigIntegerField(default=0, db_default=0)
    gold_limit = models.FloatField(
        default=0.0, validators=_SHARE, help_text="people whose mean gold score falls below are paused"
    )
    gold_window = models.PositiveIntegerField(default=10, help_text="over so many of their last gold cases")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        ordering = ["corpus", "-version"]
        constraints = [models.UniqueConstraint(fields=["corpus", "version"], name="review_plan_version_once")]

    def __str__(self) -> str:
        return f"review plan {self.version} of corpus {self.corpus_id}"


class CaseDraw(models.Model):
    """What chance decided for a case, once and for good, under the plan of that moment."""

    case = models.OneToOneField(Case, on_delete=models.PROTECT, related_name="draw")
    plan = models.ForeignKey(ReviewPlan, on_delete=models.PROTECT, related_name="draws")
    blind = models.BooleanField(help_text="the control arm: nobody sees a draft")
    double = models.BooleanField(help_text="two people answer, blind to each other")
    second = models.BooleanField(help_text="another person looks it over before approval")
    late = models.BooleanField(
        db_default=False,
        default=False,
        help_text="people may have seen a draft before: in neither arm of the comparison",
    )
    drawn_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"draw of case {self.case_id}"


class Purpose(models.TextChoices):
    """What somebody is asked to do. Stored in the database: never rename one without a migration."""

    ANNOTATE = "annotate", "answer the case"
    DOUBLE = "double", "answer the case as a second person, blind to the first"
    SECOND = "second", "look over what somebody else submitted"
    ADJUDICATE = "adjudicate", "decide between two answers"
    GOLD = "gold", "answer a case whose answers are known"


class AssignmentState(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    OPEN = "open"
    DONE = "done"
    RELEASED = "released"
    EXPIRED = "expired"


class Way(models.TextChoices):
    """How somebody came by an assignment. Stored in the database: never rename one without a migration."""

    MANUAL = "manual"
    ROUND_ROBIN = "round_robin"
    SKILL_AND_LOAD = "skill_and_load"
    TAKEN = "taken"
    RETURNED = "returned"


class Assignment(models.Model):
    """One person is asked for one pass over one case.

    While it is open the case is reserved for them. `expires_at` empty: until they submit or somebody releases it.
    """

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="assignments")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="assignments")
    purpose = models.CharField(max_length=12, choices=Purpose)
    state = models.CharField(max_length=10, choices=AssignmentState, default=AssignmentState.OPEN)
    way = models.CharField(max_length=20, choices=Way)
    assigned_at = models.DateTimeField(auto_now_add=True)
    assigned_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    job_id = models.BigIntegerField(
        null=True,
        help_text="the job that gave it among many: what it has given already, should it begin anew",
    )
    opened_at = models.DateTimeField(null=True, help_text="when the person first opened it")
    expires_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["case", "purpose"],
                condition=Q(state="open") & ~Q(purpose="gold"),
                name="assignment_open_once",
            ),
            models.UniqueConstraint(
                fields=["case", "person"],
                condition=Q(state__in=["open", "done"], purpose="gold"),
                name="gold_assignment_once_per_person",
            ),
            models.UniqueConstraint(
                fields=["case", "person"],
                condition=Q(state="open"),
                name="assignment_open_once_per_person",
            ),
            models.CheckConstraint(
                condition=Q(state="open", closed_at__isnull=True)
                | ~Q(state="open") & Q(closed_at__isnull=False),
                name="assignment_closed_with_its_time",
            ),
        ]
        indexes = [
            models.Index(fields=["person", "state", "id"]),
            models.Index(fields=["case", "state"]),
            models.Index("expires_at", condition=Q(state="open"), name="assignment_by_expiry"),
            models.Index("job_id", condition=Q(job_id__isnull=False), name="assignment_by_job"),
        ]

    def __str__(self) -> str:
        return f"{self.purpose} of case {self.case_id} by user {self.person_id}"


class ReviewOutcome(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    OPEN = "open"
    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    WITHDRAWN = "withdrawn"


class Review(models.Model):
    """Somebody looked at a case and submitted, skipped or later withdrew what they said."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="reviews")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reviews")
    assignment = models.OneToOneField(
        "Assignment",
        on_delete=models.PROTECT,
        null=True,
        related_name="review",
        help_text="empty: nobody was asked, the person came by themselves",
    )
    purpose = models.CharField(
        max_length=12,
        choices=Purpose,
        default=Purpose.ANNOTATE,
        db_default=Purpose.ANNOTATE,
        help_text="what it was asked for, or what it is when nobody asked; gold never counts for its case",
    )
    outcome = models.CharField(max_length=10, choices=ReviewOutcome, default=ReviewOutcome.OPEN)
    origin = models.CharField(max_length=120, unique=True, help_text="e.g. labelstudio:annotation:17")
    lead_seconds = models.FloatField(null=True, help_text="as the review tool reports it, idle time included")
    answers = models.ManyToManyField(Answer, related_name="reviews")
    problems = models.JSONField(
        default=list,
        help_text="what was submitted but could not be read: [{code, kind, message}]; blocks approval",
    )
    opened_at = models.DateTimeField(auto_now_add=True)
    submitted_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(outcome="submitted") | Q(submitted_at__isnull=False),
                name="submitted_review_has_its_time",
            ),
            models.CheckConstraint(
                condition=~Q(outcome="withdrawn") | Q(withdrawn_at__isnull=False),
                name="withdrawn_review_has_its_time",
            ),
        ]

    def __str__(self) -> str:
        return f"review {self.pk} of case {self.case_id}"


class ChangeKind(models.TextChoices):
    """What became of a draft in a review. Stored in the database: never rename one without a migration."""

    ACCEPTED = "accepted"
    EDITED = "edited"
    REWRITTEN = "rewritten"
    REMOVED = "removed"
    ADDED = "added"


class AnswerChange(models.Model):
    """How one answer of a review differs from the draft that was shown, in one kind."""

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="changes")
    kind = models.CharField(max_length=30, choices=Kind)
    change = models.CharField(max_length=10, choices=ChangeKind)
    distance = models.FloatField(
        help_text="0 the same, 1 nothing in common: texts by edit distance, spans by 1 - tIoU, instants by seconds"
    )
    start_shift_us = models.BigIntegerField(null=True, help_text="person minus draft")
    end_shift_us = models.BigIntegerField(null=True, help_text="person minus draft")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["review", "kind"], name="answer_change_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.change} in review {self.review_id}"


class DisputeState(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    OPEN = "open", "waits for an adjudicator"
    CLAIMED = "claimed", "an adjudicator is at it"
    SETTLED = "settled", "decided"
    DROPPED = "dropped", "no longer needed"


class Dispute(models.Model):
    """Two people's answers to a case agree less than the plan asks. `compared` is never changed: when an answer is
    edited, this dispute is dropped and the next one says what was compared then.
    """

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="disputes")
    plan = models.ForeignKey(ReviewPlan, on_delete=models.PROTECT, related_name="disputes")
    first = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="+")
    second = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="+")
    compared = models.JSONField(
        help_text="by kind: {agreement, threshold, disputed, first, second}; the last two hold {answer, state, value}"
    )
    state = models.CharField(max_length=10, choices=DisputeState, default=DisputeState.OPEN)
    assignment = models.ForeignKey(
        Assignment, on_delete=models.PROTECT, null=True, related_name="disputes", help_text="who decides it"
    )
    names_shown_at = models.DateTimeField(
        null=True, help_text="when the adjudicator asked who said what; empty: decided blind to names"
    )
    opened_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True)
    closed_why = models.CharField(max_length=60, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["case"], condition=Q(state__in=["open", "claimed"]), name="dispute_live_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["open", "claimed"], closed_at__isnull=True)
                | Q(state__in=["settled", "dropped"], closed_at__isnull=False),
                name="dispute_closed_with_its_time",
            ),
        ]
        indexes = [models.Index(fields=["state", "id"])]

    def __str__(self) -> str:
        return f"dispute {self.pk} about case {self.case_id}"


class Choice(models.TextChoices):
    """Whose answer an adjudicator takes. Stored in the database: never rename one without a migration."""

    FIRST = "first"
    SECOND = "second"
    OWN = "own", "neither: the adjudicator's own"
    AGREED = "agreed", "not in dispute: the first's, which the second's equals or nearly equals"


class Ruling(models.Model):
    """What an adjudicator decided about one kind, changeable until the case is approved. The audit log keeps all."""

    dispute = models.ForeignKey(Dispute, on_delete=models.CASCADE, related_name="rulings")
    kind = models.CharField(max_length=30, choices=Kind)
    choice = models.CharField(max_length=10, choices=Choice)
    answer = models.ForeignKey(Answer, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(auto_now=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["dispute", "kind"], name="ruling_once_per_kind")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.choice} in dispute {self.dispute_id}"
