"""The loop in numbers, for the first page and for anybody who polls."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from crashdesk.api.narrowed import who
from frontend.loop import Loop, loop


class StepSerializer(serializers.Serializer[Loop]):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    value = serializers.CharField()
    details = serializers.ListField(child=serializers.CharField())
    url = serializers.CharField()


class HintSerializer(serializers.Serializer[Loop]):
    text = serializers.CharField()
    url = serializers.CharField()
    link = serializers.CharField()


class LoopJobSerializer(serializers.Serializer[Loop]):
    id = serializers.IntegerField()
    kind = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    state = serializers.CharField()
    done = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    message = serializers.CharField()
    attempts = serializers.IntegerField()
    cancel_requested = serializers.BooleanField()
    error = serializers.CharField()


class LoopGroupSerializer(serializers.Serializer[Loop]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    total = serializers.IntegerField()
    cancel_url = serializers.CharField(allow_blank=True)


class LoopEventSerializer(serializers.Serializer[Loop]):
    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = serializers.CharField()
    verb = serializers.CharField()
    subject = serializers.CharField()
    url = serializers.CharField()


class LoopSerializer(serializers.Serializer[Loop]):
    steps = StepSerializer(many=True)
    hint = HintSerializer(allow_null=True)
    jobs = LoopJobSerializer(many=True)
    groups = LoopGroupSerializer(many=True)
    waiting = serializers.IntegerField()
    failures = LoopJobSerializer(many=True)
    events = LoopEventSerializer(many=True)
    revision = serializers.CharField()


class LoopView(APIView):
    @extend_schema(responses=LoopSerializer)
    def get(self, request: Request) -> Response:
        """How much is at each step of the loop, the jobs at work, the latest events."""
        return Response(loop(who(request)))
