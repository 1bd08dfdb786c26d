from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.importers.column_mapping import (
    MappingRefused,
    Times,
    check_mapping,
    missing_columns,
    parse_mapping,
)
from annotations.corpora.importers.rows import KINDS

FULL: dict[str, Any] = {
    "name": "file",
    "url": "link",
    "source": {"constant": "our dashcams"},
    "recording": {"column": "trip"},
    "split": "set",
    "crash_recognition": {"column": "label", "yes": ["Crash"], "no": ["fine"]},
    "crash_description": "text",
    "crash_localization": {
        "start": "from",
        "end": "to",
        "unit": "frames",
        "fps": "30000/1001",
        "first_frame": 1,
    },
    "pre_crash_localization": {"at": "cue", "unit": "milliseconds"},
    "metadata": ["weather"],
    "not_given": ["-1"],
    "delimiter": "tab",
}


def test_a_full_mapping_is_read() -> None:
    mapping = parse_mapping(FULL)
    assert mapping.times["crash_localization"] == Times(("from", "to"), "frames", Fraction(30000, 1001), 1)
    assert mapping.times["pre_crash_localization"] == Times(("cue",), "milliseconds")
    assert mapping.recognition is not None
    assert mapping.recognition.yes == {"crash"}
    assert (mapping.delimiter, mapping.metadata) == ("\t", ("weather",))
    assert {column for _, column in mapping.named} == {
        "file", "link", "trip", "set", "label", "text", "from", "to", "cue", "weather",
    }  # fmt: skip


def test_every_kind_of_question_can_be_mapped() -> None:
    columns: dict[str, Any] = {kind: "c" for kind in KINDS}
    columns["crash_localization"] = {"start": "c", "end": "d"}
    assert check_mapping({"name": "n", **columns}, ["n", "c", "d"]) == []


def test_every_problem_names_its_field_and_column() -> None:
    problems = check_mapping(FULL, ["file", "link", "trip", "set", "label", "text", "from", "cue"])
    assert [(problem.field, problem.column) for problem in problems] == [
        ("crash_localization", "to"),
        ("metadata", "weather"),
    ]
    assert problems[0].message == "crash_localization: the table has no column 'to'"


@pytest.mark.parametrize(
    ("entry", "field", "message"),
    [
        ({"nam": "x"}, "nam", "no such field"),
        ({"name": ""}, "name", "which column names the clip"),
        ({"name": 3}, "name", "must be the name of a column"),
        ({"source": {"constant": ""}}, "source", "constant must be a text"),
        ({"source": {"constant": "a", "column": "b"}}, "source", "must be the name of a column"),
        ({"crash_recognition": 1}, "crash_recognition", "must be"),
        ({"crash_recognition": {"column": "c", "yes": "1"}}, "crash_recognition.yes", "list of texts"),
        (
            {"crash_recognition": {"column": "c", "yes": ["X"], "no": ["x"]}},
            "crash_recognition",
            "both yes and no",
        ),
        (
            {"crash_recognition": {"column": "c", "yes": [], "no": []}},
            "crash_recognition",
            "which cells mean yes",
        ),
        ({"crash_recognition": {"column": "c", "maybe": []}}, "crash_recognition", "there is no 'maybe'"),
        ({"crash_localization": "c"}, "crash_localization", "start and end column"),
        ({"crash_localization": {"start": "a"}}, "crash_localization.end", "name of a column"),
        ({"pre_crash_localization": {"at": "a", "unit": "hours"}}, "pre_crash_localization", "unit must be"),
        (
            {"pre_crash_localization": {"at": "a", "unit": "frames"}},
            "pre_crash_localization",
            "frames need fps",
        ),
        (
            {"pre_crash_localization": {"at": "a", "unit": "frames", "fps": "0"}},
            "pre_crash_localization.fps",
            "no frame rate",
        ),
        (
            {"pre_crash_localization": {"at": "a", "first_frame": 2}},
            "pre_crash_localization.first_frame",
            "0 or 1",
        ),
        (
            {"pre_crash_localization": {"at": "a", "rounded": "yes"}},
            "pre_crash_localization.rounded",
            "true or",
        ),
        ({"metadata": "all"}, "metadata", "rest"),
        ({"not_given": "-1"}, "not_given", "list of texts"),
        ({"delimiter": "#"}, "delimiter", "must be one of"),
    ],
)
def test_what_is_wrong_with_a_mapping_is_said(entry: dict[str, Any], field: str, message: str) -> None:
    (problem,) = check_mapping({"name": "file", **entry})
    assert problem.field == field
    assert message in problem.message
    with pytest.raises(MappingRefused):
        parse_mapping({"name": "file", **entry})


@pytest.mark.parametrize("mapping", [None, [], "name", {}, {"metadata": "rest"}])
def test_without_a_column_for_the_clip_there_is_no_mapping(mapping: Any) -> None:
    assert "name" in {problem.field for problem in check_mapping(mapping)}


def test_a_rate_may_come_from_a_column() -> None:
    mapping = parse_mapping(
        {
            "name": "n",
            "crash_localization": {"start": "a", "end": "b", "unit": "frames", "fps": {"column": "r"}},
        }
    )
    assert mapping.times["crash_localization"].fps == "r"
    assert [problem.column for problem in missing_columns(mapping, ["n", "a", "b"])] == ["r"]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["column", "constant", "yes", "no", "start", "end", "at", "unit", "fps", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@given(mapping=JUNK | st.dictionaries(st.sampled_from([*FULL, *KINDS]), JUNK))
def test_any_json_is_a_mapping_or_a_list_of_problems(mapping: Any) -> None:
    problems = check_mapping(mapping)
    if not problems:
        parse_mapping(mapping)
    assert all(problem.message for problem in problems)
