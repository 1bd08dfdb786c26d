from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus_audit", "0001_initial")]

    operations = [
        migrations.RemoveConstraint(model_name="corpusaudit", name="audit_once_per_input"),
    ]
