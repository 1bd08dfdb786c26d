"""The scoring command: by hand-worked files, and on CrashChat's real validation files."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model_assist.crashchat import kinds as k
from model_assist.training.score import main, match, score
from model_assist.training.score_files import read_files
from tests.shared_data import shared


def written(path: Path, rows: Any) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert main([*map(str, arguments), "--format", "json", "--bootstrap", "0"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    """IoU 1, 1/3, nothing read, a clip without truth, a second answer, and a row that is none."""
    folder = tmp_path / "predicted"
    folder.mkdir()
    rows = [
        {"video_path": "v/a.mp4", "gt_start": 1, "gt_end": 3, "pred_start": 1, "pred_end": 3},
        {"video_path": "v/b.mp4", "gt_start": 1, "gt_end": 3, "pred_start": 2, "pred_end": 4},
        {"video_path": "v/c.mp4", "gt_start": 1, "gt_end": 3, "pred_start": 0, "pred_end": 0, "raw_response": "Hm."},
        {"video_path": "v/d.mp4", "pred_start": 2, "pred_end": 4},
        {"video_path": "v/a.mp4", "gt_start": 1, "gt_end": 3, "pred_start": 2, "pred_end": 4},
        {"video_path": 7},
    ]  # fmt: skip
    return written(folder / "crash_localization_predict.json", rows)


def test_by_hand(spans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, spans)
    scores = found["scores"][k.CRASH_LOCALIZATION]
    assert (scores["count"], scores["unparsable"]) == (3, 1)
    assert scores["miou"] == pytest.approx((1 + 1 / 3) / 3)
    assert scores["published"]["miou"] == pytest.approx((1 + 1 / 3) / 3)
    assert [(one["row"], one["message"].split(" about")[0]) for one in found["left_out"]] == [
        (6, "names no clip (looked for video_path, video, clip, path, file)"),
        (5, "a second answer"),
        (4, "there is no true answer"),
    ]


def test_a_truth_file_counts_and_differences_are_told(spans: Path, tmp_path: Path, capsys: Any) -> None:
    turns = [{"from": "human", "value": "?"}, {"from": "gpt", "value": "2.0 - 4.0 seconds"}]
    rows = [{"video": [f"videos/{name}.mp4"], "conversations": turns, "source": "S"} for name in "abde"]
    truth = written(tmp_path / "crash_localization_val.json", rows)
    found = run(capsys, spans, "--truth", truth, "--by", "source")
    scores = found["scores"][k.CRASH_LOCALIZATION]
    # a: 1 to 3 for 2 to 4 = 1/3, b and d: 1, c by its own truth: 0; e was not asked about
    assert (scores["count"], scores["miou"]) == (4, pytest.approx((1 / 3 + 1 + 1) / 4))
    assert [(row["source"], row["count"]) for row in scores["by_source"]] == [("S", 3), ("unknown", 1)]
    assert found["without_prediction"] == {k.CRASH_LOCALIZATION: 1}
    assert sum("differs from the truth file" in one["message"] for one in found["left_out"]) == 2
    wrong = run(capsys, spans, "--truth", truth, "--missing", "wrong")["scores"][k.CRASH_LOCALIZATION]
    assert (wrong["count"], wrong["missing"], wrong["published"]["n"]) == (5, 1, 4)
    assert wrong["miou"] == pytest.approx((1 / 3 + 1 + 1) / 5)


def test_onsets_take_the_crash_start_from_the_truth(tmp_path: Path, capsys: Any) -> None:
    onsets = [
        {"video_path": "a.mp4", "gt_time": 3.0, "pred_time": 4.0},
        {"video_path": "b.mp4", "gt_time": 3.0, "pred_time": 3.0},
    ]
    written(tmp_path / "pre_crash_localization_predict.json", onsets)
    alone = run(capsys, tmp_path)["scores"][k.PRE_CRASH_LOCALIZATION]
    assert (alone["count"], alone["without_crash_start"], alone["error_s"]) == (0, 2, 0.5)
    turns = [{"from": "human", "value": "?"}, {"from": "gpt", "value": "5.0 - 6.0 seconds"}]
    truth = written(tmp_path / "crash_localization.txt", [{"video": ["a.mp4"], "conversations": turns}])
    found = run(capsys, tmp_path, "--truth", truth)["scores"]
    assert found.keys() == {k.PRE_CRASH_LOCALIZATION}
    assert (found[k.PRE_CRASH_LOCALIZATION]["count"], found[k.PRE_CRASH_LOCALIZATION]["miou"]) == (1, 0.5)


def test_the_table_tells_scores_intervals_and_what_is_left_out(spans: Path, capsys: Any) -> None:
    assert main([str(spans), "--bootstrap", "50", "--seed", "3"]) == 0
    shown = capsys.readouterr().out
    assert "crash_localization: 3 clips, published: 3" in shown
    assert "miou" in shown
    assert "0.4444" in shown
    assert "50 resamples of 3 clips, seed 3" in shown
    assert "row 6, video_path: names no clip" in shown
    assert main([str(spans), "--strict"]) == 1


def test_table_of_every_kind_and_source(tmp_path: Path, capsys: Any) -> None:
    rows = [
        {"video": "a", "kind": "crash_recognition", "truth": "Yes", "prediction": "Yes", "source": "A"},
        {"video": "b", "kind": "crash_recognition", "truth": "No", "prediction": "No", "source": "B"},
        {
            "video": "a",
            "kind": "crash_description",
            "truth": "a hits b",
            "prediction": "a hits b",
            "source": "A",
        },
        {
            "video": "a",
            "kind": "crash_localization",
            "truth": "2.0 - 2.0",
            "prediction": "1 - 3",
            "source": "A",
        },
    ]
    assert main([str(written(tmp_path / "x.json", rows)), "--by", "source"]) == 0
    shown = capsys.readouterr().out
    assert "the source alone, without looking: accuracy 1.0000, F1 1.0000" in shown
    assert "—" in next(line for line in shown.splitlines() if line.strip().startswith("B "))
    assert "true spans of zero length: 1, read 1, found exactly 0, inside the predicted span 1" in shown
    assert "BERTScore: not computed" in shown


def test_recordings_are_drawn_whole_where_they_are_known(tmp_path: Path, capsys: Any) -> None:
    rows = [
        {
            "video": f"{n}",
            "kind": "crash_recognition",
            "truth": "Yes",
            "prediction": "Yes",
            "recording": f"r{n % 2}",
        }
        for n in range(6)
    ]
    main([str(written(tmp_path / "x.json", rows)), "--format", "json"])
    how = json.loads(capsys.readouterr().out)["scores"][k.CRASH_RECOGNITION]["intervals"]["how"]
    assert "1000 resamples of 2 recordings" in how


@pytest.mark.parametrize(
    "arguments", [["gone.json"], ["x.json", "--truth", "gone.json"], ["x.json", "--bootstrap", "-1"]]
)
def test_what_cannot_be_scored_is_an_error_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "x.json", [{"video": "a", "kind": "crash_recognition", "prediction": "Yes"}])
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.count("\n") == 1


def test_predictions_without_any_truth(tmp_path: Path, capsys: Any) -> None:
    path = written(tmp_path / "x.json", [{"video": "a", "kind": "crash_recognition", "prediction": "Yes"}])
    assert main([str(path)]) == 1
    assert "give --truth" in capsys.readouterr().err


def test_it_runs_as_a_module_without_django(tmp_path: Path) -> None:
    path = written(
        tmp_path / "x.json",
        [{"video": "a", "kind": "crash_recognition", "truth": "Yes", "prediction": "Yes"}],
    )
    script = (
        "import runpy, sys; sys.argv = ['score', sys.argv[1]]\n"
        "try: runpy.run_module('model_assist.training.score', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "assert not {'django', 'torch'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "crash_recognition: 1 clips" in done.stdout


def real(shift_s: float = 0.0) -> dict[str, Any]:
    """The real validation files scored against themselves, their spans and onsets moved later by some seconds."""
    folder = shared("data", "crashchat")
    predicted, truths = read_files([folder], truth=False), read_files([folder], truth=True)
    assert predicted.left_out == truths.left_out == []
    moved = round(shift_s * 1_000_000)
    for row in predicted.rows:
        assert row.said is not None
        value = row.said[1]
        if value is not None and row.kind in k.PERCEPTION:
            value |= {name: time + moved for name, time in value.items()}
            object.__setattr__(row, "raw", None)
    matched = match(predicted, truths)
    assert matched.left_out == []
    assert matched.unasked == {}
    found: dict[str, Any] = score(matched, by_source=True)["scores"]
    return found


def test_perfect_predictions_of_the_real_files() -> None:
    found = real()
    recognised = found[k.CRASH_RECOGNITION]
    assert (recognised["count"], recognised["f1"], recognised["accuracy"]) == (1838, 1.0, 1.0)
    # every crash comes from MM-AU, every other clip from D2-City or Nexar: the source alone is as good as looking
    assert recognised["source_alone"]["f1"] == 1.0
    assert {row["source"]: (row["truth_yes"] > 0, row["truth_no"] > 0) for row in recognised["by_source"]} == {
        "D2City": (False, True), "MM-AU-CAP": (True, False), "MM-AU-DADA": (True, False), "Nexar": (False, True),
    }  # fmt: skip
    for kind in k.TEXT_KINDS:
        assert found[kind]["exact"] == found[kind]["rougeL"] == pytest.approx(1.0)
        assert found[kind]["bleu"] == found[kind]["bleu_ceiling"] == found[kind]["published"]["bleu"]
    spans = found[k.CRASH_LOCALIZATION]
    # 6 of the 1139 true spans have zero length: published scores give them 0 even when found, 1133 / 1139 = .9947
    assert (spans["count"], spans["miou"], spans["ap70"], spans["zero_length"]["exact"]) == (
        1133,
        1.0,
        1.0,
        6,
    )
    assert round(spans["published"]["miou"], 4) == 0.9947
    onsets = found[k.PRE_CRASH_LOCALIZATION]
    assert (onsets["miou"], onsets["exact"], onsets["error_s"]) == (1.0, 1.0, 0.0)


def test_shifted_predictions_of_the_real_files() -> None:
    """A span of length L moved by d overlaps L - d of L + d; an onset moved by d keeps (TTA - d) / TTA of its lead."""
    found, moved = real(0.5), 500_000
    folder = shared("data", "crashchat")
    truths = read_files([folder], truth=True).rows
    lengths, starts = [], {}
    for row in truths:
        if row.kind == k.CRASH_LOCALIZATION and row.truth and row.truth[1]:
            lengths.append(row.truth[1]["end_us"] - row.truth[1]["start_us"])
            starts[row.video] = row.truth[1]["start_us"]
    overlaps = [max(0, length - moved) / (length + moved) for length in lengths if length]
    spans = found[k.CRASH_LOCALIZATION]
    assert spans["miou"] == pytest.approx(sum(overlaps) / len(overlaps))
    for name in ("start", "end"):
        assert [spans[f"{name}_{what}_s"] for what in ("error", "error_median", "bias")] == pytest.approx(
            [0.5] * 3
        )
    assert spans["exact"] == 0.0
    leads = [starts[row.video] - row.truth[1]["at_us"] for row in truths
             if row.kind == k.PRE_CRASH_LOCALIZATION and row.truth and row.truth[1]]  # fmt: skip
    kept = [max(0, lead - moved) / lead for lead in leads if lead > 0]
    onsets = found[k.PRE_CRASH_LOCALIZATION]
    assert onsets["miou"] == pytest.approx(sum(kept) / len(kept))
    assert (onsets["error_s"], onsets["bias_s"], onsets["within_half_second"]) == pytest.approx(
        (0.5, 0.5, 1.0)
    )
