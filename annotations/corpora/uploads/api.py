"""Uploads: the tus protocol where the store is a local folder, S3 multipart uploads where it is a bucket."""

from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import viewsets
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.corpora.access import open_to
from annotations.corpora.models import Corpus, Upload
from annotations.corpora.uploads import multipart, services, tus
from annotations.corpora.uploads.serializers import (
    ArrivedPartSerializer,
    DonePartsSerializer,
    NewUploadSerializer,
    PartNumbersSerializer,
    SignedPartSerializer,
    UploadSerializer,
    url_of,
)
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.api.narrowed import OpenRows
from crashdesk.storage.files import is_local


def _header(name: str, description: str, *, required: bool = False) -> OpenApiParameter:
    return OpenApiParameter(
        name, OpenApiTypes.STR, OpenApiParameter.HEADER, required=required, description=description
    )


_TUS = _header("Tus-Resumable", "1.0.0, from a tus client")
_OFFSET = OpenApiParameter(
    "Upload-Offset", OpenApiTypes.INT, OpenApiParameter.HEADER, required=True, description="bytes sent before"
)
_CHECKSUM = _header(
    "Upload-Checksum", "sha1 or sha256 of these bytes, in Base64: then all of them count or none"
)


class UnreadBytes(BaseParser):
    """Leaves the bytes of a clip where they are: the view reads them piece by piece."""

    media_type = tus.PATCH_TYPE

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        return {}


class UploadViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[Upload]):
    """Every answer carries Tus-Resumable; problems have the usual error body."""

    queryset = Upload.objects.order_by("-created_at", "-id")
    serializer_class = UploadSerializer
    parser_classes = [JSONParser, UnreadBytes]
    filterset_fields = ["corpus", "state", "created_by"]
    needs = {
        "create": Action.IMPORT, "append": Action.IMPORT, "terminate": Action.IMPORT, "sign": Action.IMPORT,
        "complete": Action.IMPORT,
    }  # fmt: skip

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Lets clients that cannot PATCH or DELETE say so in a header, as the protocol demands."""
        meant = request.headers.get("X-HTTP-Method-Override", "")
        if request.method == "POST" and meant in {"PATCH", "DELETE", "HEAD"}:
            request.method = meant
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method != "OPTIONS":
            tus.check_version(request.headers.get("Tus-Resumable"), required=self.action == "append")

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Tus-Resumable"] = tus.VERSION
        if response.status_code == 412 or request.method == "OPTIONS":
            response["Tus-Version"] = tus.VERSION
        return cast(Response, response)

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        """What the server can do."""
        answer = Response(status=204, headers={"Tus-Max-Size": str(settings.UPLOAD_MAX_BYTES)})
        if is_local():
            answer["Tus-Extension"] = tus.EXTENSIONS
            answer["Tus-Checksum-Algorithm"] = ",".join(tus.CHECKSUMS)
        return answer

    @extend_schema(
        request=NewUploadSerializer,
        responses={201: UploadSerializer},
        parameters=[
            _TUS,
            _header("Upload-Length", "bytes of the clip, from a tus client"),
            _header(
                "Upload-Metadata", "filename and corpus, from a tus client; also source, recording, split"
            ),
        ],
    )
    def create(self, request: Request) -> Response:
        """Begin an upload: with the tus headers and no JSON, or with JSON. The Location is where it goes on."""
        by = cast(User, request.user)
        if "Tus-Resumable" not in request.headers:
            given = NewUploadSerializer(data=request.data)
            given.is_valid(raise_exception=True)
            told = given.validated_data
            upload = services.begin_upload(
                corpus=_corpus(told["corpus"], by),
                name=told["name"],
                size=told["size"],
                metadata=told["metadata"],
                by=by,
            )
            return Response(UploadSerializer(upload).data, status=201, headers={"Location": url_of(upload)})
        return self._create_by_tus(request, by)

    def _create_by_tus(self, request: Request, by: User) -> Response:
        if not is_local():
            what = "This server's store is a bucket: begin with JSON and send the parts to the bucket."
            raise Problem("upload_by_parts", what, status=409)
        if "Upload-Defer-Length" in request.headers:
            what = "must be told at the beginning"
            raise Problem(
                "invalid_header", f"Upload-Length {what}.", fields={"Upload-Length": [what]}, status=400
            )
        size = tus.number(request.headers, "Upload-Length")
        checksum = tus.checksum(request.headers.get("Upload-Checksum"))
        metadata: dict[str, Any] = tus.metadata(request.headers.get("Upload-Metadata", ""))
        name, corpus = metadata.pop("filename", ""), metadata.pop("corpus", "")
        upload = services.begin_upload(
            corpus=_corpus(corpus, by), name=name, size=size, metadata=metadata, by=by
        )
        headers = {"Location": url_of(upload), "Upload-Expires": tus.expires_header(upload.expires_at)}
        if request.content_type == tus.PATCH_TYPE:
            length = _length(request)
            try:
                services.append(
                    upload_id=upload.pk,
                    offset=0,
                    length=length,
                    read=request._request.read,
                    checksum=checksum,
                    by=by,
                )
            except Problem as problem:
                if problem.status >= 500 or problem.status == 460:
                    raise
            upload.refresh_from_db()
            headers["Upload-Offset"] = str(upload.offset)
        return Response(status=201, headers=headers)

    @extend_schema(exclude=True)
    def head(self, request: Request, pk: UUID) -> Response:
        """How far the upload is."""
        upload = self.get_object()
        headers = {
            "Upload-Offset": str(upload.offset), "Upload-Length": str(upload.size), "Cache-Control": "no-store",
            "Upload-Metadata": tus.metadata_header({**upload.metadata, "filename": upload.name}),
        }  # fmt: skip
        if upload.state in {"cancelled", "refused"}:
            raise Problem(
                "upload_ended", f"This upload has ended: {upload.problem or upload.state}.", status=410
            )
        if upload.state == "open":
            headers["Upload-Expires"] = tus.expires_header(upload.expires_at)
        return Response(headers=headers)

    @extend_schema(
        operation_id="uploads_append",
        parameters=[_TUS, _OFFSET, _CHECKSUM],
        request={tus.PATCH_TYPE: OpenApiTypes.BINARY},
        responses={204: OpenApiResponse(description="Upload-Offset says how many bytes are safe")},
    )
    def append(self, request: Request, pk: UUID) -> Response:
        """Add bytes to an upload (tus). They are safe once acknowledged; after the last one a job makes the video."""
        if request.content_type != tus.PATCH_TYPE:
            raise Problem("wrong_type", f"The content type must be {tus.PATCH_TYPE}.", status=415)
        if not is_local():
            raise Problem("upload_by_parts", "This server's store is a bucket: send parts to it.", status=409)
        upload = services.append(
            upload_id=self.get_object().pk,
            offset=tus.number(request.headers, "Upload-Offset"),
            length=_length(request),
            read=request._request.read,
            checksum=tus.checksum(request.headers.get("Upload-Checksum")),
            by=cast(User, request.user),
        )
        headers = {
            "Upload-Offset": str(upload.offset),
            "Upload-Expires": tus.expires_header(upload.expires_at),
        }
        return Response(status=204, headers=headers)

    @extend_schema(operation_id="uploads_terminate", parameters=[_TUS], responses={204: None})
    def terminate(self, request: Request, pk: UUID) -> Response:
        """End an upload and remove its bytes."""
        services.cancel_upload(upload_id=self.get_object().pk, by=cast(User, request.user))
        return Response(status=204)

    @extend_schema(responses=ArrivedPartSerializer(many=True), filters=False)
    def parts(self, request: Request, pk: UUID) -> Response:
        """The parts that have arrived in the bucket: what an interrupted upload need not send again."""
        found = multipart.parts_there(self._in_bucket())
        return Response(ArrivedPartSerializer(cast(Any, found), many=True).data)

    @extend_schema(request=PartNumbersSerializer, responses=SignedPartSerializer(many=True))
    def sign(self, request: Request, pk: UUID) -> Response:
        """Addresses to PUT parts to, straight to the bucket."""
        given = PartNumbersSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        upload = services.open_upload(self._in_bucket().pk, by=cast(User, request.user))
        urls = multipart.signed_urls(upload, given.validated_data["numbers"])
        return Response([{"number": number, "url": url} for number, url in urls.items()])

    @extend_schema(request=DonePartsSerializer, responses={202: UploadSerializer})
    def complete(self, request: Request, pk: UUID) -> Response:
        """Join the parts; a job then makes the video. Safe to repeat."""
        given = DonePartsSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        parts = [
            multipart.Part(part["number"], part["etag"].strip('"')) for part in given.validated_data["parts"]
        ]
        upload = services.complete(upload_id=self._in_bucket().pk, parts=parts, by=cast(User, request.user))
        return Response(UploadSerializer(upload).data, status=202)

    def _in_bucket(self) -> Upload:
        upload = self.get_object()
        if not upload.bucket_upload_id:
            raise services.not_by_parts()
        return upload


def _corpus(said: str, by: User) -> Corpus:
    """A corpus that the person sees, by name, or by number; Problem unknown_corpus."""
    known = open_to(by)
    corpus = known.filter(name=said).first()
    if corpus is None and said.isascii() and said.isdigit() and len(said) < 19:
        corpus = known.filter(pk=int(said)).first()
    if corpus is None:
        raise Problem(
            "unknown_corpus",
            f"There is no corpus {said!r}.",
            fields={"corpus": ["does not exist"]},
            status=400,
        )
    return corpus


def _length(request: Request) -> int:
    if request.headers.get("Transfer-Encoding"):
        raise Problem("length_required", "Content-Length is needed: no chunked bodies.", status=411)
    return tus.number({"Content-Length": "0", **request.headers}, "Content-Length")
