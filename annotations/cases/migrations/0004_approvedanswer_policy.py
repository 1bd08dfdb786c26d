from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("cases", "0003_answer_words"),
    ]

    operations = [
        migrations.AddField(
            model_name="approvedanswer",
            name="policy",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="auto-approval policy that approved it unseen, threshold and audit slice; empty: a person did",
                max_length=150,
            ),
        ),
    ]
