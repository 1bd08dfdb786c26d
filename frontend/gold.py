"""What the page of gold cases shows leads: every person's scores over time, who is paused, and the cases themselves."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from django.db.models import Avg, Count, Q
from django.utils.safestring import SafeString

from annotations.cases.kinds import TIME_KINDS, Kind
from annotations.corpora.models import Corpus
from annotations.gold.asking import entrance_left
from annotations.gold.models import GoldCase, GoldScore, Pause
from annotations.gold.pauses import Standing, counted, standing
from annotations.reviews.models import ReviewOutcome
from crashdesk.accounts.models import User
from frontend.plots import Point, trend
from frontend.quality import KIND_WORDS

SHOWN_SCORES: Final = 60
SHOWN_CASES: Final = 200
SHOWN_PAUSES: Final = 50


@dataclass(frozen=True)
class PersonRow:
    """One person in one corpus. `kinds`: their mean per kind over the shown scores, the worst first."""

    person: User
    standing: Standing
    answered: int
    entrance_left: int
    kinds: list[tuple[str, float]]
    plot: SafeString
    pause: Pause | None


def people(corpus: Corpus) -> list[PersonRow]:
    """Everybody who has answered a gold case or is paused here; who is paused comes first, then the lowest mean."""
    held = {
        pause.person_id: pause
        for pause in Pause.objects.filter(corpus=corpus, lifted_at__isnull=True).select_related("paused_by")
    }
    scored = GoldScore.objects.filter(gold__case__corpus=corpus).values("person")
    found = User.objects.filter(Q(pk__in=scored) | Q(pk__in=held)).order_by("username")
    rows = [_row(person, corpus, held.get(person.pk)) for person in found]
    return sorted(rows, key=lambda row: (row.pause is None, _or_last(row.standing.mean), row.person.username))


def _or_last(mean: float | None) -> float:
    return 2.0 if mean is None else mean


def _row(person: User, corpus: Corpus, pause: Pause | None) -> PersonRow:
    scores, now = counted(person, corpus.pk), standing(person, corpus.pk)
    shown = scores[-SHOWN_SCORES:]
    return PersonRow(
        person,
        now,
        len(scores),
        entrance_left(person, now.plan),
        _kinds(shown),
        plot(person.username, shown),
        pause,
    )


def _kinds(scores: Iterable[GoldScore]) -> list[tuple[str, float]]:
    totals: dict[str, list[float]] = {}
    for one in scores:
        for kind, there in one.by_kind.items():
            totals.setdefault(kind, []).append(there["score"])
    means = [
        (KIND_WORDS[kind], sum(totals[kind]) / len(totals[kind])) for kind in Kind.values if kind in totals
    ]
    return sorted(means, key=lambda one: one[1])


def plot(name: str, scores: list[GoldScore]) -> SafeString:
    """A person's scores from left to right, oldest first."""
    if not scores:
        return SafeString("")
    points = [
        Point(f"{one.answered_at:%d %b %Y}: {one.score:.2f}, case {one.gold.case_id}", one.score)
        for one in scores
    ]
    first, last = scores[0].answered_at, scores[-1].answered_at
    words = f"Gold scores of {name}: {', '.join(f'{one.score:.2f}' for one in scores)}"
    return trend(points, words=words, low=f"{first:%d %b %Y}", high=f"{last:%d %b %Y}")


@dataclass(frozen=True)
class CaseRow:
    """A gold case, how often it was answered, and its mean score: a case that everybody fails may have a wrong key."""

    gold: GoldCase
    answered: int
    mean: float | None
    tolerances: list[str]


def cases(corpus: Corpus) -> list[CaseRow]:
    """Those in use first, then the newest marks."""
    counts = Q(scores__counts=True, scores__review__outcome=ReviewOutcome.SUBMITTED)
    marks = (
        GoldCase.objects.filter(case__corpus=corpus)
        .select_related("case__video", "marked_by", "unmarked_by")
        .annotate(answered=Count("scores", filter=counts), mean=Avg("scores__score", filter=counts))
        .order_by("unmarked_at", "-id")
    )
    found = list(marks[:SHOWN_CASES])
    found.sort(key=lambda gold: gold.unmarked_at is not None)
    return [CaseRow(gold, gold.answered, gold.mean, _tolerances(gold)) for gold in found]


def _tolerances(gold: GoldCase) -> list[str]:
    return [
        f"{KIND_WORDS[kind]} {value / 1_000_000:g} s"
        if kind in TIME_KINDS
        else f"{KIND_WORDS[kind]} {100 * value:g} % of the words"
        for kind, value in gold.tolerances.items()
    ]


def past_pauses(corpus: Corpus) -> list[Pause]:
    """The newest that are over."""
    over = Pause.objects.filter(corpus=corpus, lifted_at__isnull=False)
    return list(over.select_related("person", "paused_by", "lifted_by").order_by("-lifted_at")[:SHOWN_PAUSES])
