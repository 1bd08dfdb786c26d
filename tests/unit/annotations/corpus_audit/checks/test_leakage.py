import json
from typing import Any

from annotations.corpus_audit.checks.leakage import check
from annotations.corpus_audit.columns import Builder, ClipFacts
from annotations.corpus_audit.findings import Finding
from tests.unit.annotations.corpus_audit.made import by_key, columns


def clip(split: str, recording: str, **more: Any) -> dict[str, Any]:
    return {"split": split, "recording": recording, **more}


def test_splits_that_share_nothing_are_sound() -> None:
    made = [clip("train", f"r{number}") for number in range(5)] + [
        clip("val", f"v{number}") for number in range(5)
    ]
    assert list(check(columns(made))) == []


def test_a_recording_in_two_splits_is_counted_on_the_judged_side() -> None:
    made = [clip("train", "r1"), clip("train", "r2"), clip("val", "r1"), clip("val", "r1"), clip("val", "r3")]
    (finding,) = check(columns(made))
    assert finding.key == ("recording_straddles_splits", "published: val and train")
    assert (finding.severity, finding.count, finding.total) == ("error", 2, 3)
    assert [(e.name, e.value) for e in finding.examples] == [("clip 00003", "r1"), ("clip 00004", "r1")]
    assert finding.data["largest"] == [["r1", 2, 1]]


def test_neighbours_in_time_are_counted_where_the_place_in_the_recording_is_known() -> None:
    second = 1_000_000
    made = [
        clip("train", "r1", place_us=(10 * second, 20 * second)),
        clip("train", "r1", place_us=(12 * second, 14 * second)),
        clip("val", "r1", place_us=(20_900_000, 25 * second)),  # nine tenths after
        clip("val", "r1", place_us=(19 * second, 25 * second)),  # overlaps
        clip("val", "r1", place_us=(5 * second, 9_100_000)),  # nine tenths before
        clip("val", "r1", place_us=(0, 9 * second)),  # a second before
        clip("val", "r1"),  # unknown
        clip("train", "r2", place_us=(0, second)),
        clip("val", "r2", place_us=(5 * second, 6 * second)),
    ]
    (finding,) = check(columns(made))
    assert finding.count == 6
    placed = {"placed": 5, "within_a_second": 3, "overlapping": 1}
    assert {name: finding.data[name] for name in placed} == placed
    assert "3 of them lie less than a second from a clip of train, 1 overlap it." in finding.sentence


def test_a_clips_own_name_is_no_recording() -> None:
    made = [clip("train", "same", recording_origin="name"), clip("val", "same", recording_origin="name")]
    assert list(check(columns(made))) == []


def test_copies_and_clusters_straddle_too_and_disagree() -> None:
    made = [
        clip("train", "a", sha256="x", crash_recognition="yes"), clip("test", "b", sha256="x", crash_recognition="no"),
        clip("train", "c", sha256="y", cluster="k"), clip("test", "d", sha256="z", cluster="k"),
    ]  # fmt: skip
    found = by_key(check(columns(made)))
    assert set(found) == {
        ("copy_straddles_splits", "published: test and train"),
        ("duplicate_straddles_splits", "published: test and train"),
        ("exact_copies", ""),
        ("near_duplicates", ""),
    }
    assert found["exact_copies", ""].data == {"groups": 1, "disagreeing": 1}
    assert "; 1 group disagrees on whether there is a crash." in found["exact_copies", ""].sentence
    assert "disagree" not in found["near_duplicates", ""].sentence


def test_the_newest_dataset_version_is_checked_beside_the_published_splits() -> None:
    made = [clip("", "r", version_split="train"), clip("", "r", version_split="test")]
    (finding,) = check(columns(made, version="Night drives v3"))
    assert finding.key == ("recording_straddles_splits", "newest version: test and train")
    assert "Night drives v3" in finding.sentence


def test_clips_in_other_corpora() -> None:
    builder = Builder("Ours")
    for number in (1, 2, 3):
        builder.add_clip(ClipFacts(video=number, name=f"clip {number}", recording=f"r{number}", split="val"))
    builder.add_elsewhere(1, corpus="Theirs", name="x.mp4", split="train", why="bytes")
    builder.add_elsewhere(2, corpus="Theirs", name="y.mp4", split="train", why="cluster")
    builder.recordings_elsewhere["r3"] = {"Theirs"}
    builder.end_clips()
    found = by_key(check(builder.build()))
    shared: Finding = found["shared_with_corpus", "Theirs"]
    assert (shared.count, shared.total, shared.data["exact"]) == (2, 3, 1)
    assert shared.data["splits"] == {"val here, train there": 2}
    assert found["recordings_shared_with_corpus", "Theirs"].count == 1
    json.dumps([finding.data for finding in found.values()])
