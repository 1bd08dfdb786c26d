"""Who answered the same case, and what each said: read from the database in a handful of queries."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum
from functools import cached_property
from itertools import combinations
from typing import Any, Final

import numpy as np
from django.db.models import Count, Q, QuerySet

from annotations.cases.kinds import NEGATIVE_TEXT, TEXT_KINDS, AnswerState, Kind
from annotations.cases.models import AuthorKind, CaseStatus
from annotations.quality import measures
from annotations.quality.measures import Compared
from annotations.reviews.models import Purpose, Review, ReviewOutcome
from crashdesk.accounts.scope import Reach

CHUNK: Final = 5000
NOT_BLIND: Final = (Purpose.SECOND, Purpose.ADJUDICATE)


@dataclass(frozen=True)
class Asked:
    """What a report is narrowed to. `since`, `until`: days (UTC, both inside) of the later of two reviews; `among`:
    only these corpora, those open to whoever asks.
    """

    corpus: int | None = None
    guideline: int | None = None
    kind: str = ""
    source: str | None = None
    since: date | None = None
    until: date | None = None
    among: Reach = field(default_factory=Reach)

    @property
    def kinds(self) -> list[str]:
        return [self.kind] if self.kind else list(Kind.values)


class Arm(IntEnum):
    """What two people had in view. BLIND: none of the answers of either review was begun from a draft; DRAFTED: both
    answers of this kind were; MIXED: all else.
    """

    BLIND = 0
    MIXED = 1
    DRAFTED = 2


@dataclass(frozen=True)
class Said:
    """An answer of a review. `value`: as its kind's shape says, empty where there is none; `draft`: the answer it was
    begun from.
    """

    answer: int
    state: str
    value: dict[str, Any]
    draft: int | None


@dataclass
class Pass:
    """The review that counts of one person on one case."""

    review: int
    case: int
    person: int
    at: datetime
    source: str
    recording: tuple[int, str]
    duration_us: int = 0
    said: dict[str, Said] = field(default_factory=dict)

    @cached_property
    def drafted(self) -> bool:
        return any(said.draft is not None for said in self.said.values())


@dataclass(frozen=True)
class Pair:
    """Two people's reviews of one case; `first` has the lower user id."""

    first: Pass
    second: Pass

    @property
    def at(self) -> datetime:
        return max(self.first.at, self.second.at)


@dataclass(frozen=True)
class LeftOut:
    """Reviews that are not compared, and why."""

    open: int
    skipped: int
    withdrawn: int
    of_excluded_cases: int
    repeated: int = field(metadata={"help": "an earlier review of the case by the same person"})
    alone: int = field(metadata={"help": "nobody else has reviewed the case"})
    looked_over: int = field(
        metadata={"help": "second looks and adjudications, which begin from another's answers"}
    )


@dataclass(frozen=True)
class KindPairs:
    """One kind's pairs. `arms` [n]: an Arm each; `same_draft`, `both_kept` [n]: both began from one draft; both left it
    as it was; `incomparable`: pairs in which an answer of this kind is missing or was unparsable, and so on.
    """

    compared: Compared
    arms: np.ndarray[Any, np.dtype[np.int8]]
    same_draft: np.ndarray[Any, np.dtype[np.bool_]]
    both_kept: np.ndarray[Any, np.dtype[np.bool_]]
    incomparable: int


@dataclass(frozen=True)
class Found:
    """Everything a report is made of. `people`: user names by id."""

    pairs: list[Pair]
    kinds: list[KindPairs]
    people: dict[int, str]
    reviews: int
    left_out: LeftOut


def load(asked: Asked) -> Found:
    """Read all submitted reviews of cases that two people reviewed, and compare them pair by pair."""
    reviews = _narrowed(asked)
    outcomes = dict(reviews.order_by().values_list("outcome").annotate(count=Count("pk")))
    submitted = reviews.filter(outcome=ReviewOutcome.SUBMITTED)
    of_open_cases = submitted.exclude(case__status=CaseStatus.EXCLUDED)
    counted = of_open_cases.exclude(purpose__in=NOT_BLIND)
    twice = (
        counted.order_by()
        .values("case")
        .annotate(people=Count("reviewer", distinct=True))
        .filter(people__gt=1)
    )
    together = counted.filter(case__in=twice.values("case"))
    people: dict[int, str] = {}
    latest: dict[tuple[int, int], Pass] = {}
    repeated = 0
    rows: Any = together.order_by("submitted_at", "id").values_list(
        "id", "case_id", "reviewer_id", "reviewer__username", "submitted_at", "case__video__source",
        "case__corpus_id", "case__video__recording", "case__video__media__duration_us",
    )  # fmt: skip
    for number, case, person, name, at, source, corpus, recording, duration in rows.iterator(
        chunk_size=CHUNK
    ):
        repeated += (case, person) in latest
        people[person] = name
        latest[case, person] = Pass(number, case, person, at, source, (corpus, recording), duration or 0)
    _read_answers(together, {passed.review: passed for passed in latest.values()})
    pairs = [pair for pair in _pairs(latest.values()) if _in_time(pair.at, asked)]
    read = len(latest) + repeated
    total_counted, total_open = counted.count(), of_open_cases.count()
    left_out = LeftOut(
        open=outcomes.get(ReviewOutcome.OPEN, 0), skipped=outcomes.get(ReviewOutcome.SKIPPED, 0),
        withdrawn=outcomes.get(ReviewOutcome.WITHDRAWN, 0),
        of_excluded_cases=outcomes.get(ReviewOutcome.SUBMITTED, 0) - total_open, repeated=repeated,
        alone=total_counted - read, looked_over=total_open - total_counted,
    )  # fmt: skip
    kinds = [_compare(kind, pairs) for kind in asked.kinds]
    return Found(pairs, kinds, people, total_counted, left_out)


def _narrowed(asked: Asked) -> QuerySet[Review]:
    narrowed = asked.among.inside("case__corpus")
    if asked.corpus is not None:
        narrowed &= Q(case__corpus=asked.corpus)
    if asked.guideline is not None:
        narrowed &= Q(case__guideline=asked.guideline)
    if asked.source is not None:
        narrowed &= Q(case__video__source=asked.source)
    return Review.objects.filter(narrowed)


def _read_answers(reviews: QuerySet[Review], passes: dict[int, Pass]) -> None:
    """What each review said. All kinds are read: whether a review had drafts is told by every one of them."""
    rows: Any = Review.answers.through.objects.filter(review__in=reviews.order_by().values("pk")).values_list(
        "review_id", "answer_id", "answer__kind", "answer__state", "answer__value", "answer__author_kind",
        "answer__draft_id",
    )  # fmt: skip
    for review, answer, kind, state, value, author, draft in rows.iterator(chunk_size=CHUNK):
        passed = passes.get(review)
        if passed is not None:
            begun_from = (
                draft if author == AuthorKind.PERSON else answer
            )  # an untouched draft is itself the answer
            passed.said[kind] = Said(answer, state, value or {}, begun_from)


def _pairs(passes: Iterable[Pass]) -> list[Pair]:
    by_case: dict[int, list[Pass]] = defaultdict(list)
    for passed in passes:
        by_case[passed.case].append(passed)
    return [
        Pair(*sorted(two, key=lambda passed: passed.person))
        for case in sorted(by_case)
        for two in combinations(by_case[case], 2)
    ]


def _in_time(at: datetime, asked: Asked) -> bool:
    day = at.date()  # Django hands times over in UTC
    return (asked.since is None or day >= asked.since) and (asked.until is None or day <= asked.until)


def _compare(kind: str, pairs: Sequence[Pair]) -> KindPairs:
    """All pairs whose answers of this kind can be compared."""
    places = [place for place, pair in enumerate(pairs) if _comparable(kind, pair)]
    said = [(pairs[place].first.said[kind], pairs[place].second.said[kind]) for place in places]
    arms = [_arm(kind, pairs[place]) for place in places]
    durations = np.array([pairs[place].first.duration_us for place in places], dtype=np.int64)
    return KindPairs(
        _MAKERS[kind](kind, np.array(places, dtype=np.intp), said, durations),
        np.array(arms, dtype=np.int8),
        np.array([one.draft is not None and one.draft == other.draft for one, other in said], dtype=np.bool_),
        np.array([one.answer == other.answer for one, other in said], dtype=np.bool_),
        len(pairs) - len(places),
    )


def _comparable(kind: str, pair: Pair) -> bool:
    """Whether both gave an answer of this kind. The fixed sentences that "no" is given as texts tell nothing."""
    both = [passed.said.get(kind) for passed in (pair.first, pair.second)]
    return all(
        said is not None
        and said.state != AnswerState.UNPARSABLE
        and not (kind in TEXT_KINDS and said.value["text"] == NEGATIVE_TEXT[kind])
        for said in both
    )


def _arm(kind: str, pair: Pair) -> Arm:
    drafts = [passed.said[kind].draft is not None for passed in (pair.first, pair.second)]
    if all(drafts):
        return Arm.DRAFTED
    return Arm.MIXED if pair.first.drafted or pair.second.drafted else Arm.BLIND


Both = Sequence[tuple[Said, Said]]
Durations = np.ndarray[Any, np.dtype[np.int64]]


def _labels(kind: str, places: measures.Indices, said: Both, _: Durations) -> Compared:
    yes = np.array([[one.value["label"] == "yes" for one in two] for two in said], dtype=np.bool_).reshape(
        -1, 2
    )
    return measures.labels(kind, places, yes[:, 0], yes[:, 1])


def _spans(kind: str, places: measures.Indices, said: Both, durations: Durations) -> Compared:
    ends = [[(one.value.get("start_us", -1), one.value.get("end_us", -1)) for one in two] for two in said]
    both = np.array(ends, dtype=np.int64).reshape(-1, 2, 2)
    return measures.spans(kind, places, both[:, 0], both[:, 1], durations)


def _instants(kind: str, places: measures.Indices, said: Both, _: Durations) -> Compared:
    both = np.array([[one.value.get("at_us", -1) for one in two] for two in said], dtype=np.int64).reshape(
        -1, 2
    )
    return measures.instants(kind, places, both[:, 0], both[:, 1])


def _sentences(kind: str, places: measures.Indices, said: Both, _: Durations) -> Compared:
    return measures.sentences(
        kind, places, [one.value["text"] for one, _ in said], [other.value["text"] for _, other in said]
    )


_MAKERS: Final = {
    Kind.CRASH_RECOGNITION.value: _labels,
    Kind.CRASH_LOCALIZATION.value: _spans,
    Kind.PRE_CRASH_LOCALIZATION.value: _instants,
    **{kind.value: _sentences for kind in TEXT_KINDS},
}
