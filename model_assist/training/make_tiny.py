"""A tiny demo model, built and trained on the spot:

    python -m model_assist.training.make_tiny --examples examples.jsonl --out DIR

Builds the untrained base, trains all its weights with the ordinary training step until its answers about
held-out clips have the right form for every kind (or the time is up), then trains the two LoRA adapters for a while.
Writes DIR/base, DIR/adapters/linguistic and DIR/adapters/perception.  Progress is printed as JSON lines.
"""

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from model_assist.crashchat.engine import Engine
from model_assist.crashchat.errors import CrashChatError
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.kinds import ALL, CRASH_RECOGNITION
from model_assist.crashchat.model import LoadedModel, load_base
from model_assist.crashchat.parsing import parse_answer, render_target
from model_assist.crashchat.settings import EngineSettings
from model_assist.crashchat.tiny import TINY_SETTINGS, save_tiny
from model_assist.training.answer_loss import AnswerLoss
from model_assist.training.clip_store import ClipStore
from model_assist.training.examples import (
    ClipExamples,
    Example,
    ExampleError,
    group_by_clip,
    read_examples,
    write_examples,
)
from model_assist.training.finetune import (
    ClipOrder,
    StepReport,
    TrainingError,
    fit,
    make_accelerator,
    make_optimizer,
    replacing,
    run,
    save_model,
)
from model_assist.training.run_config import FULL, RunConfig

PEAK_LR = 3e-3
PAIR = 2
"""Clips per step: one with a crash and one without."""

ADAPTER_LR = 5e-4
ADAPTER_CLIPS = 4
ADAPTER_STEPS = 24

HELD_CLIPS = 5
CHECKS = 8
"""How often the held-out answers are checked on the way."""

PATIENCE = 2.0
"""Training goes on for up to this many times the planned steps while answers lack the right form."""


@dataclass(frozen=True)
class Outcome:
    """How it went: optimiser steps, last loss, and what came of the questions about held-out clips.

    well_formed of the asked answers have the right form; recognised counts right yes/no answers.
    """

    steps: int
    loss: float
    well_formed: int
    asked: int
    recognised: int
    seconds: float


def make_tiny(examples_path: Path, out: Path, *, steps: int = 320, seed: int = 0) -> Outcome:
    """Build, train and write the model; replaces what `out` held.

    Trains `steps` optimiser steps, and up to twice as many while held-out answers lack the right form: counted
    in steps, so that a busy machine takes longer but learns the same.  Raises ExampleError, CrashChatError and
    TrainingError.
    """
    began = time.monotonic()
    examples = [in_tenths(e) for e in read_examples(examples_path)]
    groups = group_by_clip(examples)
    learnt, held = split_held(groups, seed)
    with one_thread(), TemporaryDirectory() as scratch, FrameReader() as reader:
        untrained = Path(scratch) / "base"
        save_tiny(untrained, extra=[t for e in examples for t in (e.prompt, e.answer)], seed=seed)
        _say(event="built", seconds=time.monotonic() - began)
        config = RunConfig(
            base=str(untrained), examples=str(examples_path), output=str(out), full=True,
            lr=PEAK_LR, projector_lr=PEAK_LR, grad_accumulation=PAIR, seed=seed,
        )  # fmt: skip
        outcome = _train_base(config, learnt, held, out / "base", reader, steps)
        rows = Path(scratch) / "examples.jsonl"
        write_examples(rows, [replace(e, video=e.video.resolve()) for g in learnt for e in g.examples])
        adapters = replace(
            config,
            base=str(out / "base"),
            examples=str(rows),
            full=False,
            steps=ADAPTER_STEPS,
            rank=16,
            lr=ADAPTER_LR,
            projector_lr=ADAPTER_LR / 10,
            grad_accumulation=ADAPTER_CLIPS,
            checkpoint_every=ADAPTER_STEPS + 1,
            progress=str(Path(scratch) / "progress.jsonl"),
        )
        run(adapters)
    outcome = replace(outcome, seconds=time.monotonic() - began)
    _say(event="done", **outcome.__dict__)
    return outcome


def in_tenths(example: Example) -> Example:
    """The same example with its times rounded to tenths of a second, whatever precision they were written with."""
    parsed = parse_answer(example.kind, example.answer, duration_us=None)
    if parsed.state != "valued":
        return example
    answer = render_target(example.kind, parsed.state, parsed.value, duration_us=example.duration_us)
    return replace(example, answer=answer)


def in_pairs(groups: list[ClipExamples], seed: str) -> Callable[[int], ClipExamples]:
    """An endless draw that alternates clips with and without a crash.

    Met one at a time, they would push the answer to and fro, and the pictures would be learnt much later.
    """
    crash = [g for g in groups if any(e.kind == CRASH_RECOGNITION and e.answer == "Yes" for e in g.examples)]
    calm = [g for g in groups if g not in crash]
    if not crash or not calm:
        return ClipOrder(groups, seed).at
    orders = ClipOrder(crash, f"{seed}/crash"), ClipOrder(calm, f"{seed}/calm")
    return lambda number: orders[number % PAIR].at(number // PAIR)


@contextmanager
def one_thread() -> Iterator[None]:
    """So small a model gains nothing from a second thread, and waiting for it costs much on busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def split_held(groups: Sequence[ClipExamples], seed: int) -> tuple[list[ClipExamples], list[ClipExamples]]:
    """(learnt, held out): HELD_CLIPS clips drawn at random are held out.

    With fewer than ten clips nothing can be spared, and the form is checked on learnt clips.
    """
    if len(groups) < 10:
        return list(groups), list(groups[:HELD_CLIPS])
    drawn = set(random.Random(seed).sample(range(len(groups)), HELD_CLIPS))
    learnt = [g for i, g in enumerate(groups) if i not in drawn]
    return learnt, [groups[i] for i in sorted(drawn)]


def _train_base(
    config: RunConfig,
    learnt: list[ClipExamples],
    held: list[ClipExamples],
    target: Path,
    reader: FrameReader,
    planned: int,
) -> Outcome:
    accelerator = make_accelerator(replace(config, precision="fp32"))
    network, tokenizer = load_base(config.base, dtype=torch.float32, attn="sdpa")
    network.to(accelerator.device)
    module = AnswerLoss(network, tokenizer.pad_token_id)
    optimizer = make_optimizer(config, network)
    for parameters in optimizer.param_groups:
        parameters["betas"] = (0.9, 0.95)
    store = ClipStore(
        network, tokenizer, reader, TINY_SETTINGS, frozen=False, device=accelerator.device, cache_mb=4096
    )
    draw = in_pairs(learnt, str(config.seed))
    checker = _FormCheck(network, tokenizer, reader, held, accelerator.device)
    for group in learnt:
        store.prepare(group)
    prepared, prepared_optimizer = accelerator.prepare(module, optimizer)
    start = time.monotonic()
    _say(event="clips read", clips=len(learnt))
    last = StepReport(0, math.nan, 0.0)

    def factor(step: int) -> float:
        share = min(1.0, step / planned)
        return min(1.0, (step + 1) / 20) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share)))

    def after_step(report: StepReport) -> bool:
        nonlocal last
        last = report
        if report.step % max(1, planned // CHECKS):
            return True
        checker.check()
        eta = (time.monotonic() - start) / report.step * max(0, planned - report.step)
        _say(adapter=FULL, step=report.step, steps=planned, loss=report.loss, lr=report.lr, eta_s=eta,
             well_formed=checker.well_formed, asked=checker.asked, recognised=checker.recognised)  # fmt: skip
        return report.step < planned or not checker.passed

    fit(
        accelerator, prepared, prepared_optimizer, lambda number: store.prepare(draw(number)),
        start=0, steps=round(planned * PATIENCE), accumulation=PAIR, max_grad_norm=1.0, factor=factor,
        after_step=after_step,
    )  # fmt: skip
    checker.check()
    with replacing(target) as folder:
        save_model(network, tokenizer, folder, name=FULL, full=True, settings=TINY_SETTINGS)
    return Outcome(last.step, last.loss, checker.well_formed, checker.asked, checker.recognised, 0.0)


class _FormCheck:
    """Asks the model in training about held-out clips and counts answers of the right form."""

    def __init__(
        self,
        network: Any,
        tokenizer: Any,
        reader: FrameReader,
        held: list[ClipExamples],
        device: torch.device,
    ) -> None:
        loaded = LoadedModel(network, tokenizer, "", (), device, torch.float32, "sdpa")
        settings: EngineSettings = replace(TINY_SETTINGS, gate_localisation=False)
        self.engine = Engine(loaded, settings=settings, frame_reader=reader)
        self.network, self.held = network, held
        self.well_formed = self.asked = self.recognised = 0

    @property
    def passed(self) -> bool:
        """At the last check every answer had the right form."""
        return self.well_formed == self.asked > 0

    def check(self) -> None:
        """Ask every held-out clip the questions that it has examples for."""
        self.well_formed = self.asked = self.recognised = 0
        self.network.eval()
        for group in self.held:
            wanted = {e.kind: e for e in group.examples}
            kinds = [x for x in ALL if x in wanted]
            result = self.engine.answer(group.video, {x: wanted[x].prompt for x in kinds}, kinds)
            for kind in kinds:
                answer = result.answers[kind]
                self.asked += 1
                self.well_formed += answer.state != "unparsable" and answer.confidence_detail["ended"]
                if kind == CRASH_RECOGNITION:
                    self.recognised += _says(answer.raw_text, wanted[kind])
        self.network.train()


def _says(text: str, example: Example) -> bool:
    return text.strip().lower() == example.answer.strip().lower()


def _say(**values: Any) -> None:
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}), flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Build and train a tiny demo model on your own examples."""
    parser = argparse.ArgumentParser(
        prog="python -m model_assist.training.make_tiny", description=main.__doc__
    )
    parser.add_argument("--examples", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=320, help="optimiser steps of the base (default 320)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        outcome = make_tiny(options.examples, options.out, steps=options.steps, seed=options.seed)
    except (ExampleError, CrashChatError, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if outcome.well_formed < outcome.asked:
        print(f"warning: {outcome.asked - outcome.well_formed} answers still malformed", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
