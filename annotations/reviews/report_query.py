"""What every report on reviews can be narrowed to."""

from typing import Any

from rest_framework import serializers

from annotations.cases.models import Guideline
from annotations.corpora.access import OpenCorpusField
from crashdesk.accounts.permissions import Action


class ReportQuerySerializer(serializers.Serializer[Any]):
    """Corpus, guideline, source, first and last day (UTC). `by` in its context: whose corpora it is about."""

    corpus = OpenCorpusField(action=Action.EXPORT, required=False)
    guideline = serializers.PrimaryKeyRelatedField(queryset=Guideline.objects.all(), required=False)
    source = serializers.CharField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=100, help_text="exactly as the clips name it"
    )
    day_of: str = "submission"

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """`from` is a word of Python, so the days are added here."""
        first = serializers.DateField(required=False, help_text=f"first day (UTC) of {self.day_of}")
        last = serializers.DateField(required=False, help_text=f"last day (UTC) of {self.day_of}")
        return {**super().get_fields(), "from": first, "to": last}

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        if "from" in given and "to" in given and given["from"] > given["to"]:
            raise serializers.ValidationError({"to": ["must not be before `from`"]})
        return given
