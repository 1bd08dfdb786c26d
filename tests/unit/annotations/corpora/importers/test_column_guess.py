from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.importers.column_guess import suggest_mapping
from annotations.corpora.importers.column_mapping import check_mapping, parse_mapping


def test_usual_columns_are_recognised() -> None:
    columns = [
        "Video",
        "dataset",
        "Split",
        "is_crash",
        "crash start (ms)",
        "crash end (ms)",
        "onset_s",
        "Description",
        "weather",
    ]
    sample = [{"Video": "a.mp4", "is_crash": "1"}, {"Video": "b.mp4", "is_crash": "No"}]
    mapping = suggest_mapping(columns, sample)
    assert mapping["name"] == "Video"
    assert mapping["source"] == {"column": "dataset"}
    assert mapping["split"] == {"column": "Split"}
    assert mapping["crash_recognition"]["column"] == "is_crash"
    assert mapping["crash_localization"] == {
        "start": "crash start (ms)", "end": "crash end (ms)", "unit": "milliseconds",
    }  # fmt: skip
    assert mapping["pre_crash_localization"] == {"at": "onset_s", "unit": "seconds"}
    assert mapping["crash_description"] == "Description"
    assert check_mapping(mapping, columns) == []


def test_a_label_column_that_says_neither_yes_nor_no_is_left_alone() -> None:
    assert "crash_recognition" not in suggest_mapping(["id", "label"], [{"id": "1", "label": "rear-end"}])


def test_addresses_are_told_by_their_cells() -> None:
    assert suggest_mapping(["url"], [{"url": "https://x.org/a.mp4"}])["url"] == "url"
    assert "url" not in suggest_mapping(["url", "id"], [{"url": "n/a", "id": "1"}])


def test_a_column_of_clips_is_found_whatever_it_is_called() -> None:
    assert suggest_mapping(["Datei", "n"], [{"Datei": "x/a.MP4", "n": "1"}])["name"] == "Datei"


def test_frames_take_the_rate_of_its_column_and_are_wanting_without_one() -> None:
    columns = ["clip", "start_frame", "end_frame"]
    with_rate = suggest_mapping([*columns, "fps"])
    assert with_rate["crash_localization"] == {
        "start": "start_frame", "end": "end_frame", "unit": "frames", "fps": {"column": "fps"},
    }  # fmt: skip
    (problem,) = check_mapping(suggest_mapping(columns), columns)
    assert "frames need fps" in problem.message


@pytest.mark.parametrize("columns", [[], ["a"], ["start"]])
def test_where_nothing_is_known_nothing_is_guessed(columns: list[str]) -> None:
    assert suggest_mapping(columns) == {"metadata": "rest"}


@given(
    columns=st.lists(
        st.text(max_size=6) | st.sampled_from(["id", "start", "end", "label", "url", "text", "fps", "start_frame"]),
        unique=True, max_size=8,
    ),
    cells=st.lists(st.none() | st.integers() | st.text(max_size=5), max_size=8),
)  # fmt: skip
def test_a_guess_never_names_a_column_twice_or_one_that_is_not_there(
    columns: list[str], cells: list[Any]
) -> None:
    row = dict(zip(columns, cells, strict=False))
    mapping = suggest_mapping(columns, [row])
    if any(field in mapping for field in ("name", "path", "url")) and not check_mapping(mapping):
        named = [column for _, column in parse_mapping(mapping).named]
        assert set(named) <= {column.strip() for column in columns}
        assert len(named) == len(set(named))
