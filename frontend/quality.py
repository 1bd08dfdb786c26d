"""What the page about agreement shows: numbers in words, the matrix of persons, and how agreement moves over time."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.safestring import SafeString

from annotations.cases.kinds import TEXT_KINDS, Kind
from annotations.quality.agreement import ARMS, Group, Report
from annotations.quality.cells import FEWEST_COMPARED, FEWEST_RECORDINGS, KindResult, Result, Standing
from frontend.plots import Point, trend

SHOWN_PEOPLE: Final = 12
KIND_WORDS: Final = {
    Kind.CRASH_RECOGNITION.value: "Crash or not",
    Kind.CRASH_DESCRIPTION.value: "Description",
    Kind.CAUSAL_REASONING.value: "Cause",
    Kind.PREVENTION_REASONING.value: "Prevention",
    Kind.CRASH_LOCALIZATION.value: "Crash span",
    Kind.PRE_CRASH_LOCALIZATION.value: "Onset",
}
ARM_WORDS: Final = {
    "all": "All pairs",
    "drafted": "Both from a draft",
    "mixed": "One from a draft",
    "blind": "Neither from a draft",
}
MEASURE_WORDS: Final = {
    "same": "say the same",
    "alpha": "Krippendorff's alpha",
    "unitised_alpha": "Krippendorff's alpha for unitising",
    "kappa": "Cohen's kappa",
    "presence_same": "agree whether there is one",
    "tiou": "overlap (tIoU), mean",
    "start_error": "start apart, mean",
    "end_error": "end apart, mean",
    "start_shift": "second person's start, mean",
    "end_shift": "second person's end, mean",
    "error": "apart, mean",
    "within": "within 0.5 s",
    "shift": "second person, mean",
    "edit_distance": "words edited, mean share",
    "token_f1": "words in common (F1), mean",
}
HEADLINES: Final = {
    Kind.CRASH_RECOGNITION.value: "same",
    Kind.CRASH_LOCALIZATION.value: "tiou",
    Kind.PRE_CRASH_LOCALIZATION.value: "within",
}
_PERCENT: Final = {"same", "presence_same", "within"}
_SIGNED: Final = {"start_shift", "end_shift", "shift"}


@dataclass(frozen=True)
class Shown:
    """A number as text. `value`: with its unit, or why there is none; `interval` and `basis` may be empty."""

    value: str
    interval: str
    basis: str
    missing: bool


NOTHING: Final = Shown("—", "", "", True)


def shown(found: Result | None) -> Shown:
    """One number with its interval and how much it is made of."""
    if found is None or not found.count:
        return NOTHING
    if found.standing == Standing.TOO_FEW:
        return Shown("too few", "", f"{found.count} of {FEWEST_COMPARED} pairs", True)
    basis = f"{found.count:,} pair{'' if found.count == 1 else 's'}"
    if found.value is None:
        return Shown("undefined", "", f"{basis}, all alike", True)
    if found.low is None or found.high is None:
        few = found.recordings < FEWEST_RECORDINGS
        why = f"{found.recordings} of {FEWEST_RECORDINGS} recordings" if few else "all alike"
        reason = f"no interval: {why}"
        return Shown(_number(found.name, found.unit, found.value), reason, basis, False)
    ends = (_number(found.name, found.unit, end) for end in (found.low, found.high))
    return Shown(_number(found.name, found.unit, found.value), " to ".join(ends), basis, False)


def _number(name: str, unit: str, value: float) -> str:
    if name in _PERCENT:
        return f"{100 * value:z.0f} %"
    if unit == "seconds":
        return f"{value:+z.2f} s" if name in _SIGNED else f"{value:.2f} s"
    return f"{value:z.2f}"


@dataclass(frozen=True)
class MeasureRow:
    """A measure over all arms, in the order of ARM_WORDS."""

    name: str
    cells: list[Shown]


@dataclass(frozen=True)
class KindTable:
    """One kind of answer. `drafts`: what the pairs that began from drafts have of them, in words; may be empty."""

    kind: str
    name: str
    compared: list[int]
    rows: list[MeasureRow]
    drafts: str
    incomparable: int

    @property
    def in_words(self) -> bool:
        """Whether its answers are sentences."""
        return self.kind in TEXT_KINDS


def kind_tables(report: Report) -> list[KindTable]:
    """Every kind, with a row for every number that any of its arms has."""
    tables = []
    for of_kind in report.kinds:
        arms = {arm.arm: arm for arm in of_kind.arms}
        results = {name: {one.name: one for one in arms[name].measures} for name in ARMS}
        names = [name for name in MEASURE_WORDS if any(name in found for found in results.values())]
        rows = [
            MeasureRow(MEASURE_WORDS[name], [shown(results[arm].get(name)) for arm in ARM_WORDS])
            for name in names
        ]
        drafted = arms["drafted"]
        words = ""
        if drafted.compared:
            words = (
                f"Of {drafted.compared:,} pairs that both began from a draft, {drafted.same_draft:,} began from the "
                f"same one, and {drafted.both_kept:,} consist of that draft twice, untouched: there the model "
                "agrees with itself."
            )
        tables.append(
            KindTable(
                of_kind.kind, KIND_WORDS[of_kind.kind], [arms[name].compared for name in ARM_WORDS], rows, words,
                of_kind.incomparable,
            )
        )  # fmt: skip
    return tables


def headline(found: KindResult) -> Result | None:
    """The one number that a kind is told by where there is room for one."""
    wanted = HEADLINES.get(found.kind, "token_f1")
    return next((one for one in found.measures if one.name == wanted), None)


def headline_words(kind: str) -> str:
    """'Crash span: overlap (tIoU), mean'."""
    return f"{KIND_WORDS[kind]}: {MEASURE_WORDS[HEADLINES.get(kind, 'token_f1')]}"


@dataclass(frozen=True)
class GroupRow:
    """A source, a pair of persons or a period, with one number for every kind."""

    names: list[str]
    pairs: int
    cells: list[Shown]


def group_rows(groups: Sequence[Group]) -> list[GroupRow]:
    """One row for every group."""
    return [
        GroupRow(group.names, group.pairs, [shown(headline(found)) for found in group.kinds])
        for group in groups
    ]


@dataclass(frozen=True)
class PeopleDetail:
    """All numbers of two persons, also those that tell the first from the second."""

    names: list[str]
    pairs: int
    kinds: list[tuple[str, list[tuple[str, Shown]]]]


def people_details(groups: Sequence[Group]) -> list[PeopleDetail]:
    """One for every pair of persons."""
    return [
        PeopleDetail(
            group.names, group.pairs,
            [
                (KIND_WORDS[found.kind], [(MEASURE_WORDS[one.name], shown(one)) for one in found.measures])
                for found in group.kinds
                if found.compared
            ],
        )
        for group in groups
    ]  # fmt: skip


@dataclass(frozen=True)
class Matrix:
    """Persons against persons in one kind. `rows`: a name and its cells, None on the diagonal."""

    title: str
    people: list[str]
    rows: list[tuple[str, list[Shown | None]]]


def matrices(report: Report) -> list[Matrix]:
    """A matrix for every kind, of the persons with the most pairs."""
    pairs: Counter[str] = Counter()
    for group in report.people:
        for name in group.names:
            pairs[name] += group.pairs
    people = sorted(name for name, _ in pairs.most_common(SHOWN_PEOPLE))
    if not people:
        return []
    made = []
    for place, of_kind in enumerate(report.kinds):
        cells = {frozenset(group.names): shown(headline(group.kinds[place])) for group in report.people}
        rows = [
            (one, [None if one == other else cells.get(frozenset((one, other)), NOTHING) for other in people])
            for one in people
        ]
        made.append(Matrix(headline_words(of_kind.kind), people, rows))
    return made


@dataclass(frozen=True)
class Trend:
    """A kind's number over time."""

    title: str
    plot: SafeString


def trends(report: Report) -> list[Trend]:
    """A plot for every kind that has a number in at least one period; periods that nobody reviewed in are left out."""
    made: list[Trend] = []
    if not report.periods:
        return made
    first, last = report.periods[0].names[0], report.periods[-1].names[0]
    for place, of_kind in enumerate(report.kinds):
        points, words = [], []
        for group in report.periods:
            found = headline(group.kinds[place])
            text = shown(found)
            label = f"from {group.names[0]}: {text.value}" + (f" ({text.interval})" if text.interval else "")
            given = found if found is not None and found.value is not None else None
            ends = (given.value, given.low, given.high) if given else (None, None, None)
            points.append(Point(f"{label}, {text.basis}", *ends))
            words.append(label)
        title = headline_words(of_kind.kind)
        plot = trend(points, words=f"{title}; {'; '.join(words)}", low=first, high=last)
        if plot:
            made.append(Trend(title, plot))
    return made


@dataclass(frozen=True)
class ApartRow:
    """A case for a second look; `kinds`: the kinds in which its two answers lie apart, furthest first."""

    case: int
    video: str
    corpus: str
    people: list[str]
    percent: int
    kinds: list[str]


def apart_rows(report: Report) -> list[ApartRow]:
    """The cases that people disagree about most."""
    return [
        ApartRow(
            one.case, one.video, one.corpus, one.people, round(100 * one.apart),
            [
                f"{KIND_WORDS[kind]} {100 * apart:.0f} %"
                for kind, apart in sorted(one.kinds.items(), key=lambda item: -item[1])
                if apart >= 0.005
            ],
        )
        for one in report.cases
    ]  # fmt: skip
