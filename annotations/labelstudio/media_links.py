"""Where a browser in Label Studio gets a task's video from.

Three ways, all with byte ranges, none open to the world:

- a bucket: `s3://…`, which Label Studio turns into an address presigned for an hour each time the task is opened;
- "storage" (Label Studio sees CrashDesk's folder): Label Studio serves the file itself, to people signed in there;
- "signed" (Label Studio runs elsewhere): CrashDesk serves it under an address that carries its own signature and end.
  A browser sends no cookies for a video of another origin, so that the signature is all there is: it names one clip
  and expires. The beat, pushes and openings renew what is about to.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from annotations.corpora.models import Media, MediaState
from crashdesk.api.errors import Problem
from crashdesk.environment import S3Location
from crashdesk.storage.ranged import stored_file_response

PATH: Final = "/api/labelstudio/media"
STORAGE: Final = "storage"
SIGNED: Final = "signed"


def signs() -> bool:
    """Whether videos are served by CrashDesk under signed addresses."""
    return isinstance(settings.STORAGE_LOCATION, str) and settings.LABELSTUDIO_MEDIA == SIGNED


def video_address(media: Media) -> tuple[str, datetime | None]:
    """What a task's `video` must be, and until when it works (None: for as long as the task)."""
    location = settings.STORAGE_LOCATION
    if isinstance(location, S3Location):
        return f"s3://{location.bucket}/{media.proxy_name}", None
    if not signs():
        return f"/data/local-files/?d={media.proxy_name}", None
    until = (timezone.now() + timedelta(days=settings.LABELSTUDIO_MEDIA_DAYS)).replace(microsecond=0)
    return signed_address(media.sha256, until), until


def signed_address(sha256: str, until: datetime) -> str:
    """CrashDesk's own address of a clip's proxy; whoever has it may watch that clip until then."""
    end = int(until.timestamp())
    return f"{settings.PUBLIC_URL}{PATH}/{sha256}/{end}/{_signature(sha256, end)}.mp4"


def renew_before() -> datetime:
    """Addresses that end before this moment are to be renewed: less than a third of their time is left."""
    return timezone.now() + timedelta(days=settings.LABELSTUDIO_MEDIA_DAYS) / 3


def _signature(sha256: str, end: int) -> str:
    return salted_hmac("labelstudio.media", f"{sha256}:{end}", algorithm="sha256").hexdigest()


class MediaView(APIView):
    """A clip's proxy for a browser that is in Label Studio."""

    permission_classes = [AllowAny]
    authentication_classes = []

    @extend_schema(exclude=True)
    def get(self, request: Request, sha256: str, end: int, signature: str) -> HttpResponseBase:
        """The video or the asked-for range of it. 403 when the address was not made here or has expired."""
        if not constant_time_compare(signature.encode(), _signature(sha256, end).encode()):
            raise Problem("link_invalid", "This address of a video was not made by CrashDesk.", status=403)
        if end <= timezone.now().timestamp():
            ended = datetime.fromtimestamp(end, UTC)
            message = (
                f"This address of a video ended at {ended:%Y-%m-%d %H:%M} UTC; open the case from CrashDesk."
            )
            raise Problem("link_expired", message, status=403)
        media = Media.objects.filter(sha256=sha256, state=MediaState.READY).first()
        if media is None:
            raise Problem("not_found", "There is no such video any more.", status=404)
        return stored_file_response(request._request, media.proxy_name, content_type="video/mp4")

    @extend_schema(exclude=True)
    def head(self, request: Request, sha256: str, end: int, signature: str) -> HttpResponseBase:
        return self.get(request, sha256, end, signature)

    @extend_schema(exclude=True)
    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]
        """What a browser asks before it asks for a range of another origin."""
        return HttpResponse(status=204)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Let Label Studio's pages, and no others, read it. A refusal too, so that its player can say what is wrong."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        allow_labelstudio(request._request, answer)
        return answer


def labelstudio_origin() -> str:
    """Scheme, host and port of the pages that people see Label Studio under."""
    return "/".join(settings.LABELSTUDIO_PUBLIC_URL.split("/")[:3])


def allow_labelstudio(request: HttpRequest, response: HttpResponseBase) -> None:
    """The headers of a cross-origin answer for Label Studio's pages (https://fetch.spec.whatwg.org/#http-cors-protocol)."""
    response["Vary"] = "Origin"
    if request.headers.get("Origin") == labelstudio_origin():
        response["Access-Control-Allow-Origin"] = labelstudio_origin()
        response["Access-Control-Allow-Methods"] = "GET, HEAD, OPTIONS"
        response["Access-Control-Allow-Headers"] = "Range, If-Range, If-None-Match"
        response["Access-Control-Expose-Headers"] = "Accept-Ranges, Content-Length, Content-Range, ETag"
        response["Access-Control-Max-Age"] = "86400"
