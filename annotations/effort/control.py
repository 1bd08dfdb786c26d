"""What drafts save, and how far they pull answers towards themselves: cases with a draft against the blind arm.

Which cases are shown without a draft is drawn by chance (annotations.reviews.draws), so that nothing but the draft
tells the arms apart. Nothing is said of a saving while there is no such comparison, or too little of it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, AuthorKind
from annotations.cases.rules import Said
from annotations.effort.ledger import CHUNK, Arm, Entry
from annotations.reviews.alike import agreement
from annotations.reviews.models import Review
from annotations.statistics.saving import Estimate, both_arms, rise, saving

FEWEST_PER_ARM: Final = 40
"""Measured reviews that each arm needs, of people who have both. The interval was held to its promise down to 20, but
with fewer than 40 it spans half of all time and more: docs/effort.md."""
FEWEST_RECORDINGS: Final = 20
HALF_WIDTH: Final = 0.10
"""How many more blind cases would be needed is told for an interval of this much on either side."""
METHOD: Final = (
    "1 - the ratio of mean active times, each person compared with themselves (quasi-Poisson with an effect for every "
    "person); 95 % interval from a jackknife and a studentised bootstrap of recordings, calibrated"
)


@dataclass(frozen=True)
class Needed:
    """What is missing for a number: `have` of `need`, `what` in words."""

    what: str
    have: int
    need: int


@dataclass(frozen=True)
class Anchoring:
    """How far answers agree with the model's draft, 0 to 1: on average in the blind arm, whose people never saw it, and
    where it was shown; `rise`: by how much more, each person compared with themselves. `kind` empty: all six.
    """

    kind: str
    blind: float
    shown: float
    rise: Estimate


@dataclass(frozen=True)
class Comparison:
    """The two arms. `saving` is None while anything is `missing`; `for_half_width`: blind cases that an interval of
    HALF_WIDTH either way would take at today's shares and spread. Arms count reviews; unmeasured ones have no activity.
    """

    method: str
    model_reviews: int
    blind_reviews: int
    unmeasured_model: int
    unmeasured_blind: int
    saving: Estimate | None
    missing: list[Needed]
    for_half_width: int | None
    anchoring: list[Anchoring]
    anchoring_missing: list[Needed]
    words: str


def compare(ledger: Sequence[Entry]) -> Comparison:
    """The saving and the anchoring over these reviews."""
    drawn = [entry for entry in ledger if entry.arm in (Arm.MODEL, Arm.BLIND)]
    timed = [entry for entry in drawn if entry.active_us]
    missing = _missing(timed, "reviews with measured activity")
    estimate = None if missing else _saving(timed)
    if not missing and estimate is None:
        missing = [
            Needed("recordings whose times differ, so that the spread can be told", 0, FEWEST_RECORDINGS)
        ]
    anchoring_missing = _missing(drawn, "reviews")
    anchored = [] if anchoring_missing else _anchoring(drawn)
    arms = [entry.arm for entry in drawn]
    unmeasured = [entry.arm for entry in drawn if not entry.active_us]
    return Comparison(
        METHOD, arms.count(Arm.MODEL), arms.count(Arm.BLIND), unmeasured.count(Arm.MODEL), unmeasured.count(Arm.BLIND),
        estimate, missing, _for_half_width(estimate), anchored, anchoring_missing,
        _words(estimate, missing, anchored),
    )  # fmt: skip


def _columns(drawn: Sequence[Entry]) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Who was blind, the persons, and the recordings as numbers."""
    numbers: dict[Any, int] = {}
    return (
        np.array([entry.arm == Arm.BLIND for entry in drawn], dtype=np.bool_),
        np.array([entry.person for entry in drawn], dtype=np.int64),
        np.array([numbers.setdefault(entry.recording, len(numbers)) for entry in drawn], dtype=np.int64),
    )


def _missing(drawn: Sequence[Entry], what: str) -> list[Needed]:
    blind, person, recording = _columns(drawn)
    kept = both_arms(blind, person)
    counted = (
        (f"{what} of blind cases, by people who also have cases with a draft", blind & kept, FEWEST_PER_ARM),
        (f"{what} of cases with a draft, by people who also have blind cases", ~blind & kept, FEWEST_PER_ARM),
    )
    found = [Needed(words, int(rows.sum()), need) for words, rows, need in counted]
    for name, rows in (("blind cases", blind & kept), ("cases with a draft", ~blind & kept)):
        found.append(
            Needed(f"recordings among the {name}", len(np.unique(recording[rows])), FEWEST_RECORDINGS)
        )
    return [one for one in found if one.have < one.need]


def _saving(timed: Sequence[Entry]) -> Estimate | None:
    times = np.array([entry.active_us or 0 for entry in timed], dtype=np.float64) / 1e6
    return saving(times, *_columns(timed))


def _for_half_width(estimate: Estimate | None) -> int | None:
    """The spread falls with the root of the number of cases."""
    if estimate is None:
        return None
    half = (estimate.high - estimate.low) / 2
    return max(estimate.without, int(np.ceil(estimate.without * (half / HALF_WIDTH) ** 2)))


def _anchoring(drawn: Sequence[Entry]) -> list[Anchoring]:
    scores = _scores(drawn)
    found = [_anchoring_of("", drawn, scores.mean_over_kinds())]
    found += [_anchoring_of(kind, drawn, scores.of(kind)) for kind in Kind.values]
    return [one for one in found if one is not None]


def _anchoring_of(kind: str, drawn: Sequence[Entry], scores: NDArray[np.float64]) -> Anchoring | None:
    told = np.isfinite(scores)
    chosen = [entry for entry, has in zip(drawn, told, strict=True) if has]
    if not chosen or _missing(chosen, "reviews"):
        return None
    blind, person, recording = _columns(chosen)
    values = scores[told]
    found = rise(values, blind, person, recording)
    if found is None:
        return None
    kept = both_arms(blind, person)
    low = float(values[blind & kept].mean())
    return Anchoring(kind, low, low + found.value, found)


@dataclass(frozen=True)
class _Scores:
    """Agreement with the draft [reviews, kinds]; NaN where there is no draft or no answer."""

    table: NDArray[np.float64]

    def of(self, kind: str) -> NDArray[np.float64]:
        return np.asarray(self.table[:, list(Kind.values).index(kind)])

    def mean_over_kinds(self) -> NDArray[np.float64]:
        told = np.isfinite(self.table)
        count = told.sum(axis=1)
        total = np.where(told, self.table, 0.0).sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _scores(drawn: Sequence[Entry]) -> _Scores:
    drafts = _drafts({entry.case for entry in drawn})
    said = _answers([entry.review for entry in drawn])
    table = np.full((len(drawn), len(Kind.values)), np.nan)
    for row, entry in enumerate(drawn):
        for column, kind in enumerate(Kind.values):
            draft = _newest(drafts.get((entry.case, kind), ()), entry.submitted_at)
            answer = said.get((entry.review, kind))
            if draft is not None and answer is not None:
                table[row, column] = agreement(kind, answer, draft)
    return _Scores(table)


def _newest(drafts: Sequence[tuple[datetime, Said]], at: datetime) -> Said | None:
    """The same rule in both arms: the model's newest answer when the review was submitted."""
    return next((said for made, said in reversed(drafts) if made <= at), None)


def _drafts(cases: set[int]) -> dict[tuple[int, str], list[tuple[datetime, Said]]]:
    found: dict[tuple[int, str], list[tuple[datetime, Said]]] = defaultdict(list)
    rows: Any = Answer.objects.filter(case__in=cases, author_kind=AuthorKind.MODEL).order_by(
        "created_at", "id"
    )
    for case, kind, made, state, value in rows.values_list(
        "case_id", "kind", "created_at", "state", "value"
    ).iterator(chunk_size=CHUNK):
        found[case, kind].append((made, Said(state, value)))
    return found


def _answers(reviews: Sequence[int]) -> dict[tuple[int, str], Said]:
    rows: Any = Review.answers.through.objects.filter(review__in=reviews).values_list(
        "review_id", "answer__kind", "answer__state", "answer__value"
    )
    return {
        (review, kind): Said(state, value) for review, kind, state, value in rows.iterator(chunk_size=CHUNK)
    }


def _words(estimate: Estimate | None, missing: Sequence[Needed], anchored: Sequence[Anchoring]) -> str:
    """The whole in one sentence."""
    if estimate is None:
        lacking = "; ".join(f"{one.have} of {one.need} {one.what}" for one in missing)
        return f"No saving can be told yet: {lacking}."
    verb = "saves" if estimate.value >= 0 else "costs"
    ends = sorted(estimate_sign(estimate) * 100 * end for end in (estimate.low, estimate.high))
    words = f"{verb} {abs(100 * estimate.value):.0f} % of the time (95 % CI {ends[0]:.0f} to {ends[1]:.0f})"
    if anchored:
        first = anchored[0]
        words += (
            f"; anchoring: agreement with the draft {'rises' if first.rise.value >= 0 else 'falls'} by "
            f"{abs(100 * first.rise.value):.0f} points (95 % CI {100 * first.rise.low:.0f} to "
            f"{100 * first.rise.high:.0f}), from {100 * first.blind:.0f} % to {100 * first.shown:.0f} %"
        )
    return f"The draft {words}."


def estimate_sign(estimate: Estimate) -> int:
    """-1 where the draft costs time."""
    return 1 if estimate.value >= 0 else -1
