"""Which cases a run takes: the case list's filters, what is usable among them, and what is answered already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import django_filters
from django.db.models import Count, F, Q, QuerySet
from django.http import QueryDict

from annotations.cases.api import CaseFilter
from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus, Guideline, Prompt
from annotations.corpora.models import Corpus, MediaState
from crashdesk.api.errors import Problem
from model_assist.crashchat.kinds import PERCEPTION
from model_assist.crashchat.prompts import complete_prompts, prompt_version
from model_assist.predictions.models import Priority, all_kinds
from model_assist.registry.models import ModelVersion
from model_assist.registry.services import in_use, settings_of

ANSWERS: Final = (("has", "answered by this model"), ("lacks", "not answered by this model"))
NAMED: Final = 5
"""How many unknown case ids a refusal names."""


class RunCaseFilter(CaseFilter):
    """The case list's filters, and those that make sense for a run only. `answered`: ids of answered cases."""

    ordering = None  # a run goes by review order
    split = django_filters.CharFilter(field_name="video__split")
    max_rank = django_filters.NumberFilter(
        field_name="review_rank", lookup_expr="lte", label="ranked for review, up to this rank"
    )
    answers = django_filters.ChoiceFilter(
        choices=ANSWERS, method="with_answers", label="of this model version to all the kinds asked"
    )

    class Meta(CaseFilter.Meta):
        fields = ["status", "source", "recording", "split", "search", "max_rank", "answers"]

    def __init__(self, data: QueryDict, queryset: QuerySet[Case], *, answered: QuerySet[Answer, int]) -> None:
        super().__init__(data, queryset=queryset)
        self.answered = answered

    def with_status(self, cases: QuerySet[Case], name: str, value: list[str]) -> QuerySet[Case]:
        """A run goes by what is so, not by what the person who starts it may be shown."""
        return cases.filter(status__in=value) if value else cases

    def with_answers(self, cases: QuerySet[Case], name: str, value: str) -> QuerySet[Case]:
        has = Q(pk__in=self.answered)
        return cases.filter(has if value == "has" else ~has)


@dataclass(frozen=True)
class Wish:
    """What somebody asks for, completed and checked.

    kinds: in the fixed order; `added` are those among them that nobody named but localisation depends on.
    case_ids: None for all that the filters leave.  limit: take at most so many that are still to be answered.
    again: answer cases that this model has answered already, too.
    """

    corpus: Corpus
    guideline: Guideline
    model_version: ModelVersion
    kinds: tuple[str, ...]
    added: tuple[str, ...]
    priority: Priority
    filters: Mapping[str, Any]
    case_ids: tuple[int, ...] | None
    limit: int | None
    again: bool

    def stored(self) -> dict[str, Any]:
        """How the cases were chosen, as JSON; what was not narrowed is left out."""
        rest = {"case_ids": self.case_ids and list(self.case_ids), "limit": self.limit, "again": self.again}
        return {
            name: value
            for name, value in (*self.filters.items(), *rest.items())
            if value not in (None, False)
        }


def wish(
    *,
    corpus: Corpus,
    guideline: Guideline,
    model_version: ModelVersion | None = None,
    kinds: Sequence[str] | None = None,
    priority: str = Priority.NORMAL,
    filters: Mapping[str, Any] | None = None,
    case_ids: Sequence[int] | None = None,
    limit: int | None = None,
    again: bool = False,
) -> Wish:
    """Complete what is asked for: the model in use, all six kinds, and recognition where localisation is gated.

    Raises Problem for unknown kinds, none at all, or when no model is in use.
    """
    version = model_version or in_use()
    asked = all_kinds() if kinds is None else list(kinds)
    unknown = sorted(set(asked) - set(Kind.values))
    if unknown or not asked:
        wrong = f"unknown: {', '.join(unknown)}" if unknown else "ask for at least one"
        raise Problem("invalid_kinds", f"Kinds: {wrong}.", fields={"kinds": [wrong]}, status=400)
    gated = settings_of(version).gate_localisation and any(kind in PERCEPTION for kind in asked)
    added = [Kind.CRASH_RECOGNITION.value] if gated and Kind.CRASH_RECOGNITION not in asked else []
    return Wish(
        corpus=corpus, guideline=guideline, model_version=version,
        kinds=tuple(kind for kind in all_kinds() if kind in {*asked, *added}), added=tuple(added),
        priority=Priority(priority), filters={k: v for k, v in (filters or {}).items() if v not in (None, "", [])},
        case_ids=None if case_ids is None else tuple(sorted(set(case_ids))), limit=limit, again=again,
    )  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """The cases of a wish. matched = excluded + without_clip + answered (those skipped) + to_do + beyond_limit."""

    matched: int
    excluded: int
    without_clip: int
    answered: int
    to_do: int
    beyond_limit: int
    cases: QuerySet[Case]

    def tally(self) -> dict[str, int]:
        """The numbers, for the run's record."""
        return {name: value for name, value in vars(self).items() if name != "cases"}


def choose(wish: Wish) -> Choice:
    """Count what the wish matches; `cases` are those to be answered, in review order, at most `limit` of them.

    `answered` counts those that are left out for it: 0 when the wish says `again`. Raises Problem for a filter
    that is not understood and for case ids that are not of this corpus and guideline.
    """
    matched = _narrowed(wish)
    usable = Q(video__media__state=MediaState.READY) & ~Q(status__in=[CaseStatus.NEW, CaseStatus.EXCLUDED])
    excluded = Q(status=CaseStatus.EXCLUDED)
    skipped = Q(pk__in=[]) if wish.again else Q(pk__in=answered(wish))
    found = matched.order_by().aggregate(
        matched=Count("pk"),
        excluded=Count("pk", filter=excluded),
        usable=Count("pk", filter=usable),
        answered=Count("pk", filter=usable & skipped),
    )
    left = found["usable"] - found["answered"]
    to_do = left if wish.limit is None else min(left, wish.limit)
    cases = matched.filter(usable).exclude(skipped)
    return Choice(
        matched=found["matched"], excluded=found["excluded"],
        without_clip=found["matched"] - found["excluded"] - found["usable"], answered=found["answered"],
        to_do=to_do, beyond_limit=left - to_do,
        cases=cases.order_by(F("review_rank").asc(nulls_last=True), "id")[:to_do],
    )  # fmt: skip


def answered(wish: Wish) -> QuerySet[Answer, int]:
    """Ids of the cases that this model version has answered to all the kinds, asked in the guideline's words."""
    same = Q(pk__in=[])
    versions = question_versions(wish.guideline, wish.kinds)
    for kind, version in versions.items():
        same |= Q(kind=kind, prompt_version=version)
    rows = Answer.objects.filter(
        same, author_kind=AuthorKind.MODEL, model_version=wish.model_version.name, case__corpus=wish.corpus
    )
    complete = rows.order_by().values("case_id").annotate(kinds=Count("pk")).filter(kinds=len(versions))
    return complete.values_list("case_id", flat=True)


def question_versions(guideline: Guideline, kinds: Sequence[str]) -> dict[str, str]:
    """Prompt version by kind, as the engine records it: of the guideline's words, or its own where there are none.

    Raises Problem when a question of the guideline cannot be asked.
    """
    given = dict(Prompt.objects.filter(guideline=guideline, kind__in=kinds).values_list("kind", "text"))
    try:
        return {kind: prompt_version(text) for kind, text in complete_prompts(given, kinds).items()}
    except ValueError as error:
        raise Problem(
            "prompt_unusable", f"{guideline}: {error}", fields={"guideline": [str(error)]}
        ) from error


def _narrowed(wish: Wish) -> QuerySet[Case]:
    cases = Case.objects.filter(corpus=wish.corpus, guideline=wish.guideline)
    if wish.case_ids is not None:
        cases = cases.filter(pk__in=wish.case_ids)
        _check_known(wish, cases)
    data = QueryDict(mutable=True)
    for name, value in wish.filters.items():
        data.setlist(name, [str(one) for one in value] if isinstance(value, list | tuple) else [str(value)])
    unknown = sorted(set(wish.filters) - set(RunCaseFilter.base_filters))
    filters = RunCaseFilter(data, cases, answered=answered(wish))
    if unknown or not filters.is_valid():
        wrong: dict[str, Any] = {name: ["is no filter of cases"] for name in unknown}
        wrong |= {name: [str(error) for error in errors] for name, errors in filters.errors.items()}
        raise Problem("invalid", "Some filters are not valid.", fields={"filters": wrong}, status=400)
    narrowed: QuerySet[Case] = filters.qs
    return narrowed


def _check_known(wish: Wish, cases: QuerySet[Case]) -> None:
    unknown = sorted(set(wish.case_ids or ()) - set(cases.values_list("pk", flat=True)))
    if unknown:
        named = ", ".join(map(str, unknown[:NAMED])) + (" …" if len(unknown) > NAMED else "")
        wrong = f"not of this corpus and guideline: {named}"
        raise Problem(
            "unknown_cases", f"{len(unknown)} cases are {wrong}.", fields={"case_ids": [wrong]}, status=400
        )
