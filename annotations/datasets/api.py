"""Dataset versions, their records, differences and exports."""

from typing import Any, cast

from django.core.files.storage import default_storage
from django.db.models import Count, QuerySet
from django.http import FileResponse
from django.utils.text import slugify
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from annotations.cases.models import Guideline
from annotations.corpora.access import OpenCorpusField
from annotations.datasets import services
from annotations.datasets.diff import diff, previous
from annotations.datasets.models import DatasetRecord, DatasetVersion, Export, ExportFormat, Split
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.api.narrowed import OpenRows
from crashdesk.jobs.api import JobSerializer


class DatasetVersionSerializer(serializers.ModelSerializer[DatasetVersion]):
    corpus_name = serializers.CharField(source="corpus.name", read_only=True)
    guideline_name = serializers.CharField(source="guideline.__str__", read_only=True)
    created_by = serializers.CharField(source="created_by.username", default="", read_only=True)

    class Meta:
        model = DatasetVersion
        fields = [
            "id", "corpus", "corpus_name", "guideline", "guideline_name", "number", "note", "split_seed",
            "val_share", "test_share", "content_hash", "record_count", "unseen_count", "unseen_left_out",
            "created_at", "created_by",
        ]  # fmt: skip
        read_only_fields = fields


class DatasetVersionDetailSerializer(DatasetVersionSerializer):
    splits = serializers.SerializerMethodField(help_text="split to number of records")

    class Meta(DatasetVersionSerializer.Meta):
        fields = [*DatasetVersionSerializer.Meta.fields, "splits"]
        read_only_fields = fields

    def get_splits(self, version: DatasetVersion) -> dict[str, int]:
        rows = version.records.order_by().values("split").annotate(count=Count("pk"))
        return dict.fromkeys(Split.values, 0) | {row["split"]: row["count"] for row in rows}


class FreezeSerializer(serializers.Serializer[None]):
    corpus = OpenCorpusField(action=Action.FREEZE)
    guideline = serializers.PrimaryKeyRelatedField(queryset=Guideline.objects.all())
    note = serializers.CharField(max_length=300, default="", allow_blank=True)
    split_seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    val_share = serializers.FloatField(min_value=0, max_value=1, default=0.1)
    test_share = serializers.FloatField(min_value=0, max_value=1, default=0.1)


class DatasetRecordSerializer(serializers.ModelSerializer[DatasetRecord]):
    class Meta:
        model = DatasetRecord
        fields = ["id", "case", "split", "content"]
        read_only_fields = fields


class ExportRequestSerializer(serializers.Serializer[None]):
    format = serializers.ChoiceField(choices=ExportFormat.choices)


class ExportSerializer(serializers.ModelSerializer[Export]):
    download_url = serializers.SerializerMethodField()

    class Meta:
        model = Export
        fields = ["id", "version", "format", "sha256", "size", "created_at", "download_url"]
        read_only_fields = fields

    def get_download_url(self, made: Export) -> str:
        return reverse("export-download", args=[made.pk])


class _SaidSerializer(serializers.Serializer[None]):
    state = serializers.CharField()
    value = serializers.JSONField(allow_null=True)


class _ChangeSerializer(serializers.Serializer[None]):
    video = serializers.CharField()
    before = _SaidSerializer()
    after = _SaidSerializer()


class _MovedSerializer(serializers.Serializer[None]):
    video = serializers.CharField()
    before = serializers.ChoiceField(choices=Split.choices)
    after = serializers.ChoiceField(choices=Split.choices)


class DiffSerializer(serializers.Serializer[Any]):
    """`changed`: kind to the clips whose answer of that kind says something else."""

    against = serializers.IntegerField(help_text="id of the version compared with")
    added = serializers.ListField(child=serializers.CharField())
    removed = serializers.ListField(child=serializers.CharField())
    moved = _MovedSerializer(many=True)
    changed = serializers.DictField(child=_ChangeSerializer(many=True))
    reapproved = serializers.IntegerField()
    unchanged = serializers.IntegerField()


class VerificationSerializer(serializers.Serializer[None]):
    intact = serializers.BooleanField()
    content_hash = serializers.CharField()
    recomputed = serializers.CharField()


class DatasetVersionViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[DatasetVersion]):
    queryset = DatasetVersion.objects.select_related("corpus", "guideline", "created_by")
    filterset_fields = ["corpus", "guideline"]
    needs = {
        "create": Action.FREEZE,
        **dict.fromkeys(("export", "records", "diff"), Action.EXPORT),
    }  # records and differences tell approved answers, of cases that somebody may still be asked about

    def get_serializer_class(self) -> type[serializers.ModelSerializer[DatasetVersion]]:
        return DatasetVersionSerializer if self.action == "list" else DatasetVersionDetailSerializer

    @extend_schema(request=FreezeSerializer, responses={202: JobSerializer})
    def create(self, request: Request) -> Response:
        """Freeze the approved answers of a corpus under a guideline; the job's result names the version."""
        wanted = FreezeSerializer(data=request.data, context={"request": request})
        wanted.is_valid(raise_exception=True)
        job = services.request_freeze(**wanted.validated_data, by=cast(User, request.user))
        return Response(JobSerializer(job).data, status=202)

    @extend_schema(
        parameters=[OpenApiParameter("against", OpenApiTypes.INT, description="default: the version before")],
        responses=DiffSerializer,
    )
    @action(detail=True, filterset_fields=[])
    def diff(self, request: Request, pk: str) -> Response:
        """What changed to this version from another, by default from the one before."""
        version = self.get_object()
        against = self._against(version, request.query_params.get("against", ""))
        found = DiffSerializer(_DiffView(diff(against, version), against.pk))
        return Response(found.data)

    def _against(self, version: DatasetVersion, wanted: str) -> DatasetVersion:
        if not wanted:
            earlier = previous(version)
            if earlier is None:
                raise Problem("no_earlier_version", f"{version} is the first of its corpus.", status=404)
            return earlier
        number = int(wanted) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 19 else 0
        found: DatasetVersion | None = self.get_queryset().filter(pk=number).first()
        if found is None:
            message = f"There is no dataset version {wanted[:20]}."
            raise Problem("invalid", message, fields={"against": [message]}, status=400)
        return found

    @extend_schema(responses=VerificationSerializer)
    @action(detail=True, filterset_fields=[])
    def verify(self, request: Request, pk: str) -> Response:
        """Hash the stored records again and compare."""
        version = self.get_object()
        recomputed = services.recomputed_hash(version)
        return Response(
            {
                "intact": recomputed == version.content_hash,
                "content_hash": version.content_hash,
                "recomputed": recomputed,
            }
        )

    @extend_schema(
        parameters=[OpenApiParameter("split", OpenApiTypes.STR, enum=Split.values)],
        responses=DatasetRecordSerializer(many=True),
    )
    @action(detail=True, filterset_fields=[])
    def records(self, request: Request, pk: str) -> Response:
        """The frozen records, a page at a time."""
        rows: QuerySet[DatasetRecord] = self.get_object().records.all()
        split = request.query_params.get("split", "")
        if split:
            if split not in Split.values:
                raise Problem(
                    "invalid", "No such split.", fields={"split": ["train, val or test"]}, status=400
                )
            rows = rows.filter(split=split)
        page = cast(list[DatasetRecord], self.paginate_queryset(cast(Any, rows)))
        return self.get_paginated_response(DatasetRecordSerializer(page, many=True).data)

    @extend_schema(request=ExportRequestSerializer, responses={202: JobSerializer})
    @action(detail=True, methods=["post"])
    def export(self, request: Request, pk: str) -> Response:
        """Write this version in a format; the job's result names the export."""
        wanted = ExportRequestSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        job = services.request_export(
            version=self.get_object(),
            export_format=wanted.validated_data["format"],
            by=cast(User, request.user),
        )
        return Response(JobSerializer(job).data, status=202)

    @extend_schema(responses=ExportSerializer(many=True))
    @action(detail=True, filterset_fields=[])
    def exports(self, request: Request, pk: str) -> Response:
        """The files this version has been written to."""
        page = cast(list[Export], self.paginate_queryset(cast(Any, self.get_object().exports.all())))
        return self.get_paginated_response(ExportSerializer(page, many=True).data)


class _DiffView:
    """A diff with the id of the version it starts from, as the serializer reads it."""

    def __init__(self, found: Any, against: int) -> None:
        self.against = against
        self.added, self.removed, self.moved = found.added, found.removed, found.moved
        self.changed, self.reapproved, self.unchanged = found.changed, found.reapproved, found.unchanged


class ExportViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[Export]):
    queryset = Export.objects.select_related("version__corpus")
    serializer_class = ExportSerializer
    filterset_fields = ["version", "format"]
    corpus_path = "version__corpus"
    needs = {"download": Action.EXPORT}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """A download answers whatever the client says it accepts."""
        return super().perform_content_negotiation(request, force=force or self.action == "download")

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiResponse(OpenApiTypes.BINARY)})
    @action(detail=True, filterset_fields=[])
    def download(self, request: Request, pk: str) -> FileResponse:
        """The file itself."""
        made = self.get_object()
        exporter = services.EXPORTERS[made.format]
        if not default_storage.exists(made.storage_name):
            raise Problem("export_missing", "The file is gone from the storage; export it again.", status=410)
        corpus = slugify(made.version.corpus.name) or f"corpus-{made.version.corpus_id}"
        return FileResponse(
            default_storage.open(made.storage_name, "rb"),
            as_attachment=True,
            filename=f"{corpus}-v{made.version.number}-{made.format}{exporter.SUFFIX}",
            content_type=exporter.CONTENT_TYPE,
            headers={"ETag": f'"{made.sha256}"', "Content-Length": str(made.size)},
        )
