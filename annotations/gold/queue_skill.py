"""How good somebody's answers are in a corpus, as far as anything is known: for giving cases by skill and load."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from django.db.models import Window
from django.db.models.functions import RowNumber

from annotations.cases.kinds import Kind
from annotations.cases.rules import Said
from annotations.corpora.models import Corpus
from annotations.gold.models import GoldScore
from annotations.reviews.alike import agreement
from annotations.reviews.assignments_rules import PASSES, counting_reviews
from annotations.reviews.assignments_sharing import DEFAULT_SKILL
from annotations.reviews.models import Review
from annotations.reviews.plans import current_plan
from crashdesk.accounts.models import User

PRIOR_CASES: Final = 4
"""The default weighs as much as so many cases: a first lucky or unlucky one moves nobody far."""


@dataclass(frozen=True)
class Skill:
    """`value` 0 to 1, out of the means of so many gold scores and agreements with another person; None where none."""

    value: float
    gold: float | None = None
    gold_cases: int = 0
    agreement: float | None = None
    agreement_cases: int = 0


def skill_of(gold: Collection[float], agreements: Collection[float]) -> Skill:
    """The mean of all gold scores and agreements and of PRIOR_CASES times DEFAULT_SKILL.

    That is the posterior mean under a prior of that mean and that many observations; without any it is the default.
    """
    known = [*gold, *agreements]
    return Skill(
        value=(PRIOR_CASES * DEFAULT_SKILL + sum(known)) / (PRIOR_CASES + len(known)),
        gold=sum(gold) / len(gold) if gold else None,
        gold_cases=len(gold),
        agreement=sum(agreements) / len(agreements) if agreements else None,
        agreement_cases=len(agreements),
    )


def skills_of(people: Collection[User], corpus: Corpus) -> dict[int, Skill]:
    """By user id: the newest gold scores and the newest cases that two people answered, as many of each as the plan's
    gold window. In a handful of queries, however many people."""
    window = current_plan(corpus).gold_window
    gold, alike = _gold(people, corpus), _agreements(people, corpus, window)
    return {
        person.pk: skill_of(gold.get(person.pk, [])[:window], alike.get(person.pk, [])) for person in people
    }


def _gold(people: Collection[User], corpus: Corpus) -> dict[int, list[float]]:
    """Newest first."""
    scores = GoldScore.objects.filter(person__in=people, gold__case__corpus=corpus, counts=True)
    found: dict[int, list[float]] = defaultdict(list)
    for person, score in scores.order_by("-answered_at", "-id").values_list("person", "score"):
        found[person].append(score)
    return found


def _agreements(people: Collection[User], corpus: Corpus, window: int) -> dict[int, list[float]]:
    """By person, how far each of their newest doubled cases agrees with the other person's pass, 0 to 1."""
    passes = counting_reviews().filter(purpose__in=list(PASSES), case__corpus=corpus, case__draw__double=True)
    place = Window(RowNumber(), partition_by="reviewer", order_by=["-submitted_at", "-id"])
    newest = passes.filter(reviewer__in=people).annotate(place=place).filter(place__lte=window)
    mine: dict[int, list[int]] = defaultdict(list)
    for person, case in newest.order_by("reviewer", "place").values_list("reviewer", "case"):
        mine[person].append(case)
    cases = {case for held in mine.values() for case in held}
    by_case: dict[int, list[Review]] = defaultdict(list)
    for review in passes.filter(case__in=cases).prefetch_related("answers").order_by("submitted_at", "id"):
        by_case[review.case_id].append(review)
    found: dict[int, list[float]] = defaultdict(list)
    for person_id, case_ids in mine.items():
        for case_id in case_ids:
            own = [review for review in by_case[case_id] if review.reviewer_id == person_id]
            others = [review for review in by_case[case_id] if review.reviewer_id != person_id]
            if own and others:
                found[person_id].append(_alike(own[-1], others[-1]))
    return found


def _alike(one: Review, other: Review) -> float:
    """The mean over the six kinds."""
    said = [
        {answer.kind: Said(answer.state, answer.value) for answer in review.answers.all()}
        for review in (one, other)
    ]
    return sum(agreement(kind, said[0].get(kind), said[1].get(kind)) for kind in Kind) / len(Kind)
