import base64
import hashlib
from datetime import UTC, datetime

import pytest

from annotations.corpora.uploads import tus
from crashdesk.api.errors import Problem


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def test_metadata_is_read_and_written() -> None:
    header = f"filename {b64('Überfall, 1.mp4')},corpus {b64('my clips')}, empty"
    values = tus.metadata(header)
    assert values == {"filename": "Überfall, 1.mp4", "corpus": "my clips", "empty": ""}
    assert tus.metadata(tus.metadata_header(values)) == values
    assert tus.metadata("") == {}


@pytest.mark.parametrize(
    "header",
    ["filename %%%", f"a {b64('x')},a {b64('y')}", f" {b64('x')},,", f"a {b64(bytes([255]))}", "ü eA=="],
)
def test_nonsense_metadata_is_named(header: str) -> None:
    with pytest.raises(Problem) as caught:
        tus.metadata(header)
    assert (caught.value.code, caught.value.status) == ("invalid_header", 400)


@pytest.mark.parametrize("value", [None, "", "-1", "1.5", "٣", "1" * 19])
def test_a_number_is_a_number(value: str | None) -> None:
    with pytest.raises(Problem):
        tus.number({} if value is None else {"Upload-Length": value}, "Upload-Length")
    assert tus.number({"Upload-Length": "12"}, "Upload-Length") == 12


def test_a_checksum_names_algorithm_and_digest() -> None:
    digest = hashlib.sha1(b"abc").digest()
    given = tus.checksum(f"sha1 {b64(digest)}")
    assert given is not None
    assert (given.algorithm, given.digest) == ("sha1", digest)
    assert given.hasher().name == "sha1"
    assert tus.checksum(None) is None


@pytest.mark.parametrize(
    "header", ["md5 1B2M2Y8AsgTpgAmY7PhCfg==", "sha1", f"sha1 {b64('short')}", "sha1 %%", ""]
)
def test_other_checksums_are_refused(header: str) -> None:
    with pytest.raises(Problem):
        tus.checksum(header)


def test_a_date_has_the_form_of_http() -> None:
    assert tus.expires_header(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) == "Fri, 02 Jan 2026 03:04:05 GMT"
