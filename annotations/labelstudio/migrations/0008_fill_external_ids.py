from django.db import migrations, models
from django.db.models import Value
from django.db.models.functions import Cast, Concat


def keep_old_keys(apps, schema_editor):
    """Tasks of before the column are called in Label Studio what they were called then."""
    rows = apps.get_model("labelstudio", "LabelStudioTask").objects.order_by()
    text = models.CharField()
    case, assignment = Cast("case_id", text), Cast("assignment_id", text)
    spoken = Value("case-", output_field=text), case, Value("-pass-", output_field=text), assignment
    rows.filter(assignment__isnull=True).update(external_id=Concat(*spoken[:2], output_field=text))
    rows.filter(assignment__isnull=False).update(external_id=Concat(*spoken, output_field=text))


class Migration(migrations.Migration):
    """Fill. No row can have a key of its own yet: what draws them starts when all migrations are done."""

    dependencies = [
        ("labelstudio", "0007_external_ids"),
    ]

    operations = [
        migrations.RunPython(keep_old_keys, migrations.RunPython.noop),
    ]
