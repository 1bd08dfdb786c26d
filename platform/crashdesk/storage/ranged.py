"""Stored files over HTTP in the pieces that a player asks for: byte ranges as in RFC 9110, section 14.

Without ranges a browser cannot seek in a video; Django's own FileResponse does not serve them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from django.core.files.storage import default_storage
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import http_date, parse_etags, parse_http_date_safe

from crashdesk.storage.files import is_local

_CHUNK: Final = 1 << 18
_RANGE: Final = re.compile(r"bytes\s*=\s*([0-9]{0,30})\s*-\s*([0-9]{0,30})\s*", re.IGNORECASE)
_MAX_AGE_S: Final = 3600


@dataclass(frozen=True)
class ByteRange:
    """Bytes `start` to `end`, both included, counted from 0."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start + 1


class Unsatisfiable(Exception):
    """The asked-for bytes lie after the end of the file."""


def parse_range(header: str, size: int) -> ByteRange | None:
    """The one range that a Range header asks for, cut to a file of `size` bytes.

    None when the header is to be ignored, as the RFC allows or demands: another unit, bad syntax, several ranges.
    Unsatisfiable when no byte of the range exists.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:  # the last bytes
        wanted = int(match[2])
        if wanted == 0 or size == 0:
            raise Unsatisfiable
        return ByteRange(max(size - wanted, 0), size - 1)
    start = int(match[1])
    end = int(match[2]) if match[2] else size - 1
    if match[2] and end < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return ByteRange(start, min(end, size - 1))


def stored_file_response(request: HttpRequest, name: str, *, content_type: str) -> HttpResponseBase:
    """The stored file `name`, or the range of it that the request asks for; Http404 when it is not there.

    Local storage: 200, 206, 304 or 416. A bucket: a redirect to a signed address, where the bucket serves ranges.
    The name must be one that never changes its content.
    """
    if not is_local():
        redirect = HttpResponseRedirect(default_storage.url(name))
        redirect["Cache-Control"] = "private, no-store"
        return redirect
    path = Path(default_storage.path(name))
    try:
        stream = path.open("rb")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise Http404(f"{name} is not stored") from error
    try:
        return _respond(request, stream, path, content_type)
    except BaseException:
        stream.close()
        raise


def _respond(request: HttpRequest, stream: BinaryIO, path: Path, content_type: str) -> HttpResponseBase:
    status = path.stat()
    size, modified = status.st_size, int(status.st_mtime)
    etag = f'"{path.stem}-{size:x}"'
    wanted: ByteRange | None = None
    response: HttpResponseBase
    if _is_known(request, etag):
        response = HttpResponse(status=304)
    else:
        try:
            wanted = _wanted(request, etag, modified, size)
        except Unsatisfiable:
            response = HttpResponse(status=416)
            response["Content-Range"] = f"bytes */{size}"
        else:
            part = wanted or ByteRange(0, size - 1)
            code = 206 if wanted else 200
            if request.method == "HEAD":
                response = HttpResponse(status=code, content_type=content_type)
            else:
                window = _Window(stream, part)
                response = StreamingHttpResponse(window, status=code, content_type=content_type)
            response["Content-Length"] = str(part.length)
            if wanted:
                response["Content-Range"] = f"bytes {part.start}-{part.end}/{size}"
    if not response.streaming:
        stream.close()
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = etag
    response["Last-Modified"] = http_date(modified)
    response["Cache-Control"] = f"private, max-age={_MAX_AGE_S}"
    return response


def _is_known(request: HttpRequest, etag: str) -> bool:
    """Whether the browser holds this content already."""
    held = parse_etags(request.headers.get("If-None-Match", ""))
    return "*" in held or any(tag.removeprefix("W/") == etag for tag in held)


def _wanted(request: HttpRequest, etag: str, modified: int, size: int) -> ByteRange | None:
    """The range to serve; None for the whole file. A range is only for GET, and only of the content it is meant of."""
    header = request.headers.get("Range")
    if header is None or request.method != "GET":
        return None
    condition = request.headers.get("If-Range", "").strip()
    if (
        condition
        and condition != etag
        and (condition[:1] in {'"', "W"} or parse_http_date_safe(condition) != modified)
    ):
        return None
    return parse_range(header, size)


class _Window:
    """The bytes of a range, in pieces. Django closes it, and with it the file, when the response ends."""

    def __init__(self, stream: BinaryIO, part: ByteRange) -> None:
        self._stream, self._part = stream, part

    def __iter__(self) -> Iterator[bytes]:
        self._stream.seek(self._part.start)
        left = self._part.length
        while left > 0 and (piece := self._stream.read(min(_CHUNK, left))):
            left -= len(piece)
            yield piece

    def close(self) -> None:
        self._stream.close()
