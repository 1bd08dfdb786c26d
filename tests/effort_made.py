"""Reviews with measured activity for tests: some cases with the model's draft shown, some drawn to be blind."""

import itertools
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from annotations.cases.models import Answer, Case, CaseStatus, Guideline
from annotations.cases.rules import Said
from annotations.cases.services import drafts
from annotations.corpora.models import Corpus, Video
from annotations.effort.ledger import microseconds
from annotations.effort.models import Activity, Place
from annotations.reviews.changes import Change
from annotations.reviews.models import CaseDraw, Review
from annotations.reviews.plans import current_plan
from annotations.reviews.services import record_submission
from crashdesk.accounts.models import User
from tests.factories import CRASH, make_case, make_video

_numbers = itertools.count(1)
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def drawn_case(
    corpus: Corpus,
    guideline: Guideline,
    *,
    blind: bool | None,
    drafted: bool = True,
    said: Mapping[str, Said] = CRASH,
    recording: str = "",
) -> Case:
    """A case that waits for people; `blind` None: nothing was drawn for it."""
    fields = {"recording": recording} if recording else {}
    case = make_case(
        CaseStatus.PREDICTED if drafted else CaseStatus.READY, said=said, video=make_video(corpus, **fields),
        guideline=guideline,
    )  # fmt: skip
    case.answers.update(created_at=NOON - timedelta(days=1))
    if blind is not None:
        CaseDraw.objects.update_or_create(
            case=case,
            defaults={"plan": current_plan(corpus), "blind": blind, "double": False, "second": False},
        )
    return case


def moments(
    by: User, case: Case, seconds: Sequence[float], *, until: datetime = NOON, typed: int = 0, keys: int = 0
) -> Activity:
    """Moments that lie so many seconds before `until`."""
    at = sorted(microseconds(until) - round(second * 1e6) for second in seconds)
    return Activity.objects.create(
        person=by, case=case, batch=uuid.uuid4(), place=Place.LABELSTUDIO, moments_us=at, first_us=at[0],
        last_us=at[-1], typed=typed, keys=keys,
    )  # fmt: skip


def submit(
    case: Case,
    by: User,
    said: Mapping[str, Said] = CRASH,
    *,
    at: datetime = NOON,
    blind: bool = False,
    lead_seconds: float | None = 300.0,
    changes: Mapping[str, Change] | None = None,
) -> Review:
    """Somebody's submitted review, begun from the case's drafts unless it is blind."""
    return record_submission(
        case=case, reviewer=by, origin=f"effort:{next(_numbers)}", answers=said, drafts={} if blind else drafts(case),
        lead_seconds=lead_seconds, revision="1", submitted_at=at, changes=changes,
    )  # fmt: skip


@dataclass(frozen=True)
class Worked:
    """One review for `many_reviews`: who, for how long, in which arm, and what they said."""

    by: User
    seconds: float
    blind: bool
    said: Mapping[str, Said]


def many_reviews(
    corpus: Corpus, guideline: Guideline, reviews: Sequence[Worked], *, draft: Mapping[str, Said]
) -> None:
    """Many reviews with activity, each of a case and a recording of its own that a model drafted; written in bulk, as
    walking the workflow takes a tenth of a second for each."""
    plan = current_plan(corpus)
    videos = Video.objects.bulk_create(
        Video(corpus=corpus, name=f"many {number}", recording=f"many {number}")
        for number in range(len(reviews))
    )
    cases = Case.objects.bulk_create(
        Case(corpus=corpus, video=video, guideline=guideline, status=CaseStatus.SUBMITTED) for video in videos
    )
    CaseDraw.objects.bulk_create(
        CaseDraw(case=case, plan=plan, blind=one.blind, double=False, second=False)
        for case, one in zip(cases, reviews, strict=True)
    )
    Answer.objects.bulk_create(
        Answer(
            case=case,
            kind=kind,
            state=said.state,
            value=said.value,
            author_kind="model",
            model_version="tiny",
        )
        for case in cases
        for kind, said in draft.items()
    )
    Answer.objects.filter(case__in=cases).update(created_at=NOON - timedelta(days=1))
    made = Review.objects.bulk_create(
        Review(case=case, reviewer=one.by, outcome="submitted", origin=f"many:{case.pk}", submitted_at=NOON)
        for case, one in zip(cases, reviews, strict=True)
    )
    answers = Answer.objects.bulk_create(
        Answer(
            case=case, kind=kind, state=said.state, value=said.value, author_kind="person", author=one.by,
            origin=f"many:{case.pk}",
        )
        for case, one in zip(cases, reviews, strict=True)
        for kind, said in one.said.items()
    )  # fmt: skip
    by_case = {review.case_id: review.pk for review in made}
    Review.answers.through.objects.bulk_create(
        Review.answers.through(review_id=by_case[answer.case_id], answer_id=answer.pk) for answer in answers
    )
    batches = []
    for case, one, number in zip(cases, reviews, itertools.count(), strict=False):
        begin = microseconds(NOON) - (number + 1) * 3_600_000_000  # nobody works at two cases at once
        steps = max(1, round(one.seconds / 20))
        at = [begin + round(1e6 * one.seconds * step / steps) for step in range(steps + 1)]
        batches.append(
            Activity(
                person=one.by, case=case, batch=uuid.uuid4(), place=Place.LABELSTUDIO, moments_us=at, first_us=at[0],
                last_us=at[-1],
            )
        )  # fmt: skip
    Activity.objects.bulk_create(batches)
