"""Giving many cases to people, as a job: any number of them, a few at a time, with nobody waiting for an answer.

Whoever looks at the job sees how far it is and may stop it. What it has given stays given; begun anew, after a dead
worker or by hand, it goes on with what it has not given yet, which it knows by the assignments that bear its number.
A case that cannot be given is left with a code, and costs the others nothing.
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from django.db import InterfaceError, OperationalError, transaction

from annotations.cases.models import Case
from annotations.corpora.access import require
from annotations.corpora.models import Corpus
from annotations.gold.queue import free_people, skill_values
from annotations.gold.queue_board import waiting_in
from annotations.reviews.assignments_sharing import MOST_HELD, Shared, assign_many, share_out
from annotations.reviews.models import Assignment, Purpose, Way
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.jobs.models import Job
from crashdesk.jobs.running import Running, patiently
from crashdesk.jobs.services import enqueue

JOB: Final = "assign_cases"
NEEDS: Final = Action.ASSIGN
MOST_CASES: Final = 10_000
STEP: Final = 20
"""Cases of one transaction, after which the progress is told and a cancel heard."""
NAMED: Final = 500
"""Of the cases that were left, so many are named in the result; the rest is counted."""
NO_ROOM: Final = "no_room"
UNEXPECTED: Final = "unexpected"

logger = logging.getLogger(__name__)

Give = Callable[..., Shared]
"""Called with `cases=`."""


@transaction.atomic
def ask_to_assign(
    *,
    corpus: Corpus,
    way: Way,
    by: User,
    purpose: Purpose = Purpose.ANNOTATE,
    cases: Collection[int] | None = None,
    source: str = "",
    words: str = "",
    limit: int = MOST_CASES,
    people: Sequence[User] = (),
    most: int = MOST_HELD,
    minutes: int | None = None,
) -> Job:
    """Queue giving these cases, or the first `limit` of those that wait and match when it begins.

    `people`: the one person of Way.MANUAL; else empty for everybody who works there. Who may be given what is looked at
    case by case; Problem here: not_allowed, not_found (cases of another corpus), no_people.
    """
    require(by, NEEDS, corpus)
    if cases is not None:
        _all_of(corpus, cases)
    if way != Way.MANUAL and not free_people(corpus, people or None):
        raise Problem(
            "no_people", f"Nobody can be given cases of {corpus.name}.", fields={"people": ["nobody"]}
        )
    args = {
        "corpus": corpus.pk, "way": way.value, "purpose": purpose.value, "people": [one.pk for one in people],
        "cases": sorted(set(cases)) if cases is not None else None, "source": source, "words": words, "limit": limit,
        "most": most, "minutes": minutes,
    }  # fmt: skip
    return enqueue(JOB, args, by=by)


def _all_of(corpus: Corpus, cases: Collection[int]) -> None:
    found = Case.objects.filter(corpus=corpus, pk__in=list(cases)).values_list("pk", flat=True)
    missing = sorted(set(cases) - set(found))
    if missing:
        named = ", ".join(map(str, missing[:10]))
        raise Problem(
            "not_found", f"Not in this corpus: case {named}.", fields={"cases": missing[:100]}, status=400
        )


def run(running: Running) -> dict[str, Any]:
    """args: as ask_to_assign writes them.

    The result: `asked`, `given`, `left` (case and code, the first 500), `codes` (how many of each). It names nobody.
    Problem not_allowed: whoever asked for it, or went on with it last, may not assign there any more.
    """
    job = running.job
    corpus = Corpus.objects.get(pk=job.args["corpus"])
    before = _given_by(job)
    ids = _wanted(corpus, job.args, before)
    outcome = _Outcome(running, total=len(before) + len(ids), done=len(before))
    give = _giver(corpus, job)
    outcome.tell()
    for start in range(0, len(ids), STEP):
        running.check(fresh=True)  # a step is not to be undone
        step = ids[start : start + STEP]
        if outcome.full:
            outcome.add(step, dict.fromkeys(step, NO_ROOM))
            continue
        left = _step(corpus, step, give)
        outcome.full = NO_ROOM in left.values()
        outcome.add(step, left)
    given = _given_by(job)
    left = {case: code for case, code in outcome.left.items() if case not in given}
    return {
        "asked": outcome.total,
        "given": len(given),
        "left": [{"case": case, "code": code} for case, code in list(left.items())[:NAMED]],
        "codes": dict(Counter(left.values())),
    }


@dataclass
class _Outcome:
    """What came of it so far. `full`: nobody may be given more, so that the rest need not be tried."""

    running: Running
    total: int
    done: int
    left: dict[int, str] = field(default_factory=dict)
    full: bool = False

    def add(self, step: Sequence[int], left: dict[int, str]) -> None:
        self.left |= left
        self.done += len(step)
        self.tell()

    def tell(self) -> None:
        self.running.progress(self.done, self.total, f"{self.done - len(self.left)} given")


def _given_by(job: Job) -> set[int]:
    """The cases that this job gave, whatever became of them since."""
    return set(Assignment.objects.filter(job_id=job.pk).values_list("case", flat=True))


def _wanted(corpus: Corpus, args: dict[str, Any], given: Collection[int]) -> list[int]:
    """Ids of what is still to be given, in review order where nobody named the cases."""
    if args["cases"] is not None:
        return [pk for pk in args["cases"] if pk not in given]
    waiting = waiting_in(corpus, Purpose(args["purpose"]), source=args["source"], words=args["words"])
    room = max(0, args["limit"] - len(given))
    return list(waiting.select_related(None).values_list("pk", flat=True)[:room])


def _giver(corpus: Corpus, job: Job) -> Give:
    """How some cases are given. People and their skills are looked at once: they change little meanwhile."""
    args, by, way = job.args, job.asked_by, Way(job.args["way"])
    named = list(User.objects.filter(pk__in=args["people"]))
    if way == Way.MANUAL:
        if by is None or len(named) != 1:
            raise Problem("no_people", "Somebody gives cases by hand to one person.")
        return partial(
            assign_many, person=named[0], by=by, purpose=Purpose(args["purpose"]), minutes=args["minutes"],
            job_id=job.pk,
        )  # fmt: skip
    free = free_people(corpus, named if args["people"] else None)  # nobody, where all who were named are gone
    return partial(
        share_out, corpus=corpus, way=way, by=by, people=free, skills=skill_values(way, free, corpus),
        most=args["most"], minutes=args["minutes"], job_id=job.pk,
    )  # fmt: skip


def _step(corpus: Corpus, ids: Sequence[int], give: Give) -> dict[int, str]:
    """Give these, all in one transaction; each by itself where something is wrong with one. Codes of what is left.

    Raises Problem where nothing can be given at all, and what the database's driver raises when it is away.
    """
    left = _tried(corpus, ids, give)
    if left is not None:
        return left
    found: dict[int, str] = {}
    for pk in ids:
        alone = _tried(corpus, [pk], give)
        found |= {pk: UNEXPECTED} if alone is None else alone
    return found


def _tried(corpus: Corpus, ids: Sequence[int], give: Give) -> dict[int, str] | None:
    """Codes of what is left; None where a bug on one of them undid it all."""
    try:
        return patiently(partial(_give, corpus, ids, give))
    except (Problem, OperationalError, InterfaceError):
        raise
    except Exception:  # the boundary between cases: said aloud, and the others go on
        logger.exception("cases %s could not be given", list(ids))
        return None


@transaction.atomic
def _give(corpus: Corpus, ids: Sequence[int], give: Give) -> dict[int, str]:
    found = Case.objects.filter(corpus=corpus).in_bulk(ids)
    cases = [found[pk] for pk in ids if pk in found]
    shared = give(cases=cases) if cases else Shared()
    given = {one.case_id for one in shared.given}
    codes = {pk: shared.left[pk].code if pk in shared.left else NO_ROOM for pk in found}
    return {pk: codes.get(pk, "not_found") for pk in ids if pk not in given}


def latest(corpus: Corpus) -> Job | None:
    """The corpus's newest job of this kind."""
    return Job.objects.filter(kind=JOB, corpus_id=corpus.pk).order_by("-pk").first()
