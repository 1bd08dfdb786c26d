import io
import json
import tracemalloc
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.importers.crashchat import (
    files_of,
    kind_of,
    parse_answer,
    read_stream,
    recording_of,
    seconds_to_us,
)
from annotations.corpora.importers.rows import KINDS, BadField, GivenAnswer, Rejection, VideoRow
from tests.shared_data import shared


def row(video: Any = "videos/a.mp4", answer: Any = "Yes", **fields: Any) -> dict[str, Any]:
    return {
        "video": [video],
        "conversations": [{"from": "human", "value": "<video>\nIs there?"}, {"from": "gpt", "value": answer}],
        "source": "Nexar",
        **fields,
    }


def read(content: Any, kind: str = "crash_recognition") -> list[VideoRow | Rejection]:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return list(read_stream(io.BytesIO(data), file="f.json", kind=kind))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("crashchat_dada_video_total_cause_reasoning_val.json", "causal_reasoning"),
        ("causal_reasoning.json", "causal_reasoning"),
        ("x_pre_crash_localization_train.json", "pre_crash_localization"),
        ("precrash_localization.json", "pre_crash_localization"),
        ("x_crash_localization_val.json", "crash_localization"),
        ("demo_crash_recognition.json", "crash_recognition"),
        ("Crash-Description.json", "crash_description"),
        ("prevention reasoning test.json", "prevention_reasoning"),
        ("answers.json", None),
        ("crash_localization_and_crash_recognition.json", None),
        ("pre_crash_localization_crash_localization.json", None),
    ],
)
def test_the_file_name_tells_the_kind(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("videos/cap_48_014322.mp4", "cap_48_014322"),
        ("videos/dada_10_086.mp4", "dada_10_086"),
        ("videos/d2city_1001_3015.mp4", "d2city_1001"),
        ("videos/nexar_1328.mp4", "nexar_1328"),
        ("my clip.final.avi", "my clip.final"),
    ],
)
def test_the_recording_follows_the_naming_of_the_source(name: str, recording: str) -> None:
    assert recording_of(name)[0] == recording


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("crash_recognition", "Yes", {"label": "yes"}),
        ("crash_recognition", " no. ", {"label": "no"}),
        ("crash_localization", "1.9 - 4.0 seconds", {"start_us": 1_900_000, "end_us": 4_000_000}),
        ("crash_localization", "3 – 3.000001s", {"start_us": 3_000_000, "end_us": 3_000_001}),  # noqa: RUF001
        ("crash_localization", "5.0 - 2.0 seconds", {"start_us": 5_000_000, "end_us": 2_000_000}),
        ("pre_crash_localization", "1.0 seconds", {"at_us": 1_000_000}),
        ("pre_crash_localization", "0.0 seconds", {"at_us": 0}),
        ("causal_reasoning", " Speeding. ", {"text": "Speeding."}),
    ],
)
def test_answers_become_values(kind: str, text: str, value: dict[str, Any]) -> None:
    assert parse_answer(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("crash_recognition", "Maybe"),
        ("crash_recognition", ""),
        ("crash_localization", "1.9 seconds"),
        ("crash_localization", "-1.0 - 2.0 seconds"),
        ("crash_localization", "1.0 - 2.0 seconds or so"),
        ("crash_localization", "nan - inf seconds"),
        ("crash_localization", "٣ - ٤ seconds"),
        ("crash_localization", "1.0 - 99999999 seconds"),
        ("pre_crash_localization", "1.0 - 2.0 seconds"),
        ("pre_crash_localization", "0.0000001 seconds"),
        ("crash_description", "  \n"),
    ],
)
def test_other_texts_are_no_answers(kind: str, text: str) -> None:
    with pytest.raises(BadField):
        parse_answer(kind, text)


@given(st.integers(0, 10**12))
def test_every_microsecond_survives_its_decimal_writing(us: int) -> None:
    assert seconds_to_us(str(Decimal(us).scaleb(-6))) == us
    assert seconds_to_us(f"{us // 10**6}.{us % 10**6:06d}") == us


def test_a_row_is_read_in_full() -> None:
    original = row(recording="drive 7")
    (video,) = read([original])
    assert video == VideoRow(
        file="f.json", row=1, name="videos/a.mp4", source="Nexar", recording="drive 7", path=None,
        answers=(GivenAnswer("crash_recognition", {"label": "yes"}, "Yes", "Is there?"),), record=original,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        ("text", "", "no object but str"),
        (row(video=7), "video", "must be text"),
        ({**row(), "video": []}, "video", "one clip, not 0"),
        ({**row(), "video": None}, "video", "missing"),
        (row(video="../../etc/passwd"), "video", "inside the corpus"),
        (row(video="a\x00.mp4"), "video", "NUL"),
        (row(source=3), "source", "must be text"),
        (row(source="s" * 101), "source", "longer than 100"),
        (row(conversations=[]), "conversations", "one question and one answer"),
        (row(conversations=[{"from": "gpt", "value": "x"}] * 2), "conversations", "'human' is missing"),
        (row(answer=None), "value", "missing"),
        (row(answer="Perhaps"), "answer", "neither Yes nor No"),
        (row(answer="Yes\x00"), "value", "NUL"),
    ],
)
def test_a_bad_row_is_rejected_with_its_reason_and_the_next_is_read(
    bad: Any, field: str, reason: str
) -> None:
    rejection, answer = read([bad, row(video="videos/b.mp4")])
    assert isinstance(rejection, Rejection)
    assert (rejection.file, rejection.row, rejection.field) == ("f.json", 1, field)
    assert reason in rejection.reason
    assert isinstance(answer, VideoRow)
    assert answer.row == 2


def test_a_second_answer_for_a_clip_is_rejected() -> None:
    _, rejection = read([row(), row(answer="No")])
    assert isinstance(rejection, Rejection)
    assert rejection.reason == "videos/a.mp4 is answered by row 1 already"


@pytest.mark.parametrize(
    ("content", "row_number"), [(b"", None), (b"{}", None), (b'"x"', None), (b"\xff\xfe[", None)]
)
def test_a_file_that_is_no_list_is_rejected_whole(content: bytes, row_number: int | None) -> None:
    (rejection,) = read(content)
    assert isinstance(rejection, Rejection)
    assert rejection.row is row_number


@pytest.mark.parametrize("tail", [b",", b"", b", {", b"] x", b', {"video": "\xff"}]'])
def test_broken_json_ends_the_file_but_not_what_came_before(tail: bytes) -> None:
    answer, rejection = read(b"[" + json.dumps(row()).encode() + tail)
    assert isinstance(answer, VideoRow)
    assert isinstance(rejection, Rejection)
    assert rejection.row == 2
    assert rejection.reason.startswith("the JSON breaks here")


@pytest.mark.parametrize("hostile", [b"9" * 5000, b"[" * 100_000, b"1e999999999999999999999"])
def test_what_would_end_the_parser_s_process_ends_the_file(hostile: bytes) -> None:
    *_, rejection = read(b"[" + json.dumps(row()).encode() + b"," + hostile + b"]")
    assert isinstance(rejection, Rejection)
    assert rejection.reason.startswith(("the JSON breaks here", "the row"))


def test_a_byte_order_mark_and_leading_space_are_no_hindrance() -> None:
    (answer,) = read(b"\xef\xbb\xbf \n" + json.dumps([row()]).encode())
    assert isinstance(answer, VideoRow)


def test_memory_does_not_grow_with_the_size_of_rows_read() -> None:
    rows = [row(video=f"v/{n}.mp4", answer="word " * 400) for n in range(2000)]
    stream = io.BytesIO(json.dumps(rows).encode())
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_stream(stream, file="f", kind="crash_description"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 2000
    assert peak < 1_500_000 < stream.tell()


def test_files_are_found_below_a_folder(tmp_path: Path) -> None:
    for name in ("b.json", "sub/a.json", "c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("[]")
    assert files_of(tmp_path) == [tmp_path / "b.json", tmp_path / "sub/a.json"]
    assert files_of(tmp_path / "b.json") == [tmp_path / "b.json"]


def test_the_published_validation_files_are_read_without_a_rejection() -> None:
    counts: Counter[str] = Counter()
    for path in files_of(shared("data", "crashchat")):
        kind = kind_of(path.name)
        assert kind is not None
        with path.open("rb") as stream:
            rows = list(read_stream(stream, file=path.name, kind=kind))
        assert all(isinstance(item, VideoRow) for item in rows)
        counts[kind] += len(rows)
    assert counts == {kind: 1139 if "localization" in kind else 1838 for kind in KINDS}
    assert counts.total() == 9630
