"""The crash datasets through a whole import: cases, answers, records and rejections in the database."""

import json
from pathlib import Path
from typing import Any

import pytest

from annotations.cases.intake import run_import
from annotations.cases.models import Answer, Case
from annotations.corpora.models import ImportRejection, SourceRecord, Video
from annotations.corpora.services import begin_import

pytestmark = pytest.mark.django_db

CCD = "000001," + ",".join("0" * 30 + "1" * 20) + ",000285,0007,Day,Normal,Yes\nnonsense\n"
DOTA = {
    "video_start": 199, "video_end": 305, "anomaly_start": 40, "anomaly_end": 70, "anomaly_class": "ego: turning",
    "num_frames": 100, "subset": "val",
}  # fmt: skip
A3D = {
    "video_name": "LNT8NB2Dv-E", "idx": "000001", "clip_start": "000021", "clip_end": "000024", "ego_envolve": True,
    "ego_only": False, "target": [0, 1, 1, 0],
}  # fmt: skip
VATIC = '0 423 284 601 473 96 0 0 1 "Bus" "Colliding"'


def import_(path: Path, format: str, **options: Any) -> dict[str, Any]:  # noqa: A002
    run = begin_import(corpus_name=format, format=format, path=path, by=None, options=options)
    return run_import(run.pk, progress=lambda done, total, message: None)


def answers(case: Case) -> dict[str, Any]:
    return {answer.kind: answer.value for answer in case.answers.all()}


@pytest.mark.parametrize(
    ("format_", "files", "options", "name", "expected"),
    [
        ("ccd", {"Crash-1500.txt": CCD}, {}, "Crash-1500/000001.mp4", {"crash_recognition": {"label": "yes"}}),
        ("ccd", {"Crash-1500.txt": CCD}, {"crash_until_clip_end": True}, "Crash-1500/000001.mp4",
         {"crash_recognition": {"label": "yes"}, "crash_localization": {"start_us": 3_000_000, "end_us": 5_000_000}}),
        ("dota", {"metadata_val.json": json.dumps({"abcdefghijk_000199": DOTA, "bad": DOTA})}, {}, "abcdefghijk_000199",
         {"crash_recognition": {"label": "yes"}, "crash_localization": {"start_us": 4_000_000, "end_us": 7_000_000}}),
        ("a3d", {"A3D_labels.json": json.dumps({"LNT8NB2Dv-E_000001": A3D, "x": 1})}, {}, "LNT8NB2Dv-E_000001",
         {"crash_recognition": {"label": "yes"}, "crash_localization": {"start_us": 100_000, "end_us": 300_000}}),
        ("cadp", {"1407.txt": f"{VATIC}\nnonsense\n", "segments.json": '["1407"]'}, {"fps": "25"}, "001407",
         {"crash_recognition": {"label": "yes"}, "crash_localization": {"start_us": 3_840_000, "end_us": 3_880_000}}),
        ("scad", {"accident_test.txt": "anomalous/1_2.mp4\nnonsense\n"}, {}, "anomalous/1_2.mp4",
         {"crash_recognition": {"label": "yes"}}),
    ],
)  # fmt: skip
def test_a_dataset_is_taken_once(
    tmp_path: Path,
    format_: str,
    files: dict[str, str],
    options: dict[str, Any],
    name: str,
    expected: dict[str, Any],
) -> None:
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    report = import_(tmp_path, format_, **options)
    assert report["videos"] == {"new": 1, "known": 0, "lacking_media": 1}
    assert report["rejected"] == ImportRejection.objects.count() == 1
    case = Case.objects.get()
    assert (case.video.name, case.video.source.lower()) == (name, format_)
    assert answers(case) == expected
    assert set(SourceRecord.objects.values_list("file", flat=True)) == set(files)
    before = Answer.objects.count()
    again = import_(tmp_path, format_, **options)
    assert (again["videos"]["new"], again["answers"]["new"], Answer.objects.count()) == (0, 0, before)


def test_a_clip_without_a_crash_has_absent_times(tmp_path: Path) -> None:
    (tmp_path / "accident_train.txt").write_text("normal/1_2.mp4\nanomalous/1_3.mp4\n")
    assert import_(tmp_path, "scad")["answers"]["new_absent"] == 2
    normal, crash = Video.objects.order_by("-name")
    assert (normal.recording, normal.split) == (crash.recording, crash.split) == ("1", "train")
    assert {answer.kind: answer.state for answer in Case.objects.get(video=normal).answers.all()} == {
        "crash_recognition": "valued", "crash_localization": "absent", "pre_crash_localization": "absent",
    }  # fmt: skip


def test_what_contradicts_itself_is_stored_for_the_audit(tmp_path: Path) -> None:
    (tmp_path / "metadata_val.json").write_text(json.dumps({"abcdefghijk_000199": DOTA}))
    import_(tmp_path, "dota")
    video = Video.objects.get()
    assert (video.split, video.recording, video.recording_origin) == ("val", "abcdefghijk", "format")
    assert video.metadata["declared"]["frames"] == 100
    assert [item["fields"] for item in video.metadata["inconsistent"]] == [
        ["num_frames", "video_start", "video_end"]
    ]


@pytest.mark.parametrize("place", ["Crash-1500", "."])
def test_clips_are_found_under_their_names(tmp_path: Path, place: str) -> None:
    (tmp_path / "Crash-1500.txt").write_text(CCD)
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "000001.mp4").write_bytes(b"bytes of a clip")
    assert import_(tmp_path, "ccd")["videos"]["lacking_media"] == 0


def test_the_clip_of_the_crash_is_not_the_normal_one_of_its_number(tmp_path: Path) -> None:
    (tmp_path / "Crash-1500.txt").write_text(CCD)
    for place in ("Crash-1500", "Normal"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "000001.mp4").write_bytes(place.encode())
    import_(tmp_path, "ccd")
    media = Video.objects.get().media
    assert media is not None
    assert media.size == len("Crash-1500")
