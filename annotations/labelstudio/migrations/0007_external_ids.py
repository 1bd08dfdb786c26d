from django.contrib.postgres.functions import RandomUUID
from django.db import migrations, models
from django.db.models.functions import Cast


class Migration(migrations.Migration):
    """Expand: the key by which a task is known in Label Studio.

    A worker of before that still writes rows names no key: the database draws one. Its task is then known by what it was
    called before, and is given the key of its row like every other one.
    """

    dependencies = [
        ("labelstudio", "0006_data_digest"),
    ]

    operations = [
        migrations.AddField(
            model_name="labelstudiotask",
            name="external_id",
            field=models.CharField(
                db_default=Cast(RandomUUID(), models.CharField(max_length=48)),
                default="",
                help_text="its key in Label Studio (`data.external_id`), whatever number it gets there; opaque",
                max_length=48,
            ),
        ),
    ]
