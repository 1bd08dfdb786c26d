"""The example file format."""

import json
from pathlib import Path

import pytest

from model_assist.crashchat import kinds as k
from model_assist.training.examples import Example, ExampleError, group_by_clip, read_examples, write_examples

GOOD = {
    "video": "a.mp4",
    "kind": k.CRASH_RECOGNITION,
    "prompt": "<video>\nCrash?",
    "answer": " Yes ",
    "duration_us": 5,
}


def test_reading_and_writing(tmp_path: Path) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n" + json.dumps({**GOOD, "duration_us": None, "id": 3}) + "\n")
    first, second = read_examples(path)
    assert first == Example(tmp_path / "a.mp4", k.CRASH_RECOGNITION, "Crash?", "Yes", 5)
    assert second.duration_us is None
    assert write_examples(path, [first, second]) == 2
    assert read_examples(path) == [first, second]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not valid JSON"),
        ("[]", "line 2: not a JSON object"),
        (json.dumps({**GOOD, "answer": " "}), "line 2, field 'answer'"),
        (json.dumps({**GOOD, "kind": "weather"}), "line 2, field 'kind'"),
        (json.dumps({**GOOD, "prompt": "<video>"}), "line 2, field 'prompt'"),
        (json.dumps({**GOOD, "duration_us": 1.5}), "line 2, field 'duration_us'"),
        (json.dumps({**GOOD, "video": 3}), "line 2, field 'video'"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "examples.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n")
    with pytest.raises(ExampleError, match=message):
        read_examples(path)


def test_files_without_examples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExampleError, match=r"gone\.jsonl: cannot be read"):
        read_examples(tmp_path / "gone.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(ExampleError, match="no examples"):
        read_examples(tmp_path / "empty.jsonl")


def test_grouping_keeps_order_and_filters_kinds() -> None:
    rows = [
        Example(Path(video), kind, "Q?", "A")
        for video, kind in [
            ("b", k.CRASH_RECOGNITION),
            ("a", k.CRASH_LOCALIZATION),
            ("b", k.CAUSAL_REASONING),
        ]
    ]
    groups = group_by_clip(rows, k.LINGUISTIC)
    assert [(str(g.video), len(g.examples)) for g in groups] == [("b", 2)]
    assert [str(g.video) for g in group_by_clip(rows)] == ["b", "a"]
