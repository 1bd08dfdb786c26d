"""Selection rounds: which cases people should review next, and why each was picked."""

from django.conf import settings
from django.db import models

from annotations.cases.models import Case, Guideline
from annotations.corpora.models import Corpus


class SelectionRound(models.Model):
    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="selection_rounds")
    guideline = models.ForeignKey(Guideline, on_delete=models.PROTECT)
    size = models.PositiveIntegerField(help_text="cases to pick")
    random_share = models.FloatField(help_text="share picked at random, as an unbiased check")
    seed = models.PositiveIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        ordering = ["-id"]


class SelectionPick(models.Model):
    round = models.ForeignKey(SelectionRound, on_delete=models.CASCADE, related_name="picks")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="picks")
    rank = models.PositiveIntegerField()
    uncertainty = models.FloatField(null=True, help_text="1 - the lowest confidence over the six answers")
    reason = models.CharField(max_length=200)

    class Meta:
        ordering = ["rank"]
        constraints = [
            models.UniqueConstraint(fields=["round", "case"], name="case_once_per_round"),
            models.UniqueConstraint(fields=["round", "rank"], name="rank_once_per_round"),
        ]
