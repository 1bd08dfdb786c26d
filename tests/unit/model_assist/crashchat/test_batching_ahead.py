"""Clips are read ahead: lazily, in order, each with its own outcome."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from model_assist.crashchat.answers import ClipRequest
from model_assist.crashchat.batching_ahead import Read, ReadAhead, ReadClip
from model_assist.crashchat.batching_memory import OutOfMemoryError
from model_assist.crashchat.errors import CrashChatError, FrameReadError, ReaderCrashedError, UndecodableError
from model_assist.crashchat.features import ClipFeatures
from model_assist.crashchat.frames import Frames
from model_assist.crashchat.settings import EngineSettings
from tests.unit.model_assist.crashchat.naive import PictureReader, picture_frames

FRAMES = picture_frames(2, seed=1)


def ahead(requests: Iterator[ClipRequest], reader: Any, *, size: int = 2, store: Any = None) -> ReadAhead:
    chosen = EngineSettings(max_tokens=320, clips_per_batch=size)
    return ReadAhead(requests, reader=reader, settings=chosen, dtype=torch.float32, store=store)


def counted(names: list[str], taken: list[str], key: bool = False) -> Iterator[ClipRequest]:
    for name in names:
        taken.append(name)
        yield ClipRequest(name, features_key=f"key of {name}" if key else None)


class Shelf:
    """A feature store in memory that may be told to fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.held: dict[str, ClipFeatures] = {}
        self.error = error
        self.threads: set[str] = set()

    def get(self, key: str) -> ClipFeatures | None:
        if self.error:
            raise self.error
        return self.held.get(key)

    def put(self, key: str, value: ClipFeatures) -> None:
        self.threads.add(threading.current_thread().name)
        if self.error:
            raise self.error
        self.held[key] = value


def test_batches_come_in_order_and_requests_are_taken_lazily() -> None:
    names = [f"clip {i}" for i in range(7)]
    taken: list[str] = []
    reader = PictureReader(dict.fromkeys(names, FRAMES))
    found: list[list[int]] = []
    with ahead(counted(names, taken), reader) as reading:
        for batch in reading.batches():
            assert len(taken) <= 2 * 2 + sum(map(len, found))
            found.append([read.position for read in batch])
            assert all(isinstance(read.clip, ReadClip) for read in batch)
    assert found == [[0, 1], [2, 3], [4, 5], [6]]
    assert reader.begun == names


def test_the_next_batch_is_begun_before_this_one_is_worked_on() -> None:
    names = [f"clip {i}" for i in range(6)]
    reader = PictureReader(dict.fromkeys(names, FRAMES))
    with ahead(counted(names, []), reader) as reading:
        batches = reading.batches()
        next(batches)
        assert reader.begun == names[:4]
        next(batches)
        assert reader.begun == names


def outcomes(reader: Any, names: list[str], **options: Any) -> dict[str, ReadClip | CrashChatError]:
    found: dict[str, ReadClip | CrashChatError] = {}
    with ahead(counted(names, []), reader, **options) as reading:
        for batch in reading.batches():
            found |= {str(read.request.path): read.clip for read in batch}
    return found


def test_every_clip_has_its_own_outcome() -> None:
    reader = PictureReader(
        {
            "good": FRAMES,
            "broken": UndecodableError("broken: not a video"),
            "gone": FileNotFoundError("no such clip: gone"),
            "odd": ZeroDivisionError("of all things"),
            "large": MemoryError("cannot hold it"),
            "last": FRAMES,
        }
    )
    found = outcomes(reader, list(reader.frames))
    assert [name for name, clip in found.items() if isinstance(clip, ReadClip)] == ["good", "last"]
    assert isinstance(found["broken"], UndecodableError)
    assert isinstance(found["gone"], FrameReadError)
    assert "no such clip" in str(found["gone"])
    odd = found["odd"]
    assert isinstance(odd, FrameReadError)
    assert "ZeroDivisionError: of all things" in str(odd)
    assert isinstance(odd.__cause__, ZeroDivisionError)
    assert isinstance(found["large"], OutOfMemoryError)


class FailingReader(PictureReader):
    """Cannot begin its third and fifth reading."""

    def begin(self, path: str | Path, **options: Any) -> Any:
        begun = super().begin(path, **options)
        if len(self.begun) == 3:
            raise ReaderCrashedError(f"{path}: the reading process cannot start")
        if len(self.begun) == 5:
            raise OSError(24, "Too many open files")
        return begun


def test_a_reading_that_cannot_begin_is_that_clips_outcome() -> None:
    names = list("abcdef")
    found = outcomes(FailingReader(dict.fromkeys(names, FRAMES)), names)
    assert list(found) == names
    assert [name for name, clip in found.items() if isinstance(clip, ReadClip)] == ["a", "b", "d", "f"]
    assert isinstance(found["c"], ReaderCrashedError)
    assert isinstance(found["e"], FrameReadError)
    assert "e: " in str(found["e"])
    assert "Too many open files" in str(found["e"])


def test_inputs_and_the_record_of_the_frames() -> None:
    clip = outcomes(PictureReader({"a": FRAMES}), ["a"])["a"]
    assert isinstance(clip, ReadClip)
    assert clip.inputs is not None
    assert (clip.used.count, clip.used.width, clip.used.height) == (2, 168, 84)
    assert clip.used.visual_tokens == int(clip.inputs.keep.sum())
    assert clip.duration_us == 200_000
    assert clip.timings.keys() == {"frames", "preprocess"}


def test_stored_features_spare_the_reading() -> None:
    shelf = Shelf()
    reader = PictureReader({"a": FRAMES, "b": FRAMES})
    clip = outcomes(reader, ["a"])["a"]
    assert isinstance(clip, ReadClip)
    shelf.held["key of a"] = ClipFeatures(torch.zeros(3, 4), [2, 1], clip.used, clip.duration_us)
    reader.begun.clear()
    with ahead(counted(["a", "b"], [], key=True), reader, store=shelf) as reading:
        [batch] = reading.batches()
    first, second = (read.clip for read in batch)
    assert isinstance(first, ReadClip)
    assert first.stored is shelf.held["key of a"]
    assert isinstance(second, ReadClip)
    assert second.stored is None
    assert reader.begun == ["b"]


def test_features_are_stored_beside_the_work_and_before_the_end() -> None:
    shelf = Shelf()
    value = ClipFeatures(torch.zeros(1, 1), [1], None, 1)  # type: ignore[arg-type]
    with ahead(iter(()), PictureReader({}), store=shelf) as reading:
        for number in range(20):
            reading.keep(f"{number}", value)
        reading.keep(None, value)
    assert sorted(shelf.held, key=int) == [str(i) for i in range(20)]
    assert all(name.startswith("feature-store") for name in shelf.threads)


def test_a_store_that_fails_costs_nothing_but_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(OSError("disk full"))
    reader = PictureReader({"a": FRAMES})
    with ahead(counted(["a"], [], key=True), reader, store=shelf) as reading:
        [[read]] = reading.batches()
        assert isinstance(read, Read)
        assert isinstance(read.clip, ReadClip)
        reading.keep("a", ClipFeatures(torch.zeros(1, 1), [1], read.clip.used, 1))
    assert "could not be read" in caplog.text
    assert "could not be stored" in caplog.text


def test_a_mistake_in_a_store_is_not_hidden() -> None:
    def put_wrongly() -> None:
        with ahead(iter(()), PictureReader({}), store=Shelf(TypeError("a mistake"))) as reading:
            reading.keep("a", ClipFeatures(torch.zeros(1, 1), [1], None, 1))  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="a mistake"):
        put_wrongly()


class Waiting:
    """A clip whose frames never come until it is cancelled."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def result(self) -> Frames:
        assert self.cancelled.wait(20)
        raise UndecodableError("given up")

    def cancel(self) -> None:
        self.cancelled.set()


class WaitingReader:
    def __init__(self) -> None:
        self.begun: list[Waiting] = []

    def begin(self, path: str | Path, **options: Any) -> Waiting:
        self.begun.append(Waiting())
        return self.begun[-1]


def test_stopping_early_cancels_what_is_being_read() -> None:
    reader = WaitingReader()
    reading = ahead(counted(["a", "b", "c", "d", "e"], []), reader)
    reading._fill()
    reading.close()
    assert len(reader.begun) == 4
    assert all(clip.cancelled.is_set() for clip in reader.begun)


class SlowShelf(Shelf):
    """Looks for features until the reader behind it is being closed."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go_on = threading.Event(), threading.Event()

    def get(self, key: str) -> ClipFeatures | None:
        self.asked.set()
        assert self.go_on.wait(20)
        return None


def test_stopping_never_waits_for_a_reading_that_begins_meanwhile() -> None:
    """A clip still looked up in the store when the end comes must not start a reading that nobody cancels."""
    reader, shelf = WaitingReader(), SlowShelf()
    reading = ahead(counted(["a"], [], key=True), reader, size=1, store=shelf)
    reading._fill()
    assert shelf.asked.wait(20)
    [(_, _, clip)] = reading._pending
    closing = threading.Thread(target=reading.close)
    closing.start()
    while not reading._closed:
        closing.join(0.01)
    shelf.go_on.set()
    closing.join(20)
    assert not closing.is_alive()
    assert reader.begun == []
    with pytest.raises(FrameReadError, match="a: given up before it was read"):
        clip.result()
