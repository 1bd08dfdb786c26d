"""How good a tiny model is on clips that it has never seen, beside answers that look at nothing:

    python -m model_assist.training.make_tiny_check MODEL [--clips 200] [--seed 90210] [--json FILE]

Every clip is drawn, encoded, and answered through the ordinary engine as the model ships: adapters routed,
localisation asked only when recognition says yes.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

import torch

from annotations.corpora.demo import DemoClip, draw_clips
from annotations.corpora.demo.grammar import QUESTIONS, causes_for
from annotations.corpora.demo.scenarios import CRASH, Role
from model_assist.crashchat import kinds as k
from model_assist.crashchat.answers import ClipAnswers
from model_assist.crashchat.engine import Engine
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.model import LoadedModel, load
from model_assist.crashchat.settings import EngineSettings, find_adapters
from model_assist.crashchat.tiny import TINY_SETTINGS
from model_assist.training.metrics.onsets import onset_score
from model_assist.training.metrics.spans import span_iou

HELD_OUT_SEED: Final = 90210
"""Seed of the held-out clips; training draws from others."""

Values = Mapping[str, Mapping[str, Any] | None]


class Answers(Protocol):
    """What is asked: an `Engine`, or a test's stand-in."""

    def answer(self, path: str | Path, prompts: Mapping[str, str] | None = None) -> ClipAnswers: ...


@dataclass(frozen=True)
class Seen:
    """One clip: what is true, what was said (kind -> value, None where there is none), and what it shows."""

    truth: Values
    said: Values
    role: Role
    outcome: str
    view: str
    duration_us: int


def ask(engine: Answers, clips: Iterable[DemoClip]) -> list[Seen]:
    """Ask about each clip; its file must be there until the next one is drawn."""
    found = []
    for clip in clips:
        answers = engine.answer(clip.path, QUESTIONS).answers
        said = {kind: a.value if a.state == "valued" else None for kind, a in answers.items()}
        found.append(seen(clip, said))
    return found


def seen(clip: DemoClip, said: Values) -> Seen:
    """A clip's truth beside what was said of it."""
    truth: Any = clip.row["truth"]
    tags: Any = clip.row["tags"]
    values = {kind: entry["value"] for kind, entry in truth.items()}
    scene = clip.scene
    return Seen(values, said, scene.role, scene.outcome, tags[0], clip.timing.duration_us)


@contextmanager
def drawn(*, clips: int, seed: int) -> Iterator[list[DemoClip]]:
    """Fresh clips, gone after the block."""
    with TemporaryDirectory() as folder:
        yield list(draw_clips(Path(folder), clips=clips, seed=seed))


def scores(asked: Sequence[Seen]) -> dict[str, float]:
    """All numbers.  Spans, onsets and causes count clips with a crash, those not answered as 0 or wrong.

    f1, precision, recall, accuracy: recognition.  span_miou: of the crash span.  span_ap50: share of IoU >= .5.
    description, description_crash: exact matches in all clips, and in those with a crash.  onset: CrashChat's
    score (metrics.onsets).  onset_error_s: mean absolute error of those answered.  cause: the sentence is one
    that the generator could have given for this crash; cause_exact: the very one.
    """
    crash = [s for s in asked if s.outcome == CRASH]
    calm = [s for s in asked if s.outcome != CRASH]
    yes = {"label": "yes"}
    hits = sum(s.said[k.CRASH_RECOGNITION] == yes for s in crash)
    alarms = sum(s.said[k.CRASH_RECOGNITION] == yes for s in calm)
    spans = [_iou(s) for s in crash]
    described = [s.truth[k.CRASH_DESCRIPTION] == s.said.get(k.CRASH_DESCRIPTION) for s in asked]
    errors = [e for e in map(_onset_error, crash) if e is not None]
    return {
        "clips": len(asked),
        "crashes": len(crash),
        "f1": 2 * hits / max(1, 2 * hits + alarms + len(crash) - hits),
        "precision": hits / max(1, hits + alarms),
        "recall": hits / max(1, len(crash)),
        "accuracy": (hits + len(calm) - alarms) / len(asked),
        "near_miss_accuracy": _mean(
            s.said[k.CRASH_RECOGNITION] != yes for s in calm if s.outcome == "near_miss"
        ),
        "span_miou": _mean(spans),
        "span_ap50": _mean(iou >= 0.5 for iou in spans),
        "description": _mean(described),
        "description_crash": _mean(d for d, s in zip(described, asked, strict=True) if s.outcome == CRASH),
        "onset": _mean(map(_onset, crash)),
        "onset_error_s": _mean(errors),
        "cause": _mean(_text(s.said, k.CAUSAL_REASONING) in causes_for(s.role) for s in crash),
        "cause_exact": _mean(s.truth[k.CAUSAL_REASONING] == s.said.get(k.CAUSAL_REASONING) for s in crash),
    }


def baseline(known: Sequence[Seen], asked: Sequence[Seen]) -> dict[str, float]:
    """The same numbers for an answerer that never looks: always yes, and of the crashes in `known` the most
    frequent description, the most frequent cause, the mean span and the mean onset.

    Its `description` is that of "no collision." where more than half the clips show none.
    """
    crash = [s for s in known if s.outcome == CRASH]

    def most(kind: str, rows: Iterable[Seen]) -> dict[str, str]:
        return {"text": Counter(_text(s.truth, kind) for s in rows).most_common(1)[0][0]}

    def mean(kind: str, name: str) -> int:
        return round(fmean((s.truth[kind] or {})[name] for s in crash))

    constant: Values = {
        k.CRASH_RECOGNITION: {"label": "yes"},
        k.CRASH_DESCRIPTION: most(k.CRASH_DESCRIPTION, crash),
        k.CAUSAL_REASONING: most(k.CAUSAL_REASONING, crash),
        k.CRASH_LOCALIZATION: {name: mean(k.CRASH_LOCALIZATION, name) for name in ("start_us", "end_us")},
        k.PRE_CRASH_LOCALIZATION: {"at_us": mean(k.PRE_CRASH_LOCALIZATION, "at_us")},
    }
    found = scores([Seen(s.truth, constant, s.role, s.outcome, s.view, s.duration_us) for s in asked])
    text = most(k.CRASH_DESCRIPTION, known)
    return {**found, "description": _mean(s.truth[k.CRASH_DESCRIPTION] == text for s in asked)}


def by(asked: Sequence[Seen], name: str) -> dict[str, dict[str, float]]:
    """`scores` apart for each `view` or `outcome`."""
    groups = sorted({getattr(s, name) for s in asked})
    return {group: scores([s for s in asked if getattr(s, name) == group]) for group in groups}


def _mean(values: Iterable[float]) -> float:
    found = [float(v) for v in values]
    return fmean(found) if found else 0.0


def _text(values: Values, kind: str) -> str:
    return str((values.get(kind) or {}).get("text", ""))


def _iou(seen: Seen) -> float:
    truth, said = seen.truth[k.CRASH_LOCALIZATION], seen.said.get(k.CRASH_LOCALIZATION)
    if truth is None or said is None:
        return 0.0
    return span_iou((truth["start_us"], truth["end_us"]), (said["start_us"], said["end_us"]))


def _onset(seen: Seen) -> float:
    truth, said = seen.truth[k.PRE_CRASH_LOCALIZATION], seen.said.get(k.PRE_CRASH_LOCALIZATION)
    start = seen.truth[k.CRASH_LOCALIZATION]
    if truth is None or start is None:
        return 0.0
    return onset_score(truth["at_us"], said["at_us"] if said else None, start["start_us"])


def _onset_error(seen: Seen) -> float | None:
    truth, said = seen.truth[k.PRE_CRASH_LOCALIZATION], seen.said.get(k.PRE_CRASH_LOCALIZATION)
    return abs(truth["at_us"] - said["at_us"]) / 1_000_000 if truth and said else None


def open_engine(folder: Path, reader: FrameReader, *, adapters: bool = True) -> Engine:
    """The engine on a folder with base/ and, where there are some, adapters/."""
    found = find_adapters(folder / "adapters") if adapters and (folder / "adapters").is_dir() else {}
    loaded = load(folder / "base", found, device="cpu")
    return Engine(loaded, settings=EngineSettings.from_dict(loaded.settings), frame_reader=reader)


def in_training(network: Any, tokenizer: Any, reader: FrameReader) -> Engine:
    """The engine on a network in memory, without adapters."""
    loaded = LoadedModel(network, tokenizer, "", (), torch.device("cpu"), torch.float32, "sdpa")
    return Engine(loaded, settings=TINY_SETTINGS, frame_reader=reader)


def main(arguments: list[str] | None = None) -> int:
    """Score a tiny model on freshly drawn clips."""
    parser = argparse.ArgumentParser(
        prog="python -m model_assist.training.make_tiny_check", description=main.__doc__
    )
    parser.add_argument("model", type=Path, help="folder with base/ and adapters/")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with FrameReader() as reader, drawn(clips=options.clips, seed=options.seed) as clips:
        asked = ask(open_engine(options.model, reader), clips)
    with drawn(clips=options.clips, seed=options.seed + 1) as others:
        known = [seen(clip, {}) for clip in others]
    found = {
        "seed": options.seed,
        "model": scores(asked),
        "baseline": baseline(known, asked),
        "by_view": by(asked, "view"),
    }
    for name, value in found["model"].items():
        print(f"{name:20} {value:8.3f}   baseline {found['baseline'][name]:8.3f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
