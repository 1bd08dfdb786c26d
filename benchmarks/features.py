"""What kept vision features save: the same clips answered with and without them, in one run, alternating.

    python -m benchmarks.features [--rounds 3] [--frames 96] [--clips 2] [--tokens 2400] [--threads 1]

The model is the engine benchmark's: about 30 million random weights in the real architecture. Then the store alone:
putting and getting one clip of the published model's size (10,240 tokens of 1,152 bfloat16 values).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.engine import medium_model, write_clip
from benchmarks.machine import facts
from model_assist.crashchat.answers import ClipAnswers, ClipRequest, FramesUsed
from model_assist.crashchat.engine import Engine
from model_assist.crashchat.feature_cache import FeatureCache, features_key, vision_tower_hash
from model_assist.crashchat.features import ClipFeatures
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.kinds import ALL
from model_assist.crashchat.settings import EngineSettings

ROOM = 4 * 1024**3


def texts(engine: Engine, requests: list[ClipRequest]) -> list[str]:
    """What the engine says about each clip, in order."""
    said: dict[int, list[str]] = {}
    for position, outcome in engine.answer_many(requests):
        if not isinstance(outcome, ClipAnswers):
            raise outcome
        said[position] = [answer.raw_text for answer in outcome.answers.values()]
    return [text for position in sorted(said) for text in said[position]]


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def asking_again(options: argparse.Namespace, folder: Path) -> None:
    """Clips answered anew against clips whose features are kept."""
    loaded = medium_model(folder)
    limits = dict.fromkeys(ALL, 16)
    settings = EngineSettings(
        max_tokens=options.tokens,
        max_new_tokens=limits,
        gate_localisation=False,
        clips_per_batch=options.clips,
    )
    tower, hashed = "", timed(lambda: vision_tower_hash(loaded))
    tower = vision_tower_hash(loaded)
    clips = [write_clip(folder / f"{n}.mp4", options.frames, seed=n) for n in range(options.clips)]
    cache = FeatureCache(folder / "features", max_bytes=ROOM)
    with FrameReader() as reader:
        engine = Engine(loaded, settings=settings, frame_reader=reader, features=cache)
        keys = [features_key(f"{n:064x}", tower, settings, loaded) for n in range(options.clips)]
        anew = [ClipRequest(path) for path in clips]
        again = [ClipRequest(path, features_key=key) for path, key in zip(clips, keys, strict=True)]
        first = texts(engine, again)
        if not first == texts(engine, again) == texts(engine, anew):
            raise RuntimeError("the answers differ")
        pairs = [
            (timed(lambda: texts(engine, anew)), timed(lambda: texts(engine, again)))
            for _ in range(options.rounds)
        ]
    slow, fast = (statistics.median(pair[i] for pair in pairs) / options.clips for i in (0, 1))
    ratios = sorted(one / other for one, other in pairs)
    print(
        f"a clip of {options.frames} frames: {slow:.2f} s anew, {fast:.2f} s from kept features, "
        f"{statistics.median(ratios):.2f} times as fast ({ratios[0]:.2f} to {ratios[-1]:.2f}, "
        f"{options.rounds} rounds); the same answers; hashing the tower {hashed * 1000:.0f} ms"
    )


def the_store(folder: Path, rounds: int) -> None:
    """One published-size clip put and got."""
    cache = FeatureCache(folder / "store", max_bytes=ROOM)
    used = FramesUsed(10.0, 96, [0] * 96, [0] * 96, [0] * 96, 448, 252, 10_240, "pyav", 0)
    value = ClipFeatures(torch.randn(10_240, 1_152).bfloat16(), [10_240], used, 10_000_000)
    puts = [timed(lambda n=n: cache.put(f"{n:064x}", value)) for n in range(rounds)]  # type: ignore[misc]
    gets = [timed(lambda n=n: cache.get(f"{n:064x}")) for n in range(rounds)]  # type: ignore[misc]
    size = sum(path.stat().st_size for path in (folder / "store").rglob("*.features")) / rounds
    print(
        f"the store: {size / 1e6:.1f} MB a clip, put {statistics.median(puts) * 1000:.0f} ms, "
        f"got {statistics.median(gets) * 1000:.0f} ms (medians of {rounds}, files in the page cache)"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.features", description="what features save")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=2400, help="visual tokens per clip at most")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(facts())
    with tempfile.TemporaryDirectory() as place:
        asking_again(options, Path(place))
        the_store(Path(place), 9)


if __name__ == "__main__":
    main()
