"""The agreement report as JSON."""

from typing import Any

from rest_framework import serializers

from annotations.cases.kinds import Kind
from annotations.quality.agreement import ARMS
from annotations.quality.cells import Standing
from annotations.quality.pairs import Asked
from annotations.reviews.report_query import ReportQuerySerializer
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import reach


class AgreementQuerySerializer(ReportQuerySerializer):
    """What a report is narrowed to. `by` in its context: whose corpora it is about."""

    kind = serializers.ChoiceField(choices=Kind.choices, required=False)
    period = serializers.ChoiceField(choices=["month", "week"], default="month")
    day_of = "the later of two reviews"

    @property
    def asked(self) -> Asked:
        """Once valid, what the report shall be about."""
        given = self.validated_data
        return Asked(
            among=reach(self.context["by"], Action.EXPORT),
            corpus=given["corpus"].pk if "corpus" in given else None,
            guideline=given["guideline"].pk if "guideline" in given else None,
            kind=given.get("kind", ""), source=given.get("source"), since=given.get("from"), until=given.get("to"),
        )  # fmt: skip


class ResultSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="which number; docs/agreement.md says how it is made")
    unit = serializers.ChoiceField(choices=["share", "seconds", "coefficient"])
    value = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(
        allow_null=True,
        help_text="of the 95 % interval; null with too few recordings, or where all are alike",
    )
    high = serializers.FloatField(allow_null=True)
    count = serializers.IntegerField(help_text="pairs of reviews it is made of")
    recordings = serializers.IntegerField()
    standing = serializers.ChoiceField(choices=[standing.value for standing in Standing])


class KindResultSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=Kind.choices)
    compared = serializers.IntegerField()
    measures = ResultSerializer(many=True)


class ArmResultSerializer(serializers.Serializer[Any]):
    arm = serializers.ChoiceField(choices=list(ARMS))
    compared = serializers.IntegerField()
    same_draft = serializers.IntegerField(help_text="pairs in which both began from one draft")
    both_kept = serializers.IntegerField(help_text="pairs in which both left that draft as it was")
    measures = ResultSerializer(many=True)


class KindReportSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=Kind.choices)
    incomparable = serializers.IntegerField(help_text="pairs in which an answer of this kind is missing")
    arms = ArmResultSerializer(many=True)


class GroupSerializer(serializers.Serializer[Any]):
    names = serializers.ListField(child=serializers.CharField(allow_blank=True))
    pairs = serializers.IntegerField()
    kinds = KindResultSerializer(many=True)


class ApartCaseSerializer(serializers.Serializer[Any]):
    case = serializers.IntegerField()
    video = serializers.CharField()
    corpus = serializers.CharField()
    source = serializers.CharField(allow_blank=True)  # type: ignore[assignment]
    people = serializers.ListField(child=serializers.CharField())
    apart = serializers.FloatField(help_text="0 (the same) to 1, mean over the kinds")
    kinds = serializers.DictField(child=serializers.FloatField())


class LeftOutSerializer(serializers.Serializer[Any]):
    open = serializers.IntegerField()
    skipped = serializers.IntegerField()
    withdrawn = serializers.IntegerField()
    of_excluded_cases = serializers.IntegerField()
    repeated = serializers.IntegerField(help_text="earlier reviews of a case by the same person")
    alone = serializers.IntegerField(help_text="nobody else has reviewed the case")
    looked_over = serializers.IntegerField(
        help_text="second looks and adjudications, which begin from answers"
    )


class CountsSerializer(serializers.Serializer[Any]):
    reviews = serializers.IntegerField(help_text="submitted, of cases that are not excluded")
    cases = serializers.IntegerField(help_text="that two people or more reviewed")
    pairs = serializers.IntegerField()
    blind_pairs = serializers.IntegerField()
    people = serializers.IntegerField()
    recordings = serializers.IntegerField()
    left_out = LeftOutSerializer()


class MinimumSerializer(serializers.Serializer[Any]):
    compared = serializers.IntegerField()
    recordings = serializers.IntegerField()


class LeftOffSerializer(serializers.Serializer[Any]):
    sources = serializers.IntegerField()
    people = serializers.IntegerField()
    periods = serializers.IntegerField()


class AgreementSerializer(serializers.Serializer[Any]):
    """A report: how far people agree, with 95 % intervals."""

    counts = CountsSerializer()
    minimum = MinimumSerializer(help_text="fewer give no number, or no interval")
    kinds = KindReportSerializer(many=True)
    sources = GroupSerializer(many=True)
    people = GroupSerializer(many=True)
    periods = GroupSerializer(many=True)
    cases = ApartCaseSerializer(many=True, help_text="for a second look, furthest apart first")
    left_off = LeftOffSerializer(help_text="how many are beyond the most that are shown")
