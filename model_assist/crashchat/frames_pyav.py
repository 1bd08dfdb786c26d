"""The reference reader: PyAV decodes forward and frames are recognised by their presentation time.

A first pass leaves out packets that cannot matter (see `FrameIndex.needed`, `FrameIndex.sheds`) and accepts no
decoding error.  Unless it finds every wanted frame, everything is decoded, as a player would.
"""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import av
import av.error

from model_assist.crashchat.errors import UndecodableError
from model_assist.crashchat.frames_fit import DecodeMode, Fitter, Sheet, upright_size
from model_assist.crashchat.frames_index import FrameIndex, decoded_frames, decoded_tick, video_stream

MOST_THREADS: Final = 4
IN_FLIGHT: Final = 4
"""Decoded frames per thread that may wait to be resized (each holds a full-size picture)."""


def default_threads(workers: int = 1) -> int:
    """Threads for each of `workers` readers on this machine."""
    return max(1, min(MOST_THREADS, len(os.sched_getaffinity(0)) // workers))


def decode_pyav(
    path: str | Path, index: FrameIndex, chosen: list[int], sheet: Sheet, decode: DecodeMode, threads: int
) -> list[int]:
    """Fill `sheet` with the frames `chosen` (indices into index.ticks) and return which were really shown.

    A frame that cannot be decoded is replaced by the one shown before it.  Raises UndecodableError when that
    happens to more than half of them.
    """
    with _Painter(sheet, chosen, decode, threads) as painter:
        try:
            shown = None if index.counted else _thrifty(path, index, chosen, painter)
            if shown is None:
                painter.finish()
                with av.open(str(path)) as container:
                    shown = _thorough(container, path, index, chosen, painter)
            painter.finish()
        except av.error.FFmpegError as error:
            raise UndecodableError(f"{path}: {error.strerror or error}") from error
        except UndecodableError as error:
            raise UndecodableError(f"{path}: {error}") from error
    return [shown[i] for i in chosen]


def _thrifty(
    path: str | Path, index: FrameIndex, chosen: list[int], painter: "_Painter"
) -> dict[int, int] | None:
    """Decode only what is needed; None when that does not show every wanted frame, in order, without an error."""
    position = {index.ticks[i]: i for i in chosen}
    found: dict[int, int] = {}
    latest = -1
    try:
        with av.open(str(path)) as container:
            stream = _decoder(container, path, painter.threads)
            stream.codec_context.options = {"err_detect": "explode"}
            for packet in _needed_packets(container, stream, index, position):
                for frame in packet.decode():
                    if frame.is_corrupt or (index.sheds and frame.interlaced_frame):
                        return None
                    here = position.get(decoded_tick(frame))  # type: ignore[arg-type]
                    if here is not None:
                        if here <= latest:
                            return None
                        latest = found[here] = here
                        painter.paint(here, frame)
                if len(found) == len(position):
                    return found
    except av.error.InvalidDataError:
        return None
    return None


def _needed_packets(
    container: Any, stream: Any, index: FrameIndex, position: dict[int, int]
) -> Iterator[Any]:
    """The packets to decode, the decoder told of each whether its picture may be skipped."""
    needed = index.needed(set(position))
    number = -1
    for packet in container.demux(stream):
        number += bool(packet.size)  # the last packet, empty, makes the decoder give up what it holds back
        if packet.size and needed is not None and not (number < len(needed) and needed[number]):
            continue
        if index.sheds:
            wanted = not packet.size or packet.pts in position
            stream.codec_context.skip_frame = "DEFAULT" if wanted else "NONREF"
        yield packet


def _thorough(
    container: Any, path: str | Path, index: FrameIndex, chosen: list[int], painter: "_Painter"
) -> dict[int, int]:
    """Decode everything; wanted frames that do not appear show the frame before (at the start, the next)."""
    position = {tick: i for i, tick in enumerate(index.ticks)}
    wanted = sorted(set(chosen))
    found: dict[int, int] = {}
    previous: tuple[int, Any] | None = None
    stream = _decoder(container, path, painter.threads)
    for count, frame in enumerate(decoded_frames(container, stream)):
        here = count if index.counted else position.get(decoded_tick(frame))  # type: ignore[arg-type]
        if here is None:
            continue
        while len(found) < len(wanted) and wanted[len(found)] < here:
            at, picture = previous or (here, frame)
            painter.paint(wanted[len(found)], picture)
            found[wanted[len(found)]] = at
        if len(found) < len(wanted) and wanted[len(found)] == here:
            painter.paint(here, frame)
            found[here] = here
        previous = (here, frame)
        if len(found) == len(wanted):
            break
    while previous is not None and len(found) < len(wanted):
        painter.paint(wanted[len(found)], previous[1])
        found[wanted[len(found)]] = previous[0]
    if not found:
        raise UndecodableError("not one frame could be decoded")
    exact = sum(i == at for i, at in found.items())
    if exact * 2 < len(wanted):
        raise UndecodableError(f"only {exact} of {len(wanted)} sampled frames could be decoded")
    return found


def _decoder(container: Any, path: str | Path, threads: int) -> Any:
    stream = video_stream(container, path)
    few = threads <= 2  # frame threads cost a fifth more work: with few cores the resizing needs them more
    stream.thread_type = "SLICE" if few else "AUTO"
    stream.codec_context.thread_count = 1 if few else threads
    return stream


class _Painter:
    """Fits decoded frames into the sheet on other threads (swscale and PIL let go of the interpreter)."""

    def __init__(self, sheet: Sheet, chosen: list[int], decode: DecodeMode, threads: int) -> None:
        self.sheet, self.threads = sheet, threads
        self._places: dict[int, list[int]] = {}
        for place, i in enumerate(chosen):
            self._places.setdefault(i, []).append(place)
        self._fitters: SimpleQueue[Fitter] = SimpleQueue()
        for _ in range(threads):
            self._fitters.put(Fitter(decode))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="resize")
        self._waiting: list[Future[None]] = []

    def paint(self, index: int, frame: Any) -> None:
        """Fit `frame` into every place of the frame `index`; may still be going on after the return."""
        self.sheet.accept(*upright_size(frame))
        if len(self._waiting) >= self.threads * IN_FLIGHT:
            self._waiting.pop(0).result()
        self._waiting.append(self._pool.submit(self._fit, frame, self._places[index]))

    def finish(self) -> None:
        """Wait until everything is painted; raises what went wrong on the way."""
        while self._waiting:
            self._waiting.pop(0).result()

    def _fit(self, frame: Any, places: list[int]) -> None:
        pixels = self.sheet.pixels
        assert pixels is not None  # accept() came first
        fitter = self._fitters.get()
        try:
            fitter.fit(frame, pixels[places[0]])
        finally:
            self._fitters.put(fitter)
        for place in places[1:]:
            pixels[place] = pixels[places[0]]

    def __enter__(self) -> "_Painter":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
