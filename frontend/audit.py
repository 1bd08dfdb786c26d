"""What the pages about a corpus's audit show: findings with their plots, distributions, and what has changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.utils.safestring import SafeString

from annotations.corpora.models import Corpus
from annotations.corpus_audit import services
from annotations.corpus_audit.diffing import AuditDiff, diff
from annotations.corpus_audit.findings import plain
from annotations.corpus_audit.models import CorpusAudit
from crashdesk.jobs.models import Job, JobState
from frontend.plots import Bar, Row, curve, histogram, stacked

SEVERITIES: Final = ("error", "warning", "info")
SHOWN_AUDITS: Final = 20
_PARTS: Final = ("yes", "no", "unknown")


@dataclass(frozen=True)
class Plot:
    """A plot with its caption and the names of its parts, if it has several."""

    svg: SafeString
    caption: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class FindingCard:
    """One finding as the page shows it. `anchor`: its place in the page."""

    standing: services.Standing
    anchor: str
    plots: list[Plot]

    @property
    def finding(self) -> dict[str, Any]:
        return self.standing.finding

    @property
    def title(self) -> str:
        return title(self.finding)


def title(finding: dict[str, Any]) -> str:
    """A finding's code and subject in words."""
    name, subject = plain(finding["code"]).capitalize(), plain(finding["subject"])
    return f"{name}: {subject}" if subject else name


def cards(audit: CorpusAudit) -> list[FindingCard]:
    """Every finding, open ones first within their severity."""
    found = [
        FindingCard(standing, f"finding-{place}", plots_of(standing.finding))
        for place, standing in enumerate(services.standings(audit), start=1)
    ]
    return sorted(
        found, key=lambda card: (SEVERITIES.index(card.finding["severity"]), not card.standing.open)
    )


@dataclass(frozen=True)
class Tally:
    """How many findings of a severity, and how many of them are open."""

    severity: str
    total: int
    open: int


def tallies(found: Sequence[FindingCard]) -> list[Tally]:
    """One per severity, worst first."""
    return [
        Tally(
            severity,
            sum(card.finding["severity"] == severity for card in found),
            sum(card.finding["severity"] == severity and card.standing.open for card in found),
        )
        for severity in SEVERITIES
    ]


def since_before(audit: CorpusAudit) -> tuple[CorpusAudit, AuditDiff] | None:
    """The audit before, and what has changed since; None for the first one."""
    earlier = services.before(audit)
    return None if earlier is None else (earlier, diff(earlier.report, audit.report))


def open_job(corpus: Corpus) -> Job | None:
    """An audit of this corpus that waits or runs."""
    jobs = Job.objects.filter(kind=services.KIND, args__corpus_id=corpus.pk)
    return jobs.filter(state__in=[JobState.QUEUED, JobState.RUNNING]).first()


def plots_of(finding: dict[str, Any]) -> list[Plot]:
    """The plots that belong to a finding's code; none for most."""
    make = _PLOTS.get(finding["code"])
    return make(finding["data"]) if make else []


def _table(data: dict[str, Any]) -> list[Plot]:
    rows = [Row(row["value"], [("yes", row["yes"]), ("no", row["no"])]) for row in data.get("table", [])]
    if not rows:
        return []
    words = "; ".join(f"{row.label}: {row.parts[0][1]:,} yes, {row.parts[1][1]:,} no" for row in rows)
    return [Plot(stacked(rows, words=words), f"Answers by {data['trait']}", ("yes", "no"))]


def _default(data: dict[str, Any]) -> list[Plot]:
    bars = [
        Bar(_value(value, data["unit"]), count, value == data["value"]) for value, count in data["values"]
    ]
    first, last = bars[0].label, bars[-1].label
    words = f"How often each value occurs, from {first} to {last}; {_value(data['value'], data['unit'])} stands out."
    found = [
        Plot(
            histogram(bars, words=words, low=first, high=last),
            "How often the commonest values occur, by value",
        )
    ]
    rows = [
        Row(row["source"], [("this value", row["count"]), ("others", row["total"] - row["count"])])
        for row in data["by_source"]
    ]
    if len(rows) > 1:
        words = "; ".join(f"{row.label}: {row.parts[0][1]:,} of {row.total:,}" for row in rows)
        found.append(Plot(stacked(rows[:12], words=words), "By source", ("this value", "others")))
    return found


def _value(value: float, unit: str) -> str:
    return (
        f"{value / 1_000_000:g} s"
        if unit == "us"
        else f"{value / 10:g} %"
        if unit == "thousandths"
        else f"{value:g}"
    )


def _vocabulary(data: dict[str, Any]) -> list[Plot]:
    if not data["curve"]:
        return []
    texts, clips = data["crash_distinct"], data["crash_clips"]
    shares = ", ".join(f"the commonest {k:,} cover {covered:,}" for k, covered in data["top"])
    words = f"Clips covered by the commonest texts: {shares}, of {clips:,}."
    points = [(float(k), float(covered)) for k, covered in data["curve"]]
    drawn = curve(points, words=words, low="no text", high=f"all {texts:,} texts cover {clips:,} clips")
    return [Plot(drawn, "Clips covered by the commonest texts")]


def _balance(data: dict[str, Any]) -> list[Plot]:
    found = []
    for name, caption in (("by_source", "Answers by source"), ("by_split", "Answers by split")):
        rows = [
            Row(row["value"] or "(none)", [(part, row[part]) for part in _PARTS])
            for row in data.get(name, [])[:12]
        ]
        if len(rows) > 1:
            words = "; ".join(
                f"{row.label}: " + ", ".join(f"{n:,} {part}" for part, n in row.parts) for row in rows
            )
            found.append(Plot(stacked(rows, words=words), caption, _PARTS))
    return found


def _straddling(data: dict[str, Any]) -> list[Plot]:
    names = (data["judged"], data["other"])
    rows = [Row(str(name), list(zip(names, counts, strict=True))) for name, *counts in data["largest"][:8]]
    words = "; ".join(
        f"{row.label}: {row.parts[0][1]} in {names[0]}, {row.parts[1][1]} in {names[1]}" for row in rows
    )
    return [Plot(stacked(rows, words=words), "The largest groups in both", names)]


_PLOTS: Final[dict[str, Callable[[dict[str, Any]], list[Plot]]]] = {
    "source_answers": _table,
    "shortcut_answers": _table,
    "default_value": _default,
    "closed_vocabulary": _vocabulary,
    "class_balance": _balance,
    "recording_straddles_splits": _straddling,
    "copy_straddles_splits": _straddling,
    "duplicate_straddles_splits": _straddling,
}


@dataclass(frozen=True)
class Distribution:
    """A measure over all clips."""

    name: str
    known: int
    summary: list[tuple[str, str]]
    plot: SafeString


def distributions(report: dict[str, Any]) -> list[Distribution]:
    """Clip length, frame rate, picture size, span length and onset gap, as far as they are known."""
    found = []
    for measure in report["profile"]["measures"]:
        edges, counts = measure["histogram"]["edges"], measure["histogram"]["counts"]
        shown = [_value(edge, measure["unit"]) for edge in edges]
        bars = [Bar(f"{shown[place]} to {shown[place + 1]}", count) for place, count in enumerate(counts)]
        summary = [
            (word, _value(measure[name], measure["unit"])) for name, word in _SUMMARY if name in measure
        ]
        words = f"{measure['name']}: " + ", ".join(f"{word} {value}" for word, value in summary)
        plot = histogram(bars, words=words, low=shown[0], high=shown[-1])
        found.append(Distribution(measure["name"], measure["known"], summary, plot))
    return found


_SUMMARY: Final = (
    ("min", "least"),
    ("q1", "lower quartile"),
    ("median", "median"),
    ("q3", "upper quartile"),
    ("max", "most"),
)
