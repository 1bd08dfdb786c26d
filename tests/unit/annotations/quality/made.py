"""Reviews for tests of the agreement report: two people or more on one case, with and without drafts."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, Case, CaseStatus, Guideline
from annotations.cases.rules import Said
from annotations.cases.services import drafts
from annotations.corpora.models import Corpus
from annotations.reviews.models import Review
from annotations.reviews.services import record_submission
from crashdesk.accounts.models import User
from tests.factories import CRASH, make_case, make_video

_numbers = itertools.count(1)
DAY = datetime(2026, 3, 4, 12, tzinfo=UTC)


def label(word: str) -> Said:
    return Said("valued", {"label": word})


def span(start: float, end: float) -> Said:
    return Said("valued", {"start_us": round(start * 1e6), "end_us": round(end * 1e6)})


def onset(at: float) -> Said:
    return Said("valued", {"at_us": round(at * 1e6)})


def text(words: str) -> Said:
    return Said("valued", {"text": words})


ABSENT = Said("absent", None)
YES = {Kind.CRASH_RECOGNITION: label("yes")}
NO = {Kind.CRASH_RECOGNITION: label("no")}


def case_of(corpus: Corpus, guideline: Guideline, *, drafted: bool = False, **video: Any) -> Case:
    """A case that waits for people, with or without a model's drafts."""
    status = CaseStatus.PREDICTED if drafted else CaseStatus.READY
    return make_case(status, video=make_video(corpus, **video), guideline=guideline)


def review(
    case: Case,
    by: User,
    said: Mapping[str, Said] = CRASH,
    *,
    at: datetime = DAY,
    shown: Mapping[str, Answer] | None = None,
) -> Review:
    """Somebody's submitted review, begun from the drafts that the case has (or from those `shown`)."""
    return record_submission(
        case=case, reviewer=by, origin=f"test:{next(_numbers)}", answers=said,
        drafts=drafts(case) if shown is None else shown, lead_seconds=10.0, revision="1", submitted_at=at,
    )  # fmt: skip
