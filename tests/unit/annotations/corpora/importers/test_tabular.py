import csv
import io
import json
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.importers.rows import BadField
from annotations.corpora.importers.tabular import (
    DELIMITERS,
    BadRow,
    Row,
    TableError,
    TableKind,
    kind_of,
    plain,
    read_rows,
    sniff,
)


def rows(content: bytes | str, kind: TableKind = "delimited", **options: Any) -> list[Row | BadRow]:
    data = content.encode() if isinstance(content, str) else content
    return list(read_rows(io.BytesIO(data), kind, **options))


def test_rows_carry_the_line_where_they_begin_in_the_file() -> None:
    text = 'a,b\n\n1,"two\nlines"\n,\n2,"three\r\nmore\nlines"\n3,x\n'
    assert rows(text) == [
        Row(3, {"a": "1", "b": "two\nlines"}),
        Row(6, {"a": "2", "b": "three\r\nmore\nlines"}),
        Row(9, {"a": "3", "b": "x"}),
    ]


@given(
    table=st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8), min_size=3, max_size=3),
        max_size=6,
    ),
    delimiter=st.sampled_from(DELIMITERS),
    end=st.sampled_from(["\n", "\r\n"]),
)  # fmt: skip
def test_what_csv_wrote_is_read_back(table: list[list[str]], delimiter: str, end: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["a", "b", "c"])
    writer.writerows(table)
    said = [
        list(row.cells.values()) for row in rows(out.getvalue(), delimiter=delimiter) if isinstance(row, Row)
    ]
    assert said == [row for row in table if any(row)]


def test_a_ragged_row_is_refused_and_the_next_is_read() -> None:
    assert rows("a,b\n1\n1,2,3\n1,2\n") == [
        BadRow(2, "has 1 cells where the header has 2"),
        BadRow(3, "has 3 cells where the header has 2"),
        Row(4, {"a": "1", "b": "2"}),
    ]


def test_quotes_that_do_not_close_name_their_lines() -> None:
    (bad,) = rows('a,b\n1,"x\n2,y\n')
    assert isinstance(bad, BadRow)
    assert bad.line == 2
    assert "(lines 2 to 3)" in bad.reason
    bad, good = rows('a,b\n1,"x"y\n2,y\n')
    assert (isinstance(bad, BadRow), good) == (True, Row(3, {"a": "2", "b": "y"}))


def test_only_the_rows_that_are_not_utf_8_are_refused() -> None:
    bad, good = rows("a,b\n1,caf\xe9\n2,café\n".encode("latin-1").replace(b"2,caf\xe9", "2,café".encode()))
    assert bad == BadRow(2, "b is not UTF-8 text; save the file as UTF-8")
    assert good == Row(3, {"a": "2", "b": "café"})


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    assert rows(b"\xef\xbb\xbfa,b\n1,2\n") == [Row(2, {"a": "1", "b": "2"})]
    assert rows(b'\xef\xbb\xbf{"a": 1}\n', "lines") == [Row(1, {"a": 1})]
    assert rows(b'\xef\xbb\xbf[{"a": 1}]', "list") == [Row(1, {"a": 1})]


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (b"", "delimited", "empty"),
        (b"\n \n", "delimited", "empty"),
        ("a,b\n1,2\n".encode("utf-16"), "delimited", "UTF-16"),
        (b"PK\x03\x04rest", "delimited", ".xlsx"),
        (b"a,a\n1,2\n", "delimited", "two columns are called 'a'"),
        (b"a,\xff\n1,2\n", "delimited", "header is not UTF-8"),
        (b'"a\n', "delimited", "header cannot be read"),
        (b"a,b\n" + b"x" * (1 << 20), "delimited", "longer than"),
        (b"x" * (1 << 20) + b"y", "lines", "longer than"),
        (b"", "list", "the file is empty"),
        (b"{}", "list", "begins with '{'"),
        (b'[{"a": 1}, {"a": ', "list", "the rest is not read"),
    ],
)
def test_a_file_that_is_no_table_ends_with_its_reason(content: bytes, kind: TableKind, reason: str) -> None:
    with pytest.raises(TableError, match=reason):
        rows(content, kind)


def test_rows_before_the_break_are_read() -> None:
    reader = read_rows(io.BytesIO(b'[{"a": 1}, {"a": '), "list")
    assert next(reader) == Row(1, {"a": 1})
    with pytest.raises(TableError) as caught:
        next(reader)
    assert caught.value.line == 2


def test_json_lines_are_counted_and_refused_one_by_one() -> None:
    text = '{"a": 1.50}\n\n[1]\n{\n{"a": 1}\n' + "[" * 9000 + "\n"
    first, no_object, no_json, last, deep = rows(text, "lines")
    assert first == Row(1, {"a": Decimal("1.50")})
    assert no_object == BadRow(3, "the row is no object but list")
    assert isinstance(no_json, BadRow)
    assert no_json.line == 4
    assert last == Row(5, {"a": 1})
    assert isinstance(deep, BadRow)


@pytest.mark.parametrize(
    ("head", "delimiter"),
    [
        ("a,b,c\n1,2,3\n", ","),
        ("a;b\n1,5;2,5\n", ";"),
        ("a\tb\nx, y\tz\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ("file\nx\n", ","),
        ("file,text\na.mp4,first; then | last\n", ","),
        ('file;text\na;"b, c, d"\n', ";"),
    ],
)
def test_the_delimiter_is_the_one_that_splits_evenly(head: str, delimiter: str) -> None:
    assert sniff(head.encode()) == delimiter


def test_a_column_without_a_name_is_called_by_its_place() -> None:
    assert rows(",a\n0,x\n") == [Row(2, {"column 1": "0", "a": "x"})]


def test_the_suffix_tells_how_a_table_is_written() -> None:
    names = ("a.CSV", "a.tsv", "a.jsonl", "a.json", "a.mp4")
    assert [kind_of(Path(name)) for name in names] == ["delimited", "delimited", "lines", "list", None]


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.decimals(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_plain_values_go_into_json(value: Any) -> None:
    try:
        json.dumps(plain(value), allow_nan=False)
    except BadField:
        assert "Decimal" in repr(value) or "[[" in repr(value)


def test_numbers_keep_their_writing_and_absurd_ones_are_refused() -> None:
    assert repr(plain([Decimal("29.97"), Decimal("3.0"), {"a": 1}])) == "[29.97, 3, {'a': 1}]"
    for value in (Decimal("1E+999999999"), Decimal("NaN")):
        with pytest.raises(BadField, match="too large"):
            plain(value, "x")
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    with pytest.raises(BadField, match="nested"):
        plain(deep, "x")


@given(content=st.binary(max_size=300), kind=st.sampled_from(["delimited", "lines", "list"]))
def test_any_bytes_are_rows_or_a_table_error(content: bytes, kind: TableKind) -> None:
    found: list[Row | BadRow] = []
    with suppress(TableError):
        found.extend(read_rows(io.BytesIO(content), kind))
    assert [row.line for row in found] == sorted({row.line for row in found})
