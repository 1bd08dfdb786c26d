"""Starting, watching and cancelling prediction runs."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import Count, F

from annotations.cases.models import Case, CaseStatus, Guideline
from annotations.corpora.models import Corpus, MediaState
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import cancel_group, enqueue_many
from model_assist.predictions.models import CasePrediction, PredictionRun
from model_assist.registry.models import ModelVersion
from model_assist.registry.services import in_use


@transaction.atomic
def start_run(
    *,
    corpus: Corpus,
    guideline: Guideline,
    by: User | None,
    model_version: ModelVersion | None = None,
    case_ids: Sequence[int] | None = None,
) -> PredictionRun:
    """Predict all usable cases of a corpus under a guideline (or just the given ones), one job per case.

    The model is the one in use unless another is named. Raises Problem when there is nothing to predict.
    """
    cases = Case.objects.filter(
        corpus=corpus, guideline=guideline, video__media__state=MediaState.READY
    ).exclude(status__in=[CaseStatus.NEW, CaseStatus.EXCLUDED])
    if case_ids is not None:
        cases = cases.filter(pk__in=case_ids)
    ids = list(cases.order_by(F("review_rank").asc(nulls_last=True), "id").values_list("pk", flat=True))
    if not ids:
        raise Problem("nothing_to_predict", f"No case of {corpus} is ready for the model.")
    run = PredictionRun.objects.create(
        corpus=corpus, guideline=guideline, model_version=model_version or in_use(), created_by=by
    )
    rows = CasePrediction.objects.bulk_create(
        [CasePrediction(run=run, case_id=case_id) for case_id in ids], batch_size=1000
    )
    enqueue_many("predict_case", [{"case_prediction": row.pk} for row in rows], by=by, group=run.group)
    data = {"cases": len(ids), "model_version": run.model_version.name}
    record(actor=by, verb="prediction_run.started", subject=run, data=data)
    return run


def progress_of(run: PredictionRun) -> dict[str, int]:
    """Number of the run's cases by job state, and in total."""
    rows = Job.objects.filter(group=run.group).order_by().values("state").annotate(n=Count("id"))
    counts = {state: 0 for state in JobState.values} | {row["state"]: row["n"] for row in rows}
    return counts | {"total": sum(counts.values())}


def cancel_run(*, run: PredictionRun, by: User | None) -> int:
    """Stop a run: waiting cases at once, the one in work before its answers are written. Returns how many."""
    return cancel_group(run.group, by=by)
