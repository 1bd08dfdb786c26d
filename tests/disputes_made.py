"""Cases that two people answer, brought to a dispute through the real workflow."""

from collections.abc import Mapping

from annotations.cases.kinds import Kind
from annotations.cases.models import Case, CaseStatus
from annotations.cases.rules import Said
from annotations.cases.services import drafts
from annotations.corpora.models import Media
from annotations.reviews.assignments import assign
from annotations.reviews.disputes import live_dispute
from annotations.reviews.draws import draw_of
from annotations.reviews.models import Assignment, Dispute, Purpose, Review, ReviewPlan, Way
from annotations.reviews.plans import set_plan
from annotations.reviews.services import record_submission
from crashdesk.accounts.models import Role, User
from tests.factories import CRASH, make_case, make_corpus, make_user, make_video

LATE: Mapping[str, Said] = {
    **CRASH,
    Kind.CRASH_LOCALIZATION: Said("valued", {"start_us": 3_200_000, "end_us": 4_000_000}),
    Kind.CAUSAL_REASONING: Said("valued", {"text": "Ice on the bridge."}),
}
"""Differs from CRASH in the span (tIoU 0.15) and the cause (one word of four in common)."""


def make_plan(by: User | None = None, **fields: object) -> ReviewPlan:
    """The plan of a new corpus."""
    return set_plan(corpus=make_corpus(), by=by or make_user(Role.LEAD), **fields)


def make_planned_case(
    status: CaseStatus = CaseStatus.PREDICTED,
    *,
    by: User | None = None,
    media: Media | None = None,
    **fields: object,
) -> Case:
    """A case drawn under a plan of these fields before anybody sees it; 1.0 shares draw it for sure."""
    plan = make_plan(by, **fields)
    shows = {} if media is None else {"media": media}
    case = make_case(status, video=make_video(plan.corpus, **shows))
    draw_of(case)
    return case


def ask(case: Case, person: User, purpose: Purpose = Purpose.ANNOTATE) -> Assignment:
    """Ask somebody for a pass, as the system does."""
    return assign(case=case, person=person, purpose=purpose, way=Way.TAKEN, by=None)


def answer(
    case: Case,
    person: User,
    said: Mapping[str, Said] = CRASH,
    *,
    revision: str = "1",
    assignment: Assignment | None = None,
    origin: str = "",
) -> Review:
    """One person's pass; the same person again edits it. As from a task: one of the control arm shows no draft."""
    return record_submission(
        case=case, reviewer=person, origin=origin or f"test:{case.pk}:{person.pk}", answers=said,
        drafts={} if draw_of(case).blind else drafts(case), lead_seconds=20.0, revision=revision, assignment=assignment,
    )  # fmt: skip


def make_dispute(
    one: Mapping[str, Said] = CRASH,
    other: Mapping[str, Said] = LATE,
    *,
    media: Media | None = None,
    **fields: object,
) -> Dispute:
    """A case that two people answered differently, by default in the span and the cause."""
    case = make_planned_case(media=media, double_share=1.0, **fields)
    first, second = make_user(Role.ANNOTATOR), make_user(Role.ANNOTATOR)
    ask(case, first)
    answer(case, first, one)
    ask(case, second, Purpose.DOUBLE)
    answer(case, second, other)
    dispute = live_dispute(case)
    assert dispute is not None
    return dispute
