"""Fine-tuning, alone or under `accelerate launch`:

    python -m model_assist.training.finetune --config run.json

One LoRA adapter per task group (or all weights, with "full": true).  Progress is one JSON line per optimiser
step.  SIGTERM stops between steps after writing a checkpoint, and exits with 143; the same command continues.
An adapter appears under its final name complete or not at all.
"""

import argparse
import json
import math
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from peft import LoraConfig, get_peft_model

from model_assist.crashchat.errors import CrashChatError, FrameReadError
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.kinds import ALL
from model_assist.crashchat.model import add_adapter, choose_attention, load_base
from model_assist.crashchat.settings import EngineSettings, read_settings
from model_assist.crashchat.tiny import write_settings
from model_assist.training.answer_loss import AnswerLoss, TrainingClip
from model_assist.training.clip_store import ClipStore
from model_assist.training.examples import ClipExamples, ExampleError, group_by_clip, read_examples
from model_assist.training.process import die_with_parent
from model_assist.training.run_config import FULL, ConfigError, RunConfig

EXIT_STOPPED = 128 + signal.SIGTERM


class TrainingError(Exception):
    """A run that cannot go on; the message says why."""


class StoppedError(Exception):
    """The run was asked to stop and has saved its place."""


@dataclass(frozen=True)
class StepReport:
    """One finished optimiser step (1-based) with its mean loss."""

    step: int
    loss: float
    lr: float


class Progress:
    """Appends JSON lines to the progress file, from the main process only."""

    def __init__(self, path: Path, *, active: bool = True) -> None:
        self.path, self.active = path, active
        if active:
            path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **values: Any) -> None:
        """One line, on disk when this returns."""
        if self.active:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")


class ClipOrder:
    """Endless, seeded order of clips: reshuffled every epoch, the same after a restart, split by process."""

    def __init__(
        self, groups: list[ClipExamples], seed: str, *, process: int = 0, processes: int = 1
    ) -> None:
        self.groups, self.seed, self.process, self.processes = groups, seed, process, processes

    def at(self, draw: int) -> ClipExamples:
        """The group for this process's `draw`-th micro step."""
        index = draw * self.processes + self.process
        epoch, position = divmod(index, len(self.groups))
        order = list(range(len(self.groups)))
        random.Random(f"{self.seed}/{epoch}").shuffle(order)
        return self.groups[order[position]]


def learning_rate_factor(step: int, steps: int, warmup_ratio: float) -> float:
    """Linear warm-up over the first part of the run, then half a cosine to zero; `step` counts from 0."""
    warmup = math.ceil(steps * warmup_ratio)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def fit(
    accelerator: Accelerator,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    draw: Callable[[int], TrainingClip],
    *,
    start: int,
    steps: int,
    accumulation: int,
    max_grad_norm: float,
    factor: Callable[[int], float],
    after_step: Callable[[StepReport], bool],
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Run optimiser steps `start`..`steps`; `after_step` returns False to end early.

    `module` and `optimizer` are prepared by `accelerator`.  `factor(step)` scales the learning rates.  Raises
    StoppedError when `should_stop` turns true; work since the last whole step is then dropped.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    module.train()
    for step in range(start, steps):
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * factor(step)
        total = 0.0
        for micro in range(accumulation):
            if _agreed(accelerator, should_stop() and (accelerator.num_processes == 1 or micro == 0), micro):
                optimizer.zero_grad()
                for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                    group["lr"] = peak
                raise StoppedError
            with accelerator.accumulate(module):
                loss = module(draw(step * accumulation + micro))
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(module.parameters(), max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
            total += float(loss.detach())
        mean = total / accumulation
        if not math.isfinite(mean):
            raise TrainingError(f"the loss became {mean} at step {step + 1}; lower the learning rate")
        if not after_step(StepReport(step + 1, mean, optimizer.param_groups[0]["lr"])):
            return


def _agreed(accelerator: Accelerator, stop: bool, micro: int) -> bool:
    """Whether any process wants to stop; processes compare notes at the start of each step only."""
    if accelerator.num_processes == 1 or micro > 0:
        return stop
    flag = torch.tensor(float(stop), device=accelerator.device)
    return bool(accelerator.reduce(flag, reduction="sum") > 0)


def run(config: RunConfig) -> list[Path]:
    """Train everything the config asks for; returns the folders written, in order.

    Adapters finished by an earlier, interrupted run of the same config are left as they are.  Raises
    ConfigError, ExampleError, CrashChatError, TrainingError and StoppedError.
    """
    examples = read_examples(Path(config.examples))
    accelerator = make_accelerator(config)
    progress = Progress(config.progress_path, active=accelerator.is_main_process)
    if accelerator.is_main_process:
        remove_scratch(Path(config.output), ["base", *config.adapters])
    written = []
    with _termination() as stopped, FrameReader(timeout_s=config.frame_timeout_s) as reader:
        for name, kinds in ({FULL: list(ALL)} if config.full else config.adapters).items():
            groups = group_by_clip(examples, kinds)
            if not groups:
                raise TrainingError(
                    f"{config.examples}: no examples for adapter {name!r} ({', '.join(kinds)})"
                )
            written.append(_train_one(config, name, groups, accelerator, progress, reader, stopped))
    return written


def make_accelerator(config: RunConfig) -> Accelerator:
    """bf16 on CUDA and fp32 on the CPU unless the config says otherwise."""
    bf16 = config.precision == "bf16" or (config.precision == "auto" and torch.cuda.is_available())
    return Accelerator(
        cpu=not torch.cuda.is_available(),  # said outright, or processes without GPUs would not find each other
        mixed_precision="bf16" if bf16 else "no",
        gradient_accumulation_steps=config.grad_accumulation,
    )


def engine_settings(config: RunConfig) -> EngineSettings:
    """The model's own settings with the config's overrides."""
    settings = EngineSettings.from_dict(read_settings(config.base))
    given = {n: getattr(config, n) for n in ("fps", "max_frames", "max_tokens")}
    return replace(settings, **{n: v for n, v in given.items() if v is not None})


def build_model(config: RunConfig, name: str, *, bf16: bool, device: torch.device) -> tuple[Any, Any]:
    """The trainable model and its tokenizer, on `device`; the vision tower is frozen unless full."""
    dtype = torch.bfloat16 if bf16 and not config.full else torch.float32
    network, tokenizer = load_base(config.base, dtype=dtype, attn=choose_attention(device))
    if config.full:
        return network.to(device), tokenizer
    if name in config.start_from:
        model = add_adapter(network, name, Path(config.start_from[name]), trainable=True)
        model.set_adapter(name)
    else:
        lora = LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            bias="none",
            target_modules=config.target_modules,
            modules_to_save=["projector"],
        )
        model = get_peft_model(network, lora, adapter_name=name)
    touched = [n for n, p in model.named_parameters() if p.requires_grad and "vision_model" in n]
    if touched:
        raise ConfigError(f"target_modules matches the vision tower ({touched[0]})")
    if config.gradient_checkpointing:
        model.enable_input_require_grads()
        network.activation_checkpointing_enable()
    return model.to(device), tokenizer


def make_optimizer(config: RunConfig, model: torch.nn.Module) -> torch.optim.Optimizer:
    """AdamW with the projector's own learning rate."""
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for n, p in trained if "projector" not in n], "lr": config.lr},
        {"params": [p for n, p in trained if "projector" in n], "lr": config.projector_lr},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=config.weight_decay)


def _train_one(
    config: RunConfig,
    name: str,
    groups: list[ClipExamples],
    accelerator: Accelerator,
    progress: Progress,
    reader: FrameReader,
    stopped: Callable[[], bool],
) -> Path:
    output = Path(config.output)
    target = output / "base" if config.full else output / "adapters" / name
    fingerprint = config.fingerprint(name)
    if _finished(target, fingerprint):
        progress.write(event="kept", adapter=name)
        return target
    set_seed(config.seed)
    settings = engine_settings(config)
    bf16 = accelerator.mixed_precision == "bf16"
    model, tokenizer = build_model(config, name, bf16=bf16, device=accelerator.device)
    module = AnswerLoss(model, tokenizer.pad_token_id, shared=not config.gradient_checkpointing)
    optimizer = make_optimizer(config, model)
    store = ClipStore(
        module.network, tokenizer, reader, settings,
        frozen=not config.full, device=accelerator.device, cache_mb=config.feature_cache_mb,
    )  # fmt: skip
    order = ClipOrder(
        groups,
        f"{config.seed}/{name}",
        process=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    checkpoint = output / ".checkpoints" / f"{name}.pt"
    start = _resume(checkpoint, fingerprint, model, optimizer)
    per_step = config.grad_accumulation * accelerator.num_processes
    steps = config.steps or math.ceil(config.epochs * len(groups) / per_step)
    prepared, prepared_optimizer = accelerator.prepare(module, optimizer)
    began, unreadable = time.monotonic(), set[Path]()

    def draw(number: int) -> TrainingClip:
        for ahead in range(len(groups) * 2):
            group = order.at(number + ahead)
            if group.video in unreadable:
                continue
            try:
                return store.prepare(group)
            except (FrameReadError, FileNotFoundError) as error:
                unreadable.add(group.video)
                progress.write(event="clip skipped", adapter=name, video=str(group.video), reason=str(error))
        raise TrainingError(f"adapter {name!r}: not one clip could be read")

    def save_place(step: int) -> None:
        if accelerator.is_main_process:
            _save_checkpoint(checkpoint, fingerprint, model, optimizer, step, random_state)
        accelerator.wait_for_everyone()

    reached, random_state = start, torch.get_rng_state()

    def after_step(report: StepReport) -> bool:
        nonlocal reached, random_state
        reached, random_state = report.step, torch.get_rng_state()
        eta = (time.monotonic() - began) / (report.step - start) * (steps - report.step)
        progress.write(
            adapter=name, step=report.step, steps=steps, loss=report.loss, lr=report.lr, eta_s=round(eta, 1)
        )
        if report.step % config.checkpoint_every == 0 and report.step < steps:
            save_place(report.step)
        return True

    try:
        fit(
            accelerator, prepared, prepared_optimizer, draw,
            start=start, steps=steps,
            accumulation=config.grad_accumulation, max_grad_norm=config.max_grad_norm,
            factor=lambda step: learning_rate_factor(step, steps, config.warmup_ratio),
            after_step=after_step, should_stop=stopped,
        )  # fmt: skip
    except StoppedError:
        save_place(reached)
        progress.write(event="stopped", adapter=name, step=reached)
        raise
    if accelerator.is_main_process:
        note = {"fingerprint": fingerprint, "steps": steps, "clips": len(groups), "skipped": len(unreadable)}
        with replacing(target) as folder:
            save_model(model, tokenizer, folder, name=name, full=config.full, settings=settings)
            (folder / "training.json").write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
        checkpoint.unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    progress.write(event="saved", adapter=name, path=str(target))
    return target


def save_model(
    model: Any, tokenizer: Any, folder: Path, *, name: str, full: bool, settings: EngineSettings
) -> None:
    """Write an adapter, or a whole base model with tokenizer and settings, into an existing folder."""
    if full:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_settings(folder, settings)
        return
    model.save_pretrained(folder, selected_adapters=[name], save_embedding_layers=False)
    nested = folder / name  # PEFT puts named adapters into a folder of their own
    for file in nested.iterdir():
        file.replace(folder / file.name)
    nested.rmdir()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A scratch folder beside `target` that takes its name if the block ends well and vanishes otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = _scratch(target)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        yield scratch
        if target.exists():
            retired = target.parent / f".{target.name}.{os.getpid()}.old"
            target.replace(retired)
            scratch.replace(target)
            shutil.rmtree(retired)
        else:
            scratch.replace(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _scratch(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.new")


def remove_scratch(output: Path, names: Iterable[str]) -> None:
    """Delete what killed runs of this output left half-written beside adapters, bases and checkpoints."""
    ours = "|".join(re.escape(name) for name in names)
    pattern = re.compile(rf"\.(?:{ours})(?:\.pt)?\.[0-9]+\.(?:new|old)")
    for folder in (output, output / "adapters", output / ".checkpoints"):
        for path in [p for p in folder.glob(".*") if pattern.fullmatch(p.name)]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _finished(target: Path, fingerprint: str) -> bool:
    note = target / "training.json"
    return note.is_file() and json.loads(note.read_text(encoding="utf-8")).get("fingerprint") == fingerprint


def _save_checkpoint(
    path: Path,
    fingerprint: str,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    step: int,
    random_state: torch.Tensor,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "fingerprint": fingerprint,
        "step": step,
        "weights": {n: p.detach().cpu() for n, p in model.named_parameters() if p.requires_grad},
        "optimizer": optimizer.state_dict(),
        "rng": random_state,
    }
    scratch = _scratch(path)
    torch.save(state, scratch)
    scratch.replace(path)


def _resume(path: Path, fingerprint: str, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load a checkpoint of the same run, if there is one; returns the number of finished steps."""
    if not path.is_file():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["fingerprint"] != fingerprint:
        return 0
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, weight in state["weights"].items():
            parameters[name].copy_(weight)
    peaks = [group["lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict(state["optimizer"])
    for group, peak in zip(optimizer.param_groups, peaks, strict=True):
        group["lr"] = peak  # the schedule scales the peak, not the value of the last step
    torch.set_rng_state(state["rng"])
    return int(state["step"])


@contextmanager
def _termination() -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether SIGTERM has arrived; the old handler comes back afterwards."""
    arrived = False

    def note(number: int, frame: object) -> None:
        nonlocal arrived
        arrived = True

    previous = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: arrived
    finally:
        signal.signal(signal.SIGTERM, previous)


def main(arguments: list[str] | None = None) -> int:
    """Fine-tune as a JSON config says."""
    parser = argparse.ArgumentParser(
        prog="python -m model_assist.training.finetune", description=main.__doc__
    )
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument(
        "--stop-with-parent", action="store_true", help="stop as on SIGTERM when the launcher ends (Linux)"
    )
    options = parser.parse_args(arguments)
    if options.stop_with_parent and not die_with_parent():
        print("stopped: the launcher is gone", file=sys.stderr)
        return EXIT_STOPPED
    try:
        for folder in run(RunConfig.from_file(options.config)):
            print(f"wrote {folder}")
    except StoppedError:
        print("stopped; the same command continues from the checkpoint", file=sys.stderr)
        return EXIT_STOPPED
    except (ConfigError, ExampleError, CrashChatError, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
