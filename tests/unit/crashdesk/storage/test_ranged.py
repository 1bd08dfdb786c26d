from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.files.storage import default_storage
from django.core.signals import request_finished
from django.db import close_old_connections
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from django.utils.http import http_date
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from crashdesk.environment import S3Location
from crashdesk.storage import ranged
from crashdesk.storage.files import put_bytes
from crashdesk.storage.ranged import ByteRange, Unsatisfiable, parse_range, stored_file_response

CONTENT = bytes(range(256)) * 4
NAME = "proxies/ab/abcd.mp4"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 0)),
        ("bytes=0-", ByteRange(0, 99)),
        ("bytes=10-19", ByteRange(10, 19)),
        ("bytes=10-1000", ByteRange(10, 99)),
        ("bytes=99-", ByteRange(99, 99)),
        ("bytes=-1", ByteRange(99, 99)),
        ("bytes=-100", ByteRange(0, 99)),
        ("bytes=-5000", ByteRange(0, 99)),
        (" Bytes = 5 - 6 ", ByteRange(5, 6)),
        ("bytes=10-" + "9" * 30, ByteRange(10, 99)),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=5-4", None),
        ("bytes=a-b", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("0-1", None),
        ("bytes=--1", None),
        ("bytes=1.5-2", None),
        ("bytes=٣-٤", None),
        ("bytes=" + "9" * 5000 + "-", None),
    ],
)
def test_a_range_header_is_read_or_ignored(header: str, expected: ByteRange | None) -> None:
    assert parse_range(header, 100) == expected


@pytest.mark.parametrize(
    ("header", "size"),
    [("bytes=100-", 100), ("bytes=500-600", 100), ("bytes=-0", 100), ("bytes=0-", 0), ("bytes=-5", 0)],
)
def test_bytes_after_the_end_cannot_be_had(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, size)


@given(st.integers(1, 500), st.integers(0, 600), st.integers(0, 600))
def test_a_range_is_the_slice_of_the_content(size: int, start: int, length: int) -> None:
    content = bytes(n % 256 for n in range(size))
    try:
        part = parse_range(f"bytes={start}-{start + length}", size)
    except Unsatisfiable:
        assert start >= size
        return
    assert part is not None
    assert content[part.start : part.end + 1] == content[start : start + length + 1]
    assert part.length == len(content[start : start + length + 1])


@pytest.fixture
def stored() -> Iterator[str]:
    """The file; ending a response leaves the database, which these tests have not, alone."""
    request_finished.disconnect(close_old_connections)
    yield put_bytes(NAME, CONTENT)
    request_finished.connect(close_old_connections)


def get(method: str = "get", **headers: str) -> HttpResponseBase:
    request: HttpRequest = getattr(RequestFactory(), method)(
        "/", headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    response = stored_file_response(request, NAME, content_type="video/mp4")
    return response


def body(response: HttpResponseBase) -> bytes:
    content = b"".join(response) if response.streaming else response.content  # type: ignore[attr-defined]
    response.close()
    return bytes(content)


def test_the_whole_file(stored: str) -> None:
    response = get()
    assert response.status_code == 200
    assert response["Accept-Ranges"] == "bytes"
    assert response["Content-Length"] == str(len(CONTENT))
    assert response["Content-Type"] == "video/mp4"
    assert "private" in response["Cache-Control"]
    assert body(response) == CONTENT


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [("bytes=0-99", 0, 99), ("bytes=1000-", 1000, 1023), ("bytes=-24", 1000, 1023)],
)
def test_a_part_of_the_file(stored: str, header: str, start: int, end: int) -> None:
    response = get(Range=header)
    assert response.status_code == 206
    assert response["Content-Range"] == f"bytes {start}-{end}/1024"
    assert response["Content-Length"] == str(end - start + 1)
    assert body(response) == CONTENT[start : end + 1]


def test_large_parts_come_in_pieces(monkeypatch: pytest.MonkeyPatch, stored: str) -> None:
    monkeypatch.setattr(ranged, "_CHUNK", 100)
    response = get(Range="bytes=1-250")
    pieces = list(response)  # type: ignore[call-overload]
    response.close()
    assert [len(piece) for piece in pieces] == [100, 100, 50]
    assert b"".join(pieces) == CONTENT[1:251]


def test_a_part_after_the_end(stored: str) -> None:
    response = get(Range="bytes=1024-")
    assert response.status_code == 416
    assert response["Content-Range"] == "bytes */1024"
    assert body(response) == b""


def test_an_unknown_range_gets_the_whole_file(stored: str) -> None:
    response = get(Range="bytes=0-1,3-4")
    assert response.status_code == 200
    assert body(response) == CONTENT


def test_head_tells_the_size_without_the_bytes(stored: str) -> None:
    response = get("head", Range="bytes=0-1")
    assert response.status_code == 200
    assert response["Content-Length"] == "1024"
    assert body(response) == b""


def test_if_range_with_the_same_content_keeps_the_range(stored: str) -> None:
    first = get()
    body(first)
    for condition in (first["ETag"], first["Last-Modified"]):
        response = get(Range="bytes=0-1", If_Range=condition)
        assert response.status_code == 206
        assert body(response) == CONTENT[:2]


@pytest.mark.parametrize("condition", ['"other"', 'W/"abcd-400"', http_date(0), "nonsense"])
def test_if_range_with_other_content_gets_the_whole_file(stored: str, condition: str) -> None:
    response = get(Range="bytes=0-1", If_Range=condition)
    assert response.status_code == 200
    assert body(response) == CONTENT


def test_a_browser_that_holds_the_content_is_told_so(stored: str) -> None:
    first = get()
    body(first)
    for held in (first["ETag"], "W/" + first["ETag"], f'"x", {first["ETag"]}', "*"):
        response = get(If_None_Match=held, Range="bytes=0-1")
        assert response.status_code == 304
        assert body(response) == b""
    other = get(If_None_Match='"other"')
    assert other.status_code == 200
    body(other)


def test_an_empty_file(stored: str) -> None:
    put_bytes(NAME, b"")
    whole = get()
    assert (whole.status_code, whole["Content-Length"], body(whole)) == (200, "0", b"")
    part = get(Range="bytes=0-")
    assert part.status_code == 416
    assert part["Content-Range"] == "bytes */0"


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(Http404):
        get()


def test_a_bucket_serves_its_files_itself(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.STORAGE_LOCATION = S3Location("clips", None, None)
    monkeypatch.setattr(
        ranged, "default_storage", SimpleNamespace(url=lambda name: f"https://s3.example/{name}?signed")
    )
    response = get(Range="bytes=0-1")
    assert response.status_code == 302
    assert response["Location"] == f"https://s3.example/{NAME}?signed"
    assert "no-store" in response["Cache-Control"]


def test_the_file_is_closed_after_the_response(stored: str) -> None:
    path = Path(default_storage.path(NAME))
    response = get(Range="bytes=0-1")
    response.close()
    path.unlink()  # a file left open would be a ResourceWarning, which fails the run
