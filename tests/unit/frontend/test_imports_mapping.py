"""The form of a column mapping: what a corpus keeps survives the way into the form and back."""

from typing import Any

import pytest
from django.http import QueryDict

from annotations.corpora.importers.column_mapping import check_mapping
from frontend.imports_mapping import fields_of, mapping_of

FULL: dict[str, Any] = {
    "name": "clip",
    "path": "file",
    "source": {"constant": "Rome, 2026"},
    "recording": {"column": "drive"},
    "crash_recognition": {"column": "crash", "yes": ["1", "yes, surely"], "no": ["0", 'the "no"']},
    "causal_reasoning": "why",
    "crash_localization": {
        "start": "from", "end": "to", "unit": "frames", "fps": {"column": "rate"}, "first_frame": 1,
        "end_inclusive": True,
    },
    "pre_crash_localization": {"at": "onset", "unit": "milliseconds", "rounded": True},
    "metadata": ["weather", "a, b"],
    "not_given": ["-1", "n/a"],
    "delimiter": "tab",
}  # fmt: skip


def sent(fields: dict[str, str]) -> QueryDict:
    query = QueryDict(mutable=True)
    query.update({f"map.{name}": value for name, value in fields.items() if value})
    return query


@pytest.mark.parametrize(
    "mapping",
    [
        FULL,
        {"url": "link", "metadata": "rest"},
        {"name": "n", "metadata": []},
        {
            "name": "n", "metadata": "rest",
            "crash_localization": {
                "start": "a", "end": "b", "unit": "frames", "fps": "30000/1001", "first_frame": 0,
                "end_inclusive": False,
            },
        },
    ],
)  # fmt: skip
def test_a_mapping_survives_the_form(mapping: dict[str, Any]) -> None:
    assert check_mapping(mapping) == []
    assert mapping_of(sent(fields_of(mapping))) == mapping


def test_short_forms_become_long_ones() -> None:
    short = {"name": "n", "source": "origin", "pre_crash_localization": "onset", "crash_recognition": "crash"}
    made = mapping_of(sent(fields_of(short)))
    assert made["source"] == {"column": "origin"}
    assert made["pre_crash_localization"] == {"at": "onset", "unit": "seconds"}
    assert "yes" in made["crash_recognition"]["yes"]
    assert check_mapping(made) == []


def test_a_constant_wins_over_a_column_and_half_a_span_is_told_of() -> None:
    made = mapping_of(
        sent({"name": "n", "source": "a", "source.constant": "b", "crash_localization.start": "s"})
    )
    assert made["source"] == {"constant": "b"}
    assert [problem.field for problem in check_mapping(made)] == ["crash_localization.end"]


def test_nothing_said_is_no_mapping() -> None:
    assert mapping_of(sent({})) == {"metadata": []}
