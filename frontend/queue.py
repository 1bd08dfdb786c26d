"""The list of cases: filters, order, what each row says, and the neighbours of one case in that order."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.http import QueryDict

from annotations.cases.kinds import Kind
from annotations.cases.models import (
    UNRANKED,
    Answer,
    ApprovedAnswer,
    AuthorKind,
    Case,
    CaseStatus,
    in_review_order,
)
from annotations.cases.sight import said_in_sight, sees_every_order, shown_with, sight_of
from annotations.corpora.search import video_has_words
from crashdesk.accounts.models import User
from crashdesk.accounts.scope import narrow
from crashdesk.api.keyset import beyond
from frontend.loop import IN_REVIEW

REVIEW = "review"
COUNTED = 10_000
MAX_ID = 2**63 - 1


@dataclass(frozen=True)
class Filters:
    """What the list is narrowed to. Empty strings narrow nothing."""

    corpus: str = ""
    status: str = ""
    source: str = ""
    q: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> "Filters":
        """From the address. A corpus that is no number and an unknown status are ignored."""
        corpus, status = query.get("corpus", ""), query.get("status", "")
        known = {*CaseStatus.values, REVIEW}
        return cls(
            corpus=corpus if corpus.isascii() and corpus.isdigit() and int(corpus) <= MAX_ID else "",
            status=status if status in known else "",
            source=query.get("source", "").replace("\0", "")[:100],
            q=query.get("q", "").replace("\0", "").strip()[:200],
        )

    def encoded(self) -> str:
        """As a query string without '?', e.g. 'status=review&q=truck'; '' when nothing is narrowed."""
        query = QueryDict(mutable=True)
        query.update({name: value for name, value in vars(self).items() if value})
        return query.urlencode()


def narrowed(filters: Filters, user: User) -> QuerySet[Case]:
    """The cases that the person may see and the filters leave, in review order: ranked ones first, then by id. `rank`
    is annotated. By id alone for whoever must not see ranks (annotations.cases.sight)."""
    corpus = int(filters.corpus) if filters.corpus else None
    order = ("rank", "id") if sees_every_order(user, corpus) else ("id",)
    cases = narrow(Case.objects.annotate(rank=in_review_order()).order_by(*order), user)
    if corpus is not None:
        cases = cases.filter(corpus_id=corpus)
    if filters.status:
        cases = cases.filter(shown_with(user, IN_REVIEW if filters.status == REVIEW else [filters.status]))
    if filters.source:
        cases = cases.filter(video__source=filters.source)
    if filters.q:
        found = video_has_words(filters.q, field="video_id") | said_in_sight(user, filters.q)
        number = filters.q.removeprefix("#")
        if number.isascii() and number.isdigit() and int(number) <= MAX_ID:
            found |= Q(pk=int(number))
        cases = cases.filter(found)
    return cases


@dataclass(frozen=True)
class Neighbours:
    """The cases before and after one, None at the ends."""

    previous: int | None
    next: int | None


def neighbours(case: Case, filters: Filters, user: User) -> Neighbours:
    """Who comes before and after `case` in the narrowed list, also when it has left that list meanwhile."""
    vars(case)["rank"] = UNRANKED if case.review_rank is None else case.review_rank
    cases = narrowed(filters, user)
    before, after = (
        beyond(cases, case, backwards=back).values_list("pk", flat=True) for back in (True, False)
    )
    return Neighbours(previous=before.first(), next=after.first())


def counted(cases: QuerySet[Case]) -> str:
    """How many cases that is, in words for people: not counted beyond what anybody would page through."""
    found = cases.order_by()[: COUNTED + 1].count()
    return str(found) if found <= COUNTED else f"more than {COUNTED}"


@dataclass(frozen=True)
class CaseRow:
    """One line of the list. `crash` is the recognition that counts so far; `confidence` the drafts' lowest, 0 to 1."""

    case: Case
    crash: str
    crash_by: str
    confidence: float | None


def rows(cases: list[Case], user: User) -> list[CaseRow]:
    """What the list says to the person about these cases, in a few more queries however many they are."""
    sight, ids = sight_of(user), [case.pk for case in cases]
    masked = set(sight.masked()).intersection(ids)
    cases = [sight.of(case).over(case) if case.pk in masked else case for case in cases]
    newest: dict[tuple[int, str], Mapping[str, Any]] = {}
    told = Answer.objects.filter(case_id__in=ids, author_kind=AuthorKind.MODEL).order_by("id")
    for answer in told.values("case_id", "kind", "value", "confidence"):
        newest[answer["case_id"], answer["kind"]] = answer
    approved = dict(
        ApprovedAnswer.objects.filter(case_id__in=ids, kind=Kind.CRASH_RECOGNITION)
        .exclude(case_id__in=masked)
        .values_list("case_id", "answer__value")
    )
    return [_row(case, newest, approved) for case in cases]


def _row(
    case: Case,
    newest: Mapping[tuple[int, str], Mapping[str, Any]],
    approved: dict[int, dict[str, Any] | None],
) -> CaseRow:
    drafts = [newest[case.pk, kind] for kind in Kind.values if (case.pk, kind) in newest]
    confidences = [draft["confidence"] for draft in drafts if draft["confidence"] is not None]
    recognition = newest.get((case.pk, Kind.CRASH_RECOGNITION))
    value, by = (recognition["value"] if recognition else None), "model"
    if case.pk in approved:
        value, by = approved[case.pk], "approved"
    return CaseRow(
        case=case,
        crash=value["label"] if value else "",
        crash_by=by,
        confidence=min(confidences, default=None),
    )
