from django.db import migrations
from django.db.models import OuterRef, Subquery

PATHS = {
    "corpora.BucketSource": "corpus_id",
    "corpora.Corpus": "id",
    "corpora.ImportRun": "corpus_id",
    "corpora.Video": "corpus_id",
    "cases.Case": "corpus_id",
    "datasets.DatasetVersion": "corpus_id",
    "datasets.Export": "version__corpus_id",
    "jobs.Job": "corpus_id",
    "labelstudio.LabelStudioProject": "corpus_id",
    "predictions.PredictionRun": "corpus_id",
    "reviews.Review": "case__corpus_id",
    "reviews.ReviewPlan": "corpus_id",
    "selection.SelectionRound": "corpus_id",
    "training.TrainingRun": "dataset_version__corpus_id",
}
"""Where the corpus was from each kind of subject when its column came."""


def find_corpora(apps, schema_editor):
    """Rows of before the column get the corpus that their subject has now."""
    events = apps.get_model("audit", "AuditEvent").objects.order_by()
    for name, path in PATHS.items():
        subject = apps.get_model(name)
        corpus = subject.objects.filter(pk=OuterRef("subject_id")).order_by().values(path)[:1]
        events.filter(subject_type=subject._meta.model_name, corpus_id__isnull=True).update(
            corpus_id=Subquery(corpus)
        )


FORBID = """
CREATE FUNCTION crashdesk_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % is refused', TG_OP USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_rows_stay BEFORE UPDATE OR DELETE ON audit_auditevent
    FOR EACH ROW EXECUTE FUNCTION crashdesk_audit_append_only();
CREATE TRIGGER audit_log_stays BEFORE TRUNCATE ON audit_auditevent
    FOR EACH STATEMENT EXECUTE FUNCTION crashdesk_audit_append_only();
"""
ALLOW = """
DROP TRIGGER audit_rows_stay ON audit_auditevent;
DROP TRIGGER audit_log_stays ON audit_auditevent;
DROP FUNCTION crashdesk_audit_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0002_corpora"),
        ("cases", "0003_answer_words"),
        ("corpora", "0004_corpus_access"),
        ("datasets", "0001_initial"),
        ("jobs", "0006_corpora"),
        ("labelstudio", "0003_parts_and_tasks_of_assignments"),
        ("predictions", "0002_choosing_and_control"),
        ("reviews", "0003_plans_and_assignments"),
        ("selection", "0001_initial"),
        ("training", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(find_corpora, migrations.RunPython.noop),
        migrations.RunSQL(FORBID, ALLOW),
    ]
