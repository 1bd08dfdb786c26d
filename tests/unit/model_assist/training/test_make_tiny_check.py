"""Scores of hand-worked answers, and the trivial baseline beside them."""

from pathlib import Path
from typing import Any

import pytest

from annotations.corpora.demo.grammar import causes_for
from annotations.corpora.demo.scenarios import WITNESSED_ROLES
from model_assist.crashchat import kinds as k
from model_assist.training.make_tiny_check import Seen, baseline, by, drawn, scores, seen

ROLE = WITNESSED_ROLES[0]
CALM: dict[str, Any] = {
    k.CRASH_RECOGNITION: {"label": "no"},
    k.CRASH_DESCRIPTION: {"text": "no collision."},
    k.CAUSAL_REASONING: {"text": "No accident, no cause."},
    k.CRASH_LOCALIZATION: None,
    k.PRE_CRASH_LOCALIZATION: None,
}


def crash(start: int, end: int, onset: int, text: str = "car hits a car.") -> dict[str, Any]:
    return {
        k.CRASH_RECOGNITION: {"label": "yes"},
        k.CRASH_DESCRIPTION: {"text": text},
        k.CAUSAL_REASONING: {"text": causes_for(ROLE)[0]},
        k.CRASH_LOCALIZATION: {"start_us": start, "end_us": end},
        k.PRE_CRASH_LOCALIZATION: {"at_us": onset},
    }


def one(truth: dict[str, Any], said: dict[str, Any], *, view: str = "dashcam") -> Seen:
    happened = truth[k.CRASH_RECOGNITION]["label"] == "yes"
    return Seen(truth, said, ROLE, "crash" if happened else "near_miss", view, 6_000_000)


def test_hand_worked_scores() -> None:
    truth = crash(2_000_000, 4_000_000, 1_000_000)
    late = crash(3_000_000, 5_000_000, 1_500_000, "truck hits a car.")
    late[k.CAUSAL_REASONING] = {"text": causes_for(ROLE)[1]}
    found = scores([one(truth, truth), one(truth, late), one(truth, CALM), one(CALM, CALM), one(CALM, late)])
    assert found["clips"] == 5
    assert found["crashes"] == 3
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["near_miss_accuracy"] == pytest.approx(1 / 2)
    assert found["span_miou"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert found["span_ap50"] == pytest.approx(1 / 3)
    assert found["description"] == pytest.approx(2 / 5)
    assert found["description_crash"] == pytest.approx(1 / 3)
    assert found["onset"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert found["onset_error_s"] == pytest.approx(0.25)
    assert found["cause"] == pytest.approx(2 / 3)
    assert found["cause_exact"] == pytest.approx(1 / 3)


def test_a_baseline_says_the_same_of_every_clip() -> None:
    known = [
        one(crash(1_000_000, 3_000_000, 500_000), {}),
        one(crash(3_000_000, 5_000_000, 1_500_000), {}),
        *[one(CALM, {}) for _ in range(3)],
    ]
    asked = [one(crash(2_000_000, 4_000_000, 1_000_000), {}), one(CALM, {})]
    found = baseline(known, asked)
    assert found["recall"] == 1
    assert found["precision"] == 0.5
    assert found["span_miou"] == 1
    assert found["onset"] == 1
    assert found["description_crash"] == 1
    assert found["description"] == 0.5


def test_views_are_told_apart() -> None:
    truth = crash(2_000_000, 4_000_000, 1_000_000)
    found = by([one(truth, truth), one(truth, CALM, view="top-down")], "view")
    assert found["dashcam"]["recall"] == 1
    assert found["top-down"]["recall"] == 0


def test_drawn_clips_know_their_truth() -> None:
    with drawn(clips=2, seed=4) as clips:
        found = [seen(clip, {}) for clip in clips]
        paths = [clip.path for clip in clips]
        assert all(path.is_file() for path in paths)
    assert {s.view for s in found} == {"dashcam", "top-down"}
    assert not any(Path(path).exists() for path in paths)
    assert all(s.truth[k.CRASH_RECOGNITION] for s in found)
