"""The tiny model that ships with CrashDesk, trained from scratch on the synthetic generator:

    python -m model_assist.training.make_tiny [--work var/tiny-model] [--out model_assist/tiny_model] [--seed 0]

Draws its clips, trains the vision tower on single frames, then projector and language model on whole clips over
the frozen tower, then the two LoRA adapters with the ordinary fine-tuning; scores the result on held-out clips and
writes OUT/base, OUT/adapters/{linguistic,perception} and OUT/manifest.json (make_tiny_report takes the numbers to
the docs).  Every stage goes on from its last checkpoint in the work folder.  `--now` takes the checkpoints as they
are and only exports and scores.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch

from annotations.corpora.demo import draw_clips
from annotations.corpora.demo.grammar import texts
from model_assist.crashchat import kinds as k
from model_assist.crashchat.errors import CrashChatError
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.parsing import render_target
from model_assist.crashchat.tiny import (
    SHIPPED_SHAPE,
    TINY_SETTINGS,
    TinyShape,
    make_network,
    make_tokenizer,
    start_for_training,
)
from model_assist.training.answer_loss import AnswerLoss
from model_assist.training.examples import Example, write_examples
from model_assist.training.finetune import TrainingError, replacing, run, save_model
from model_assist.training.make_tiny_check import (
    HELD_OUT_SEED,
    ask,
    baseline,
    by,
    drawn,
    in_training,
    open_engine,
    scores,
    seen,
)
from model_assist.training.make_tiny_clips import SHARD, Pool
from model_assist.training.make_tiny_language import PAIRS, WORDINGS, ClipOrderOfPool, LabelledLoss
from model_assist.training.make_tiny_stage import Stage, run_stage, say
from model_assist.training.make_tiny_vision import FrameLoss, FrameOrder
from model_assist.training.run_config import RunConfig

WORK: Final = Path("var/tiny-model")
SHIPPED: Final = Path(__file__).resolve().parents[1] / "tiny_model"
MANIFEST: Final = "manifest.json"
LICENCE: Final = "Apache-2.0"
_NOTES: Final = ("README.md", "training.json")
VALIDATION_SEED: Final = 31337
"""Clips for the learning curve: neither learnt nor part of the final score."""

VISION: Final = Stage("vision", steps=1000, lr=2e-3, span=1800, cool=300, check_every=100)
LANGUAGE: Final = Stage(
    "language", steps=3500, lr=2e-3, span=6000, cool=800, accumulation=4, warmup=100, check_every=200
)


@dataclass(frozen=True)
class Plan:
    """How much of everything.  vision_shards, shards: how many of the pool the stages see."""

    vision: Stage = VISION
    language: Stage = LANGUAGE
    vision_shards: int = 72
    shards: int = 168
    shard_clips: int = SHARD
    adapter_clips: int = 96
    adapter_steps: int = 24
    validation_clips: int = 40
    held_out_clips: int = 200
    shape: TinyShape = SHIPPED_SHAPE


def make_tiny(
    work: Path, out: Path, *, seed: int = 0, plan: Plan | None = None, now: bool = False
) -> dict[str, Any]:
    """Train and write the model, replacing `out`; returns the held-out numbers.

    One thread: the same seed gives the same weights on the same machine and library versions.  Raises
    TrainingError and CrashChatError.
    """
    plan = plan or Plan()
    claim_folder(work, seed)
    with one_thread(), FrameReader() as reader:
        network, tokenizer = untrained(seed, plan)
        train_vision(network, work, seed, plan, until=0 if now else None)
        train_language(network, tokenizer, work, seed, plan, reader, until=0 if now else None)
        with replacing(work / "model" / "base") as folder:
            save_model(network.half(), tokenizer, folder, name="", full=True, settings=TINY_SETTINGS)
        train_adapters(work, seed, plan)
        found = judge(work / "model", plan, reader)
    ship(work, out, seed, plan, found)
    return found


def claim_folder(work: Path, seed: int) -> None:
    """Keep a work folder to one seed: another's checkpoints would ship under this one's name.  Raises TrainingError."""
    work.mkdir(parents=True, exist_ok=True)
    note = work / "seed"
    if not note.exists():
        note.write_text(f"{seed}\n", encoding="utf-8")
    held = note.read_text(encoding="utf-8").strip()
    if held != str(seed):
        raise TrainingError(f"{work} holds the work of seed {held}; name another folder with --work")


def untrained(seed: int, plan: Plan) -> tuple[Any, Any]:
    """The network with fresh weights, and its tokenizer."""
    wordings = [text for wording in WORDINGS for text in wording.values()]
    tokenizer = make_tokenizer([*texts(), *wordings, *PAIRS] * 30)
    network = make_network(tokenizer, shape=plan.shape)
    start_for_training(network.model.vision_model, 10 * seed + 1)
    start_for_training(network.model.projector, 10 * seed + 2)
    start_for_training(network.model.language_model, 10 * seed + 3)
    start_for_training(network.lm_head, 10 * seed + 4)
    return network, tokenizer


def train_vision(network: Any, work: Path, seed: int, plan: Plan, *, until: int | None = None) -> None:
    """First stage; the tower is frozen afterwards."""
    module = FrameLoss(network.model.vision_model)
    start_for_training(module.read_out, 10 * seed + 2)
    draw = FrameOrder(Pool(work / "pool", str(seed), plan.vision_shards, clips=plan.shard_clips))
    run_stage(plan.vision, module, draw, work, check=lambda _: dict(module.parts), until=until)
    network.model.vision_model.requires_grad_(False)


def train_language(
    network: Any,
    tokenizer: Any,
    work: Path,
    seed: int,
    plan: Plan,
    reader: FrameReader,
    *,
    until: int | None = None,
) -> None:
    """Second stage; every check answers the validation clips through the engine."""
    module = LabelledLoss(AnswerLoss(network, tokenizer.pad_token_id), plan.shape.hidden)
    start_for_training(module.of_token, 10 * seed + 5)
    start_for_training(module.of_frame, 10 * seed + 6)
    pool = Pool(work / "pool", str(seed), plan.shards, clips=plan.shard_clips)
    draw = ClipOrderOfPool(pool, work / "features", network, tokenizer)

    def check(_: int) -> dict[str, float]:
        parts = {name: sum(values) / len(values) for name, values in module.parts.items()}
        module.parts.clear()
        network.eval()
        engine = in_training(network, tokenizer, reader)
        return {f"loss_{name}": value for name, value in parts.items()} | scores(ask(engine, clips))

    with drawn(clips=plan.validation_clips, seed=VALIDATION_SEED) as clips:
        run_stage(plan.language, module, draw, work, check=check, until=until)


def train_adapters(work: Path, seed: int, plan: Plan) -> None:
    """Both adapters with the ordinary fine-tuning, gently, on clips of their own."""
    clips = work / "adapter-clips"
    clips.mkdir(exist_ok=True)
    rows: list[Example] = []
    for clip in draw_clips(clips, clips=plan.adapter_clips, seed=1_000_003 + seed):
        truth: Any = clip.row["truth"]
        duration: Any = clip.row["duration_us"]
        for number, kind in enumerate(k.ALL):
            if truth[kind]["value"] is not None:
                answer = render_target(kind, "valued", truth[kind]["value"], duration_us=duration)
                wording = WORDINGS[(len(rows) + number) % len(WORDINGS)]
                rows.append(Example(clip.path.resolve(), kind, wording[kind], answer, duration))
    write_examples(work / "adapter-examples.jsonl", rows)
    run(
        RunConfig(
            base=str(work / "model" / "base"),
            examples=str(work / "adapter-examples.jsonl"),
            output=str(work / "model"),
            rank=4,
            alpha=4,
            lr=1e-4,
            projector_lr=1e-5,
            steps=plan.adapter_steps,
            grad_accumulation=4,
            precision="fp32",
            seed=seed,
            progress=str(work / "adapters.jsonl"),
        )
    )


def judge(model: Path, plan: Plan, reader: FrameReader) -> dict[str, Any]:
    """The numbers on held-out clips: as shipped, of the base alone, and of the baseline that never looks."""
    with drawn(clips=plan.held_out_clips, seed=HELD_OUT_SEED) as clips:
        asked = ask(open_engine(model, reader), clips)
        alone = ask(open_engine(model, reader, adapters=False), clips)
    with drawn(clips=plan.held_out_clips, seed=HELD_OUT_SEED + 1) as others:
        known = [seen(clip, {}) for clip in others]
    return {
        "seed": HELD_OUT_SEED,
        "model": scores(asked),
        "base_alone": scores(alone),
        "baseline": baseline(known, asked),
        "by_view": by(asked, "view"),
    }


def ship(work: Path, out: Path, seed: int, plan: Plan, found: dict[str, Any]) -> None:
    """Copy the finished model to `out` with its manifest."""
    with replacing(out) as folder:
        for path in shipped_files(work / "model"):
            target = folder / path.relative_to(work / "model")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        for path in folder.glob("adapters/*/adapter_config.json"):
            # not where the base lay on this machine
            config = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": "../../base"}
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        manifest = {
            "name": "tiny",
            "what": "a small VideoLLaMA3-architecture model trained from scratch on CrashDesk's synthetic clips",
            "licence": LICENCE,
            "command": f"python -m model_assist.training.make_tiny --seed {seed}",
            "seed": seed,
            "plan": asdict(plan),
            "made_with": {name: version(name) for name in ("torch", "transformers", "peft", "tokenizers")},
            "training": {
                "vision": _lines(work / "vision.jsonl")[-1],
                "language": _lines(work / "language.jsonl")[-1],
                "curve": [
                    {**p, "seen": p["step"] * plan.language.accumulation}
                    for p in _lines(work / "language.jsonl")
                ],
            },
            "held_out": found,
            "files": {str(p.relative_to(folder)): digest(p) for p in shipped_files(folder)},
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def shipped_files(model: Path) -> list[Path]:
    """The files of a model folder that ship: base/* and adapters/*/*, without notes of how they were trained."""
    found = [p for p in sorted(model.rglob("*")) if p.is_file() and p.name not in (MANIFEST, *_NOTES)]
    return [p for p in found if not any(part.startswith(".") for part in p.relative_to(model).parts)]


def digest(path: Path) -> dict[str, Any]:
    """A file's size and hash."""
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _lines(log: Path) -> list[dict[str, Any]]:
    """A stage's log; where a broken run took a step twice, its last line."""
    found = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        point: dict[str, Any] = json.loads(line)
        found[point["step"]] = point
    return list(found.values())


@contextmanager
def one_thread() -> Iterator[None]:
    """So small a model gains nothing from a second thread, and sums come out the same each time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, score and write the tiny model that ships with CrashDesk."""
    parser = argparse.ArgumentParser(
        prog="python -m model_assist.training.make_tiny", description=main.__doc__
    )
    parser.add_argument("--work", type=Path, default=WORK, help=f"checkpoints and clips (default {WORK})")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="the folder to replace")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--steps", type=int, help="of the language stage; more steps go on from its checkpoint"
    )
    parser.add_argument(
        "--now", action="store_true", help="export what the checkpoints hold, without training"
    )
    options = parser.parse_args(arguments)
    plan = Plan()
    if options.steps:
        plan = replace(plan, language=replace(plan.language, steps=options.steps))
    try:
        found = make_tiny(options.work, options.out, seed=options.seed, plan=plan, now=options.now)
    except (CrashChatError, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    say(options.work / "held-out.jsonl", found["model"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
