"""Fitting calibrations. Imported by the worker alone: scikit-learn takes seconds to load."""

from collections.abc import Callable
from typing import Any

from django.db import transaction

from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.running import Running
from model_assist.calibration.evidence import answers_hash, mean_rouge_l, reviews_of
from model_assist.calibration.fitting import CannotFit
from model_assist.calibration.fitting import fit as fit_pairs
from model_assist.calibration.models import Calibration
from model_assist.calibration.right import rule_of
from model_assist.calibration.services import AUTO
from model_assist.registry.models import ModelVersion

Check = Callable[[], None]


def fit(
    *,
    model_version: ModelVersion,
    kind: str,
    evidence: str = AUTO,
    seed: int = 0,
    by: User | None,
    job_id: int | None = None,
    check: Check = lambda: None,
) -> Calibration:
    """Fit one kind of a model version on its reviewed answers and keep the result; earlier fits stay.

    evidence: all reviewed answers, only those whose reviewer saw no model's draft (blind), or the latter where there
    are enough of them (auto). Raises Problem (too_few_pairs, one_class, too_few_recordings) when nothing can be
    fitted. `check` is called before anything is written and may raise.
    """
    reviews = reviews_of(model_version, kind)
    used, chosen = reviews.chosen(evidence)
    try:
        fitted = fit_pairs(
            [one.confidence for one in chosen],
            [one.right for one in chosen],
            [one.recording for one in chosen],
            seed=seed,
        )
    except CannotFit as error:
        raise Problem(
            error.code, f"{kind}: {error} ({used.value} evidence).", fields={"kinds": [kind]}
        ) from error
    check()
    return _keep(
        Calibration(
            model_version=model_version, kind=kind, method=fitted.method, parameters=fitted.parameters, evidence=used,
            pairs=len(chosen), right=sum(one.right for one in chosen), recordings=fitted.recordings,
            rule=rule_of(kind), standing=reviews.standing, left_out=reviews.left_out, rouge_l=mean_rouge_l(chosen),
            before=fitted.before, after=fitted.after, folds=fitted.folds, seed=seed,
            answers_hash=answers_hash(chosen), created_by=by, job_id=job_id,
        ),
        by=by,
    )  # fmt: skip


@transaction.atomic
def _keep(made: Calibration, *, by: User | None) -> Calibration:
    """Write it, once per job: a job started twice finds what it wrote."""
    if made.job_id is not None:
        ModelVersion.objects.select_for_update(no_key=True).get(pk=made.model_version_id)
        same = Calibration.objects.filter(job_id=made.job_id, kind=made.kind).first()
        if same is not None:
            return same
    made.save()
    data = {
        "calibration": made.pk, "kind": made.kind, "method": made.method, "pairs": made.pairs,
        "evidence": made.evidence, "ece_before": made.before["ece"], "ece_after": made.after["ece"],
    }  # fmt: skip
    record(actor=by, verb="model.calibrated", subject=made.model_version, data=data)
    return made


def run(running: Running) -> dict[str, Any]:
    """The job. args: model_version, kinds, evidence, seed. A kind that cannot be fitted holds up no other.

    Raises Problem when none could be fitted.
    """
    args = running.job.args
    version = ModelVersion.objects.filter(pk=args["model_version"]).first()
    if version is None:
        raise Problem("model_missing", f"There is no model version {args['model_version']} any more.")
    fitted: dict[str, int] = dict(Calibration.objects.filter(job_id=running.job.pk).values_list("kind", "id"))
    refused: dict[str, str] = {}
    kinds = args["kinds"]
    for done, kind in enumerate(kinds):
        running.progress(done, len(kinds), f"{version.name}: {kind}")
        if kind in fitted:
            continue
        try:
            made = fit(
                model_version=version, kind=kind, evidence=args["evidence"], seed=args["seed"],
                by=running.job.created_by, job_id=running.job.pk, check=lambda: running.check(fresh=True),
            )  # fmt: skip
        except Problem as problem:
            refused[kind] = problem.message
        else:
            fitted[kind] = made.pk
    running.progress(
        len(kinds), len(kinds), f"{version.name}: {len(fitted)} of {len(kinds)} kinds calibrated"
    )
    if not fitted:
        raise Problem("nothing_calibrated", " ".join(refused.values()))
    return {"fitted": fitted, "refused": refused}
