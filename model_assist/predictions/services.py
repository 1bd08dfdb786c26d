"""Starting prediction runs. What happens to them afterwards: control.py, progress.py, outcome.py."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import JSONObject
from django.utils import timezone

from annotations.cases.models import Case, Guideline
from annotations.corpora.access import require
from annotations.corpora.models import Corpus
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.bulk import insert_found
from crashdesk.jobs.models import Job
from crashdesk.jobs.registry import handler_for
from crashdesk.jobs.wake import wake
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
    require(by, Action.PREDICT, wish.corpus)
    choice = choose(wish)
    if not choice.to_do and not choice.answered:
        raise Problem("nothing_to_predict", _why_nothing(wish, choice))
    run = PredictionRun.objects.create(
        corpus=wish.corpus, guideline=wish.guideline, model_version=wish.model_version, kinds=list(wish.kinds),
        priority=wish.priority, filters=wish.stored(), created_by=by, active_since=timezone.now(),
    )  # fmt: skip
    count = _enqueue(run, choice.cases, by=by)
    run.tally = choice.tally() | {"to_do": count}
    run.save(update_fields=["tally"])
    data = {
        "cases": count, "skipped": choice.answered, "model_version": wish.model_version.name,
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


def _enqueue(run: PredictionRun, cases: QuerySet[Case], *, by: User | None) -> int:
    """A row and a job per case, in this order, in two statements for any number of them."""
    insert_found(CasePrediction, ["case"], cases.values_list("pk"), same={"run": run.pk})
    rows = CasePrediction.objects.filter(run=run).order_by("pk")
    kind = "predict_case"
    queue = handler_for(kind).queue
    same = {
        "kind": kind, "queue": queue, "group": run.group, "priority": Priority(run.priority).of_jobs,
        "created_by": by.pk if by else None, "woken_at": timezone.now(), "corpus_id": run.corpus_id,
    }  # fmt: skip
    args = JSONObject(case_prediction="pk")
    count = insert_found(Job, ["args"], rows.annotate(given=args).values_list("given"), same=same)
    if count:
        transaction.on_commit(partial(wake, queue))
    return count


def _why_nothing(wish: Wish, choice: Choice) -> str:
    if not choice.matched:
        return f"No case of {wish.corpus} matches, so there is nothing ready for the model."
    return (
        f"No case of {wish.corpus} is ready for the model: of {choice.matched} that match, {choice.without_clip} lack "
        f"a usable clip and {choice.excluded} are excluded."
    )
