"""Clips to teach the tiny model with: drawn, encoded, read back as the engine reads them, and labelled densely.

The generator knows where everybody is.  A from-scratch vision tower learns from six answers a clip far too
slowly, so every visual token and every frame gets labels of its own; they exist in this training only.
"""

import argparse
import json
import os
import random
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from annotations.corpora.demo import DemoClip, draw_clips
from annotations.corpora.demo.corpus import SIZE
from annotations.corpora.demo.motion import gap
from model_assist.crashchat.frames import read_frames
from model_assist.crashchat.settings import EngineSettings
from model_assist.crashchat.sizing import MERGE, PATCH
from model_assist.crashchat.tiny import TINY_SETTINGS

Floats = npt.NDArray[np.float32]

SIDE: Final = PATCH * MERGE
BODIES: Final = ("car", "truck", "cyclist", "pedestrian")
SHARD: Final = 24
"""Clips drawn together: each shard has recordings, and one clip of variable rate, of its own."""

SEEN_PIXELS: Final = 3
"""A road user counts as seen in a token with this many of the resized picture's pixels."""

CELL_LABELS: Final = (*BODIES, "braking", "touching", "subject", "object")
CELL_VALUES: Final = ("gap", "along", "across")
"""Of the road user that fills most of the token: log(1 + gap to the nearest other) and its velocity / 10 m/s."""

FRAME_LABELS: Final = ("cue", "contact", "rest")
"""Whether the clip's onset, crash start and crash end have come by this frame."""

_ARRAYS: Final = ("pixels", "cells", "filled", "passed")
_REST: Final = ("times_us", "duration_us", "truth", "manoeuvre", "outcome")


@dataclass(frozen=True)
class TaughtClip:
    """One clip as the tower takes it, with its truth.

    pixels: uint8 [T, rows, columns, 3].  times_us: frame labels.  truth: kind -> {state, value}, as in the
    demo's manifest.  cells: [T, tokens, CELL_LABELS + CELL_VALUES]; filled: whether a body gives CELL_VALUES,
    bool [T, tokens].  passed: [T, FRAME_LABELS].  manoeuvre: the role's, also of clips without a crash.
    """

    pixels: npt.NDArray[np.uint8]
    times_us: list[int]
    duration_us: int
    truth: dict[str, Any]
    cells: Floats
    filled: npt.NDArray[np.bool_]
    passed: Floats
    manoeuvre: str
    outcome: str


@dataclass(frozen=True)
class Pool:
    """Shards of fresh clips in a folder, about 50 MB each, drawn when they are first needed.

    The same seed and number give the same shard, so a broken run goes on and another process may draw ahead.
    """

    folder: Path
    seed: str
    shards: int
    settings: EngineSettings = TINY_SETTINGS
    clips: int = SHARD

    def read(self, number: int, *, pixels: bool = True) -> list[TaughtClip]:
        """The clips of a shard, with or without their pixels."""
        return read_shard(self.ensure(number), pixels=pixels)

    def ensure(self, number: int) -> Path:
        """The shard's file; draws it unless it is there."""
        path = self.folder / f"{number:05d}.npz"
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            scratch = self.folder / f".{number}.{os.getpid()}"
            with scratch.open("wb") as file:
                save_shard(file, self.draw(number))
            scratch.replace(path)
        return path

    def draw(self, number: int) -> list[TaughtClip]:
        """Draw, encode and read back the clips of a shard."""
        own = random.Random(f"{self.seed}/shard/{number}").randrange(2**40)
        taught = []
        with TemporaryDirectory() as folder:
            for clip in draw_clips(Path(folder), clips=self.clips, seed=own):
                taught.append(teach(clip, self.settings))
                clip.path.unlink()
        return taught


def save_shard(file: BinaryIO, clips: list[TaughtClip]) -> None:
    """Arrays as they are, the rest as JSON; no pickles."""
    arrays = {f"{n}/{name}": getattr(clip, name) for n, clip in enumerate(clips) for name in _ARRAYS}
    rest = [{name: getattr(clip, name) for name in _REST} for clip in clips]
    np.savez(file, rest=np.frombuffer(json.dumps(rest).encode(), dtype=np.uint8), **arrays)


def read_shard(path: Path, *, pixels: bool = True) -> list[TaughtClip]:
    """What `save_shard` wrote; without `pixels` these are neither read nor there."""
    with np.load(path) as file:
        rest = json.loads(file["rest"].tobytes())
        return [
            TaughtClip(
                **one,
                pixels=file[f"{n}/pixels"] if pixels else np.zeros((0, 0, 0, 3), dtype=np.uint8),
                cells=file[f"{n}/cells"],
                filled=file[f"{n}/filled"],
                passed=file[f"{n}/passed"],
            )
            for n, one in enumerate(rest)
        ]


def teach(clip: DemoClip, settings: EngineSettings) -> TaughtClip:
    """Read one drawn clip back and label what the sampled frames show."""
    frames = read_frames(
        clip.path, fps=settings.fps, max_frames=settings.max_frames, max_tokens=settings.max_tokens
    )
    truth: Any = clip.row["truth"]
    chosen = frames.source_indices
    rows, columns = frames.pixels.shape[1:3]
    cells, filled = _cells(clip, chosen, (rows, columns))
    events = [clip.scene.truth.onset, clip.scene.truth.start, clip.scene.truth.end]
    passed = [[0.0 if event is None else float(i >= event) for event in events] for i in chosen]
    return TaughtClip(
        pixels=frames.pixels,
        times_us=frames.times_us,
        duration_us=frames.duration_us,
        truth=truth,
        cells=cells,
        filled=filled,
        passed=np.array(passed, dtype=np.float32),
        manoeuvre=clip.scene.role.manoeuvre,
        outcome=clip.scene.outcome,
    )


def _cells(clip: DemoClip, chosen: list[int], size: tuple[int, int]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    rows, columns = size
    tracks, high, wide = clip.scene.tracks, rows // SIDE, columns // SIDE
    gaps = np.full((len(tracks), len(clip.timing.ticks)), np.inf)
    for a, b in combinations(range(len(tracks)), 2):
        apart = gap(tracks[a], tracks[b])
        gaps[a], gaps[b] = np.minimum(gaps[a], apart), np.minimum(gaps[b], apart)
    seconds = clip.timing.seconds
    speeds = np.array([[np.gradient(t.x, seconds), np.gradient(t.y, seconds)] for t in tracks]) / 10
    ego = [n for n, track in enumerate(tracks) if track.ego]
    if ego:
        speeds = speeds - speeds[ego[0]]
    cells = np.zeros((len(chosen), high * wide, len(CELL_LABELS) + len(CELL_VALUES)), dtype=np.float32)
    filled = np.zeros((len(chosen), high * wide), dtype=np.bool_)
    for place, index in enumerate(chosen):
        owners = Image.new("L", (columns, rows))
        draw = ImageDraw.Draw(owners)
        for number, outline in clip.view.outlines(tracks, index):
            corners = [(x * columns / SIZE[0], y * rows / SIZE[1]) for x, y in outline]
            draw.polygon(corners, fill=number + 1)
        grid = np.asarray(owners).reshape(high, SIDE, wide, SIDE).swapaxes(1, 2).reshape(high * wide, -1)
        counts = np.stack([(grid == number + 1).sum(1) for number in range(len(tracks))], axis=1)
        for number, track in enumerate(tracks):
            seen = counts[:, number] >= SEEN_PIXELS
            cells[place, seen, BODIES.index(track.kind)] = 1
            cells[place, seen, 4] = np.maximum(cells[place, seen, 4], float(track.braking[index]))
            cells[place, seen, 5] = np.maximum(cells[place, seen, 5], float(gaps[number, index] <= 0.15))
            if number < 2:
                cells[place, seen, 6 + number] = 1
        filled[place] = counts.max(1) >= SEEN_PIXELS
        main = counts.argmax(1)
        cells[place, :, 8] = np.log1p(np.clip(gaps[main, index], 0, 60))
        cells[place, :, 9:] = speeds[main, :, index]
    cells[~filled, 8:] = 0
    return cells, filled


def main(arguments: list[str] | None = None) -> int:
    """Draw a pool ahead of its use, in a process of its own; `make_tiny` draws what is missing by itself."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shards", type=int, required=True)
    options = parser.parse_args(arguments)
    pool = Pool(options.folder, str(options.seed), options.shards)
    for number in range(pool.shards):
        print(pool.ensure(number), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
