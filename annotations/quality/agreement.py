"""The report on how far people agree: per kind, by what they had in view, per source, per pair of persons, over time.

Every pair of submitted reviews of one case by two people counts once. Nothing is written; the same answers give the
same report, to the last digit of every interval.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from annotations.cases.models import Case
from annotations.quality.cells import FEWEST_COMPARED, FEWEST_RECORDINGS, KindResult, Result, evaluate
from annotations.quality.pairs import Arm, Asked, Found, LeftOut, Pair, load

Period = Literal["month", "week"]
Rows = NDArray[np.bool_]
K = TypeVar("K", str, date, tuple[int, int])

MOST_SOURCES: Final = 40
MOST_PERSON_PAIRS: Final = 60
MOST_PERIODS: Final = 60
MOST_CASES: Final = 50
ARMS: Final = {"all": None, "drafted": Arm.DRAFTED, "mixed": Arm.MIXED, "blind": Arm.BLIND}


@dataclass(frozen=True)
class ArmResult:
    """The numbers of one kind over the pairs of one arm, or over all. `same_draft`: pairs in which both began from one
    draft; `both_kept`: in which both left it as it was, so that the model agrees with itself.
    """

    arm: str
    compared: int
    same_draft: int
    both_kept: int
    measures: list[Result]


@dataclass(frozen=True)
class KindReport:
    """One kind. `incomparable`: pairs in which somebody gave no answer that can be compared."""

    kind: str
    incomparable: int
    arms: list[ArmResult]


@dataclass(frozen=True)
class Group:
    """The numbers of a source, a pair of persons or a period. `names`: what it is called."""

    names: list[str]
    pairs: int
    kinds: list[KindResult]


@dataclass(frozen=True)
class ApartCase:
    """A case for a second look. `apart`: 0 to 1, the mean over the kinds; `kinds`: the same for each; of the two people
    that lie furthest apart.
    """

    case: int
    video: str
    corpus: str
    source: str
    people: list[str]
    apart: float
    kinds: dict[str, float]


@dataclass(frozen=True)
class Counts:
    """What the report is made of. `blind_pairs`: none of the answers of either review was begun from a draft."""

    reviews: int
    cases: int
    pairs: int
    blind_pairs: int
    people: int
    recordings: int
    left_out: LeftOut


@dataclass(frozen=True)
class Minimum:
    """Below these there is no number, and no interval."""

    compared: int = FEWEST_COMPARED
    recordings: int = FEWEST_RECORDINGS


@dataclass(frozen=True)
class Report:
    """Everything. `left_off`: how many sources, pairs of persons and periods are beyond the most that are shown."""

    counts: Counts
    minimum: Minimum
    kinds: list[KindReport]
    sources: list[Group]
    people: list[Group]
    periods: list[Group]
    cases: list[ApartCase]
    left_off: dict[str, int]


def report(asked: Asked, *, period: Period = "month") -> Report:
    """Compare all that was asked for."""
    found = load(asked)
    pairs = found.pairs
    recordings = _numbered([pair.first.recording for pair in pairs])
    every = np.ones(len(pairs), dtype=np.bool_)
    by_source = _groups(found, recordings, lambda pair: pair.first.source, most=MOST_SOURCES)
    by_people = _groups(
        found, recordings, lambda pair: (pair.first.person, pair.second.person), most=MOST_PERSON_PAIRS,
        ordered=True,
    )  # fmt: skip
    by_time = _groups(
        found, recordings, lambda pair: begin(pair.at.date(), period), most=MOST_PERIODS, newest=True
    )
    blind = sum(not (pair.first.drafted or pair.second.drafted) for pair in pairs)
    return Report(
        counts=Counts(
            found.reviews, len({pair.first.case for pair in pairs}), len(pairs), blind,
            len({person for pair in pairs for person in (pair.first.person, pair.second.person)}),
            len(np.unique(recordings)), found.left_out,
        ),
        minimum=Minimum(),
        kinds=_kinds(found, recordings, every),
        sources=[Group([key], *cell) for key, cell in by_source.shown],
        people=[Group([found.people[person] for person in key], *cell) for key, cell in by_people.shown],
        periods=[Group([str(key)], *cell) for key, cell in by_time.shown],
        cases=_apart(found),
        left_off={"sources": by_source.left_off, "people": by_people.left_off, "periods": by_time.left_off},
    )  # fmt: skip


def begin(day: date, period: Period) -> date:
    """The first day of the month, or the Monday of the week."""
    return day.replace(day=1) if period == "month" else day - timedelta(days=day.weekday())


def _numbered(keys: Sequence[Any]) -> NDArray[np.intp]:
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.intp)


def _kinds(found: Found, recordings: NDArray[np.intp], every: Rows) -> list[KindReport]:
    compared = [of_kind.compared for of_kind in found.kinds]
    arms: list[list[ArmResult]] = [[] for _ in found.kinds]
    for name, arm in ARMS.items():
        rows = [
            np.ones(len(of_kind.arms), dtype=np.bool_) if arm is None else of_kind.arms == arm
            for of_kind in found.kinds
        ]
        results = evaluate(compared, rows, recordings, by_chance=True)
        for into, of_kind, mask, result in zip(arms, found.kinds, rows, results, strict=True):
            same, kept = int(of_kind.same_draft[mask].sum()), int(of_kind.both_kept[mask].sum())
            into.append(ArmResult(name, result.compared, same, kept, result.measures))
    return [
        KindReport(of_kind.compared.kind, of_kind.incomparable, into)
        for of_kind, into in zip(found.kinds, arms, strict=True)
    ]


@dataclass(frozen=True)
class _Grouped(Generic[K]):
    shown: list[tuple[K, tuple[int, list[KindResult]]]]
    left_off: int


def _groups(
    found: Found,
    recordings: NDArray[np.intp],
    key: Callable[[Pair], K],
    *,
    most: int,
    ordered: bool = False,
    newest: bool = False,
) -> _Grouped[K]:
    """The numbers of every group of pairs: the largest groups first, or in order of time the newest ones."""
    members: dict[K, list[int]] = {}
    for place, pair in enumerate(found.pairs):
        members.setdefault(key(pair), []).append(place)
    if newest:
        keys = sorted(members)[-most:]
    else:
        keys = sorted(members, key=lambda one: (-len(members[one]), one))[:most]
    compared = [of_kind.compared for of_kind in found.kinds]
    shown = []
    for one in keys:
        inside = np.zeros(len(found.pairs), dtype=np.bool_)
        inside[members[one]] = True
        rows = [inside[of_kind.pair] for of_kind in compared]
        shown.append((one, (len(members[one]), evaluate(compared, rows, recordings, ordered=ordered))))
    return _Grouped(shown, len(members) - len(keys))


def _apart(found: Found) -> list[ApartCase]:
    """The cases whose answers lie furthest apart."""
    total, kinds = np.zeros(len(found.pairs)), np.zeros(len(found.pairs))
    for of_kind in found.kinds:
        total[of_kind.compared.pair] += of_kind.compared.apart
        kinds[of_kind.compared.pair] += 1
    apart = np.where(kinds > 0, total / np.maximum(kinds, 1), 0.0)
    worst: dict[int, int] = {}
    for place in np.argsort(-apart, kind="stable"):
        if apart[place] <= 0 or len(worst) == MOST_CASES:
            break
        worst.setdefault(found.pairs[place].first.case, int(place))
    named = Case.objects.select_related("video", "corpus").in_bulk(list(worst))
    by_kind: dict[int, dict[str, float]] = {place: {} for place in worst.values()}
    for of_kind in found.kinds:
        for row in np.flatnonzero(np.isin(of_kind.compared.pair, list(by_kind))):
            by_kind[int(of_kind.compared.pair[row])][of_kind.compared.kind] = float(
                of_kind.compared.apart[row]
            )
    return [
        ApartCase(
            case, named[case].video.name, named[case].corpus.name, named[case].video.source,
            [found.people[passed.person] for passed in (found.pairs[place].first, found.pairs[place].second)],
            float(apart[place]), by_kind[place],
        )
        for case, place in worst.items()
    ]  # fmt: skip
