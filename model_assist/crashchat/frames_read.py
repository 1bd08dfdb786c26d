"""One clip's sampled frames, read in this process."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from model_assist.crashchat.frames_decord import decode_decord
from model_assist.crashchat.frames_fit import Allocate, DecodeMode, Pixels, Sheet
from model_assist.crashchat.frames_index import index_frames, sample_indices
from model_assist.crashchat.frames_pyav import decode_pyav, default_threads

ReaderName = Literal["auto", "pyav", "decord"]


@dataclass(frozen=True)
class Frames:
    """Sampled frames of one clip.

    pixels: uint8 [T, H, W, 3] RGB, upright; H and W are the clip's own, or the model's if a token budget was
    given.  times_us: the label of each frame, k/fps.  source_indices / source_pts_us: which frame of the file
    it is (in presentation order) and when that is shown, relative to the first frame.  width / height: the
    upright clip.  damaged: wanted frames that could not be decoded and show an earlier one instead.
    """

    pixels: Pixels
    times_us: list[int]
    source_indices: list[int]
    source_pts_us: list[int]
    duration_us: int
    width: int
    height: int
    reader: str
    fps: float
    damaged: int = 0
    decode: DecodeMode = "exact"


def read_frames(
    path: str | Path,
    *,
    fps: float = 10,
    max_frames: int = 96,
    max_tokens: int | None = None,
    decode: DecodeMode = "exact",
    reader: ReaderName = "auto",
    threads: int | None = None,
    allocate: Allocate | None = None,
) -> Frames:
    """Sample a clip in this process (see `FrameReader` for the safe way to treat untrusted files).

    With `max_tokens`, frames are resized on the way to the size the model takes under that budget: by PIL from
    the full-size picture, as the published model's own code does ("exact"), or while the colours are converted
    ("fast": the same frames, slightly other pixels).  `auto` is the fastest reader that is exact for the file,
    which PyAV was on every file measured (docs/frames.md); `decord` raises UndecodableError wherever it is not
    proven to show the right frames.  `allocate` makes the output array of a given shape (uint8).
    Raises NoVideoStreamError and UndecodableError naming the file, and FileNotFoundError.
    """
    if decode not in ("exact", "fast"):
        raise ValueError(f"decode must be exact or fast, not {decode!r}")
    if decode == "fast" and reader == "decord":
        raise ValueError("decord reads exactly only: leave the reader to `auto` in fast mode")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such clip: {path}")
    index = index_frames(path)
    pts_us = index.pts_us
    chosen, times_us = sample_indices(pts_us, index.duration_us, fps=fps, max_frames=max_frames)
    sheet = Sheet(len(chosen), max_tokens, allocate or _empty)
    if reader == "decord":
        shown = decode_decord(path, index, chosen, sheet)
    else:
        shown = decode_pyav(path, index, chosen, sheet, decode, threads or default_threads())
    assert sheet.pixels is not None  # both readers fill it or raise
    return Frames(
        pixels=sheet.pixels,
        times_us=times_us,
        source_indices=shown,
        source_pts_us=[pts_us[i] for i in shown],
        duration_us=index.duration_us,
        width=sheet.width,
        height=sheet.height,
        reader="decord" if reader == "decord" else "pyav",
        fps=fps,
        damaged=sum(a != b for a, b in zip(shown, chosen, strict=True)),
        decode=decode,
    )


def _empty(shape: tuple[int, ...]) -> Pixels:
    return np.empty(shape, np.uint8)
