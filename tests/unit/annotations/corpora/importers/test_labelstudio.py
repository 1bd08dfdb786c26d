import json
import tracemalloc
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.cases.kinds import AnswerState
from annotations.cases.rules import Said
from annotations.corpora.importers.labelstudio import Controls, read
from annotations.corpora.importers.reading import Reading
from annotations.corpora.importers.rows import BadField, Rejection, VideoRow
from annotations.corpora.media.timemap import ProxyMap, TimeMap
from annotations.labelstudio.conversion import Draft, to_regions
from tests.unit.annotations.corpora.importers.storable import storable


def spans(label: str, *ranges: tuple[Any, Any], control: str = "segments") -> dict[str, Any]:
    value = {"ranges": [{"start": start, "end": end} for start, end in ranges], "timelinelabels": [label]}
    return {"from_name": control, "to_name": "video", "type": "timelinelabels", "value": value}


def choice(*words: str, control: str = "crash") -> dict[str, Any]:
    return {"from_name": control, "to_name": "video", "type": "choices", "value": {"choices": list(words)}}


def text(control: str, *words: Any) -> dict[str, Any]:
    return {"from_name": control, "to_name": "video", "type": "textarea", "value": {"text": list(words)}}


FULL = [
    spans("Pre-crash", (31, 90)), spans("Crash", (91, 136)), choice("Yes"), text("description", "A car hits a bus"),
    text("cause", "speed"), text("prevention", "slow down"),
]  # fmt: skip


def annotation(*result: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": 5, "result": list(result), "was_cancelled": False, "completed_by": 3,
        "updated_at": "2026-01-02T00:00:00Z", **fields,
    }  # fmt: skip


def task(*annotations: dict[str, Any], number: int = 1, **data: Any) -> dict[str, Any]:
    fields = {"video": "/data/local-files/?d=corpus/a.mp4", "fps": 30, **data}
    return {
        "id": number,
        "data": fields,
        "annotations": list(annotations),
        "predictions": [annotation(choice("No"))],
    }


def taken(folder: Path, *tasks: Any, **options: Any) -> list[Any]:
    (folder / "export.json").write_text(json.dumps(list(tasks)))
    return list(read(Reading(folder / "export.json", options)))


def answers(video: Any) -> dict[str, Any]:
    assert isinstance(video, VideoRow), video
    return {answer.kind: answer.value for answer in video.answers}


def test_a_task_of_our_own_form_becomes_a_video_with_six_answers(tmp_path: Path) -> None:
    (video,) = taken(tmp_path, task(annotation(*FULL), weather="rain", recording="trip 7", source="LS"))
    assert answers(video) == {
        "crash_recognition": {"label": "yes"},
        "crash_description": {"text": "A car hits a bus"},
        "causal_reasoning": {"text": "speed"},
        "prevention_reasoning": {"text": "slow down"},
        "crash_localization": {"start_us": 3_000_000, "end_us": 4_533_333},
        "pre_crash_localization": {"at_us": 1_000_000},
    }
    assert (video.name, video.row, video.source, video.url) == ("corpus/a.mp4", 1, "LS", "")
    assert (video.recording, video.recording_origin) == ("trip 7", "format")
    assert video.metadata == {
        "weather": "rain",
        "label_studio": {"task": 1, "annotations": 1, "annotators": 1, "annotation": 5},
    }
    assert video.record["annotations"][0]["result"] == FULL


def test_the_rate_is_needed_and_never_taken_to_be_24(tmp_path: Path) -> None:
    bare = task(annotation(*FULL))
    del bare["data"]["fps"]
    first, second, video = taken(tmp_path, bare)
    assert {first.kind, second.kind} == {"crash_localization", "pre_crash_localization"}
    assert "24" in first.reason
    assert set(answers(video)) == {
        "crash_recognition", "crash_description", "causal_reasoning", "prevention_reasoning",
    }  # fmt: skip
    (video,) = taken(tmp_path, bare, fps="25")
    assert answers(video)["pre_crash_localization"] == {"at_us": 1_200_000}


@given(
    frames=st.lists(st.integers(0, 299), min_size=3, max_size=3, unique=True).map(sorted),
    fps=st.sampled_from([Fraction(30), Fraction(25, 2), Fraction(30000, 1001)]),
)
def test_what_our_own_form_shows_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, frames: list[int], fps: Fraction
) -> None:
    times = TimeMap.constant(300, fps)
    onset, start, end = (int(times.times_us[frame]) for frame in frames)
    said = {
        "crash_recognition": {"label": "yes"},
        "crash_localization": {"start_us": start, "end_us": end},
        "pre_crash_localization": {"at_us": onset},
        "crash_description": {"text": "A car hits a bus"},
    }
    drafts = {kind: Draft(Said(AnswerState.VALUED, value)) for kind, value in said.items()}
    regions = to_regions(drafts, ProxyMap(times, fps, 300))
    (video,) = taken(tmp_path_factory.mktemp("o"), task(annotation(*regions), fps=float(fps)))
    assert answers(video) == said


@given(
    frames=st.lists(st.integers(1, 300), min_size=2, max_size=2).map(sorted),
    fps=st.sampled_from([Fraction(30), Fraction(25, 2), Fraction(30000, 1001), Fraction(60000, 1001)]),
)
def test_frames_are_those_on_screen_first_to_last(
    tmp_path_factory: pytest.TempPathFactory, frames: list[int], fps: Fraction
) -> None:
    first, last = frames
    said = annotation(spans("Crash", (first, last)), spans("Pre-crash", (first, last)))
    (video,) = taken(tmp_path_factory.mktemp("l"), task(said, fps=float(fps)))
    times = TimeMap.constant(301, fps).times_us.tolist()
    assert answers(video) == {
        "crash_localization": {"start_us": times[first - 1], "end_us": times[last]},
        "pre_crash_localization": {"at_us": times[first - 1]},
    }


def test_the_newest_annotation_that_was_not_cancelled_speaks(tmp_path: Path) -> None:
    old = annotation(choice("Yes"), id=1, completed_by=1, updated_at="2026-01-01T10:00:00+02:00")
    new = annotation(choice("No"), id=2, completed_by=2, updated_at="2026-01-01T09:00:00Z")
    gone = annotation(choice("Yes"), id=3, was_cancelled=True, updated_at="2027-01-01T00:00:00Z")
    (video,) = taken(tmp_path, task(gone, new, old))
    assert answers(video) == {"crash_recognition": {"label": "no"}}
    assert video.metadata["label_studio"] == {
        "task": 1, "annotations": 2, "annotators": 2, "cancelled": 1, "annotation": 2,
    }  # fmt: skip


def test_a_task_without_annotations_is_a_video_without_answers(tmp_path: Path) -> None:
    cancelled = annotation(choice("Yes"), was_cancelled=True)
    first, second = taken(tmp_path, task(), task(cancelled, number=2, video="b.mp4"))
    assert (first.answers, second.answers) == ((), ())


@pytest.mark.parametrize(
    ("data", "name", "url"),
    [
        ({"video": "/data/upload/7/0a1b2c3d-my-clip.mp4"}, "my-clip.mp4", ""),
        ({"video": "s3://bucket/x/y.mp4"}, "x/y.mp4", "s3://bucket/x/y.mp4"),
        ({"video": "https://h.org/v/c%20d.mp4?sig=1"}, "v/c d.mp4", "https://h.org/v/c%20d.mp4?sig=1"),
        ({"video": "https://h.org/stream/1", "name": "d/e.mp4"}, "d/e.mp4", "https://h.org/stream/1"),
        ({"video": None, "clip": "x.webm", "note": "see a.txt"}, "x.webm", ""),
    ],
)
def test_the_video_is_named_by_its_file(tmp_path: Path, data: dict[str, Any], name: str, url: str) -> None:
    (video,) = taken(tmp_path, task(**data))
    assert (video.name, video.url) == (name, url)


def test_several_videos_in_a_task_need_the_option(tmp_path: Path) -> None:
    two = task(video=None, front="f.mp4", rear="r.mp4")
    (refused,) = taken(tmp_path, two)
    assert "several: front, rear" in refused.reason
    (video,) = taken(tmp_path, two, video="rear")
    assert video.name == "r.mp4"
    (refused,) = taken(tmp_path, task(video=None))
    assert "no field that looks like one" in refused.reason


@pytest.mark.parametrize(
    ("region", "kind", "reason"),
    [
        (spans("Crash", (0, 5)), "crash_localization", "counts from 1"),
        (spans("Crash", (9, 5)), "crash_localization", "counts from 1"),
        (spans("Crash", (1.5, 5)), "crash_localization", "no frame number"),
        (spans("Crash", (1, 2), (4, 5)), "crash_localization", "2 ranges"),
        (spans("Crash", (None, 5)), "crash_localization", "must be a number"),
        (choice("Yes", "No"), "crash_recognition", "neither"),
        (choice("Perhaps"), "crash_recognition", "neither"),
        (text("cause", "a", 3), "causal_reasoning", "no text"),
        (text("cause", "\x00"), "causal_reasoning", "NUL"),
    ],
)
def test_a_region_that_is_no_answer_is_named_and_the_rest_is_taken(
    tmp_path: Path, region: dict[str, Any], kind: str, reason: str
) -> None:
    items = taken(tmp_path, task(annotation(region, text("description", "d"))))
    lost = [item for item in items if isinstance(item, Rejection)]
    assert reason in lost[0].reason
    if "NUL" not in reason:  # a row that cannot be kept as it stood is not taken at all
        assert (lost[0].kind, lost[0].row) == (kind, 1)
        assert answers(items[-1]) == {"crash_description": {"text": "d"}}


def test_other_regions_are_counted_and_stay_in_the_record(tmp_path: Path) -> None:
    box = {
        "from_name": "box",
        "type": "videorectangle",
        "value": {"sequence": [{"frame": 1, "x": 1.5}], "labels": ["Car"]},
    }
    (video,) = taken(tmp_path, task(annotation(box, spans("Parking", (1, 2)), choice("Yes"), {"id": 3})))
    assert video.metadata["other_regions"] == 2
    assert set(answers(video)) == {"crash_recognition"}
    assert video.record["annotations"][0]["result"][0] == box


def test_another_form_is_read_by_its_controls(tmp_path: Path) -> None:
    controls = {
        "crash_recognition": {"control": "q1", "yes": ["Unfall"], "no": ["Kein Unfall"]},
        "crash_localization": {"control": "tl", "label": "Aufprall"},
        "crash_description": {"control": "was"},
    }
    said = annotation(
        choice("unfall", control="q1"), spans("Aufprall", (1, 30), control="tl"), text("was", "x")
    )
    (video,) = taken(tmp_path, task(said), controls=controls)
    assert answers(video) == {
        "crash_recognition": {"label": "yes"},
        "crash_description": {"text": "x"},
        "crash_localization": {"start_us": 0, "end_us": 1_000_000},
    }


@pytest.mark.parametrize(
    "option",
    [
        [], {"crash": {}}, {"crash_recognition": "q"}, {"crash_recognition": {"label": "x"}},
        {"crash_localization": {"control": ""}}, {"crash_recognition": {"yes": "Yes"}},
        {"crash_recognition": {"yes": []}},
    ],
)  # fmt: skip
def test_controls_that_are_none_are_refused_at_once(tmp_path: Path, option: Any) -> None:
    with pytest.raises(BadField):
        Controls.of(option)
    (refused,) = taken(tmp_path, task(annotation(*FULL)), controls=option)
    assert (refused.row, refused.field) == (None, "controls")


def test_the_small_export_reads_alike(tmp_path: Path) -> None:
    row = {
        "video": "a.mp4", "fps": 30, "weather": "rain", "id": 7, "annotator": 1, "annotation_id": 2, "lead_time": 3.5,
        "updated_at": "2026-01-01T00:00:00Z", "segments": [spans("Crash", (91, 136))["value"]], "crash": "Yes",
        "description": "d", "cause": ["c", "e"],
    }  # fmt: skip
    newer = {**row, "crash": "No", "annotation_id": 3, "updated_at": "2026-02-01T00:00:00Z", "segments": []}
    other = {**row, "id": 8, "video": "b.mp4"}
    first, second = taken(tmp_path, row, newer, other)
    assert answers(first)["crash_recognition"] == {"label": "no"}
    assert first.metadata == {"weather": "rain", "label_studio": {"task": 7, "annotations": 2}}
    assert first.row == 2
    assert answers(second) == {
        "crash_recognition": {"label": "yes"},
        "crash_description": {"text": "d"},
        "causal_reasoning": {"text": "c\ne"},
        "crash_localization": {"start_us": 3_000_000, "end_us": 4_533_333},
    }


def test_a_bad_task_never_stops_the_rest(tmp_path: Path) -> None:
    bad = [3, {"data": {}}, {"data": {"video": "../x.mp4"}}, {"data": {"video": "a.mp4"}}, {"id": 1}]
    items = taken(tmp_path, task(video="a.mp4"), *bad, task(video="z.mp4", number=9))
    assert [item.row for item in items] == [1, 2, 3, 4, 5, 6, 7]
    assert [item.name for item in items if isinstance(item, VideoRow)] == ["a.mp4", "z.mp4"]


def test_broken_json_ends_the_file_with_the_tasks_before_it(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" + json.dumps(task()) + ", {")
    (tmp_path / "b.json").write_text("{}")
    video, broken, no_list = list(read(Reading(tmp_path)))
    assert video.name == "corpus/a.mp4"
    assert (broken.file, broken.row) == ("a.json", 2)
    assert "not a JSON list" in no_list.reason


def peak_memory(path: Path, tasks: int) -> int:
    box = {"from_name": "box", "value": {"sequence": [{"frame": frame, "x": 1.5} for frame in range(60)]}}
    items = (task(annotation(*FULL, box), number=number, video=f"{number}.mp4") for number in range(tasks))
    path.write_text(f"[{','.join(json.dumps(item) for item in items)}]")
    tracemalloc.start()
    videos = sum(isinstance(item, VideoRow) for item in read(Reading(path)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert videos == tasks
    return peak


def test_a_long_export_is_read_a_task_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    assert peak_memory(path, 400) < 1.5 * peak_memory(path, 100)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["ranges", "start", "end", "timelinelabels", "choices", "text", "x"]), inner, max_size=4
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=150)
@given(
    result=st.lists(
        JSON
        | st.fixed_dictionaries(
            {"from_name": st.sampled_from(["segments", "crash", "cause"]), "value": JSON | st.just({"choices": "Yes"})}
        ),
        max_size=4,
    ),
    data=st.dictionaries(st.sampled_from(["video", "fps", "name", "recording", "split", "x"]), JSON, max_size=4),
    fields=st.dictionaries(st.sampled_from(["updated_at", "was_cancelled", "completed_by", "id"]), JSON, max_size=3),
    small=st.booleans(),
)  # fmt: skip
def test_any_task_is_a_video_or_a_rejection(
    tmp_path_factory: pytest.TempPathFactory,
    result: list[Any],
    data: dict[str, Any],
    fields: dict[str, Any],
    small: bool,
) -> None:
    item = (
        {**data, **fields, "segments": result}
        if small
        else {"data": data, "annotations": [{"result": result, **fields}]}
    )
    items = taken(tmp_path_factory.mktemp("l"), item, task(video="last.mp4"))
    assert items[-1].name == "last.mp4"
    assert all(storable(item) for item in items)
