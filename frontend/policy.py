"""What the page of a corpus's auto-approval policies shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Q
from django.utils.safestring import SafeString

from annotations.cases.kinds import Kind
from annotations.cases.models import Guideline
from annotations.corpora.models import Corpus
from crashdesk.jobs.models import Job, JobState
from frontend.policy_plots import over_time
from model_assist.auto_approval.errors import USUAL, rules_of
from model_assist.auto_approval.models import Evidence, Policy, PolicyState
from model_assist.auto_approval.monitoring import monitor
from model_assist.auto_approval.services import PREVIEW, out_of_date
from model_assist.auto_approval.undoing import undone

EARLIER: Final = 20
WAITING: Final = [JobState.QUEUED, JobState.RUNNING, JobState.PAUSED]
STEPS: Final = (
    (PolicyState.COLLECTING, "people review the sample"),
    (PolicyState.CERTIFIED, "a threshold keeps the promise"),
    (PolicyState.RUNNING, "cases are approved, the audit goes on"),
)


@dataclass(frozen=True)
class Shown:
    """One policy with all its numbers. monitor: empty before there is a threshold; stale: why it must be made anew."""

    policy: Policy
    rules: list[tuple[str, str]]
    unjudged: list[str]
    settled: int
    wrong: int
    monitor: dict[str, Any]
    plot: SafeString
    anchoring: str
    undone: dict[str, int]
    stale: str
    job: Job | None

    @property
    def startable(self) -> bool:
        """Whether it may be started: certified, or stopped by a person, and still speaking of the same model."""
        state = self.policy.state
        by_hand = state == PolicyState.STOPPED and self.policy.stop_reason in ("by_hand", "replaced")
        return (state == PolicyState.CERTIFIED or by_hand) and not self.stale


def shown(policy: Policy) -> Shown:
    """Everything the page says of a policy."""
    rules = rules_of(policy.error_rules)
    certificate = getattr(policy, "certificate", None)
    watched = monitor(policy) if certificate is not None and certificate.threshold is not None else {}
    counts = policy.sample.aggregate(
        settled=Count("pk", filter=Q(wrong__isnull=False)), wrong=Count("pk", filter=Q(wrong=True))
    )
    return Shown(
        policy=policy,
        rules=[(kind, rules[kind].words) for kind in Kind.values if kind in rules],
        unjudged=[kind for kind in Kind.values if kind not in rules],
        settled=counts["settled"], wrong=counts["wrong"], monitor=watched,
        plot=_plot(policy, watched),
        anchoring=_anchoring(policy, certificate.standing if certificate is not None else {}),
        undone=undone(policy), stale=out_of_date(policy)[1], job=_job(policy),
    )  # fmt: skip


def _plot(policy: Policy, watched: Mapping[str, Any]) -> SafeString:
    if not watched:
        return SafeString("")
    return over_time(watched["series"], limit=policy.max_error, words=_words(policy, watched))


def _words(policy: Policy, watched: Mapping[str, Any]) -> str:
    return (
        f"After {watched['audited']} audited cases {watched['wrong']} of {watched['counted']} counted were wrong. "
        f"The upper bound is {watched['upper']:.1%}, Clopper and Pearson's {watched['upper_fixed']:.1%}, the limit "
        f"{policy.max_error:.1%}."
    )


def _anchoring(policy: Policy, standing: Mapping[str, Any]) -> str:
    """What seeing the draft may have done to the evidence, as a sentence; empty where nothing is to be said."""
    if not standing:
        return ""
    blind, drafted = standing["blind"], standing["drafted"]
    if not drafted["cases"]:
        return ""
    told = f"With the model's draft in view, people found {drafted['wrong']} of {drafted['cases']} wrong"
    if blind["cases"]:
        told += f"; without it, {blind['wrong']} of {blind['cases']}"
    counts = "They do not count." if policy.evidence == Evidence.BLIND else "They count."
    return f"{told}. People tend to keep what they see, so that errors among the former may have been missed. {counts}"


def _job(policy: Policy) -> Job | None:
    return Job.objects.filter(group=policy.group, state__in=WAITING).order_by("id").first()


def policies(corpus: Corpus) -> list[Policy]:
    """All of a corpus, the newest first."""
    rows = Policy.objects.filter(corpus=corpus).select_related(
        "corpus", "guideline", "model_version", "certificate", "created_by", "started_by", "stopped_by"
    )
    return list(rows.order_by("-id")[: EARLIER + 1])


def last_preview(corpus: Corpus) -> Job | None:
    """The newest preview of a corpus, waiting, failed or done."""
    return Job.objects.filter(kind=PREVIEW, args__corpus=corpus.pk).order_by("-id").first()


def saved_hours(preview: Job | None) -> list[dict[str, Any]]:
    """The rows of a finished preview with the hours that people would be spared, by the mean active time of a review;
    "hours" None where none was measured. Previews of before tell of lead time, idle time included: not of hours."""
    if preview is None or preview.state != JobState.DONE:
        return []
    seconds = preview.result.get("active_time", {}).get("mean_seconds")
    return [
        {**row, "hours": None if seconds is None else row["would_approve"] * seconds / 3600}
        for row in preview.result["shares"]
    ]


def choices(corpus: Corpus) -> dict[str, Any]:
    """What the form offers."""
    return {
        "guidelines": list(Guideline.objects.filter(cases__corpus=corpus).distinct().order_by("-id")[:20]),
        "usual": [(kind, rules_of(USUAL)[kind].words) for kind in Kind.values],
        "evidence": Evidence.choices,
    }
