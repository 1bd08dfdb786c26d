"""The tiny model's training: whole in small, broken off and gone on with, the same from the same seed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.model import load
from model_assist.crashchat.tiny import TINY_SETTINGS, TinyShape
from model_assist.training.finetune import TrainingError
from model_assist.training.make_tiny import (
    LANGUAGE,
    MANIFEST,
    VISION,
    Plan,
    claim_folder,
    digest,
    main,
    make_tiny,
    one_thread,
    shipped_files,
    train_language,
    train_vision,
    untrained,
)

SMALL = Plan(
    vision=replace(VISION, steps=2, check_every=1, cool=1),
    language=replace(LANGUAGE, steps=3, check_every=1, cool=1, accumulation=2),
    vision_shards=1,
    shards=1,
    shard_clips=3,
    adapter_clips=2,
    adapter_steps=1,
    validation_clips=1,
    held_out_clips=2,
    shape=TinyShape(hidden=32, layers=2, vision_hidden=32, vision_inner=32, vision_layers=1),
)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder whose clips are drawn."""
    work = tmp_path_factory.mktemp("tiny")
    with one_thread():
        network, _ = untrained(0, SMALL)
        train_vision(network, work, 0, SMALL, until=1)
    return work / "pool"


def new_work(folder: Path, pool: Path) -> Path:
    folder.mkdir()
    (folder / "pool").symlink_to(pool)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pool: Path) -> Path:
    """A model trained for a few steps, with its work folder beside it."""
    folder = tmp_path_factory.mktemp("made")
    found = make_tiny(new_work(folder / "work", pool), folder / "model", plan=SMALL)
    assert found["model"]["clips"] == 2
    return folder


def test_a_few_steps_make_a_whole_model(made: Path) -> None:
    out = made / "model"
    adapters = {p.name: p for p in sorted((out / "adapters").iterdir())}
    loaded = load(out / "base", adapters, device="cpu")
    assert loaded.adapters == ("linguistic", "perception")
    assert loaded.settings == TINY_SETTINGS.to_dict()
    manifest = json.loads((out / MANIFEST).read_text())
    files = {str(p.relative_to(out)): digest(p) for p in shipped_files(out)}
    assert manifest["files"] == files
    assert {"base/model.safetensors", "base/tokenizer.json", "base/crashdesk.json"} <= set(files)
    assert manifest["training"]["language"]["step"] == 3


def test_half_precision_on_disk_is_loaded_exactly(made: Path) -> None:
    stored = load_file(made / "model" / "base" / "model.safetensors")
    assert {w.dtype for w in stored.values()} == {torch.float16}
    state = load(made / "model" / "base", {}, device="cpu").network.state_dict()
    for name, weight in stored.items():
        assert torch.equal(state[name], weight.float())


def test_a_finished_work_folder_only_exports(made: Path, tmp_path: Path) -> None:
    make_tiny(made / "work", tmp_path / "again", plan=SMALL, now=True)
    for path in shipped_files(made / "model"):
        assert digest(path) == digest(tmp_path / "again" / path.relative_to(made / "model"))


def weights_after(work: Path, pool: Path, *, broken: bool) -> dict[str, torch.Tensor]:
    """The network after both stages; `broken`: each stopped after its first step and started anew."""
    new_work(work, pool)
    with one_thread(), FrameReader() as reader:
        network, tokenizer = untrained(5, SMALL)
        if broken:
            train_vision(network, work, 0, SMALL, until=1)
            network, tokenizer = untrained(5, SMALL)
        train_vision(network, work, 0, SMALL)
        if broken:
            train_language(network, tokenizer, work, 0, SMALL, reader, until=1)
            network, tokenizer = untrained(5, SMALL)
            train_vision(network, work, 0, SMALL)
        train_language(network, tokenizer, work, 0, SMALL, reader)
    return {n: p.detach().clone() for n, p in network.named_parameters()}


def test_the_same_seed_gives_the_same_bits_also_after_a_break(tmp_path: Path, pool: Path) -> None:
    once = weights_after(tmp_path / "once", pool, broken=False)
    broken = weights_after(tmp_path / "broken", pool, broken=True)
    before, _ = untrained(5, SMALL)
    for name, _ in before.named_parameters():
        assert torch.equal(once[name], broken[name]), name
    moved = [n for n, w in before.named_parameters() if not torch.equal(once[n], w)]
    assert {n.split(".")[1] for n in moved} >= {"vision_model", "projector", "language_model"}


def test_other_seeds_start_elsewhere() -> None:
    first, again, other = (untrained(seed, SMALL)[0].lm_head.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_unusable_folder_is_said_aloud(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--steps", "many"])
    (tmp_path / "work").write_text("a file")
    with pytest.raises(FileExistsError):
        main(["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")])


def test_a_work_folder_keeps_to_its_seed(tmp_path: Path) -> None:
    claim_folder(tmp_path, 0)
    claim_folder(tmp_path, 0)
    with pytest.raises(TrainingError, match="holds the work of seed 0"):
        make_tiny(tmp_path, tmp_path / "model", seed=1, plan=SMALL)
