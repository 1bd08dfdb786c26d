"""A clip's sound for its proxy: from the first picture on, and never longer than the pictures."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from annotations.corpora.media.decode import open_container

RATE = 48_000
"""Samples per second of a proxy's sound."""
ENCODER = {"aac_coder": "fast"}
BIT_RATE = 96_000

_PIECE = RATE // 4
_TOLERATED_GAP = (
    RATE // 20
)  # samples: rounding of times moves no sound, a hole of 50 ms is filled with silence

Samples = npt.NDArray[np.float32]


class Sound:
    """The first sound track of `path`, cut to `seconds` from `start` on the file's clock, as AAC packets.

    A context manager. Holes are silence; damaged sound is silence, too, and `damage` names it.
    """

    def __init__(self, path: Path, *, start: Fraction, seconds: Fraction) -> None:
        self._path, self._start = path, start
        self._total = int(seconds * RATE)
        self._written = 0
        self._stream: AudioStream | None = None
        self.damage = ""

    def __enter__(self) -> Self:
        self._container: InputContainer = open_container(self._path)
        source = next(iter(self._container.streams.audio), None)
        mono = source is None or source.codec_context.channels == 1
        self._layout = "mono" if mono else "stereo"
        self._silence = np.zeros((1 if mono else 2, _PIECE), dtype=np.float32)
        self._pieces = self._placed(source) if source is not None else iter(())
        self._next = next(self._pieces, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    @property
    def heard(self) -> bool:
        """Whether there is any sound while pictures are shown. Without, the proxy gets no sound track."""
        return self._stream is not None or self._next is not None

    def add_stream(self, target: OutputContainer) -> None:
        """Give `target` the track that `until` and `rest` give packets of."""
        self._stream = target.add_stream("aac", rate=RATE, layout=self._layout, options=dict(ENCODER))
        self._stream.bit_rate = BIT_RATE

    def until(self, seconds: Fraction) -> "list[Packet[Any]]":
        """The packets of the sound up to about `seconds`; none that were given before."""
        packets: list[Packet[Any]] = []
        while self._next is not None and self._written < seconds * RATE:
            packets += self._encode(self._next)
            self._next = next(self._pieces, None)
        return packets

    def rest(self) -> "list[Packet[Any]]":
        """The packets that are left."""
        packets = self.until(Fraction(self._total + 1, RATE))
        return packets if self._stream is None else [*packets, *self._stream.encode(None)]

    def _encode(self, samples: Samples) -> "list[Packet[Any]]":
        if self._stream is None:
            raise AssertionError("the track was not added")
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._written, Fraction(1, RATE)
        self._written += samples.shape[1]
        return list(self._stream.encode(frame))

    def _placed(self, source: AudioStream) -> Iterator[Samples]:
        """Samples [channels, n], end to end from the first picture on, `_total` at most."""
        position = 0
        for at, samples in self._resampled(source):
            if at >= self._total:
                return
            if abs(at - position) > _TOLERATED_GAP or (position == 0 and at < 0):
                if at < position:
                    samples = samples[:, position - at :]
                while position < at:
                    hole = self._silence[:, : at - position]
                    yield hole
                    position += hole.shape[1]
            samples = samples[:, : self._total - position]
            if samples.shape[1]:
                yield samples
                position += samples.shape[1]
            if position >= self._total:
                return

    def _resampled(self, source: AudioStream) -> Iterator[tuple[int, Samples]]:
        """(sample number after the first picture, samples) of what could be decoded, in file order."""
        resampler: AudioResampler | None = None
        form: tuple[str, str, int] | None = None
        for decoded in chain(self._decoded(source), [None]):
            if decoded is not None and form != (
                form := (decoded.format.name, decoded.layout.name, decoded.sample_rate)
            ):
                resampler = AudioResampler(format="fltp", layout=self._layout, rate=RATE)
            for frame in resampler.resample(decoded) if resampler else ():
                if frame.pts is not None and frame.time_base is not None:
                    samples = np.asarray(frame.to_ndarray(), dtype=np.float32)
                    yield round((frame.pts * frame.time_base - self._start) * RATE), samples

    def _decoded(self, source: AudioStream) -> Iterator[AudioFrame]:
        packets = self._container.demux(source)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                self._note(error)
                return
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                self._note(error)
                continue
            yield from frames

    def _note(self, error: av.FFmpegError) -> None:
        if isinstance(error, MemoryError):  # not the file's fault: whoever set the limit hears of it
            raise error
        self.damage = self.damage or str(error.strerror)
