from django.db import migrations, models


class Migration(migrations.Migration):
    """Expand: what Label Studio would not take is tried again after everything else."""

    dependencies = [
        ("labelstudio", "0009_external_ids_once"),
    ]

    operations = [
        migrations.AddField(
            model_name="labelstudiotask",
            name="refused_at",
            field=models.DateTimeField(
                help_text="when Label Studio last would not take its data; empty: it has taken it since",
                null=True,
            ),
        ),
    ]
