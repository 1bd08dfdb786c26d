"""How prediction runs look to the API, and what may be asked of them."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotations.cases.kinds import Kind
from annotations.cases.models import CaseStatus, Guideline
from annotations.corpora.access import OpenCorpusField
from crashdesk.accounts.permissions import Action
from crashdesk.jobs.models import JobState
from model_assist.predictions import progress
from model_assist.predictions.choosing import ANSWERS
from model_assist.predictions.estimate import Duration, Estimate, Warning_
from model_assist.predictions.memory import Memory
from model_assist.predictions.models import PredictionRun, Priority
from model_assist.predictions.run_cases import RunCase
from model_assist.registry.models import ModelVersion

MAX_IDS = 100_000
MAX_LIMIT = 2**31 - 1


class RunFiltersSerializer(serializers.Serializer[Any]):
    """Filters of the case list, and those that only a run knows. What is left out narrows nothing."""

    status = serializers.MultipleChoiceField(choices=CaseStatus.choices, required=False)
    source = serializers.CharField(required=False, allow_blank=True, max_length=100)  # type: ignore[assignment]
    recording = serializers.CharField(required=False, allow_blank=True, max_length=200)
    split = serializers.CharField(required=False, allow_blank=True, max_length=20)
    search = serializers.CharField(required=False, allow_blank=True, max_length=200)
    max_rank = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_LIMIT,
        help_text="ranked for review, up to here",
    )
    answers = serializers.ChoiceField(
        choices=ANSWERS,
        required=False,
        allow_blank=True,
        help_text="of this model version, to all kinds asked",
    )

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, Mapping) else []
        if unknown:
            raise serializers.ValidationError({name: ["is no filter of cases"] for name in unknown})
        found: dict[str, Any] = super().to_internal_value(data)
        if "status" in found:
            found["status"] = sorted(found["status"])
        return found


class WishSerializer(serializers.Serializer[Any]):
    """What to predict. Without filters and ids: every usable case of the corpus under the guideline."""

    corpus = OpenCorpusField(action=Action.PREDICT)
    guideline = serializers.PrimaryKeyRelatedField(queryset=Guideline.objects.all())
    model_version = serializers.PrimaryKeyRelatedField(
        queryset=ModelVersion.objects.all(), required=False, help_text="the one in use unless told"
    )
    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=Kind.choices), required=False, allow_empty=False,
        help_text="all six unless told; recognition is added where localisation depends on it",
    )  # fmt: skip
    priority = serializers.ChoiceField(choices=Priority.choices, default=Priority.NORMAL)
    filters = RunFiltersSerializer(required=False)
    case_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), required=False, max_length=MAX_IDS,
        help_text="only these of the cases that the filters leave",
    )  # fmt: skip
    limit = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=MAX_LIMIT,
        help_text="at most so many that are still to be answered, in review order",
    )  # fmt: skip
    again = serializers.BooleanField(
        default=False, help_text="take cases that this model has answered, too; answers that are there stay"
    )


class PredictNowSerializer(serializers.Serializer[Any]):
    model_version = serializers.PrimaryKeyRelatedField(
        queryset=ModelVersion.objects.all(), required=False, help_text="the one in use unless told"
    )
    again = serializers.BooleanField(default=False)


class RetrySerializer(serializers.Serializer[Any]):
    case_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), required=False, max_length=MAX_IDS,
        help_text="only these; every failed or cancelled case unless told",
    )  # fmt: skip


class RunCountsSerializer(serializers.Serializer[Any]):
    """Cases by the state of their jobs."""

    queued = serializers.IntegerField()
    paused = serializers.IntegerField()
    running = serializers.IntegerField()
    done = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    total = serializers.IntegerField()


class PredictionRunSerializer(serializers.ModelSerializer[PredictionRun]):
    """Expects `counts` by run in its context where many are shown."""

    state = serializers.SerializerMethodField(
        help_text="queued, running, paused, stopping, cancelled, or done: the run as a whole"
    )
    progress = serializers.SerializerMethodField()

    class Meta:
        model = PredictionRun
        fields = [
            "id", "corpus", "guideline", "model_version", "kinds", "priority", "filters", "tally", "created_at",
            "created_by", "paused_at", "cancelled_at", "state", "progress",
        ]  # fmt: skip
        read_only_fields = fields

    def get_state(self, run: PredictionRun) -> str:
        return progress.state_of(run, self._counts(run))

    @extend_schema_field(RunCountsSerializer)
    def get_progress(self, run: PredictionRun) -> dict[str, int]:
        counts = self._counts(run)
        return {**counts, "total": sum(counts.values())}

    def _counts(self, run: PredictionRun) -> dict[str, int]:
        counts: dict[str, int] | None = self.context.get("counts", {}).get(run.pk)
        return progress.counts_of([run])[run.pk] if counts is None else counts


class RunProgressSerializer(serializers.Serializer[progress.Progress]):
    state = serializers.CharField()
    counts = RunCountsSerializer()
    total = serializers.IntegerField()
    left = serializers.IntegerField(help_text="cases still to end")
    began_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    cases_per_minute = serializers.FloatField(
        allow_null=True,
        help_text="over the last minutes; null while held or when nothing was answered lately",
    )
    eta_seconds = serializers.FloatField(allow_null=True)
    eta = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: progress.Progress) -> dict[str, Any]:
        counts = {**instance.counts, "total": instance.total}
        told: dict[str, Any] = super().to_representation(
            {
                "state": instance.state, "counts": counts, "total": instance.total, "left": instance.left,
                "began_at": instance.began_at, "ended_at": instance.ended_at,
                "cases_per_minute": instance.rate and instance.rate.per_minute,
                "eta_seconds": instance.eta_seconds, "eta": instance.eta,
            }  # type: ignore[arg-type]
        )  # fmt: skip
        return told


class RunCaseSerializer(serializers.Serializer[RunCase]):
    case = serializers.IntegerField(source="case.pk")
    video = serializers.CharField(source="case.video.name")
    case_status = serializers.CharField(source="case.status")
    url = serializers.SerializerMethodField(help_text="the page of the case")
    job = serializers.IntegerField()
    state = serializers.ChoiceField(choices=JobState.choices)
    set_aside = serializers.BooleanField(help_text="failed as often as a case may: not tried again by itself")
    attempts = serializers.IntegerField()
    cancel_requested = serializers.BooleanField()
    seconds = serializers.FloatField(allow_null=True, help_text="time the engine took")
    device = serializers.CharField()
    predicted_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(help_text="one line")
    traceback = serializers.SerializerMethodField(
        help_text="all that was recorded; null for who may not predict"
    )

    def get_url(self, row: RunCase) -> str:
        return f"/cases/{row.case.pk}"

    def get_traceback(self, row: RunCase) -> str | None:
        return row.traceback if self.context.get("tracebacks") else None


class DurationSerializer(serializers.Serializer[Duration]):
    device = serializers.CharField(source="pace.device", help_text="'' where it was not recorded")
    seconds = serializers.FloatField()
    seconds_per_clip = serializers.FloatField(source="pace.seconds_per_clip")
    clips = serializers.IntegerField(
        source="pace.clips", help_text="answered clips that this was measured on"
    )
    runs = serializers.IntegerField(source="pace.runs")
    same_kinds = serializers.BooleanField(
        source="pace.same_kinds", help_text="false: measured on runs that asked other kinds"
    )


class MemorySerializer(serializers.Serializer[Memory]):
    dtype = serializers.CharField(help_text="bfloat16 on a GPU, float32 on processors")
    parameters = serializers.IntegerField()
    weights = serializers.IntegerField(help_text="bytes")
    kv_per_token = serializers.IntegerField(help_text="bytes")
    prefix = serializers.IntegerField(help_text="the most tokens that a clip can have")
    room = serializers.IntegerField(
        help_text="the most tokens of an adapter's questions and answers about it"
    )
    row = serializers.IntegerField(help_text="bytes of the cache of one clip")
    clips_per_batch = serializers.IntegerField()
    caches = serializers.IntegerField(help_text="bytes")
    total = serializers.IntegerField(help_text="bytes; activations and the runtime come on top")


class WarningSerializer(serializers.Serializer[Warning_]):
    code = serializers.CharField()
    message = serializers.CharField()


class ChosenCasesSerializer(serializers.Serializer[Any]):
    """matched = excluded + without_clip + answered + to_do + beyond_limit."""

    matched = serializers.IntegerField()
    excluded = serializers.IntegerField()
    without_clip = serializers.IntegerField()
    answered = serializers.IntegerField(help_text="left out because this model version has answered them")
    to_do = serializers.IntegerField()
    beyond_limit = serializers.IntegerField()


class EstimateSerializer(serializers.Serializer[Estimate]):
    model_version = serializers.IntegerField(source="wish.model_version.pk")
    kinds = serializers.ListField(child=serializers.CharField(), source="wish.kinds")
    added_kinds = serializers.ListField(child=serializers.CharField(), source="wish.added")
    cases = serializers.SerializerMethodField()
    durations = DurationSerializer(many=True, help_text="by device; empty when nothing was measured yet")
    trial = serializers.IntegerField(help_text="cases of a trial that would measure it; 0 when it is known")
    memory = MemorySerializer(many=True, help_text="by type of number; empty when it cannot be told")
    memory_unknown = serializers.CharField(help_text="why it cannot be told")
    warnings = WarningSerializer(many=True)

    @extend_schema_field(ChosenCasesSerializer)
    def get_cases(self, estimate: Estimate) -> dict[str, int]:
        return estimate.choice.tally()
