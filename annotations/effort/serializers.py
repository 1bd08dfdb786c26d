"""The report on effort as JSON."""

from typing import Any

from rest_framework import serializers

from annotations.cases.kinds import Kind
from annotations.corpora.access import open_to
from annotations.effort.ledger import Arm, Asked
from annotations.reviews.report_query import ReportQuerySerializer
from crashdesk.accounts.permissions import Action


class EffortQuerySerializer(ReportQuerySerializer):
    """What a report is narrowed to. `by` in its context: whose corpora it is about."""

    person = serializers.CharField(required=False, max_length=150, help_text="their user name")
    period = serializers.ChoiceField(choices=["month", "week", "day"], default="month")

    @property
    def asked(self) -> Asked:
        """Once valid, what the report shall be about, of what the person may see."""
        given, user = self.validated_data, self.context["by"]
        return Asked(
            corpora=list(open_to(user, Action.EXPORT).values_list("pk", flat=True)),
            corpus=given["corpus"].pk if "corpus" in given else None,
            guideline=given["guideline"].pk if "guideline" in given else None, person=given.get("person"),
            source=given.get("source"), since=given.get("from"), until=given.get("to"),
        )  # fmt: skip


class IntervalSerializer(serializers.Serializer[Any]):
    """A number with its 95 % interval."""

    value = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()
    without = serializers.IntegerField(help_text="reviews of the blind arm it is made of")
    of = serializers.IntegerField(help_text="reviews with a draft it is made of")
    people = serializers.IntegerField(help_text="who have reviews in both arms")
    recordings = serializers.IntegerField()


class NeededSerializer(serializers.Serializer[Any]):
    what = serializers.CharField()
    have = serializers.IntegerField()
    need = serializers.IntegerField()


class AnchoringSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=["", *Kind.values], help_text="empty: all six")
    blind = serializers.FloatField(help_text="agreement with a draft that nobody saw, 0 to 1")
    shown = serializers.FloatField(help_text="agreement with the draft where it was shown, 0 to 1")
    rise = IntervalSerializer()


class ComparisonSerializer(serializers.Serializer[Any]):
    """Cases with a draft against the blind arm. There is no saving while anything is missing."""

    method = serializers.CharField()
    words = serializers.CharField()
    model_reviews = serializers.IntegerField()
    blind_reviews = serializers.IntegerField()
    unmeasured_model = serializers.IntegerField()
    unmeasured_blind = serializers.IntegerField()
    saving = IntervalSerializer(allow_null=True)
    missing = NeededSerializer(many=True)
    for_half_width = serializers.IntegerField(
        allow_null=True, help_text="blind reviews that an interval of 10 points either way would take"
    )
    anchoring = AnchoringSerializer(many=True)
    anchoring_missing = NeededSerializer(many=True)


class TimesSerializer(serializers.Serializer[Any]):
    """Seconds. `lead`: Label Studio's lead_time, idle time included."""

    name = serializers.CharField()
    reviews = serializers.IntegerField()
    measured = serializers.IntegerField(help_text="reviews with measured activity")
    active_total = serializers.FloatField(allow_null=True)
    active_mean = serializers.FloatField(allow_null=True)
    active_median = serializers.FloatField(allow_null=True)
    lead_told = serializers.IntegerField()
    lead_mean = serializers.FloatField(allow_null=True)
    lead_median = serializers.FloatField(allow_null=True)
    typed_mean = serializers.FloatField(allow_null=True, help_text="keys that wrote or erased text")
    accepted = serializers.IntegerField(help_text="reviews that left every draft as it was")
    keystroke_free = serializers.IntegerField(help_text="of these, without a key that wrote or erased text")


class KindChangesSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=Kind.choices)
    told = serializers.IntegerField()
    accepted = serializers.IntegerField()
    edited = serializers.IntegerField()
    rewritten = serializers.IntegerField()
    removed = serializers.IntegerField()
    added = serializers.IntegerField()
    distance = serializers.FloatField(
        allow_null=True, help_text="mean of the changed; of onsets seconds, else a share"
    )
    start_shift = serializers.FloatField(allow_null=True, help_text="seconds, person minus draft, median")
    end_shift = serializers.FloatField(allow_null=True, help_text="seconds, person minus draft, median")
    moved = serializers.FloatField(allow_null=True, help_text="seconds that a changed edge moved, median")


class CaseTimeSerializer(serializers.Serializer[Any]):
    case = serializers.IntegerField()
    video = serializers.CharField()
    corpus_name = serializers.CharField()
    username = serializers.CharField()
    arm = serializers.ChoiceField(choices=[arm.value for arm in Arm])
    active = serializers.FloatField()
    lead_seconds = serializers.FloatField(allow_null=True)
    typed = serializers.IntegerField()
    edits = serializers.IntegerField()


class EffortLeftOffSerializer(serializers.Serializer[Any]):
    people = serializers.IntegerField()
    periods = serializers.IntegerField()


class EffortSerializer(serializers.Serializer[Any]):
    """How long people worked, what they changed, and what drafts save."""

    idle_seconds = serializers.FloatField(help_text="longer pauses are cut out")
    comparison = ComparisonSerializer()
    overall = TimesSerializer()
    edits_told = serializers.IntegerField()
    edits_per_review = serializers.FloatField(allow_null=True)
    arms = TimesSerializer(many=True, help_text=f"named {', '.join(arm.value for arm in Arm)}")
    people = TimesSerializer(many=True)
    periods = TimesSerializer(many=True)
    kinds = KindChangesSerializer(many=True)
    longest = CaseTimeSerializer(many=True)
    left_off = EffortLeftOffSerializer()
