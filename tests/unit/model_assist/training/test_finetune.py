"""The training step equals the plain one; runs stop, resume and appear whole or not at all."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from model_assist.crashchat import kinds as k
from model_assist.crashchat.frames import read_frames
from model_assist.crashchat.model import load, load_base
from model_assist.crashchat.preprocess import preprocess
from model_assist.crashchat.prompts import DEFAULT_PROMPTS, prefix_text
from model_assist.crashchat.tiny import save_tiny
from model_assist.training import finetune
from model_assist.training.answer_loss import AnswerLoss, TrainingClip, tokenize
from model_assist.training.examples import Example, group_by_clip, write_examples
from model_assist.training.finetune import (
    EXIT_STOPPED,
    ClipOrder,
    StoppedError,
    TrainingError,
    build_model,
    learning_rate_factor,
    main,
    replacing,
    run,
)
from model_assist.training.run_config import ConfigError, RunConfig
from tests.unit.model_assist.crashchat.clips import steady_clip

ANSWERS = {
    k.CRASH_RECOGNITION: "Yes",
    k.CRASH_DESCRIPTION: "car hits truck",
    k.CRASH_LOCALIZATION: "0.4 - 1.2 seconds",
    k.PRE_CRASH_LOCALIZATION: "0.3 seconds",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A tiny base, three clips and their examples; run settings that finish at once."""
    root = tmp_path_factory.mktemp("training")
    save_tiny(root / "base", seed=1, hidden=32, layers=2)
    clips = [steady_clip(root / f"{i}.mp4", frames=20 + i) for i in range(3)]
    rows = [Example(c, kind, DEFAULT_PROMPTS[kind], a, 800_000) for c in clips for kind, a in ANSWERS.items()]
    write_examples(root / "examples.jsonl", rows)
    return {
        "base": str(root / "base"),
        "examples": str(root / "examples.jsonl"),
        "steps": 3,
        "grad_accumulation": 2,
        "rank": 4,
        "lr": 1e-3,
        "dropout": 0.0,
        "max_tokens": 160,
        "max_frames": 4,
        "checkpoint_every": 1,
    }


def config_of(world: dict[str, Any], output: Path, **changes: Any) -> RunConfig:
    return RunConfig(**{**world, "output": str(output), **changes})


def progress_of(config: RunConfig) -> list[dict[str, Any]]:
    return [json.loads(line) for line in config.progress_path.read_text().splitlines()]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def test_the_shared_step_equals_the_joint_step_and_the_models_own_loss(
    world: dict[str, Any], tmp_path: Path
) -> None:
    network, tokenizer = load_base(world["base"], dtype=torch.float32, attn="sdpa")
    frames = read_frames(steady_clip(tmp_path / "a.mp4"), max_frames=6, max_tokens=160)
    inputs = preprocess(frames, max_tokens=160)
    ids = tokenizer.encode(prefix_text(frames.times_us, inputs.token_counts), add_special_tokens=False)
    rows = [Example(tmp_path, kind, DEFAULT_PROMPTS[kind], a) for kind, a in ANSWERS.items()]
    clip = TrainingClip(inputs, torch.tensor([ids]), *tokenize(tokenizer, rows))
    losses, gradients = [], []
    for shared in (True, False):
        network.zero_grad()
        loss = AnswerLoss(network, tokenizer.pad_token_id, shared=shared)(clip)
        loss.backward()
        losses.append(loss.item())
        gradients.append({n: p.grad.clone() for n, p in network.named_parameters()})
    own_losses = []
    with torch.no_grad():
        for suffix, answer in zip(clip.suffixes, clip.answers, strict=True):
            joint = torch.tensor([ids + suffix + answer])
            labels = torch.tensor([[-100] * (len(ids) + len(suffix)) + answer])
            own = network(
                input_ids=joint, labels=labels, pixel_values_videos=inputs.pixels, video_grid_thw=inputs.grid,
                video_merge_sizes=inputs.merge, video_compression_mask=inputs.keep,
            )  # fmt: skip
            own_losses.append(float(own.loss))
    assert losses == pytest.approx([sum(own_losses) / len(own_losses)] * 2, rel=1e-5)
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-5), name
    assert any("vision_model" in n and g.any() for n, g in gradients[0].items())


def test_logits_exist_at_answer_positions_only(world: dict[str, Any], tmp_path: Path) -> None:
    model, tokenizer = build_model(
        config_of(world, tmp_path), "linguistic", bf16=False, device=torch.device("cpu")
    )
    module, seen = AnswerLoss(model, tokenizer.pad_token_id), []
    module.network.lm_head.register_forward_hook(lambda m, i, o: seen.append(i[0].shape[0]))
    rows = [Example(tmp_path, k.CRASH_RECOGNITION, "Crash?", "Yes")]
    features = torch.zeros(2, 64)
    ids = tokenizer.encode(prefix_text([0], [2]), add_special_tokens=False)
    module(TrainingClip(features, torch.tensor([ids]), *tokenize(tokenizer, rows)))
    assert seen == [2]


def test_a_run_writes_adapters_that_load_and_reports_progress(world: dict[str, Any], tmp_path: Path) -> None:
    config = config_of(world, tmp_path / "out")
    written = run(config)
    assert [p.name for p in written] == ["linguistic", "perception"]
    loaded = load(world["base"], {p.name: p for p in written}, device="cpu")
    assert loaded.adapters == ("linguistic", "perception")
    steps = [line for line in progress_of(config) if "step" in line]
    assert [(s["adapter"], s["step"], s["steps"]) for s in steps] == [
        (name, i, 3) for name in ("linguistic", "perception") for i in (1, 2, 3)
    ]
    assert set(steps[0]) == {"adapter", "step", "steps", "loss", "lr", "eta_s"}
    assert steps[-1]["eta_s"] == 0
    assert not list((tmp_path / "out" / ".checkpoints").iterdir())
    before = {p: p.stat().st_mtime_ns for p in written}
    run(config)
    assert before == {p: p.stat().st_mtime_ns for p in written}
    assert [line["event"] for line in progress_of(config)[-2:]] == ["kept", "kept"]


def test_training_moves_the_adapter_and_the_projector_alone(world: dict[str, Any], tmp_path: Path) -> None:
    (folder,) = run(config_of(world, tmp_path / "out", adapters={"perception": list(k.PERCEPTION)}))
    weights = weights_of(folder)
    assert all("lora_" in n or "projector" in n for n in weights)
    assert not any("vision_model" in n for n in weights)
    assert all(w.any() for n, w in weights.items() if "lora_B" in n)
    base, _ = load_base(world["base"], dtype=torch.float32, attn="sdpa")
    trained = weights["base_model.model.model.projector.readout.0.weight"]
    assert not torch.equal(trained, base.model.projector.readout[0].weight)


def test_continuing_from_an_adapter(world: dict[str, Any], tmp_path: Path) -> None:
    only = {"perception": list(k.PERCEPTION)}
    (first,) = run(config_of(world, tmp_path / "a", adapters=only))
    start = {"perception": str(first)}
    (second,) = run(
        config_of(world, tmp_path / "b", adapters=only, start_from=start, lr=1e-9, projector_lr=1e-9)
    )
    one, two = weights_of(first), weights_of(second)
    assert all(torch.allclose(one[n], two[n], atol=1e-6) for n in one)


def test_the_same_run_gives_the_same_weights_even_when_stopped_between(
    world: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = {"linguistic": [k.CRASH_RECOGNITION, k.CRASH_DESCRIPTION]}
    (whole,) = run(config_of(world, tmp_path / "whole", adapters=only, dropout=0.2))
    config = config_of(world, tmp_path / "parts", adapters=only, dropout=0.2)
    real = finetune.ClipStore.prepare
    calls = 0

    def interrupt(store: Any, group: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(store, group)

    monkeypatch.setattr(finetune.ClipStore, "prepare", interrupt)
    with pytest.raises(StoppedError):
        run(config)
    assert progress_of(config)[-1] == {"event": "stopped", "adapter": "linguistic", "step": 1}
    assert not (tmp_path / "parts" / "adapters").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    (parts,) = run(config)
    assert [line["step"] for line in progress_of(config) if "loss" in line] == [1, 2, 3]
    one, two = weights_of(whole), weights_of(parts)
    assert all(torch.equal(one[n], two[n]) for n in one)


def test_a_checkpoint_of_another_run_is_not_used(world: dict[str, Any], tmp_path: Path) -> None:
    config = config_of(world, tmp_path)
    assert config.fingerprint("a") != config.fingerprint("b")
    assert config.fingerprint("a") != config_of(world, tmp_path, lr=0.5).fingerprint("a")
    assert config.fingerprint("a") == config_of(world, tmp_path / "x", checkpoint_every=7).fingerprint("a")
    model, optimizer = torch.nn.Linear(2, 2), torch.optim.AdamW(torch.nn.Linear(2, 2).parameters())
    path = tmp_path / "c.pt"
    finetune._save_checkpoint(path, "mine", model, optimizer, 5, torch.get_rng_state())
    assert finetune._resume(path, "other", model, optimizer) == 0
    assert finetune._resume(path, "mine", model, optimizer) == 5


def test_full_mode_trains_everything(world: dict[str, Any], tmp_path: Path) -> None:
    (folder,) = run(config_of(world, tmp_path / "out", full=True, steps=2))
    assert folder == tmp_path / "out" / "base"
    before, after = load(world["base"], {}, device="cpu"), load(folder, {}, device="cpu")
    old, new = dict(before.model.named_parameters()), dict(after.model.named_parameters())
    changed = {n for n in old if not torch.equal(old[n], new[n])}
    assert {"vision_model", "projector", "language_model"} <= {n.split(".")[1] for n in changed}
    assert after.settings["max_frames"] == 4


def test_gradient_checkpointing_learns_the_same(world: dict[str, Any], tmp_path: Path) -> None:
    only = {"perception": list(k.PERCEPTION)}
    (plain,) = run(config_of(world, tmp_path / "a", adapters=only))
    (saving,) = run(config_of(world, tmp_path / "b", adapters=only, gradient_checkpointing=True))
    one, two = weights_of(plain), weights_of(saving)
    assert all(torch.allclose(one[n], two[n], atol=1e-4) for n in one)


def test_unreadable_clips_are_skipped_and_named(world: dict[str, Any], tmp_path: Path) -> None:
    good = steady_clip(tmp_path / "good.mp4", frames=20)
    (tmp_path / "bad.mp4").write_bytes(b"bad")
    rows = [
        Example(p, k.CRASH_RECOGNITION, "Crash?", "Yes")
        for p in (good, tmp_path / "bad.mp4", tmp_path / "gone.mp4")
    ]
    only = {"linguistic": [k.CRASH_RECOGNITION]}
    write_examples(tmp_path / "e.jsonl", rows)
    config = config_of(world, tmp_path / "out", adapters=only, examples=str(tmp_path / "e.jsonl"))
    (folder,) = run(config)
    skipped = [line for line in progress_of(config) if line.get("event") == "clip skipped"]
    assert {Path(s["video"]).name for s in skipped} == {"bad.mp4", "gone.mp4"}
    assert json.loads((folder / "training.json").read_text())["skipped"] == 2
    write_examples(tmp_path / "e.jsonl", rows[1:])
    with pytest.raises(TrainingError, match="not one clip"):
        run(config)
    with pytest.raises(TrainingError, match="no examples for adapter 'perception'"):
        run(
            config_of(
                world, tmp_path / "p", adapters={"perception": list(k.PERCEPTION)}, examples=config.examples
            )
        )


def test_targets_in_the_vision_tower_are_refused(world: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="vision tower"):
        run(config_of(world, tmp_path, target_modules=".*q_proj"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 0}, "rank must be positive"),
        ({"steps": 0}, "steps"),
        ({"dropout": 1.0}, "dropout"),
        ({"precision": "fp8"}, "precision"),
        ({"adapters": {}}, "at least one"),
        ({"adapters": {"a": ["weather"]}}, "'a'"),
        ({"start_from": {"other": "x"}}, "start_from"),
        ({"colour": "red"}, "unknown fields: colour"),
    ],
)
def test_bad_configurations_are_named(
    world: dict[str, Any],
    tmp_path: Path,
    changes: dict[str, Any],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({**world, "output": str(tmp_path), **changes}))
    with pytest.raises(ConfigError, match=message):
        RunConfig.from_file(path)
    assert main(["--config", str(path)]) == 1
    assert "run.json" in capsys.readouterr().err


def test_published_hyper_parameters_are_the_defaults() -> None:
    config = RunConfig(base="b", examples="e", output="o")
    assert (config.rank, config.alpha, config.dropout, config.lr, config.projector_lr) == (
        64,
        16,
        0.05,
        1e-5,
        1e-5,
    )
    assert config.adapters == {"linguistic": list(k.LINGUISTIC), "perception": list(k.PERCEPTION)}
    assert config.progress_path == Path("o/progress.jsonl")


def test_the_schedule_warms_up_and_falls_to_zero() -> None:
    factors = [learning_rate_factor(i, 100, 0.1) for i in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[-1] < 0.01


def test_processes_share_the_clips_of_an_epoch() -> None:
    groups = group_by_clip(Example(Path(str(i)), k.CRASH_RECOGNITION, "Q", "A") for i in range(6))
    orders = [ClipOrder(groups, "s", process=p, processes=2) for p in range(2)]
    drawn = [order.at(draw).video for draw in range(3) for order in orders]
    assert sorted(drawn) == [g.video for g in groups]
    again = [order.at(draw).video for draw in range(3, 6) for order in orders]
    assert sorted(again) == sorted(drawn)
    assert again != drawn


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "t"
    for text in ("one", "two"):
        with replacing(target) as folder:
            (folder / "f").write_text(text)
    assert (target / "f").read_text() == "two"

    def fail() -> None:
        with replacing(target) as folder:
            (folder / "f").write_text("three")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert (target / "f").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def test_what_killed_runs_left_half_written_is_removed(world: dict[str, Any], tmp_path: Path) -> None:
    names = [
        ".base.41.new", "adapters/.linguistic.41.new", "adapters/.linguistic.41.old", "adapters/.linguistic.new",
        "adapters/.other.41.new", "adapters/linguistic.41.new",
    ]  # fmt: skip
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "f").touch()
    (tmp_path / ".checkpoints").mkdir()
    (tmp_path / ".checkpoints" / ".linguistic.pt.41.new").touch()
    config = config_of(world, tmp_path, adapters={"linguistic": [k.CRASH_RECOGNITION]}, steps=1)
    run(config)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".checkpoints", "adapters", "progress.jsonl"]
    kept = [".linguistic.new", ".other.41.new", "linguistic", "linguistic.41.new"]
    assert sorted(p.name for p in (tmp_path / "adapters").iterdir()) == kept
    assert not list((tmp_path / ".checkpoints").iterdir())


def test_processes_do_not_share_a_checkpoint_scratch_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def save(state: object, path: Path) -> None:
        written.append(path)
        path.touch()

    monkeypatch.setattr(torch, "save", save)
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    path = tmp_path / "linguistic.pt"
    finetune._save_checkpoint(path, "mine", model, optimizer, 5, torch.get_rng_state())
    assert [p.name for p in written] == [f".linguistic.pt.{os.getpid()}.new"]
    assert [p.name for p in tmp_path.iterdir()] == ["linguistic.pt"]


@pytest.mark.slow
def test_the_command_stops_on_sigterm_and_continues(world: dict[str, Any], tmp_path: Path) -> None:
    only = {"perception": list(k.PERCEPTION)}
    config = config_of(world, tmp_path / "out", adapters=only, steps=30, grad_accumulation=1)
    path = tmp_path / "run.json"
    path.write_text(config.to_json())
    command = [sys.executable, "-m", "model_assist.training.finetune", "--config", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        config.progress_path.exists() and len(progress_of(config)) > 2
    ):
        time.sleep(0.05)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == EXIT_STOPPED, errors
    stopped = progress_of(config)[-1]
    assert stopped["event"] == "stopped"
    assert not (tmp_path / "out" / "adapters").exists()
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    steps = [line["step"] for line in progress_of(config) if "loss" in line]
    assert steps == list(range(1, 31))
