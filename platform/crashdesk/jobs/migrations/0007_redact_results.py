from django.db import migrations

PULL, RECONCILE = "labelstudio_pull", "labelstudio_reconcile"


def redact(apps, schema_editor):
    """Results of before they were redacted say who answered what and why it was not taken; now only which task it was.

    Everybody who may look into a corpus reads them. What they said stands on the clips and the projects.
    """
    jobs = apps.get_model("jobs", "Job").objects.filter(
        kind__in=[PULL, RECONCILE], result__has_key="projects"
    )
    for job in jobs.order_by("pk").only("pk", "result").iterator(chunk_size=200):
        kept = {name: redacted(report) for name, report in job.result["projects"].items()}
        if kept != job.result["projects"]:
            job.result = {**job.result, "projects": kept}
            job.save(update_fields=["result"])


def redacted(report):
    """Without single disagreements; of what was refused only the task."""
    kept = {name: value for name, value in report.items() if name != "single"}
    if "refused" in kept:
        kept["refused"] = [{"task": one.get("task")} for one in kept["refused"]]
    return kept


class Migration(migrations.Migration):
    dependencies = [("jobs", "0006_corpora")]

    operations = [migrations.RunPython(redact, migrations.RunPython.noop)]
