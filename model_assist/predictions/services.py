"""Starting prediction runs. What happens to them afterwards: control.py, progress.py, outcome.py."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from annotations.cases.models import Case, Guideline
from annotations.corpora.models import Corpus
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.services import enqueue_many
from model_assist.predictions.choosing import Choice, Wish, choose, wish
from model_assist.predictions.models import CasePrediction, PredictionRun, Priority
from model_assist.registry.models import ModelVersion


def start_run(
    *,
    corpus: Corpus,
    guideline: Guideline,
    by: User | None,
    model_version: ModelVersion | None = None,
    kinds: Sequence[str] | None = None,
    priority: str = Priority.NORMAL,
    filters: Mapping[str, Any] | None = None,
    case_ids: Sequence[int] | None = None,
    limit: int | None = None,
    again: bool = False,
) -> PredictionRun:
    """Start a run over the usable cases of a corpus under a guideline that the filters leave, one job per case.

    The model is the one in use unless another is named; the kinds are all six unless fewer are. Cases that this model
    version has answered already are left out (unless `again`); when that leaves none, the run is over at once.
    Raises Problem when no usable case matches at all.
    """
    return start(
        wish(
            corpus=corpus, guideline=guideline, model_version=model_version, kinds=kinds, priority=priority,
            filters=filters, case_ids=case_ids, limit=limit, again=again,
        ),
        by=by,
    )  # fmt: skip


@transaction.atomic
def start(wish: Wish, *, by: User | None) -> PredictionRun:
    """Start what was wished for: the cases are chosen now and stay. Raises Problem when no usable case matches."""
    choice = choose(wish)
    if not choice.to_do and not choice.answered:
        raise Problem("nothing_to_predict", _why_nothing(wish, choice))
    run = PredictionRun.objects.create(
        corpus=wish.corpus, guideline=wish.guideline, model_version=wish.model_version, kinds=list(wish.kinds),
        priority=wish.priority, filters=wish.stored(), created_by=by, active_since=timezone.now(),
    )  # fmt: skip
    rows = CasePrediction.objects.bulk_create(
        [CasePrediction(run=run, case_id=pk) for pk in choice.cases.values_list("pk", flat=True)],
        batch_size=5000,
    )
    run.tally = choice.tally() | {"to_do": len(rows)}
    run.save(update_fields=["tally"])
    enqueue_many(
        "predict_case", [{"case_prediction": row.pk} for row in rows], by=by, group=run.group,
        priority=wish.priority.of_jobs,
    )  # fmt: skip
    data = {
        "cases": len(rows), "skipped": choice.answered, "model_version": wish.model_version.name,
        "kinds": list(wish.kinds), "priority": wish.priority.value,
    }  # fmt: skip
    record(actor=by, verb="prediction_run.started", subject=run, data=data)
    return run


def predict_now(
    *, case: Case, by: User | None, model_version: ModelVersion | None = None, again: bool = False
) -> PredictionRun:
    """A run of one case for a person who waits: it goes before every other run.

    Raises Problem when the case cannot be shown to the model, or when the model has answered it already.
    """
    asked = wish(
        corpus=case.corpus, guideline=case.guideline, model_version=model_version, priority=Priority.PERSON,
        case_ids=[case.pk], again=again,
    )  # fmt: skip
    if choose(asked).answered:
        raise Problem(
            "already_answered",
            f"{asked.model_version} has answered case {case.pk} already; asked again it says the same.",
        )
    return start(asked, by=by)


def _why_nothing(wish: Wish, choice: Choice) -> str:
    if not choice.matched:
        return f"No case of {wish.corpus} matches, so there is nothing ready for the model."
    return (
        f"No case of {wish.corpus} is ready for the model: of {choice.matched} that match, {choice.without_clip} lack "
        f"a usable clip and {choice.excluded} are excluded."
    )
