from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("reviews", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="review",
            name="problems",
            field=models.JSONField(
                default=list,
                help_text="what was submitted but could not be read: [{code, kind, message}]; blocks approval",
            ),
        ),
    ]
