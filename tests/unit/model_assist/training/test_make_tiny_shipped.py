"""The shipped tiny model: whole, under its own licence, and as good as claimed on clips it has never seen."""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import correlation
from typing import Any

import pytest

from model_assist.crashchat.frames import FrameReader
from model_assist.training.make_tiny import LICENCE, MANIFEST, SHIPPED, digest, one_thread, shipped_files
from model_assist.training.make_tiny_check import Seen, ask, drawn, open_engine, scores

LARGEST_BYTES = 10_000_000
CLIPS, SEED = 18, 20_260_731
FLOOR = {"f1": 0.72, "span_miou": 0.3, "description": 0.6}
"""Clearly below what docs/tiny-model.md measures on 200 clips.  One span for all passes here, but not the next test."""

REPOSITORY = SHIPPED.parents[1]


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SHIPPED / MANIFEST).read_text())
    return found


@pytest.fixture(scope="module")
def answered() -> Iterator[list[Seen]]:
    with one_thread(), FrameReader() as reader, drawn(clips=CLIPS, seed=SEED) as clips:
        yield ask(open_engine(SHIPPED, reader), clips)


def test_every_file_is_the_one_that_was_made(manifest: dict[str, Any]) -> None:
    found = {str(p.relative_to(SHIPPED)): digest(p) for p in shipped_files(SHIPPED)}
    assert found == manifest["files"]
    assert sum(p.stat().st_size for p in SHIPPED.rglob("*")) < LARGEST_BYTES
    on_disk = {str(p.relative_to(SHIPPED)) for p in SHIPPED.rglob("*") if p.is_file()}
    assert on_disk == {*found, MANIFEST}


def test_the_manifest_says_how_it_was_made(manifest: dict[str, Any]) -> None:
    assert manifest["licence"] == LICENCE
    assert f'license = "{LICENCE}"' in (REPOSITORY / "pyproject.toml").read_text()
    assert str(manifest["seed"]) in manifest["command"]
    assert manifest["training"]["language"]["step"] > 0
    assert manifest["held_out"]["model"]["clips"] == 200


def test_the_numbers_in_the_docs_are_the_manifests(manifest: dict[str, Any]) -> None:
    page = (REPOSITORY / "docs" / "tiny-model.md").read_text()
    for name in ("f1", "span_miou", "description", "description_crash", "onset", "cause"):
        for who in ("model", "baseline"):
            assert f"{manifest['held_out'][who][name]:.3f}" in page, (name, who)


def test_it_answers_unseen_clips_as_well_as_claimed(answered: list[Seen]) -> None:
    found = scores(answered)
    assert found["crashes"] >= 6
    for name, floor in FLOOR.items():
        assert found[name] >= floor, (name, found)


def test_its_times_follow_the_clip(answered: list[Seen]) -> None:
    spans = [
        (s.truth["crash_localization"]["start_us"], s.said["crash_localization"]["start_us"])
        for s in answered
        if s.truth.get("crash_localization") and s.said.get("crash_localization")
    ]
    assert len(spans) >= 4
    assert correlation(*zip(*spans, strict=True)) > 0.2  # of one span for every clip it is not defined


def test_it_tells_clips_apart(answered: list[Seen]) -> None:
    said = {str(sorted(s.said.items())) for s in answered}
    assert len(said) > len(answered) / 3


def test_a_model_that_answers_always_yes_would_fail(answered: list[Seen]) -> None:
    always = {"crash_recognition": {"label": "yes"}, "crash_description": {"text": "car hits a car."}}
    blind = scores([Seen(s.truth, always, s.role, s.outcome, s.view, s.duration_us) for s in answered])
    assert any(blind[name] < floor for name, floor in FLOOR.items())


def test_the_wheel_takes_the_folder() -> None:
    assert '"model_assist"' in (REPOSITORY / "pyproject.toml").read_text().split("[tool.hatch", 1)[1][:200]
    assert Path(__file__).parents[4] / "model_assist" / "tiny_model" == SHIPPED
