"""Frames of a clip at the times the published model was trained on.

The rule is CrashChat's (ffmpeg `fps=10:round=down`, then `numpy.linspace` down to the frame limit): output k
is the last source frame shown before (k+1)/fps, labelled k/fps; floor(duration*fps) outputs in all.  It is
applied to the presentation times of the file's own frames, counted from the first one, so variable-rate clips
and clips that start late come out right.  Nothing here imports torch: `FrameReader` runs it in a child.
"""

import atexit
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter
from pebble import ProcessExpired, ProcessPool
from PIL import Image

from model_assist.crashchat.errors import (
    FrameTimeoutError,
    NoVideoStreamError,
    ReaderCrashedError,
    UndecodableError,
)
from model_assist.crashchat.sizing import target_size

ReaderName = Literal["auto", "pyav", "decord"]
DecodeMode = Literal["exact", "fast"]
Pixels = npt.NDArray[np.uint8]

DECORD_CHUNK: Final = 16
SAMPLING_TOLERANCE_US: Final = 100
"""Slack when comparing times, as measured against ffmpeg: containers round their ticks."""


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


@dataclass(frozen=True)
class FrameIndex:
    """Presentation times of every frame of a file, from its packets.

    ticks: sorted presentation times in units of `time_base` seconds.  steady: the index proves constant rate,
    H.264 in MP4 from time zero, without reordering, discarded packets or rotation: the files on which decord
    is exact.
    """

    ticks: list[int]
    time_base: Fraction
    last_duration: int
    steady: bool

    @property
    def pts_us(self) -> list[int]:
        """Presentation times in microseconds, relative to the first frame."""
        return [round((t - self.ticks[0]) * self.time_base * 1_000_000) for t in self.ticks]

    @property
    def duration_us(self) -> int:
        """From the first frame's appearance to the last one's disappearance."""
        return round((self.ticks[-1] - self.ticks[0] + self.last_duration) * self.time_base * 1_000_000)


def read_frames(
    path: str | Path,
    *,
    fps: float = 10,
    max_frames: int = 96,
    max_tokens: int | None = None,
    decode: DecodeMode = "exact",
    reader: ReaderName = "auto",
) -> Frames:
    """Sample a clip in this process (see `FrameReader` for the safe way to treat untrusted files).

    With `max_tokens`, frames are resized on the way to the size the model takes under that budget: by PIL from
    the full-size picture, as the published model's own code does ("exact"), or while the colours are converted
    ("fast": the same frames, slightly other pixels).
    Raises NoVideoStreamError and UndecodableError naming the file, and FileNotFoundError.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such clip: {path}")
    index = index_frames(path)
    chosen, times_us = sample_indices(index.pts_us, index.duration_us, fps=fps, max_frames=max_frames)
    if decode == "fast" and reader == "decord":
        raise ValueError("decord reads exactly only: leave the reader to `auto` in fast mode")
    if decode == "exact" and (reader == "decord" or (reader == "auto" and index.steady)):
        decoded = _Decoded.from_decord(path, index, chosen, max_tokens)
        if decoded is None and reader == "decord":
            raise UndecodableError(f"{path}: decord disagrees with the packet index")
    else:
        decoded = None
    used = "decord" if decoded is not None else "pyav"
    if decoded is None:
        decoded = _Decoded.from_pyav(path, index, chosen, max_tokens, decode)
    pts_us = index.pts_us
    return Frames(
        pixels=decoded.pixels,
        times_us=times_us,
        source_indices=decoded.indices,
        source_pts_us=[pts_us[i] for i in decoded.indices],
        duration_us=index.duration_us,
        width=decoded.width,
        height=decoded.height,
        reader=used,
        fps=fps,
        damaged=sum(a != b for a, b in zip(decoded.indices, chosen, strict=True)),
        decode=decode,
    )


class FrameReader:
    """`read_frames` in one persistent child process that can be killed.  A context manager, safe for threads.

    Decoders hang and crash on hostile files, and a hung C call cannot be interrupted from within.
    timeout_s limits each clip; after a timeout or a crash the next call gets a fresh child.
    """

    def __init__(self, *, timeout_s: float = 120.0, reader: ReaderName = "auto") -> None:
        self.timeout_s = timeout_s
        self.reader = reader
        self._pool = _new_pool()
        atexit.register(self.close)  # the interpreter would wait for ever for a child that waits for work

    def begin(
        self,
        path: str | Path,
        *,
        fps: float = 10,
        max_frames: int = 96,
        max_tokens: int | None = None,
        decode: DecodeMode = "exact",
    ) -> "PendingFrames":
        """Start reading a clip and return at once; clips begun are read in the order of the calls.

        timeout_s counts from when the child takes the clip up, not from this call.
        """
        options = {"fps": fps, "max_frames": max_frames, "max_tokens": max_tokens, "decode": decode}
        work = {**options, "reader": self.reader}
        try:
            future = self._pool.schedule(read_frames, args=(str(path),), kwargs=work, timeout=self.timeout_s)
        except (BrokenProcessPool, RuntimeError) as error:
            self._renew()
            raise ReaderCrashedError(f"{path}: the reading process cannot start ({error})") from error
        return PendingFrames(self, str(path), future, self.timeout_s)

    def read(
        self,
        path: str | Path,
        *,
        fps: float = 10,
        max_frames: int = 96,
        max_tokens: int | None = None,
        decode: DecodeMode = "exact",
    ) -> Frames:
        """Like `read_frames`; also raises FrameTimeoutError and ReaderCrashedError."""
        options = {"fps": fps, "max_frames": max_frames, "max_tokens": max_tokens}
        return self.begin(path, **options, decode=decode).result()  # type: ignore[arg-type]

    def _renew(self) -> None:
        self.close()
        self._pool = _new_pool()
        atexit.register(self.close)

    def close(self) -> None:
        """Stop the child; running reads are cancelled."""
        atexit.unregister(self.close)
        pool: Any = self._pool  # partly untyped upstream
        pool.stop()
        pool.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PendingFrames:
    """A clip being read by a `FrameReader`."""

    def __init__(self, reader: FrameReader, path: str, future: Any, timeout_s: float) -> None:
        self._reader, self._path, self._future, self._timeout_s = reader, path, future, timeout_s

    def result(self) -> Frames:
        """Wait for the frames; raises what `FrameReader.read` raises."""
        try:
            frames: Frames = self._future.result()
        except FutureTimeoutError as error:
            raise FrameTimeoutError(f"{self._path}: no frames after {self._timeout_s:g} s") from error
        except ProcessExpired as error:
            raise ReaderCrashedError(f"{self._path}: the reading process died ({error})") from error
        except CancelledError as error:
            raise ReaderCrashedError(f"{self._path}: the reader was closed before it was read") from error
        except BrokenProcessPool as error:
            self._reader._renew()
            raise ReaderCrashedError(f"{self._path}: the reading process cannot start ({error})") from error
        return frames

    def cancel(self) -> None:
        """Give the clip up; a reading under way is stopped with its child."""
        self._future.cancel()


def _new_pool() -> ProcessPool:
    return ProcessPool(max_workers=1, context=multiprocessing.get_context("spawn"))


def sample_indices(
    pts_us: list[int], duration_us: int, *, fps: float = 10, max_frames: int = 96
) -> tuple[list[int], list[int]]:
    """Which frames to show and how to label them (microseconds): the published rule, see the module's text.

    A source slower than `fps` repeats frames; a clip shorter than 1/fps yields its first frame.
    """
    if fps <= 0 or max_frames < 1:
        raise ValueError(f"fps and max_frames must be positive, not {fps} and {max_frames}")
    count = max(1, int(duration_us * fps / 1_000_000 + 1e-6))
    limits = (np.arange(count) + 1) * 1_000_000 / fps - SAMPLING_TOLERANCE_US
    indices = np.maximum(np.searchsorted(np.asarray(pts_us, dtype=np.int64), limits) - 1, 0)
    labels = np.rint(np.arange(count) * 1_000_000 / fps).astype(np.int64)
    if count > max_frames:
        kept = np.linspace(0, count - 1, max_frames, dtype=int)
        indices, labels = indices[kept], labels[kept]
    return indices.tolist(), labels.tolist()


def index_frames(path: str | Path) -> FrameIndex:
    """Read the presentation time of every frame without decoding (about 1 ms per thousand packets).

    Files whose packets carry no presentation times are decoded once to learn them.
    Raises NoVideoStreamError and UndecodableError.
    """
    try:
        with av.open(str(path)) as container:
            stream = _video_stream(container, path)
            packets = [p for p in container.demux(stream) if p.size]
            shown = [p for p in packets if not p.is_discard]
            if not shown:
                raise UndecodableError(f"{path}: the video stream holds no frames")
            time_base = stream.time_base
            if time_base is None:
                raise UndecodableError(f"{path}: the video stream has no time base")
            known = [p.pts for p in shown if p.pts is not None]
            ticks = sorted(set(known)) if len(known) == len(shown) else _ticks_by_decoding(path)
            steps = np.diff(ticks)
            usual = int(np.median(steps)) if len(steps) else 0
            final = max(shown, key=lambda p: p.pts if p.pts is not None else -1).duration
            rate = stream.average_rate or stream.guessed_rate
            last = int(final or usual or (round(1 / (rate * time_base)) if rate else 0) or 1)
            steady = _is_steady(container, stream, packets, steps) and _first_rotation(path) == 0
            return FrameIndex(ticks, time_base, last, steady)
    except av.error.FFmpegError as error:
        raise UndecodableError(f"{path}: {error.strerror or error}") from error


def _is_steady(container: Any, stream: Any, packets: list[Any], steps: npt.NDArray[Any]) -> bool:
    """Whether decord reads this file exactly: see `FrameIndex.steady`."""
    presented = [p.pts for p in packets]
    return bool(
        "mp4" in container.format.name.split(",")
        and stream.codec_context.name == "h264"
        and len(steps) > 0
        and steps.min() == steps.max()
        and None not in presented
        and presented == sorted(presented)
        and presented[0] == 0
        and all(p.dts == p.pts and not p.is_discard for p in packets)
        and packets[0].is_keyframe
        and stream.frames == len(packets)
        and not stream.codec_context.has_b_frames
    )


def _first_rotation(path: str | Path) -> int | None:
    """The rotation (degrees) of the first frame that decodes, None when none does."""
    with av.open(str(path)) as container:
        for frame in _decode(container, _video_stream(container, path)):
            return int(frame.rotation or 0)
    return None


def _video_stream(container: Any, path: str | Path) -> Any:
    if not container.streams.video:
        raise NoVideoStreamError(f"{path}: the file has no video stream")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    return stream


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    """Frames in presentation order; damaged packets are skipped, as a player would."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _ticks_by_decoding(path: str | Path) -> list[int]:
    with av.open(str(path)) as container:
        stream = _video_stream(container, path)
        ticks = {_tick(frame) for frame in _decode(container, stream)}
    if not ticks or None in ticks:
        raise UndecodableError(f"{path}: the frames carry no presentation times")
    return sorted(t for t in ticks if t is not None)


def _tick(frame: Any) -> int | None:
    return frame.pts if frame.pts is not None else frame.dts  # type: ignore[no-any-return]


class _Fitter:
    """Turns decoded frames upright and to the model's size, and keeps the clip's own size."""

    def __init__(self, count: int, max_tokens: int | None) -> None:
        self.count, self.max_tokens = count, max_tokens
        self.width = self.height = 0
        self._scaler = VideoReformatter()

    def exact(self, frame: Any) -> Pixels:
        """A frame at full size in RGB, then PIL's bicubic filter."""
        rotation = int(frame.rotation or 0)
        return self(np.rot90(frame.to_ndarray(format="rgb24"), rotation // 90))

    def fast(self, frame: Any) -> Pixels:
        """Scaled and converted to RGB in one step by swscale's bicubic filter."""
        turns = int(frame.rotation or 0) // 90
        self.height, self.width = (frame.height, frame.width)[:: -1 if turns % 2 else 1]
        rows, columns = self._size()
        across, down = (rows, columns) if turns % 2 else (columns, rows)
        small = self._scaler.reformat(frame, across, down, "rgb24", interpolation=Interpolation.BICUBIC)
        return np.ascontiguousarray(np.rot90(small.to_ndarray(), turns))

    def __call__(self, rgb: Pixels) -> Pixels:
        self.height, self.width = rgb.shape[:2]
        rows, columns = self._size()
        if (rows, columns) == (self.height, self.width):
            return np.ascontiguousarray(rgb)
        picture = Image.fromarray(np.ascontiguousarray(rgb))
        return np.asarray(picture.resize((columns, rows), Image.Resampling.BICUBIC))

    def _size(self) -> tuple[int, int]:
        if self.max_tokens is None:
            return self.height, self.width
        return target_size(self.height, self.width, self.count, max_tokens=self.max_tokens)


@dataclass(frozen=True)
class _Decoded:
    pixels: Pixels
    indices: list[int]
    width: int
    height: int

    @classmethod
    def from_pyav(
        cls,
        path: str | Path,
        index: FrameIndex,
        chosen: list[int],
        max_tokens: int | None,
        decode: DecodeMode,
    ) -> "_Decoded":
        """The reference reader: decodes from the start and picks frames by presentation time."""
        fit = _Fitter(len(chosen), max_tokens)
        picture = fit.exact if decode == "exact" else fit.fast
        position = {tick: i for i, tick in enumerate(index.ticks)}
        wanted = sorted(set(chosen))
        found: dict[int, tuple[int, Pixels]] = {}
        previous: tuple[int, Any] | None = None
        try:
            with av.open(str(path)) as container:
                stream = _video_stream(container, path)
                for frame in _decode(container, stream):
                    tick = _tick(frame)
                    here = None if tick is None else position.get(tick)
                    if here is None:
                        continue
                    while len(found) < len(wanted) and wanted[len(found)] < here:
                        shown = previous or (here, frame)
                        found[wanted[len(found)]] = (shown[0], picture(shown[1]))
                    if len(found) < len(wanted) and wanted[len(found)] == here:
                        found[here] = (here, picture(frame))
                    previous = (here, frame)
                    if len(found) == len(wanted):
                        break
                while previous is not None and len(found) < len(wanted):
                    found[wanted[len(found)]] = (previous[0], picture(previous[1]))
        except av.error.FFmpegError as error:
            raise UndecodableError(f"{path}: {error.strerror or error}") from error
        if not found:
            raise UndecodableError(f"{path}: not one frame could be decoded")
        exact = sum(i == shown for i, (shown, _) in found.items())
        if exact * 2 < len(wanted):
            raise UndecodableError(f"{path}: only {exact} of {len(wanted)} sampled frames could be decoded")
        try:
            pixels = np.stack([found[i][1] for i in chosen])
        except ValueError as error:
            raise UndecodableError(f"{path}: the picture size changes within the clip") from error
        return cls(pixels, [found[i][0] for i in chosen], fit.width, fit.height)

    @classmethod
    def from_decord(
        cls, path: str | Path, index: FrameIndex, chosen: list[int], max_tokens: int | None
    ) -> "_Decoded | None":
        """The faster reader; None when it sees other frames or times than the packet index."""
        if find_spec("decord") is None:
            return None
        import decord  # loads a second ffmpeg: only where it is used

        fit = _Fitter(len(chosen), max_tokens)
        wanted = sorted(set(chosen))
        try:
            video = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
            if len(video) != len(index.ticks):
                return None
            shown_us = video.get_frame_timestamp(range(len(video)))[:, 0].astype(np.float64) * 1e6
            if np.abs(shown_us - np.asarray(index.pts_us)).max() > SAMPLING_TOLERANCE_US * 5:
                return None
            found: dict[int, Pixels] = {}
            for at in range(0, len(wanted), DECORD_CHUNK):
                chunk = wanted[at : at + DECORD_CHUNK]
                for i, rgb in zip(chunk, video.get_batch(chunk).asnumpy(), strict=True):
                    found[i] = fit(rgb)
        except (decord.DECORDError, RuntimeError):
            return None
        return cls(np.stack([found[i] for i in chosen]), list(chosen), fit.width, fit.height)
