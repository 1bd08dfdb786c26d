"""One stage of the tiny model's training: `fit` with a schedule, a log, and a checkpoint to go on from."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from model_assist.training.finetune import StepReport, fit, make_accelerator
from model_assist.training.run_config import RunConfig

Draw = Callable[[int], Any]
MUON_GAIN: Final = 3.0


@dataclass(frozen=True)
class Stage:
    """What to do: `steps` optimiser steps of `accumulation` draws at a peak learning rate `lr`.

    The rate is warmed up over `warmup` steps, follows a cosine that would reach zero after `span` steps, and falls
    to zero over the last `cool` ones.  Since `steps` decides only when the cooling begins, training for longer
    takes the same steps until then.
    """

    name: str
    steps: int
    lr: float
    span: int
    cool: int
    accumulation: int = 1
    warmup: int = 50
    weight_decay: float = 0.01
    check_every: int = 500

    def factor(self, step: int) -> float:
        """The learning rate of a step as a share of the peak."""
        falling = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.span)))
        return min(1.0, (step + 1) / self.warmup) * falling * min(1.0, (self.steps - step) / self.cool)


def run_stage(
    stage: Stage,
    module: nn.Module,
    draw: Draw,
    work: Path,
    *,
    check: Callable[[int], dict[str, float]] | None = None,
    until: int | None = None,
) -> None:
    """Train the parameters of `module` that want gradients; `module(draw(n))` is the loss of one draw.

    Writes work/NAME.pt every `check_every` steps and at the end, and goes on from it; the same steps are taken
    either way.  work/NAME.jsonl gets a line at each check with what `check(step)` measured.  `until` stops
    early, as an interruption would.  Raises TrainingError when the loss is no number.
    """
    place = work / f"{stage.name}.pt"
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    optimizer = Mixed(trained, lr=stage.lr, weight_decay=stage.weight_decay)
    config = RunConfig(
        base="", examples="", output=str(work), precision="fp32", grad_accumulation=stage.accumulation
    )
    accelerator = make_accelerator(config)
    start, spent = _resume(place, trained, optimizer)
    optimizer.set_peak(stage.lr)
    if until is not None and start >= until:
        return
    prepared, prepared_optimizer = accelerator.prepare(module, optimizer)
    began, losses = time.monotonic() - spent, list[float]()

    def after_step(report: StepReport) -> bool:
        losses.append(report.loss)
        if report.step % stage.check_every == 0 or report.step == stage.steps:
            seconds = time.monotonic() - began
            _save(place, trained, optimizer, report.step, seconds)
            line = {"stage": stage.name, "step": report.step, "loss": sum(losses) / len(losses)}
            line |= {"seconds": seconds, **(check(report.step) if check else {})}
            losses.clear()
            module.train()
            say(work / f"{stage.name}.jsonl", line)
        return until is None or report.step < until

    fit(
        accelerator, prepared, prepared_optimizer, draw,
        start=start, steps=stage.steps, accumulation=stage.accumulation, max_grad_norm=1.0,
        factor=stage.factor, after_step=after_step,
    )  # fmt: skip


class Mixed(torch.optim.Optimizer):
    """Muon for the matrices inside layers, AdamW for embeddings, read-outs, biases and norms.

    Muon (K. Jordan, 2024; torch.optim.Muon) needs about half the steps here.
    """

    def __init__(self, trained: dict[str, nn.Parameter], *, lr: float, weight_decay: float) -> None:
        inner = [p for n, p in trained.items() if p.ndim == 2 and "layers." in n]
        held = {id(p) for p in inner}
        rest = [p for p in trained.values() if id(p) not in held]
        super().__init__([{"params": inner + rest}], {"lr": lr})
        self.parts: list[torch.optim.Optimizer] = []
        if inner:
            self.parts.append(
                torch.optim.Muon(inner, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            )
        if rest:
            self.parts.append(torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=weight_decay))
        self.param_groups = [g for part in self.parts for g in part.param_groups]
        self.set_peak(lr)

    def set_peak(self, lr: float) -> None:
        """The peak learning rate of AdamW; Muon's is MUON_GAIN times as high."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr * (MUON_GAIN if isinstance(part, torch.optim.Muon) else 1.0)

    def step(self, closure: Any = None) -> Any:
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {str(n): part.state_dict() for n, part in enumerate(self.parts)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for n, part in enumerate(self.parts):
            part.load_state_dict(state_dict[str(n)])
        self.param_groups = [g for part in self.parts for g in part.param_groups]


def say(log: Path, line: dict[str, Any]) -> None:
    """One line to the log and to the screen."""
    text = json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()})
    with log.open("a", encoding="utf-8") as file:
        file.write(text + "\n")
    print(text, flush=True)


def _save(
    place: Path, trained: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, step: int, seconds: float
) -> None:
    scratch = place.with_name(f".{place.name}.{os.getpid()}")
    weights = {n: p.detach() for n, p in trained.items()}
    torch.save(
        {"step": step, "seconds": seconds, "weights": weights, "optimizer": optimizer.state_dict()}, scratch
    )
    scratch.replace(place)


def _resume(
    place: Path, trained: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """Steps done and seconds spent by an earlier run whose checkpoint is there."""
    if not place.is_file():
        return 0, 0.0
    state = torch.load(place, map_location="cpu", weights_only=True)
    with torch.no_grad():
        for name, weight in state["weights"].items():
            trained[name].copy_(weight)
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["seconds"])
