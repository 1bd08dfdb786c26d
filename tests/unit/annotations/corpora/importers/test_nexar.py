from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.corpora.importers.nexar import read
from annotations.corpora.importers.reading import Reading
from annotations.corpora.importers.rows import Rejection, VideoRow
from tests.unit.annotations.corpora.importers.storable import storable

HUGGING_FACE = "file_name,time_of_event,time_of_alert,light_conditions,weather,scene,time_to_accident\n"
KAGGLE = "id,time_of_event,time_of_alert,target\n"


def write(folder: Path, name: str, content: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def taken(path: Path, **options: Any) -> list[Any]:
    return list(read(Reading(path, options)))


def answers(video: Any) -> dict[str, Any]:
    assert isinstance(video, VideoRow), video
    return {answer.kind: answer.value for answer in video.answers}


def test_the_published_folders_are_labels_and_splits(tmp_path: Path) -> None:
    write(
        tmp_path, "train/positive/metadata.csv", HUGGING_FACE + "00822.mp4,19.5,18.633,Normal,Cloudy,Urban,\n"
    )
    write(tmp_path, "train/negative/metadata.csv", HUGGING_FACE + "00003.mp4,,,Dark,,Highway,\n")
    negative, positive = taken(tmp_path)
    assert (positive.name, positive.source, positive.split) == ("00822.mp4", "Nexar", "train")
    assert (positive.recording, positive.recording_origin) == ("nexar_00822", "name")
    assert answers(positive) == {
        "crash_recognition": {"label": "yes"}, "pre_crash_localization": {"at_us": 18_633_000},
    }  # fmt: skip
    assert positive.metadata == {
        "light_conditions": "Normal", "weather": "Cloudy", "scene": "Urban", "event_us": 19_500_000,
    }  # fmt: skip
    assert positive.record["time_of_event"] == "19.5"
    assert answers(negative) == {"crash_recognition": {"label": "no"}}
    assert negative.metadata == {"light_conditions": "Dark", "scene": "Highway"}


def test_a_clip_cut_off_before_the_event_shows_no_crash_and_no_known_instant(tmp_path: Path) -> None:
    write(
        tmp_path,
        "test-public/positive/metadata.csv",
        HUGGING_FACE + "00001.mp4,21.324,20.216,Normal,Clear,Urban,0.5\n",
    )
    write(
        tmp_path, "test-public/negative/metadata.csv", HUGGING_FACE + "00002.mp4,,,Normal,Clear,Urban,1.5\n"
    )
    negative, positive = taken(tmp_path)
    assert (answers(positive), positive.split) == ({}, "test-public")
    assert positive.metadata["cut_before_event_us"] == 500_000
    assert positive.metadata["event_in_uncut_us"] == 21_324_000
    assert positive.metadata["alert_in_uncut_us"] == 20_216_000
    assert "event_us" not in positive.metadata
    assert answers(negative) == {"crash_recognition": {"label": "no"}}


def test_clips_cut_from_one_test_video_share_a_recording(tmp_path: Path) -> None:
    rows = "".join(f"{clip:05d}.mp4,,,,,,0.5\n" for clip in (7, 8, 9))
    write(tmp_path, "test-public/negative/metadata.csv", HUGGING_FACE + rows)
    write(tmp_path, "time_to_accident_test_map.csv", "0.5,1.0,1.5\n8,,7.0\n00009,,\n")
    first, second, third = taken(tmp_path)
    assert first.recording == second.recording == "nexar_test_00007"
    assert third.recording == "nexar_test_00009"
    assert {video.recording_origin for video in (first, second, third)} == {"format"}


def test_the_kaggle_table_has_its_own_labels(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", KAGGLE + "822,19.5,18.0,1\n00003,,,0\n4,20.1,,1\n")
    first, second, third = taken(tmp_path / "train.csv")
    assert [(video.name, video.split) for video in (first, second, third)] == [
        ("00822.mp4", "train"), ("00003.mp4", "train"), ("00004.mp4", "train"),
    ]  # fmt: skip
    assert answers(first)["pre_crash_localization"] == {"at_us": 18_000_000}
    assert answers(second) == {"crash_recognition": {"label": "no"}}
    assert answers(third) == {"crash_recognition": {"label": "yes"}}


def test_without_labels_an_empty_time_says_no_only_beside_rows_that_have_one(tmp_path: Path) -> None:
    write(tmp_path, "a/metadata.csv", "file_name,time_of_event\na.mp4,3.5\nb.mp4,\n")
    write(tmp_path, "b/metadata.csv", "file_name,time_of_event\nc.mp4,\nd.mp4,nan\n")
    said = [answers(video).get("crash_recognition") for video in taken(tmp_path)]
    assert said == [{"label": "yes"}, {"label": "no"}, None, None]


def test_a_test_table_of_ids_alone_says_nothing(tmp_path: Path) -> None:
    write(tmp_path, "test.csv", "id\n12\n")
    (video,) = taken(tmp_path / "test.csv")
    assert (video.name, video.split, video.answers) == ("00012.mp4", "test", ())


def test_positives_can_be_left_open_since_they_may_be_near_collisions(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", KAGGLE + "1,19.5,18.0,1\n2,,,0\n")
    positive, negative = taken(tmp_path / "train.csv", positives="open")
    assert set(answers(positive)) == {"pre_crash_localization"}
    assert answers(negative) == {"crash_recognition": {"label": "no"}}
    (refused,) = taken(tmp_path / "train.csv", positives="maybe")
    assert (refused.row, refused.field) == (None, "positives")


def test_what_contradicts_itself_is_refused_by_name(tmp_path: Path) -> None:
    text = KAGGLE + "1,5,4,0\n2,5,6,1\n3,x,,1\n4,5,-1,1\n5,5,4,2\n6,5,4,1\n"
    write(tmp_path, "train.csv", text)
    items = taken(tmp_path / "train.csv")
    lost = [(item.row, item.field, item.kind) for item in items if isinstance(item, Rejection)]
    assert lost == [
        (2, "time_of_event", "crash_recognition"),
        (3, "time_of_alert", "pre_crash_localization"),
        (4, "time_of_event", ""),
        (5, "time_of_alert", "pre_crash_localization"),
        (6, "target", "crash_recognition"),
    ]
    assert [len(item.answers) for item in items if isinstance(item, VideoRow)] == [0, 1, 1, 1, 0, 2]
    write(tmp_path, "train/negative/metadata.csv", "file_name,target\na.mp4,1\n")
    (bad, _) = taken(tmp_path / "train")
    assert "contradicts the folder negative" in bad.reason


def test_other_tables_of_the_folder_are_left_aside(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", KAGGLE + "1,,,0\n")
    write(tmp_path, "sample_submission.csv", "id,score\n1,0.5\n")
    write(tmp_path, "notes.csv", "a,b\n1,2\n")
    reading = Reading(tmp_path)
    (video,) = list(read(reading))
    assert video.name == "00001.mp4"
    assert reading.left_aside == ["notes.csv", "sample_submission.csv"]
    assert list(reading.files) == ["train.csv"]


def test_a_bad_row_never_stops_the_rest(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", KAGGLE + ",1,1,1\n../x,,,0\n1,2\n7,,,0\n7,,,0\n8,,,0\n")
    items = taken(tmp_path / "train.csv")
    assert [(item.row, item.field) for item in items if isinstance(item, Rejection)] == [
        (2, "id"), (3, "id"), (4, ""), (6, "file_name"),
    ]  # fmt: skip
    assert [item.name for item in items if isinstance(item, VideoRow)] == ["00007.mp4", "00008.mp4"]


CELLS = ["", "1", "0", "19.5", "-3", "x", "nan", "a.mp4", "../b", '"', "9" * 20]


@settings(max_examples=100)
@given(
    cells=st.lists(
        st.lists(st.sampled_from(CELLS), min_size=7, max_size=7),
        max_size=5,
    ),
    folder=st.sampled_from(["train/positive", "test-public/negative", "x"]),
)  # fmt: skip
def test_any_cells_are_clips_or_rejections(
    tmp_path_factory: pytest.TempPathFactory, cells: list[list[str]], folder: str
) -> None:
    root = tmp_path_factory.mktemp("n")
    write(root, f"{folder}/metadata.csv", HUGGING_FACE + "".join(",".join(row) + "\n" for row in cells))
    for item in taken(root):
        assert storable(item)
