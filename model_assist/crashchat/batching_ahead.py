"""Reading ahead: the next clips are decoded and preprocessed while the model works on the current ones."""

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import torch

from model_assist.crashchat.answers import ClipRequest, FramesUsed
from model_assist.crashchat.batching_memory import OutOfMemoryError, is_out_of_memory
from model_assist.crashchat.errors import CrashChatError, FrameReadError
from model_assist.crashchat.features import ClipFeatures, FeatureStore
from model_assist.crashchat.frames import Frames
from model_assist.crashchat.preprocess import ClipInputs, preprocess
from model_assist.crashchat.settings import EngineSettings
from model_assist.crashchat.sizing import PATCH

log = logging.getLogger(__name__)


class PendingClip(Protocol):
    """A clip that is being read; `frames.PendingFrames` is one."""

    def result(self) -> Frames: ...

    def cancel(self) -> None: ...


class FrameSource(Protocol):
    """What the engine needs of a frame reader; `frames.FrameReader` is one.  Called from several threads."""

    def begin(
        self,
        path: str | Path,
        *,
        fps: float,
        max_frames: int,
        max_tokens: int | None,
        decode: Literal["exact", "fast"],
    ) -> PendingClip: ...


@dataclass
class ReadClip:
    """A clip ready for the model: its inputs for the vision tower, or features that were stored before.

    timings: seconds of waiting for its frames and of preprocessing, in another thread than the model's.
    """

    used: FramesUsed
    duration_us: int
    inputs: ClipInputs | None = None
    stored: ClipFeatures | None = None
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """A request with what became of its clip."""

    position: int
    request: ClipRequest
    clip: ReadClip | CrashChatError


class ReadAhead:
    """Turns requests into batches of read clips, always one batch ahead.  A context manager.

    Requests are taken lazily: at any time at most two batches have been taken and not yet been given back for
    the next one.  A clip that cannot be read, or whose reading cannot even begin, is that clip's outcome.
    """

    def __init__(
        self,
        requests: Iterable[ClipRequest],
        *,
        reader: FrameSource,
        settings: EngineSettings,
        dtype: torch.dtype,
        pin: bool = False,
        store: FeatureStore | None = None,
    ) -> None:
        self.requests = enumerate(requests)
        self.reader, self.settings, self.dtype, self.pin, self.store = reader, settings, dtype, pin, store
        self._size = settings.clips_per_batch
        self._readers = ThreadPoolExecutor(2 * self._size, thread_name_prefix="read-ahead")
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="feature-store")
        self._kept: deque[Future[None]] = deque()
        self._pending: deque[tuple[int, ClipRequest, Future[ReadClip]]] = deque()
        self._begun: list[PendingClip] = []
        self._closed = False
        self._beginning = threading.Lock()
        self._one_at_a_time = threading.Lock()

    def batches(self) -> Iterator[list[Read]]:
        """Batches of at most `clips_per_batch` clips, in the order of the requests."""
        while True:
            self._fill()
            if not self._pending:
                return
            batch = [self._pending.popleft() for _ in range(min(self._size, len(self._pending)))]
            yield [Read(position, request, _outcome(request, clip)) for position, request, clip in batch]

    def keep(self, key: str | None, value: ClipFeatures) -> None:
        """Put a clip's features into the store, if there is one, without making the model wait."""
        if key is None or self.store is None:
            return
        while len(self._kept) >= 2 * self._size or (self._kept and self._kept[0].done()):
            self._kept.popleft().result()
        self._kept.append(self._keeper.submit(self._put, self.store, key, value))

    def close(self) -> None:
        """Give up what is being read and finish what is being stored."""
        with self._beginning:  # from here on nothing new is begun that nobody would cancel
            self._closed = True
            begun = list(self._begun)
        for reading in begun:
            reading.cancel()
        for _, _, clip in self._pending:
            clip.cancel()
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._keeper.shutdown(wait=True)
        while self._kept:
            self._kept.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fill(self) -> None:
        while len(self._pending) < 2 * self._size:
            taken = next(self.requests, None)
            if taken is None:
                return
            position, request = taken
            looked_up = self.store is not None and request.features_key is not None
            clip: Future[ReadClip]
            try:
                begun = None if looked_up else self._begin(request)
            except (CrashChatError, OSError) as error:
                clip = Future()
                clip.set_exception(error)
            else:
                clip = self._readers.submit(self._read, request, begun)
            self._pending.append((position, request, clip))

    def _begin(self, request: ClipRequest) -> PendingClip:
        limits = self.settings
        with self._beginning:
            if self._closed:
                raise FrameReadError(f"{request.path}: given up before it was read")
            begun = self.reader.begin(
                request.path,
                fps=limits.fps,
                max_frames=limits.max_frames,
                max_tokens=limits.max_tokens,
                decode=limits.decode,
            )
            self._begun.append(begun)
        return begun

    def _read(self, request: ClipRequest, begun: PendingClip | None) -> ReadClip:
        """In a thread: stored features, or frames made into inputs."""
        stored = self._get(request.features_key)
        if stored is not None:
            return ReadClip(stored.frames, stored.duration_us, stored=stored)
        started = time.perf_counter()
        pending = begun or self._begin(request)
        try:
            frames = pending.result()
        finally:
            with self._beginning:
                self._begun.remove(pending)
        decoded = time.perf_counter()
        with self._one_at_a_time:  # it computes: several at once would only take the cores from each other
            entered = time.perf_counter()
            inputs = preprocess(frames, max_tokens=self.settings.max_tokens, mask_dtype=self.dtype)
            pixels = inputs.pixels.to(self.dtype)
            inputs = dataclasses.replace(inputs, pixels=pixels.pin_memory() if self.pin else pixels)
        timings = {"frames": decoded - started, "preprocess": time.perf_counter() - entered}
        return ReadClip(frames_used(frames, inputs), frames.duration_us, inputs=inputs, timings=timings)

    def _get(self, key: str | None) -> ClipFeatures | None:
        if key is None or self.store is None:
            return None
        try:
            return self.store.get(key)
        except OSError:
            log.warning("stored features could not be read; computing them", exc_info=True)
            return None

    def _put(self, store: FeatureStore, key: str, value: ClipFeatures) -> None:
        try:
            store.put(key, value)
        except OSError:
            log.warning("features could not be stored; going on without", exc_info=True)


def _outcome(request: ClipRequest, clip: Future[ReadClip]) -> ReadClip | CrashChatError:
    """What a reading thread made of a clip; whatever went wrong there concerns this clip only."""
    try:
        return clip.result()
    except CrashChatError as error:
        return error
    except OSError as error:
        return _because(FrameReadError(f"{request.path}: {error}"), error)
    except Exception as error:
        if is_out_of_memory(error):
            return OutOfMemoryError(f"{request.path}: not enough memory for the frames ({error})")
        log.exception("%s could not be prepared", request.path)
        return _because(FrameReadError(f"{request.path}: {type(error).__name__}: {error}"), error)


def _because(error: CrashChatError, cause: Exception) -> CrashChatError:
    error.__cause__ = cause
    return error


def frames_used(frames: Frames, inputs: ClipInputs) -> FramesUsed:
    """The record of what the model sees of a clip."""
    _, rows, columns = inputs.grid[0].tolist()
    return FramesUsed(
        fps=frames.fps,
        count=len(frames.times_us),
        times_us=frames.times_us,
        source_indices=frames.source_indices,
        source_pts_us=frames.source_pts_us,
        width=columns * PATCH,
        height=rows * PATCH,
        visual_tokens=int(inputs.keep.sum()),
        reader=frames.reader,
        damaged=frames.damaged,
        decode=frames.decode,
    )
