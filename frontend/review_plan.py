"""What the page of a corpus's review plan shows: its fields in people's units, its versions, and what was drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Q

from annotations.cases.kinds import Kind
from annotations.corpora.models import Corpus
from annotations.reviews.models import CaseDraw, ReviewPlan
from annotations.reviews.plans import DEFAULT_THRESHOLDS, FIELDS
from frontend.quality import KIND_WORDS

SHOWN_VERSIONS: Final = 50
AGREE_WORDS: Final = {
    Kind.CRASH_RECOGNITION.value: "100: any difference is disputed",
    Kind.CRASH_LOCALIZATION.value: "overlap (tIoU)",
    Kind.PRE_CRASH_LOCALIZATION.value: "50: half a second apart, 33: one second",
}


@dataclass(frozen=True)
class Threshold:
    """The least agreement asked of one kind, in percent; empty: never disputed."""

    kind: str
    label: str
    percent: str
    usual: str
    words: str


def thresholds(plan: ReviewPlan) -> list[Threshold]:
    """One for every kind."""
    return [
        Threshold(
            kind,
            KIND_WORDS[kind],
            percent(plan.thresholds[kind]) if kind in plan.thresholds else "",
            percent(DEFAULT_THRESHOLDS[kind]),
            AGREE_WORDS.get(kind, "words in common (F1)"),
        )
        for kind in Kind.values
    ]


def percent(share: float) -> str:
    """0.125 -> '12.5', as an input field holds it."""
    return f"{100 * share:.4f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Version:
    """A version with what it changed, and how many cases were drawn under it."""

    plan: ReviewPlan
    changed: list[str]
    drawn: int
    blind: int
    double: int
    second: int


def versions(corpus: Corpus) -> list[Version]:
    """The newest first."""
    plans = list(corpus.review_plans.select_related("created_by").order_by("-version")[: SHOWN_VERSIONS + 1])
    counts: dict[int, dict[str, Any]] = {
        row["plan"]: dict(row)
        for row in CaseDraw.objects.filter(plan__in=plans)
        .values("plan")
        .annotate(
            drawn=Count("pk"),
            blind=Count("pk", filter=Q(blind=True)),
            double=Count("pk", filter=Q(double=True)),
            second=Count("pk", filter=Q(second=True)),
        )
        .order_by()
    }
    befores: Sequence[ReviewPlan | None] = [*plans[1:], None]
    found = [
        _version(plan, before, counts.get(plan.pk, {})) for plan, before in zip(plans, befores, strict=True)
    ]
    return found[:SHOWN_VERSIONS]


def _version(plan: ReviewPlan, before: ReviewPlan | None, counts: dict[str, Any]) -> Version:
    changed = [
        f"{name.replace('_', ' ')}: {_words(getattr(plan, name))}"
        for name in FIELDS
        if before is not None and getattr(plan, name) != getattr(before, name)
    ]
    return Version(plan, changed, *(counts.get(what, 0) for what in ("drawn", "blind", "double", "second")))


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{KIND_WORDS.get(kind, kind)} {share}" for kind, share in value.items()) or "none"
    return str(value)
