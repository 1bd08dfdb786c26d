"""What the page about effort shows: times in words, the comparison of the arms, and how both move over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.safestring import SafeString

from annotations.effort.control import Anchoring, Comparison
from annotations.effort.report import CaseTime, KindChanges, Report, Times
from annotations.statistics.saving import Estimate
from frontend.plots import Bar, histogram
from frontend.quality import KIND_WORDS

ARM_WORDS: Final = {
    "model": "Draft shown",
    "blind": "Blind (control)",
    "undrafted": "No draft there yet",
    "undrawn": "Not drawn",
    "second_pass": "Second of two people",
    "looked_over": "Second look, adjudication",
    "gold": "Known cases",
}


def duration(seconds: float | None) -> str:
    """'48 s', '3 min 20 s', '2 h 05 min'; a dash where nothing was measured."""
    if seconds is None:
        return "—"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60:02d} min"


@dataclass(frozen=True)
class TimesRow:
    """Some reviews, in words."""

    name: str
    reviews: int
    measured: int
    total: str
    mean: str
    median: str
    lead: str
    typed: str
    accepted: str
    keystroke_free: str


def times_row(found: Times, name: str | None = None) -> TimesRow:
    """One row of a table of times."""
    return TimesRow(
        found.name if name is None else name, found.reviews, found.measured, duration(found.active_total),
        duration(found.active_mean), duration(found.active_median), duration(found.lead_median),
        "—" if found.typed_mean is None else f"{found.typed_mean:.0f}", _share(found.accepted, found.reviews),
        _share(found.keystroke_free, found.measured),
    )  # fmt: skip


def arm_rows(report: Report) -> list[TimesRow]:
    """The arms by their names in words."""
    return [times_row(found, ARM_WORDS[found.name]) for found in report.arms]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "—"


@dataclass(frozen=True)
class ChangesRow:
    """One kind: what became of its drafts, in shares, and how far the changed ones moved."""

    name: str
    told: int
    cells: list[str]


def changes_rows(kinds: Sequence[KindChanges]) -> list[ChangesRow]:
    """Only kinds of which changes were told."""
    rows = []
    for one in kinds:
        if not one.told:
            continue
        counts = (one.accepted, one.edited, one.rewritten, one.removed, one.added)
        unit = " s" if one.kind == "pre_crash_localization" else ""
        rows.append(
            ChangesRow(
                KIND_WORDS[one.kind], one.told,
                [
                    *(_share(count, one.told) for count in counts),
                    "—" if one.distance is None else f"{one.distance:.2f}{unit}",
                    _shift(one.start_shift), _shift(one.end_shift),
                    "—" if one.moved is None else f"{one.moved:.2f} s",
                ],
            )
        )  # fmt: skip
    return rows


def _shift(seconds: float | None) -> str:
    return "—" if seconds is None else f"{seconds:+.2f} s"


@dataclass(frozen=True)
class AnchoringRow:
    """One kind: agreement with a draft that nobody saw, with one that was shown, and the difference."""

    name: str
    blind: str
    shown: str
    rise: str
    interval: str


def anchoring_rows(found: Sequence[Anchoring]) -> list[AnchoringRow]:
    """All six together first."""
    return [
        AnchoringRow(
            KIND_WORDS[one.kind] if one.kind else "All six", f"{100 * one.blind:.0f} %", f"{100 * one.shown:.0f} %",
            f"{100 * one.rise.value:+.0f} points", interval(one.rise),
        )
        for one in found
    ]  # fmt: skip


def interval(found: Estimate) -> str:
    """'19 to 34'."""
    return f"{100 * found.low:.0f} to {100 * found.high:.0f}"


@dataclass(frozen=True)
class Headline:
    """The saving in large. `value` may be empty: then `words` say what is missing."""

    value: str
    words: str
    basis: str
    more: str


def headline(found: Comparison) -> Headline:
    """Never a saving without its control."""
    if found.saving is None:
        return Headline("", found.words, "", "")
    one = found.saving
    basis = (
        f"From {one.of:,} reviews with a draft and {one.without:,} blind ones by {one.people:,} people, "
        f"{one.recordings:,} recordings."
    )
    more = ""
    if found.for_half_width and found.for_half_width > one.without:
        more = (
            f"About {found.for_half_width:,} blind reviews would narrow the interval to 10 points either way."
        )
    return Headline(f"{100 * one.value:.0f} %", found.words, basis, more)


def over_time(periods: Sequence[Times]) -> SafeString:
    """The median active time of each period as a bar."""
    told = [one for one in periods if one.active_median is not None]
    if len(told) < 2:
        return SafeString("")
    bars = [
        Bar(f"from {one.name}, {one.measured:,} reviews, median in seconds", one.active_median or 0.0)
        for one in told
    ]
    words = "; ".join(f"from {one.name}: {duration(one.active_median)}" for one in told)
    return histogram(bars, words=f"Median active time, {words}", low=told[0].name, high=told[-1].name)


@dataclass(frozen=True)
class CaseRow:
    """One of the longest reviews."""

    case: int
    video: str
    corpus: str
    person: str
    arm: str
    active: str
    lead: str
    typed: int
    edits: int


def case_rows(found: Sequence[CaseTime]) -> list[CaseRow]:
    """The longest first."""
    return [
        CaseRow(
            one.case, one.video, one.corpus_name, one.username, ARM_WORDS[one.arm], duration(one.active),
            duration(one.lead_seconds), one.typed, one.edits,
        )
        for one in found
    ]  # fmt: skip
