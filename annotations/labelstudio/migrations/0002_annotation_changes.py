import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("labelstudio", "0001_initial")]

    operations = [
        migrations.AlterField(
            model_name="labelstudioproject",
            name="project_id",
            field=models.PositiveIntegerField(
                help_text="empty: gone from Label Studio, made again by the next push", null=True, unique=True
            ),
        ),
        migrations.AddField(
            model_name="labelstudiotask",
            name="shown_rank",
            field=models.PositiveIntegerField(
                help_text="review rank that Label Studio orders it by", null=True
            ),
        ),
        migrations.AlterField(
            model_name="labelstudioannotation",
            name="annotation_id",
            field=models.PositiveIntegerField(),
        ),
        migrations.AddField(
            model_name="labelstudioannotation",
            name="changed_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now,
                help_text="as Label Studio last reported it: a newer time is a new submission",
            ),
            preserve_default=False,
        ),
        migrations.AddConstraint(
            model_name="labelstudioannotation",
            constraint=models.UniqueConstraint(
                fields=("task", "annotation_id"), name="labelstudio_annotation_once"
            ),
        ),
    ]
