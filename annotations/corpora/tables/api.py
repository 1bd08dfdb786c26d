"""Looking at a table before it is imported: its columns, a mapping for them, and what would come of its first rows."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.corpora.importers.column_guess import suggest_mapping
from annotations.corpora.importers.column_mapping import check_mapping
from annotations.corpora.importers.table import files_of, look, preview
from annotations.corpora.importers.tabular import DELIMITERS, kind_of
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem

MAX_ROWS = 100


class TablePreviewRequestSerializer(serializers.Serializer[None]):
    path = serializers.CharField(max_length=500, help_text="table, or folder of tables, below an import root")
    mapping = serializers.DictField(
        required=False, help_text="how its columns are read; a suggestion when left out"
    )
    limit = serializers.IntegerField(min_value=1, max_value=MAX_ROWS, default=20, help_text="rows to read")


class MappingProblemSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(help_text="of the mapping")
    column = serializers.CharField()
    message = serializers.CharField()


class PreviewedRejectionSerializer(serializers.Serializer[Any]):
    file = serializers.CharField()
    row = serializers.IntegerField(allow_null=True)
    field = serializers.CharField()
    reason = serializers.CharField()


class PreviewedAnswerSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    value = serializers.JSONField(help_text="in the kind's shape, times in microseconds")
    raw_text = serializers.CharField()


class PreviewedVideoSerializer(serializers.Serializer[Any]):
    row = serializers.IntegerField(allow_null=True)
    name = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # a declared field is no attribute
    recording = serializers.CharField()
    split = serializers.CharField()
    url = serializers.CharField()
    metadata = serializers.JSONField()
    answers = PreviewedAnswerSerializer(many=True)


class TablePreviewSerializer(serializers.Serializer[Any]):
    file = serializers.CharField(help_text="the table that was looked at")
    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.ListField(child=serializers.JSONField(), help_text="the first rows as they stand")
    mapping = serializers.JSONField(help_text="the one given, else a suggestion")
    problems = MappingProblemSerializer(many=True)
    videos = PreviewedVideoSerializer(many=True)
    rejections = PreviewedRejectionSerializer(many=True)


class TablePreviewView(APIView):
    needs = {"post": Action.IMPORT}

    @extend_schema(request=TablePreviewRequestSerializer, responses=TablePreviewSerializer)
    def post(self, request: Request) -> Response:
        """Read the first rows of the first table at a path, and show what an import would make of them."""
        given = TablePreviewRequestSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        table, limit = _table_at(Path(given.validated_data["path"])), given.validated_data["limit"]
        mapping = given.validated_data.get("mapping")
        delimiter = mapping.get("delimiter") if mapping else ""
        seen = look(table, limit=limit, delimiter=str(delimiter) if delimiter in DELIMITERS else "")
        if mapping is None:
            mapping = suggest_mapping(seen.columns, seen.rows)
        problems = check_mapping(mapping, seen.columns if seen.columns else None)
        found = None if problems else preview(table, mapping, limit=limit)
        shown = {
            "file": table.name,
            "columns": seen.columns,
            "rows": seen.rows,
            "mapping": mapping,
            "problems": [asdict(problem) for problem in problems],
            "videos": found.rows if found else [],
            "rejections": found.rejections if found else seen.problems,
        }
        return Response(TablePreviewSerializer(shown).data)


def _is_inside(path: Path) -> bool:
    """Whether a path leads, links followed, below an import root."""
    try:
        resolved = path.resolve()
        return any(resolved.is_relative_to(Path(root).resolve()) for root in settings.IMPORT_ROOTS)
    except (OSError, ValueError, RuntimeError):  # a loop of links, a NUL
        return False


def _table_at(path: Path) -> Path:
    """The first table at a path below an import root. Problem when it lies elsewhere, or there is none."""
    if not _is_inside(path):
        raise Problem(
            "import_path_outside_roots", "Tables are read from below the import folders.",
            fields={"path": ["lies outside the import folders"]}, status=400,
        )  # fmt: skip
    files = (file for file in files_of(path.resolve()) if file.is_file() and kind_of(file) is not None)
    table = next((file for file in files if _is_inside(file)), None)
    if table is None:
        raise Problem("table_missing", "There is no table there.", fields={"path": ["no table"]}, status=400)
    return table
