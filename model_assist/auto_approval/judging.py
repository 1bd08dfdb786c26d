"""Comparing what people settled with what the model had said: of a policy's sample, and of its audit."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from annotations.cases.models import Answer, ApprovedAnswer, AuthorKind, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.reviews.models import CaseDraw
from model_assist.auto_approval.errors import wrong_kinds
from model_assist.auto_approval.models import Judged, Policy, PolicyDecision, SampleCase

CHUNK: Final = 500
EXCLUDED: Final = "excluded"


def judge(policy: Policy, rows: QuerySet[SampleCase] | QuerySet[PolicyDecision]) -> int:
    """Judge those of a policy's rows whose case people have settled since the last look; returns how many.

    Settled is what people approved, not what a policy did. A case that people excluded is an error: approved unseen, an
    unusable clip would have gone into the data. A case settled anew is judged anew and keeps its place in the order.
    """
    since = Q(checked_at__isnull=True) | Q(case__status_changed_at__gt=F("checked_at"))
    ended = Q(case__status__in=[CaseStatus.APPROVED, CaseStatus.EXCLUDED])
    waiting: list[Any] = list(rows.filter(since & ended).order_by("case__status_changed_at", "pk"))
    judged = 0
    for start in range(0, len(waiting), CHUNK):
        judged += _judge(policy, waiting[start : start + CHUNK])
    return judged


def _judge(policy: Policy, rows: Sequence[Judged]) -> int:
    ids = [row.case_id for row in rows]
    statuses = dict(Case.objects.filter(pk__in=ids).values_list("pk", "status"))
    true, unblind = settled(ids)
    said = _said(policy, rows)
    drawn = set(CaseDraw.objects.filter(case__in=ids, blind=True).values_list("case_id", flat=True))
    now, rules = timezone.now(), policy.rules
    judged = []
    for row in rows:
        if statuses[row.case_id] == CaseStatus.EXCLUDED:
            row.wrong_kinds = [EXCLUDED]
        elif row.case_id in true:
            row.wrong_kinds = wrong_kinds(rules, said=said[row.case_id], true=true[row.case_id])
        else:  # approved, but by a policy
            continue
        row.wrong, row.checked_at = bool(row.wrong_kinds), now
        row.judged_at = row.judged_at or now
        row.blind = row.case_id in drawn or row.case_id not in unblind
        judged.append(row)
    fields = ["wrong", "wrong_kinds", "blind", "judged_at", "checked_at"]
    if judged:
        type(judged[0])._default_manager.bulk_update(judged, fields)
    return len(judged)


def settled(ids: Sequence[int]) -> tuple[dict[int, dict[str, Said]], set[int]]:
    """What people approved, by case and kind; and the cases of which some answer began from a model's draft."""
    true: defaultdict[int, dict[str, Said]] = defaultdict(dict)
    unblind: set[int] = set()
    rows = ApprovedAnswer.objects.filter(case__in=ids, case__status=CaseStatus.APPROVED, policy="")
    for case_id, kind, state, value, author, draft in rows.values_list(
        "case_id",
        "kind",
        "answer__state",
        "answer__value",
        "answer__author_kind",
        "answer__draft__author_kind",
    ):
        true[case_id][kind] = Said(state, value)
        if AuthorKind.MODEL in (author, draft):
            unblind.add(case_id)
    return true, unblind


def _said(policy: Policy, rows: Sequence[Judged]) -> dict[int, dict[str, Said]]:
    """The model's answers that were looked at: those that a decision names, else the model version's newest."""
    held: dict[int, dict[str, Said]] = {row.case_id: {} for row in rows}
    named = [pk for row in rows for pk in getattr(row, "answers", {}).values()]
    answers = Answer.objects.filter(case__in=list(held), author_kind=AuthorKind.MODEL)
    answers = (
        answers.filter(pk__in=named) if named else answers.filter(model_version=policy.model_version.name)
    )
    for case_id, kind, state, value in answers.order_by("id").values_list(
        "case_id", "kind", "state", "value"
    ):
        held[case_id][kind] = Said(state, value)
    return held
