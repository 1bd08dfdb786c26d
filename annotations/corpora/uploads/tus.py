"""The tus protocol's headers, version 1.0.0 (https://tus.io/protocols/resumable-upload). No database here."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.http import http_date

from crashdesk.api.errors import Problem

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,termination,expiration,checksum"
CHECKSUMS: Final = ("sha1", "sha256")
PATCH_TYPE: Final = "application/offset+octet-stream"
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True)
class Checksum:
    """What a piece's digest must be."""

    algorithm: str
    digest: bytes

    def hasher(self) -> Any:
        return hashlib.new(self.algorithm, usedforsecurity=False)


def check_version(given: str | None, *, required: bool) -> None:
    """Problem tus_version (412) when the client speaks another version, or none where one is required."""
    if given == VERSION or (given is None and not required):
        return
    said = f"not {given!r}" if given else "and the Tus-Resumable header is missing"
    raise Problem("tus_version", f"The server speaks tus {VERSION}, {said}.", status=412)


def number(headers: Mapping[str, str], name: str) -> int:
    """A header that must be a whole number, 0 or more; Problem invalid_header otherwise."""
    given = headers.get(name)
    if given is None or not _NUMBER.fullmatch(given):
        what = "is missing" if given is None else f"is not a whole number: {given[:40]!r}"
        raise Problem("invalid_header", f"{name} {what}.", fields={name: [what]}, status=400)
    return int(given)


def metadata(header: str) -> dict[str, str]:
    """Upload-Metadata: comma-separated keys, each with its value in Base64. Problem invalid_header when it is not."""
    found: dict[str, str] = {}
    for pair in header.split(",") if header.strip() else []:
        key, _, value = pair.strip().partition(" ")
        try:
            text = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise _bad_metadata(f"the value of {key[:40]!r} is not text in Base64") from error
        if not key or not key.isascii() or key in found:
            raise _bad_metadata(f"{key[:40]!r} is not a name, or comes twice")
        found[key] = text
    return found


def metadata_header(values: Mapping[str, Any]) -> str:
    """The same back: keys with text, sorted."""
    texts = {key: value for key, value in values.items() if isinstance(value, str)}
    return ",".join(
        f"{key} {base64.b64encode(texts[key].encode()).decode()}".strip() for key in sorted(texts)
    )


def _bad_metadata(what: str) -> Problem:
    return Problem(
        "invalid_header", f"Upload-Metadata: {what}.", fields={"Upload-Metadata": [what]}, status=400
    )


def checksum(header: str | None) -> Checksum | None:
    """Upload-Checksum: algorithm and digest in Base64. Problem invalid_header when it is not, or is unknown."""
    if header is None:
        return None
    algorithm, _, value = header.strip().partition(" ")
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except binascii.Error:
        digest = b""
    if algorithm not in CHECKSUMS or len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        what = f"must be one of {', '.join(CHECKSUMS)} and a digest in Base64"
        raise Problem(
            "invalid_header", f"Upload-Checksum {what}.", fields={"Upload-Checksum": [what]}, status=400
        )
    return Checksum(algorithm, digest)


def expires_header(moment: datetime) -> str:
    """Upload-Expires, in the format of RFC 9110 dates."""
    return http_date(moment.timestamp())
