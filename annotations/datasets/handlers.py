"""Long work on dataset versions."""

from typing import Any

from django.db import transaction

from annotations.cases.models import Guideline
from annotations.corpora.models import Corpus
from annotations.datasets import services
from annotations.datasets.models import DatasetVersion
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.jobs.registry import register
from crashdesk.jobs.running import Running


def freeze(running: Running) -> dict[str, Any]:
    """args: corpus, guideline, note, split_seed, val_share, test_share.

    Started again after its version was written but before it could say so, it finds that version.
    """
    args = running.job.args
    by = running.job.created_by
    try:
        with transaction.atomic():
            version = services.freeze(
                corpus=Corpus.objects.get(pk=args["corpus"]),
                guideline=Guideline.objects.get(pk=args["guideline"]),
                note=args["note"],
                split_seed=args["split_seed"],
                val_share=args["val_share"],
                test_share=args["test_share"],
                by=by,
                step=running.progress_in_transaction,
            )
            running.check(fresh=True)
    except Problem as problem:
        ours = DatasetVersion.objects.filter(
            pk__in=problem.fields.get("version", []), created_by=by, created_at__gte=running.job.started_at
        ).first()
        if ours is None:
            raise
        version = ours
    return {
        "dataset_version": version.pk, "number": version.number, "records": version.record_count,
        "approved_by_policy": version.unseen_count, "policy_cases_left_out": version.unseen_left_out,
    }  # fmt: skip


def export(running: Running) -> dict[str, Any]:
    """args: version, format, by (user id or null). Started twice, it finds the stored file or writes it again."""
    args = running.job.args
    version = DatasetVersion.objects.get(pk=args["version"])
    by = User.objects.filter(pk=args["by"]).first() if args["by"] else None
    made = services.export(
        version=version,
        export_format=args["format"],
        by=by,
        step=lambda done: running.progress(done, version.record_count, f"{done} records written"),
    )
    return {"export": made.pk, "sha256": made.sha256, "size": made.size}


register("freeze", queue="data", run=freeze, needs=Action.FREEZE)
register("export", queue="data", run=export)
