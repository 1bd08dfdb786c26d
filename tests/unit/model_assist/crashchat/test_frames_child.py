"""The reading child: killed when it hangs, replaced when it dies, its memory given back."""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from model_assist.crashchat import frames_child
from model_assist.crashchat.errors import FrameTimeoutError, ReaderCrashedError, UndecodableError
from model_assist.crashchat.frames import FrameReader, read_frames
from tests.unit.model_assist.crashchat.clips import die, hang, steady_clip


@pytest.fixture(scope="module")
def frame_reader() -> Iterator[FrameReader]:
    with FrameReader(timeout_s=20) as reader:
        yield reader


def test_the_child_reads_and_passes_errors_on(frame_reader: FrameReader, tmp_path: Path) -> None:
    clip = steady_clip(tmp_path / "a.mp4")
    assert np.array_equal(frame_reader.read(clip).pixels, read_frames(clip).pixels)
    (tmp_path / "bad.mp4").write_bytes(b"bad")
    with pytest.raises(UndecodableError, match=r"bad\.mp4"):
        frame_reader.read(tmp_path / "bad.mp4")
    with pytest.raises(FileNotFoundError):
        frame_reader.read(tmp_path / "gone.mp4")


def test_clips_begun_together_are_read_in_order(frame_reader: FrameReader, tmp_path: Path) -> None:
    clips = [steady_clip(tmp_path / f"{n}.mp4", frames=n) for n in (10, 20, 30)]
    pending = [frame_reader.begin(c, max_tokens=160, decode="fast") for c in clips]
    bad = frame_reader.begin(tmp_path / "gone.mp4")
    assert [p.result().duration_us for p in pending] == [400_000, 800_000, 1_200_000]
    assert pending[0].result().decode == "fast"
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        bad.result()


def test_a_hanging_read_is_killed_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = steady_clip(tmp_path / "a.mp4")
    with FrameReader(timeout_s=20) as reader:
        reader.read(clip)
        with monkeypatch.context() as patch:
            patch.setattr("model_assist.crashchat.frames_child.read_shared", hang)
            reader.timeout_s = 0.3
            began = time.monotonic()
            with pytest.raises(FrameTimeoutError, match=r"a\.mp4: no frames after 0.3 s"):
                reader.read(clip)
            assert time.monotonic() - began < 5
        reader.timeout_s = 20
        assert len(reader.read(clip).pixels) == 20


PARENT = """
import sys
from model_assist.crashchat import frames_child
from tests.unit.model_assist.crashchat.clips import hang_and_say

frames_child.read_shared = hang_and_say
if __name__ == "__main__":
    frames_child.FrameReader(timeout_s=600).begin(sys.argv[1]).result()
"""


def test_a_child_stuck_in_a_read_ends_with_its_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    said = tmp_path / "said"
    root = Path(__file__).parents[4]
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), str(said)],
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as parent:
        try:
            assert within(60, lambda: said.exists() and said.read_text().endswith("\n"))
        finally:
            parent.kill()
    assert parent.returncode == -signal.SIGKILL
    child = int(said.read_text())
    try:
        assert within(30, lambda: not runs(child))
    finally:
        if runs(child):
            os.kill(child, signal.SIGKILL)


def within(seconds: float, happens: Callable[[], bool]) -> bool:
    last = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > last:
            return False
        time.sleep(0.05)
    return True


def runs(process: int) -> bool:
    """Whether a process does anything yet; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_broken_pool_is_replaced_once_however_many_find_it_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[object] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    clip = steady_clip(tmp_path / "a.mp4")
    with FrameReader(timeout_s=20) as reader:
        broken = reader._pool
        started: list[object] = []
        start = reader._start
        monkeypatch.setattr(reader, "_start", lambda: started.append(1) or start())
        together = threading.Barrier(4)

        def renew() -> None:
            together.wait(20)
            reader.renew(broken)

        threads = [threading.Thread(target=renew) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(started) == 1
        assert reader._pool is not broken
        assert len(reader.read(clip).pixels) == 20
        assert registered == [reader.close]
    reader.renew(reader._pool)
    assert len(started) == 1
    with pytest.raises(ReaderCrashedError, match=r"a\.mp4"):
        reader.read(clip)


def test_a_dying_child_is_an_error_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = steady_clip(tmp_path / "a.mp4")
    with FrameReader(timeout_s=20) as reader:
        with monkeypatch.context() as patch:
            patch.setattr("model_assist.crashchat.frames_child.read_shared", die)
            with pytest.raises(ReaderCrashedError, match=r"a\.mp4"):
                reader.read(clip)
        assert len(reader.read(clip).pixels) == 20


def test_pixels_outlive_their_reading_and_their_reader(tmp_path: Path) -> None:
    clip = steady_clip(tmp_path / "a.mp4")
    before = set(os.listdir("/proc/self/fd"))
    with FrameReader(timeout_s=20) as reader:
        pending = reader.begin(clip)
        frames = pending.result()
        assert pending.result() is frames
        again = reader.read(clip)
    del pending
    assert np.array_equal(frames.pixels, read_frames(clip).pixels)
    assert not np.shares_memory(frames.pixels, again.pixels)
    frames.pixels[0] = 0  # the caller's own, as any array
    assert again.pixels[0].any()
    left = {
        os.readlink(f"/proc/self/fd/{fd}") for fd in set(os.listdir("/proc/self/fd")) - before if _is_open(fd)
    }
    assert sum("memfd" in name for name in left) <= 2  # the two mappings, nothing of the readings themselves
    del frames, again
    left = {
        os.readlink(f"/proc/self/fd/{fd}") for fd in set(os.listdir("/proc/self/fd")) - before if _is_open(fd)
    }
    assert not any("memfd" in name for name in left)


def _is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def test_frames_come_back_without_shared_memory_too(
    frame_reader: FrameReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = steady_clip(tmp_path / "a.mp4")
    monkeypatch.setattr(frames_child._Memory, "__init__", _without_memory)
    assert np.array_equal(frame_reader.read(clip).pixels, read_frames(clip).pixels)
    gone, shape = frames_child.read_shared(str(clip), "/proc/0/fd/0", max_tokens=160)
    assert shape is None
    assert np.array_equal(gone.pixels, read_frames(clip, max_tokens=160).pixels)


def _without_memory(self: frames_child._Memory, name: str) -> None:
    self._file = self.address = None


def test_two_children_read_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips = [steady_clip(tmp_path / f"{n}.mp4", frames=n) for n in (10, 20, 30, 40)]
    with FrameReader(timeout_s=20, workers=2) as reader:
        reader.read(clips[0])
        with monkeypatch.context() as patch:
            patch.setattr(frames_child, "read_shared", hang)
            reader.timeout_s = 60
            stuck = reader.begin(clips[0])
        pending = [reader.begin(clip) for clip in clips]
        assert [p.result().duration_us for p in pending] == [400_000, 800_000, 1_200_000, 1_600_000]
        stuck.cancel()
        with pytest.raises(ReaderCrashedError, match="given up"):
            stuck.result()
        assert reader.read(clips[0]).duration_us == 400_000
    with pytest.raises(ValueError, match="workers"):
        FrameReader(workers=0)


def test_memory_stays_level_over_many_clips(tmp_path: Path) -> None:
    clips = [steady_clip(tmp_path / f"{n}.mp4", frames=20 + n) for n in range(4)]
    (tmp_path / "bad.mp4").write_bytes(b"bad")
    others = children()
    with FrameReader(timeout_s=20) as reader:
        reader.read(clips[0])
        (child,) = children() - others
        sizes = []
        for number in range(48):
            frames = reader.read(clips[number % 4], max_tokens=2000, decode=("exact", "fast")[number % 2])  # type: ignore[arg-type]
            with pytest.raises(UndecodableError):
                reader.read(tmp_path / "bad.mp4")
            if number % 8 == 7:
                sizes.append(resident_kib(child))
        grown = sizes[-1] - sizes[1]
        one_clip = frames.pixels.nbytes // 1024
    assert grown < 4 * one_clip, sizes  # 32 readings later: an eighth of a clip kept by each would show


def children() -> set[str]:
    lists = (task.read_text().split() for task in Path("/proc/self/task").glob("*/children"))
    return {pid for pids in lists for pid in pids}


def resident_kib(child: str) -> int:
    status = Path(f"/proc/{child}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])
