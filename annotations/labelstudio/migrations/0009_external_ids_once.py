from django.db import migrations, models


class Migration(migrations.Migration):
    """Contract: every row has a key, and no two the same."""

    dependencies = [
        ("labelstudio", "0008_fill_external_ids"),
    ]

    operations = [
        migrations.AlterField(
            model_name="labelstudiotask",
            name="external_id",
            field=models.CharField(
                help_text="its key in Label Studio (`data.external_id`), whatever number it gets there; opaque",
                max_length=48,
            ),
        ),
        migrations.AddConstraint(
            model_name="labelstudiotask",
            constraint=models.UniqueConstraint(fields=("external_id",), name="labelstudio_external_id_once"),
        ),
    ]
