"""Cases, people and passes for tests of assignments, comments and queues: by the real services."""

from typing import Any

from annotations.cases.models import Case, CaseStatus
from annotations.cases.services import drafts
from annotations.cases.workflow import move
from annotations.corpora.models import Corpus
from annotations.reviews.assignments import assign
from annotations.reviews.models import Assignment, Purpose, Review, Way
from annotations.reviews.plans import set_plan
from annotations.reviews.services import record_submission
from crashdesk.accounts.models import Role, User
from tests.factories import CRASH, make_case, make_corpus, make_guideline, make_user, make_video


def people(count: int, role: Role = Role.ANNOTATOR) -> list[User]:
    return [make_user(role) for _ in range(count)]


def planned_corpus(**plan: Any) -> Corpus:
    """A corpus under a plan of those fields."""
    corpus = make_corpus()
    if plan:
        set_plan(corpus=corpus, by=make_user(Role.LEAD), **plan)
    return corpus


def drafted(corpus: Corpus, count: int = 1, *, status: CaseStatus = CaseStatus.PREDICTED) -> list[Case]:
    """That many cases of a corpus with drafts, waiting for people."""
    guideline = make_guideline()
    return [make_case(status, video=make_video(corpus), guideline=guideline) for _ in range(count)]


def bare_cases(corpus: Corpus, count: int) -> list[Case]:
    """That many cases in review, written at once and without answers: for tests that need many."""
    guideline = make_guideline()
    videos = [make_video(corpus, media=None) for _ in range(count)]
    return Case.objects.bulk_create(
        Case(corpus=corpus, video=video, guideline=guideline, status=CaseStatus.IN_REVIEW) for video in videos
    )


def submit(case: Case, person: User, *, assignment: Assignment | None = None, **given: Any) -> Review:
    """The person submits their pass."""
    made = f"test:{case.pk}:{person.pk}:{assignment.pk if assignment else 0}"
    values = {"answers": CRASH, "lead_seconds": 20.0, "revision": "1", "origin": made}
    return record_submission(
        case=case, reviewer=person, drafts=drafts(case), assignment=assignment, **{**values, **given}
    )


def given(case: Case, person: User, purpose: Purpose = Purpose.ANNOTATE, **fields: Any) -> Assignment:
    """An open assignment as the system writes it."""
    values: dict[str, Any] = {"way": Way.MANUAL, "by": None, "minutes": None}
    return assign(case=case, person=person, purpose=purpose, **{**values, **fields})


def in_review(case: Case) -> Case:
    """As a push leaves it."""
    move(case, CaseStatus.IN_REVIEW, by=None)
    return case
