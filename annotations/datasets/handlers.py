"""Long work on dataset versions."""

from typing import Any

from annotations.datasets import services
from annotations.datasets.models import DatasetVersion
from crashdesk.accounts.models import User
from crashdesk.jobs.registry import register
from crashdesk.jobs.running import Running


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


register("export", queue="data", run=export)
