from django.db import migrations, models


class Migration(migrations.Migration):
    """Expand: the key by which a task is known in Label Studio, empty for the rows there are."""

    dependencies = [
        ("labelstudio", "0006_data_digest"),
    ]

    operations = [
        migrations.AddField(
            model_name="labelstudiotask",
            name="external_id",
            field=models.CharField(
                help_text="its key in Label Studio (`data.external_id`), whatever number it gets there; opaque",
                max_length=48,
                null=True,
            ),
        ),
    ]
