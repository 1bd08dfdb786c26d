"""The labelled loss adds to the project's own answer loss and labels what the prefix shows."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from model_assist.crashchat import kinds as k
from model_assist.crashchat.frames import Frames
from model_assist.crashchat.preprocess import preprocess
from model_assist.crashchat.tiny import TINY_SETTINGS, TinyShape
from model_assist.training.answer_loss import AnswerLoss
from model_assist.training.make_tiny import Plan, one_thread, untrained
from model_assist.training.make_tiny_clips import Pool, TaughtClip
from model_assist.training.make_tiny_language import (
    WORDINGS,
    ClipOrderOfPool,
    LabelledLoss,
    clip_inputs,
    questions,
)

SHAPE = TinyShape(hidden=32, layers=2, vision_hidden=32, vision_inner=32, vision_layers=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, ClipOrderOfPool]:
    folder = tmp_path_factory.mktemp("language")
    with one_thread():
        network, tokenizer = untrained(0, Plan(shape=SHAPE))
        network.model.vision_model.requires_grad_(False)
        pool = Pool(folder / "pool", "3", shards=1, clips=4)
        order = ClipOrderOfPool(pool, folder / "features", network, tokenizer)
        order(0)
    return network, tokenizer, order


def clips_of(order: ClipOrderOfPool) -> list[TaughtClip]:
    return order.pool.read(0)


def test_the_answers_part_is_the_projects_own_loss(made: tuple[Any, Any, ClipOrderOfPool]) -> None:
    network, tokenizer, order = made
    own = AnswerLoss(network, tokenizer.pad_token_id)
    loss = LabelledLoss(own, SHAPE.hidden, dense=0.0)
    for number in range(6):
        labelled = order(number)
        with torch.no_grad():
            assert float(loss(labelled)) == pytest.approx(float(own(labelled.clip)), rel=1e-5)
    parts = {name: len(values) for name, values in loss.parts.items()}
    assert parts["answers"] == parts["tokens"] == parts["passed"] == 6


def test_every_weight_but_the_towers_learns(made: tuple[Any, Any, ClipOrderOfPool]) -> None:
    network, tokenizer, order = made
    loss = LabelledLoss(AnswerLoss(network, tokenizer.pad_token_id), SHAPE.hidden)
    total = sum((loss(order(n)) for n in range(4)), torch.zeros(()))
    total.backward()  # type: ignore[no-untyped-call]
    for name, weight in loss.named_parameters():
        assert (weight.grad is None) == ("vision_model" in name), name
    network.zero_grad()


def test_labels_lie_on_the_kept_tokens(made: tuple[Any, Any, ClipOrderOfPool]) -> None:
    network, _, order = made
    for number in range(4):
        labelled = order(number)
        visual = int((labelled.clip.prefix_ids == network.config.video_token_id).sum())
        assert len(labelled.cells) == len(labelled.filled) == visual
        assert isinstance(labelled.clip.visual, torch.Tensor)
        assert len(labelled.clip.visual) == visual
        assert len(labelled.passed) == len(labelled.seconds) == len(labelled.pair)
        assert bool((labelled.pair >= 0).eq(labelled.passed[:, 1] > 0).all())


def test_a_resized_clip_gives_the_engines_own_inputs(made: tuple[Any, Any, ClipOrderOfPool]) -> None:
    clip = clips_of(made[2])[0]
    high, wide = clip.pixels.shape[1:3]
    times = clip.times_us
    frames = Frames(clip.pixels, times, [], [], clip.duration_us, wide, high, "test", 5.0)
    engine = preprocess(frames, max_tokens=TINY_SETTINGS.max_tokens)
    ours = clip_inputs(clip)
    assert torch.equal(engine.pixels, ours.pixels)
    assert torch.equal(engine.keep, ours.keep)
    assert torch.equal(engine.grid, ours.grid)


def test_crashes_are_asked_about_everything_and_targets_are_in_tenths(
    made: tuple[Any, Any, ClipOrderOfPool],
) -> None:
    clips = clips_of(made[2])
    asked: dict[str, set[str]] = {"crash": set(), "calm": set()}
    wordings = set()
    for clip in clips:
        for draw in range(60):
            found = questions(clip, random.Random(draw))
            assert found[0].kind == k.CRASH_RECOGNITION
            asked["crash" if clip.outcome == "crash" else "calm"] |= {e.kind for e in found}
            wordings |= {e.prompt for e in found if e.kind == k.CRASH_RECOGNITION}
            for example in found:
                if example.kind in k.PERCEPTION and example.answer != k.ABSENT_TEXT:
                    assert all(len(part) == 3 for part in example.answer.split() if part[0].isdigit())
    assert asked["crash"] == asked["calm"] == set(k.ALL)
    assert wordings == {wording[k.CRASH_RECOGNITION] for wording in WORDINGS}


def test_features_are_kept_on_disk_under_the_towers_hash(
    made: tuple[Any, Any, ClipOrderOfPool], tmp_path: Path
) -> None:
    network, tokenizer, order = made
    again = ClipOrderOfPool(order.pool, order.folder.parent, network, tokenizer)
    assert again.folder == order.folder
    assert torch.equal(again(2).cells, order(2).cells)
    other, _ = untrained(1, Plan(shape=SHAPE))
    assert ClipOrderOfPool(order.pool, tmp_path, other, tokenizer).folder.name != order.folder.name
