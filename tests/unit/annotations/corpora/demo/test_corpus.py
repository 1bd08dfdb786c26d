"""The corpus as it lies on disk: complete, exact, the same every time."""

import hashlib
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from annotations.corpora.demo import DemoReport, generate
from annotations.corpora.demo.corpus import CONVERSATIONS, SOURCES, _plan
from annotations.corpora.demo.grammar import KINDS, NEGATIVE_TEXTS, QUESTIONS
from annotations.corpora.media.findings import Code
from annotations.corpora.media.probe import probe
from annotations.corpora.media.proxy import needs_proxy

CLIPS = 6


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DemoReport:
    return generate(tmp_path_factory.mktemp("demo"), clips=CLIPS, seed=7)


@pytest.fixture(scope="module")
def rows(report: DemoReport) -> list[dict[str, Any]]:
    return [json.loads(line) for line in report.manifest.read_text().splitlines()]


def test_the_report_counts_what_lies_there(report: DemoReport, rows: list[dict[str, Any]]) -> None:
    files = sorted(path.name for path in (report.out_dir / "videos").iterdir())
    assert len(files) == report.files == len(rows) == CLIPS + 5
    assert [f"videos/{name}" for name in files] == sorted(row["file"] for row in rows)
    assert sum(report.outcomes.values()) == report.clips == CLIPS
    assert sorted(report.bad.values()) == ["corrupt", "duplicate", "not_a_video", "truncated", "zero_byte"]


def test_every_file_is_what_the_manifest_says(report: DemoReport, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        path = report.out_dir / row["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]
        assert path.stat().st_size == row["bytes"]
        clip = probe(path)
        if row["bad"] in (None, "duplicate"):
            assert clip.usable
            assert (clip.frame_count, clip.duration_us) == (row["frame_count"], row["duration_us"])
            assert clip.variable_rate == (row["fps"] is None)
            if row["fps"] is not None:
                assert clip.fps == Fraction(row["fps"])
        else:
            assert not clip.usable
            assert clip.codes == {Code(row["bad"])}


def test_the_truth_lies_on_the_frames(report: DemoReport, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["truth"] is None:
            continue
        assert tuple(row["truth"]) == KINDS
        span, onset = row["truth"]["crash_localization"], row["truth"]["pre_crash_localization"]
        if row["truth"]["crash_recognition"]["value"] == {"label": "no"}:
            assert span == onset == {"state": "absent", "value": None}
            texts = {kind: row["truth"][kind]["value"]["text"] for kind in NEGATIVE_TEXTS}
            assert texts == NEGATIVE_TEXTS
            continue
        times = set(probe(report.out_dir / row["file"]).time_map.times_us.tolist())  # type: ignore[union-attr]
        at, start, end = onset["value"]["at_us"], span["value"]["start_us"], span["value"]["end_us"]
        assert {at, start, end} <= times
        assert 0 <= at <= start < end <= row["duration_us"]


def test_every_source_has_clips_with_and_without_a_crash(rows: list[dict[str, Any]]) -> None:
    seen = {
        (row["source"], row["truth"]["crash_recognition"]["value"]["label"]) for row in rows if not row["bad"]
    }
    assert seen == {(source, label) for source in SOURCES for label in ("yes", "no")}


def test_one_sound_clip_has_a_variable_rate(rows: list[dict[str, Any]]) -> None:
    variable = [row for row in rows if row["fps"] is None and not row["bad"]]
    assert len(variable) == 1
    assert "variable_rate" in variable[0]["tags"]
    assert variable[0]["truth"]["crash_localization"]["state"] == "valued"


def test_the_duplicate_is_byte_identical(report: DemoReport, rows: list[dict[str, Any]]) -> None:
    twin = next(row for row in rows if row["bad"] == "duplicate")
    original = next(row for row in rows if row["file"] == twin["duplicate_of"])
    assert twin["sha256"] == original["sha256"]
    assert twin["truth"] == original["truth"]


def test_most_clips_play_in_a_browser_as_they_are(report: DemoReport, rows: list[dict[str, Any]]) -> None:
    need = [needs_proxy(probe(report.out_dir / row["file"])) for row in rows if not row["bad"]]
    assert 0 < sum(need) < len(need) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_conversations_hold_the_same_truth(report: DemoReport, rows: list[dict[str, Any]], kind: str) -> None:
    records = json.loads((report.out_dir / CONVERSATIONS[kind]).read_text())
    truth = {row["file"]: row for row in rows if not row["bad"]}
    expected = [file for file, row in truth.items() if row["truth"][kind]["state"] == "valued"]
    assert [record["video"] for record in records] == [[file] for file in expected]
    for record in records:
        row = truth[record["video"][0]]
        assert (record["source"], record["recording"]) == (row["source"], row["recording"])
        question, answer = record["conversations"]
        assert question == {"from": "human", "value": f"<video>\n{QUESTIONS[kind]}"}
        assert answer["from"] == "gpt"
        value, text = row["truth"][kind]["value"], answer["value"]
        if kind == "crash_recognition":
            assert text == value["label"].capitalize()
        elif kind == "crash_localization":
            start, end = text.removesuffix(" seconds").split(" - ")
            assert {"start_us": Fraction(start) * 10**6, "end_us": Fraction(end) * 10**6} == value
        elif kind == "pre_crash_localization":
            assert Fraction(text.removesuffix(" seconds")) * 10**6 == value["at_us"]
        else:
            assert text == value["text"]


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        generate(tmp_path / name, clips=2, seed=11)
    one = {path.relative_to(tmp_path / "one"): path.read_bytes() for path in (tmp_path / "one").rglob("*.*")}
    two = {path.relative_to(tmp_path / "two"): path.read_bytes() for path in (tmp_path / "two").rglob("*.*")}
    assert one == two
    generate(tmp_path / "three", clips=1, seed=12)
    assert (tmp_path / "three" / "videos" / "demo_0001.mp4").read_bytes() != one[Path("videos/demo_0001.mp4")]


def test_progress_is_told_and_can_stop(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        generate(tmp_path, clips=3, seed=1, progress=stop)
    assert told == [(1, 3)]
    assert not (tmp_path / "manifest.jsonl").exists()


def test_a_corpus_needs_a_clip(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one clip"):
        generate(tmp_path, clips=0)


def test_the_plan_mixes_rates_recordings_and_outcomes() -> None:
    specs = _plan(40, 7)
    assert {spec.rate for spec in specs} == {Fraction(30), Fraction(25), Fraction(30000, 1001), Fraction(10)}
    assert {spec.night for spec in specs} == {True, False}
    sizes = [sum(spec.recording == name for spec in specs) for name in {spec.recording for spec in specs}]
    assert max(sizes) == 3
    assert sizes.count(1) <= len(SOURCES)
    crashes = [spec for spec in specs if spec.outcome == "crash"]
    assert len(crashes) == 20
    assert len({(spec.role.subject, spec.role.object, spec.role.ego) for spec in crashes}) >= 8
