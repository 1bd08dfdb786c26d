from django.contrib import admin

from crashdesk.audit.admin import ReadOnlyAdmin
from model_assist.selection.models import SelectionPick, SelectionRound


@admin.register(SelectionRound)
class SelectionRoundAdmin(ReadOnlyAdmin):
    list_display = ["id", "corpus", "guideline", "size", "random_share", "seed", "created_at"]


@admin.register(SelectionPick)
class SelectionPickAdmin(ReadOnlyAdmin):
    list_display = ["round", "rank", "case", "uncertainty", "reason"]
