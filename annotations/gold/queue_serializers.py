"""Queues, assignments and the board as JSON."""

from typing import Any

from rest_framework import serializers

from annotations.cases.models import CaseStatus
from annotations.corpora.access import OpenCorpusField
from annotations.gold.queue import Item
from annotations.gold.queue_board import Board, PersonRow
from annotations.gold.queue_bulk import MOST_CASES
from annotations.reviews.assignments_sharing import AT_ONCE, MOST_HELD, Moved
from annotations.reviews.models import Assignment, Purpose, Way
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action

MAX_ID = 2**63 - 1
LONGEST_MINUTES = 60 * 24 * 31
GIVEN_WAYS = (Way.MANUAL, Way.ROUND_ROBIN, Way.SKILL_AND_LOAD)
GIVEN_PURPOSES = (Purpose.ANNOTATE, Purpose.DOUBLE, Purpose.SECOND, Purpose.ADJUDICATE)
WHATS = {
    "answer": frozenset({Purpose.ANNOTATE, Purpose.DOUBLE}),
    "look_over": frozenset({Purpose.SECOND}),
    "decide": frozenset({Purpose.ADJUDICATE}),
}


class QueueItemSerializer(serializers.Serializer[Item]):
    """One case of the person's own queue. Which of them are gold or second passes is not told."""

    id = serializers.IntegerField(source="assignment.pk")
    case = serializers.IntegerField(source="assignment.case_id")
    corpus = serializers.IntegerField(source="assignment.case.corpus_id")
    clip = serializers.CharField(source="assignment.case.video.name")
    purpose = serializers.ChoiceField(choices=Purpose.choices)
    status = serializers.ChoiceField(choices=CaseStatus.choices)
    turn = serializers.SerializerMethodField(help_text="returned, begun, taken or given")
    reason = serializers.CharField(help_text="why it was returned; empty otherwise")
    until = serializers.DateTimeField(
        allow_null=True, help_text="reserved until then; null: until it is done or released"
    )
    opened_at = serializers.DateTimeField(source="assignment.opened_at", allow_null=True)

    def get_turn(self, item: Item) -> str:
        return item.turn.name.lower()


class QueueSerializer(serializers.Serializer[dict[str, Any]]):
    items = QueueItemSerializer(many=True)
    finished_today = serializers.IntegerField(help_text="submitted or passed on since midnight UTC")
    paused = serializers.ListField(
        child=serializers.IntegerField(), help_text="corpora in which the person is given nothing new"
    )


class NextSerializer(serializers.Serializer[None]):
    corpus = OpenCorpusField(action=Action.REVIEW, required=False, allow_null=True, default=None)
    what = serializers.ChoiceField(choices=sorted(WHATS), default="answer")


class NextAnswerSerializer(serializers.Serializer[dict[str, Any]]):
    item = QueueItemSerializer(allow_null=True)
    why = serializers.CharField(help_text="where there is none: nothing_waits or paused; empty otherwise")


class AssignmentSerializer(serializers.ModelSerializer[Assignment]):
    person = serializers.CharField(source="person.username")
    assigned_by = serializers.CharField(source="assigned_by.username", default=None, allow_null=True)

    class Meta:
        model = Assignment
        fields = [
            "id", "case", "person", "purpose", "state", "way", "assigned_at", "assigned_by", "opened_at", "expires_at",
            "closed_at",
        ]  # fmt: skip
        read_only_fields = fields


class ReleaseSerializer(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=300, allow_blank=True, default="")


class _Ids(serializers.ListField):
    child = serializers.IntegerField(min_value=1, max_value=MAX_ID)


class BulkReleaseSerializer(ReleaseSerializer):
    ids = _Ids(min_length=1, max_length=AT_ONCE, help_text="of assignments")


class AssignSerializer(serializers.Serializer[None]):
    """Which cases: `cases`, or those that wait and match `from_source` and `q`, the first `limit` in review order."""

    corpus = OpenCorpusField(action=Action.ASSIGN)
    purpose = serializers.ChoiceField(choices=Purpose.choices, default=Purpose.ANNOTATE.value)
    cases = _Ids(required=False, allow_null=True, default=None, min_length=1, max_length=MOST_CASES)
    from_source = serializers.CharField(max_length=100, allow_blank=True, default="", help_text="of the clip")
    q = serializers.CharField(
        max_length=200, allow_blank=True, default="", help_text="words, as in the list of cases"
    )
    limit = serializers.IntegerField(min_value=1, max_value=MOST_CASES, default=AT_ONCE)
    way = serializers.ChoiceField(
        choices=[(one.value, one.label) for one in GIVEN_WAYS],
        help_text="manual: all to the one person; round_robin; skill_and_load",
    )
    people = serializers.SlugRelatedField(
        slug_field="username", queryset=User.objects.filter(is_active=True), many=True, required=False,
        help_text="user names; empty: everybody who works there and is not paused",
    )  # fmt: skip
    most = serializers.IntegerField(
        min_value=1,
        max_value=MOST_CASES,
        default=MOST_HELD,
        help_text="nobody is filled up beyond so many open cases",
    )
    minutes = serializers.IntegerField(
        min_value=1, max_value=LONGEST_MINUTES, required=False, allow_null=True, default=None,
        help_text="how long each is reserved; null: until it is done or released",
    )  # fmt: skip

    def validate_purpose(self, purpose: str) -> str:
        """Gold cases come by themselves."""
        if purpose not in GIVEN_PURPOSES:
            raise serializers.ValidationError("nobody is given gold cases by hand")
        return purpose

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Named people for what is given by hand; in turn and by skill only passes are given."""
        if attrs["way"] == Way.MANUAL and len(attrs.get("people", [])) != 1:
            raise serializers.ValidationError({"people": ["name the one person"]})
        if attrs["way"] != Way.MANUAL and attrs["purpose"] not in (Purpose.ANNOTATE, Purpose.DOUBLE):
            raise serializers.ValidationError(
                {"way": ["looking over and deciding are given to a person by hand"]}
            )
        return attrs


class KeptSerializer(serializers.Serializer[None]):
    assignment = serializers.IntegerField()
    case = serializers.IntegerField(allow_null=True, help_text="null where there is no such assignment")
    error = serializers.DictField()


class ReleasedSerializer(serializers.Serializer[dict[str, Any]]):
    released = serializers.IntegerField()
    left = KeptSerializer(many=True, help_text="those that are not there, or were closed already")


class CorpusOnlySerializer(serializers.Serializer[None]):
    corpus = OpenCorpusField(action=Action.ASSIGN)


class MovedSerializer(serializers.Serializer[Moved]):
    case = serializers.IntegerField(source="case_id")
    before = serializers.CharField(source="before.username")
    after = serializers.CharField(source="assignment.person.username")


class RebalancedSerializer(serializers.Serializer[dict[str, Any]]):
    moved = MovedSerializer(many=True)


class SkillSerializer(serializers.Serializer[None]):
    value = serializers.FloatField(help_text="0 to 1")
    gold = serializers.FloatField(allow_null=True, help_text="mean gold score")
    gold_cases = serializers.IntegerField()
    agreement = serializers.FloatField(
        allow_null=True, help_text="mean agreement with the other person's pass"
    )
    agreement_cases = serializers.IntegerField()


class PersonRowSerializer(serializers.Serializer[PersonRow]):
    person = serializers.CharField(source="person.username")
    works_here = serializers.BooleanField(help_text="is given cases without being named")
    load = serializers.IntegerField()
    open = serializers.DictField(child=serializers.IntegerField(), help_text="by purpose")
    gold = serializers.IntegerField()
    begun = serializers.IntegerField()
    returned = serializers.IntegerField()
    oldest = serializers.DateTimeField(allow_null=True, help_text="when the oldest of them was given")
    done_today = serializers.IntegerField()
    skill = SkillSerializer()
    paused = serializers.SerializerMethodField(
        help_text="why they are given nothing new; empty: they are not paused"
    )

    def get_paused(self, row: PersonRow) -> str:
        return row.pause.reason or "paused" if row.pause else ""


class BoardSerializer(serializers.Serializer[Board]):
    people = PersonRowSerializer(many=True)
    waiting = serializers.DictField(
        child=serializers.IntegerField(), help_text="by purpose, how many cases lack somebody"
    )
