from django.db import migrations


def write_own(apps, schema_editor):
    """Passes of the control arm whose answer is a draft's row, which nobody was shown: the same, as the person's own.

    Answers are only ever added: the draft stays, and whatever else points at it.
    """
    reviews = apps.get_model("reviews", "Review")
    answers = apps.get_model("cases", "Answer")
    found = reviews.objects.filter(case__draw__blind=True, answers__author__isnull=True)
    for review in found.order_by("pk").distinct().iterator(chunk_size=200):
        for draft in review.answers.filter(author__isnull=True):
            own, _ = answers.objects.get_or_create(
                case_id=draft.case_id,
                kind=draft.kind,
                origin=f"{review.origin[:110]}@blind",
                defaults={
                    "state": draft.state,
                    "value": draft.value,
                    "author_kind": "person",
                    "author_id": review.reviewer_id,
                },
            )
            answers.objects.filter(pk=own.pk).update(created_at=review.submitted_at or review.opened_at)
            review.answers.remove(draft)
            review.answers.add(own)


class Migration(migrations.Migration):
    dependencies = [("reviews", "0005_assignment_jobs"), ("cases", "0004_approvedanswer_policy")]

    operations = [migrations.RunPython(write_own, migrations.RunPython.noop)]
