from django.db import migrations, models


class Migration(migrations.Migration):
    """No two rows have the same key."""

    dependencies = [
        ("labelstudio", "0008_fill_external_ids"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="labelstudiotask",
            constraint=models.UniqueConstraint(fields=("external_id",), name="labelstudio_external_id_once"),
        ),
    ]
