"""Reading prediction and truth files of every layout, and what is wrong with their rows."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_assist.crashchat import kinds as k
from model_assist.training.score_files import Row, Rows, ScoreFileError, kind_of_name, read_files, video_key


def written(folder: Path, rows: Any, name: str = "predictions.json") -> Path:
    path = folder / name
    text = "\n".join(json.dumps(row) for row in rows) if name.endswith("l") else json.dumps(rows)
    path.write_text(text, encoding="utf-8")
    return path


def read(
    folder: Path, rows: Any, name: str = "predictions.json", *, truth: bool = False, kind: str = ""
) -> Rows:
    return read_files([written(folder, rows, name)], truth=truth, kind=kind)


def only(found: Rows) -> Row:
    assert found.left_out == []
    (row,) = found.rows
    return row


def valued(**value: Any) -> tuple[str, dict[str, Any]]:
    return ("valued", value)


CRASHCHAT = [
    ({"gt_label": "No", "pred_label": "Yes"}, k.CRASH_RECOGNITION, {"label": "no"}, {"label": "yes"}, "Yes"),
    ({"gt_caption": "a hits b", "pred_caption": "b hits a"}, k.CRASH_DESCRIPTION, {"text": "a hits b"},
     {"text": "b hits a"}, "b hits a"),
    ({"gt_cause": "Rain.", "pred_cause": "Snow."}, k.CAUSAL_REASONING, {"text": "Rain."}, {"text": "Snow."}, "Snow."),
    ({"gt_text": "Slow.", "pred_text": "Stop."}, k.PREVENTION_REASONING, {"text": "Slow."}, {"text": "Stop."}, "Stop."),
    ({"gt_start": 8.3, "gt_end": 9.1, "pred_start": 8, "pred_end": 9.1}, k.CRASH_LOCALIZATION,
     {"start_us": 8_300_000, "end_us": 9_100_000}, {"start_us": 8_000_000, "end_us": 9_100_000}, (8.0, 9.1)),
    ({"gt_time": 4.6, "pred_time": 3.0}, k.PRE_CRASH_LOCALIZATION, {"at_us": 4_600_000}, {"at_us": 3_000_000}, 3.0),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "kind", "truth", "said", "published"), CRASHCHAT)
def test_what_crashchat_s_evaluation_writes(
    tmp_path: Path, fields: dict[str, Any], kind: str, truth: Any, said: Any, published: Any
) -> None:
    row = only(read(tmp_path, [{"data_id": 1, "video_path": "/x/videos/a.mp4", "prompt": "?", **fields}]))
    assert (row.video, row.kind, row.truth, row.said) == ("a.mp4", kind, valued(**truth), valued(**said))
    assert (row.raw, row.published) == (None, published)


def test_words_that_say_nothing_beat_the_fields_made_from_them(tmp_path: Path) -> None:
    """A response without times is written as 0.0 to 0.0 by the published evaluation."""
    fields = {
        "gt_start": 1.0,
        "gt_end": 2.0,
        "pred_start": 0.0,
        "pred_end": 0.0,
        "raw_response": "I cannot see it.",
    }
    row = only(read(tmp_path, [{"video_path": "a.mp4", **fields}]))
    assert (row.said, row.published) == (("unparsable", None), (0.0, 0.0))


def test_a_text_may_belong_to_another_task_by_the_file_s_name(tmp_path: Path) -> None:
    rows = [{"video_path": "a.mp4", "gt_text": "Rain.", "pred_text": "Rain."}]
    assert only(read(tmp_path, rows, "total_cause_reasoning_test_predict.json")).kind == k.CAUSAL_REASONING
    assert only(read(tmp_path, rows)).kind == k.PREVENTION_REASONING


def conversation(answer: str, video: str = "videos/a.mp4", **more: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": "<video>\n?"}, {"from": "gpt", "value": answer}]
    return {"video": [video], "conversations": turns, "source": "MM-AU-CAP", **more}


def test_crashchat_s_data_is_truth_or_prediction(tmp_path: Path) -> None:
    rows, name = [conversation("1.0 - 2.5 seconds")], "x_crash_localization_val.json"
    span = valued(start_us=1_000_000, end_us=2_500_000)
    truth = only(read(tmp_path, rows, name, truth=True))
    assert (truth.truth, truth.said, truth.source) == (span, None, "MM-AU-CAP")
    said = only(read(tmp_path, rows, name))
    assert (said.truth, said.said, said.raw) == (None, span, "1.0 - 2.5 seconds")
    both = only(read(tmp_path, [conversation("1.0 - 2.5 seconds", response="none")], name))
    assert (both.truth, both.said) == (span, ("absent", None))


def test_the_general_layout_in_json_lines(tmp_path: Path) -> None:
    rows = [
        {"clip": "a.mp4", "task": "crash_recognition", "truth": "Yes", "prediction": "No", "recording": "r1"},
        {"clip": "a.mp4", "kind": "pre_crash_localization", "gt": 1.5, "prediction": 2},
    ]
    found = read(tmp_path, rows, "mine.jsonl")
    assert [row.kind for row in found.rows] == [k.CRASH_RECOGNITION, k.PRE_CRASH_LOCALIZATION]
    assert found.rows[0].recording == "r1"
    assert (found.rows[1].truth, found.rows[1].said) == (valued(at_us=1_500_000), valued(at_us=2_000_000))
    named_json = tmp_path / "lines.json"
    named_json.write_text((tmp_path / "mine.jsonl").read_text())
    assert read_files([named_json], truth=False).rows[1].raw == "2"


def test_what_the_engine_s_command_prints(tmp_path: Path) -> None:
    answers = {
        "crash_recognition": {"raw_text": "Yes", "state": "valued", "value": {"label": "yes"}},
        "crash_localization": {"raw_text": "", "state": "absent", "value": None},
        "crash_description": "car hits a truck.",
    }
    found = read(tmp_path, {"clip": "dir/a.mp4", "answers": answers}, "one.json")
    assert [(row.kind, row.said) for row in found.rows] == [
        (k.CRASH_RECOGNITION, valued(label="yes")),
        (k.CRASH_LOCALIZATION, ("absent", None)),
        (k.CRASH_DESCRIPTION, valued(text="car hits a truck.")),
    ]
    truth = read(tmp_path, {"clip": "a.mp4", "answers": {"crash_recognition": "No"}}, "two.json", truth=True)
    assert only(truth).truth == valued(label="no")


def test_a_list_inside_an_object_and_a_folder_of_files(tmp_path: Path) -> None:
    row = {"video": "a.mp4", "prediction": "Yes"}
    written(tmp_path, {"metrics": {}, "infos": [row]}, "crash_recognition.json")
    written(tmp_path, [{"video": "b.mp4", "prediction": "3 s"}], "pre_crash_localization.json")
    (tmp_path / "notes.txt").write_text("not read")
    (tmp_path / "broken.json").write_text('[{"video": ')
    found = read_files([tmp_path], truth=False)
    assert sorted((row.video, row.kind) for row in found.rows) == [
        ("a.mp4", k.CRASH_RECOGNITION),
        ("b.mp4", k.PRE_CRASH_LOCALIZATION),
    ]
    (left,) = found.left_out
    assert left.file.endswith("broken.json")
    assert "is not JSON" in left.message
    assert len(found.files) == 3


GOOD = {"video": "good.mp4", "prediction": "1.0 - 2.0 seconds"}


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        ("text", "", "is text, not an object"),
        ({"prediction": "1 - 2"}, "video", "names no clip"),
        ({"video": ["a.mp4", "b.mp4"], "prediction": "1 - 2"}, "video", "names no clip"),
        ({"video": "a.mp4"}, "", "holds no prediction"),
        ({"video": "a.mp4", "kind": "weather", "prediction": "1 - 2"}, "kind", "'weather' is no kind"),
        ({"video": "a.mp4", "prediction": ["1", "2"]}, "prediction", "is a list, not text"),
        ({"video": "a.mp4", "prediction": "1 - 2", "truth": "1 - x"}, "truth", "is no true answer"),
        ({"video": "a.mp4", "prediction": "1 - 2", "truth": "5 - 2"}, "truth", "ends before it starts"),
        ({"video": "a.mp4", "gt_start": 1.0, "pred_start": 1, "pred_end": 2}, "gt_end", "is missing"),
        ({"video": "a.mp4", "gt_start": 3, "gt_end": 2, "pred_start": 1, "pred_end": 2}, "gt_end", "ends before"),
        ({"video": "a.mp4", "gt_start": "soon", "gt_end": 2}, "gt_start", "'soon' is no time"),
        ({"video": "a.mp4", "pred_start": -1, "pred_end": 2}, "pred_start", "'-1' is no time"),
        ({"video": "a.mp4", "pred_start": True, "pred_end": 2}, "pred_start", "'True' is no time"),
        ({"video": "a.mp4", "pred_start": 1e300, "pred_end": 2}, "pred_start", "is no time"),
        ({"video": "a.mp4", "gt_label": 1, "pred_label": "Yes"}, "gt_label", "is a number, not text"),
        ({"video": "a.mp4", "conversations": []}, "conversations", "holds 0 answers"),
        ({"video": "a.mp4", "conversations": 3}, "conversations", "holds 0 answers"),
        ({"video": "a.mp4", "answers": {"weather": "x"}}, "answers.weather", "is no kind"),
        ({"video": "a.mp4", "answers": {"crash_recognition": 3}}, "answers.crash_recognition", "has no words"),
    ],
)  # fmt: skip
def test_a_bad_row_is_told_and_sinks_nothing(tmp_path: Path, row: Any, field: str, message: str) -> None:
    found = read(tmp_path, [GOOD, row, GOOD], "crash_localization.json")
    assert len(found.rows) == 2
    (left,) = found.left_out
    assert (left.row, left.field) == (2, field)
    assert message in left.message
    assert "crash_localization.json, row 2" in str(left)


def test_a_bad_line_of_json_lines_is_told(tmp_path: Path) -> None:
    path = tmp_path / "crash_localization.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n\n{{broken\n")
    found = read_files([path], truth=False)
    assert (len(found.rows), found.left_out[0].row) == (1, 3)
    assert "is not JSON" in found.left_out[0].message


def test_a_task_that_nothing_names(tmp_path: Path) -> None:
    with pytest.raises(ScoreFileError, match="cannot tell the task"):
        read(tmp_path, [GOOD])
    assert only(read(tmp_path, [GOOD], kind=k.CRASH_LOCALIZATION)).kind == k.CRASH_LOCALIZATION


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"3", "neither a list"),
        (b"[]", "no row"),
        (b"[1", "is not JSON"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "crash_recognition.json"
    path.write_bytes(content)
    with pytest.raises(ScoreFileError, match=message):
        read_files([path], truth=False)


def test_missing_files_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(ScoreFileError, match="there is no such file"):
        read_files([tmp_path / "gone.json"], truth=False)
    with pytest.raises(ScoreFileError, match=r"no \.json or \.jsonl file"):
        read_files([tmp_path], truth=False)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("crashchat_dada_video_total_pre_crash_localization_test_predict.json", k.PRE_CRASH_LOCALIZATION),
        ("crashchat_dada_video_total_crash_localization_val.json", k.CRASH_LOCALIZATION),
        ("total_anticipation_localization_test.json", k.PRE_CRASH_LOCALIZATION),
        ("total_temporal_localization_test.json", k.CRASH_LOCALIZATION),
        ("Cause-Reasoning.json", k.CAUSAL_REASONING),
        ("everything.json", ""),
    ],
)
def test_tasks_by_name(name: str, kind: str) -> None:
    assert kind_of_name(name) == kind


def test_clips_are_known_by_their_name_alone() -> None:
    assert {video_key(path) for path in ("a.mp4", "videos/a.mp4", "C:\\x\\a.mp4", "/lustre/x/a.mp4")} == {
        "a.mp4"
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    ["video", "kind", "prediction", "truth", "conversations", "answers", "gt_label", "pred_label", "gt_start", "gt_end",
     "pred_start", "pred_end", "gt_time", "pred_time", "pred_text", "raw_response", "source"]
)  # fmt: skip


@given(st.lists(st.dictionaries(names, json_values, max_size=6), max_size=4))
def test_no_row_whatever_it_holds_sinks_the_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    found = read(folder, [GOOD, *rows], "crash_localization.json")
    assert found.rows[0].video == "good.mp4"
    used = {row.row for row in found.rows} | {left.row for left in found.left_out}
    assert used == set(range(1, len(rows) + 2))
