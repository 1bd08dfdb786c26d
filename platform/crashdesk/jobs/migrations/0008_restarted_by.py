import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Expand: who had a job done once more. Nobody knows it of those of before."""

    dependencies = [
        ("jobs", "0007_redact_results"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="job",
            name="restarted_by",
            field=models.ForeignKey(
                help_text="who last had it done once more after it had failed or was cancelled",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
