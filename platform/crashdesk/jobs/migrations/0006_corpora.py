from django.db import migrations, models

PATHS = {
    "import": ("corpora.ImportRun", "corpus_id"),
    "upload": ("corpora.Upload", "corpus_id"),
    "dataset_version": ("datasets.DatasetVersion", "corpus_id"),
    "prediction_run": ("predictions.PredictionRun", "corpus_id"),
    "training_run": ("training.TrainingRun", "dataset_version__corpus_id"),
}
"""What the groups of jobs are named after, and where the corpus is from there."""
KEYS = ("corpus", "corpus_id")


def find_corpora(apps, schema_editor):
    """Jobs of before the column get the corpus of what their group is named after, else the one their args name."""
    jobs = apps.get_model("jobs", "Job").objects.filter(corpus_id__isnull=True).order_by()
    for group, (name, path) in PATHS.items():
        for pk, corpus_id in apps.get_model(name).objects.order_by().values_list("pk", path):
            jobs.filter(group=f"{group}:{pk}").update(corpus_id=corpus_id)
    for key in KEYS:
        named = jobs.filter(args__has_key=key).exclude(**{f"args__{key}": None})
        for corpus_id in set(named.values_list(f"args__{key}", flat=True)):
            named.filter(**{f"args__{key}": corpus_id}).update(corpus_id=corpus_id)


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0005_held_groups"),
        ("corpora", "0004_corpus_access"),
        ("datasets", "0001_initial"),
        ("predictions", "0002_choosing_and_control"),
        ("training", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="corpus_id",
            field=models.BigIntegerField(
                help_text="the corpus it works for: who may see it; null for the site's own work", null=True
            ),
        ),
        migrations.RunPython(find_corpora, migrations.RunPython.noop),
    ]
