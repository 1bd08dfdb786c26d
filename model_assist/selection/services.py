"""Selection rounds over the cases that nobody has reviewed yet."""

from collections import defaultdict

from django.db import transaction

from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus, Guideline
from annotations.corpora.models import Corpus
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from model_assist.calibration.services import Calibrator
from model_assist.registry.services import in_use
from model_assist.selection.models import SelectionPick, SelectionRound
from model_assist.selection.ranking import pick

UNREVIEWED = [CaseStatus.PREDICTED, CaseStatus.IN_REVIEW]


@transaction.atomic
def select(
    *, corpus: Corpus, guideline: Guideline, size: int, random_share: float, seed: int, by: User | None
) -> SelectionRound:
    """Rank the next `size` un-reviewed cases by the uncertainty of the model in use, plus a random slice.

    Where a kind of this model is calibrated, the calibrated confidence counts: the raw ones of two kinds are not
    worth the same.
    The order reaches reviewers as Case.review_rank; cases not picked lose the rank of an earlier round.
    """
    cases = Case.objects.filter(corpus=corpus, guideline=guideline, status__in=UNREVIEWED)
    confidences: dict[int, dict[str, float]] = {
        case_id: {} for case_id in cases.order_by("id").values_list("pk", flat=True)
    }
    if not confidences:
        raise Problem("nothing_to_select", f"No case of {corpus} waits for review.")
    model = in_use()
    calibrator = Calibrator.of(model)
    rows = Answer.objects.filter(case__in=cases, author_kind=AuthorKind.MODEL, model_version=model.name)
    by_case: defaultdict[int, dict[str, float]] = defaultdict(dict)
    said = rows.order_by("id").values_list(
        "case_id", "kind", "state", "confidence", "confidence_detail__gated"
    )
    for case_id, kind, state, confidence, gated in said.iterator(chunk_size=5000):
        if confidence is not None:
            worth = calibrator.of_said(kind, state, confidence, gated=bool(gated))
            by_case[case_id][kind] = confidence if worth is None else worth
    confidences |= by_case
    round_ = SelectionRound.objects.create(
        corpus=corpus, guideline=guideline, size=size, random_share=random_share, seed=seed, created_by=by
    )
    picks = pick(confidences, size=size, random_share=random_share, seed=seed)
    SelectionPick.objects.bulk_create(
        SelectionPick(
            round=round_, case_id=one.case_id, rank=one.rank, uncertainty=one.uncertainty, reason=one.reason
        )
        for one in picks
    )
    cases.update(review_rank=None)
    ranked = [Case(pk=one.case_id, review_rank=one.rank) for one in picks]
    Case.objects.bulk_update(ranked, ["review_rank"], batch_size=1000)
    record(actor=by, verb="selection.made", subject=round_, data={"picked": len(picks)})
    return round_
