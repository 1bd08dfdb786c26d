import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.importers import json_stream
from annotations.corpora.importers.json_stream import (
    MAX_DEPTH,
    MAX_DIGITS,
    Guarded,
    Unreadable,
    entries,
    items,
)
from annotations.corpora.importers.rows import BadField, Rejection

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def rows(text: str | bytes, read: Any = items) -> list[Any]:
    return list(read(io.BytesIO(text if isinstance(text, bytes) else text.encode()), file="f.json"))


def read_all(guarded: Guarded, size: int) -> bytes:
    return b"".join(iter(lambda: guarded.read(size), b""))


@given(st.lists(JSON, max_size=5), st.booleans())
def test_items_are_what_json_says(values: list[Any], ascii_only: bool) -> None:
    text = json.dumps(values, ensure_ascii=ascii_only)
    assert rows(text) == [(row, value) for row, value in enumerate(json.loads(text), start=1)]


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=5))
def test_entries_are_what_json_says(values: dict[str, Any]) -> None:
    found = rows(json.dumps(values, ensure_ascii=False), entries)
    assert [(key, value) for _, key, value in found] == list(values.items())


@given(JSON, st.integers(1, 7))
def test_the_guard_passes_all_bytes_on(value: Any, size: int) -> None:
    text = json.dumps([value]).encode()
    assert read_all(Guarded(io.BytesIO(text)), size) == text


def test_a_byte_order_mark_and_white_space_are_passed_over() -> None:
    assert rows(b"\xef\xbb\xbf \r\n\t[1]") == [(1, 1)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not a JSON list: it is empty"),
        (b"{}", "not a JSON list: it begins with '{'"),
        (b"\xff\xfe[", "not a JSON list: it begins with '\ufffd'"),
    ],
)
def test_another_kind_of_file_is_one_rejection(text: bytes, reason: str) -> None:
    (rejection,) = rows(text)
    assert (rejection.row, rejection.reason) == (None, reason)


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"]]",
        b", 2",
        b", nonsense]",
        b', "\xff"]',
        b", NaN]",
        b", 1e99999999999999999999]",
        b", " + b"9" * 5000 + b"]",  # ends the process without the guard
        b", " + b"[" * 100_000,  # takes tens of gigabytes without the guard
        b", " + b'{"a":' * 100_000,
    ],
)
def test_where_the_json_breaks_the_rest_is_a_rejection(rest: bytes) -> None:
    found = rows(b'["a' + b"x" * 100_000 + b'"' + rest)
    assert isinstance(found[-1], Rejection)
    assert found[-1].reason.startswith("the JSON breaks here, the rest is not read: ")
    assert len(found) <= 3


def test_a_number_too_large_to_store_stands_in_its_place() -> None:
    (_, first), (_, second), (_, third) = rows("[1e400, -1e999999, 2]")
    assert isinstance(first, BadField)
    assert isinstance(second, BadField)
    assert third == 2


def test_the_guard_counts_depth_outside_of_strings_only() -> None:
    deep = "[" * MAX_DEPTH + '"' + "[" * 500 + '\\"' + "{" * 500 + '\\\\"' + "]" * MAX_DEPTH
    assert len(rows(deep)) == 1
    (rejection,) = rows("[" + deep + "]")
    assert rejection.reason.endswith(f"brackets nested more than {MAX_DEPTH} deep")


@given(st.integers(1, 40))
def test_the_guard_sees_through_the_borders_of_reads(size: int) -> None:
    guarded = Guarded(io.BytesIO(b'["' + b'\\"[' * 100 + b'", ' + b"[" * MAX_DEPTH))
    with pytest.raises(Unreadable, match="nested"):
        read_all(guarded, size)


@given(st.integers(1, 600))
def test_the_guard_sees_digits_across_reads(size: int) -> None:
    guarded = Guarded(io.BytesIO(b"[" + b"1" * (MAX_DIGITS + 1)))
    with pytest.raises(Unreadable, match="digits"):
        read_all(guarded, size)


def test_a_row_may_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "MAX_ROW_BYTES", 200_000)
    assert len(rows(json.dumps(["x" * 1000] * 1000))) == 1000
    (rejection,) = rows(json.dumps([["x" * 1000] * 1000]))
    assert "a row of more than" in rejection.reason
    (rejection,) = rows(json.dumps(["x" * 1_000_000]))
    assert "a row of more than" in rejection.reason
