"""Whatever a file does, it ends with its named finding or as a usable clip, and this process lives on."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest

from annotations.corpora.media.examine import Examined, examine
from annotations.corpora.media.findings import Code, Severity
from annotations.corpora.media.isolate import Isolated
from annotations.corpora.media.probe import Probe
from annotations.corpora.media.render import PROXY, STORYBOARD, THUMBNAIL
from tests.shared_data import SHARED, shared
from tests.unit.annotations.corpora.media.clips import constant_clip
from tests.unit.annotations.corpora.media.hostile import FILES, Hostile


@pytest.fixture(scope="module")
def child() -> Iterator[Isolated]:
    with Isolated(timeout_s=60, memory_bytes=1536 * 1024**2) as isolated:
        yield isolated


def codes(seen: Examined) -> set[Code]:
    return {finding.code for finding in seen.findings}


def assert_usable(seen: Examined, folder: Path) -> None:
    assert seen.made is not None
    assert seen.clip.usable
    made = {THUMBNAIL, STORYBOARD} | ({PROXY} if seen.made.proxy else set())
    assert {path.name for path in folder.iterdir()} == made


@pytest.mark.parametrize("hostile", FILES, ids=lambda hostile: hostile.name)
def test_a_hostile_file_ends_as_it_must(child: Isolated, tmp_path: Path, hostile: Hostile) -> None:
    path = tmp_path / hostile.name
    hostile.make(path)
    seen = examine(child, path, tmp_path / "out")
    assert hostile.codes <= codes(seen)
    if hostile.usable:
        assert_usable(seen, tmp_path / "out")
        assert not any(finding.severity is Severity.ERROR for finding in seen.findings)
    else:
        assert seen.made is None
        assert any(finding.severity is Severity.ERROR for finding in seen.findings)
        assert not list((tmp_path / "out").glob("*"))


def spin(*_: Any) -> NoReturn:
    """A decoder that goes round in circles and hears no signal but the last."""
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    while True:
        pass


def segfault(*_: Any) -> NoReturn:
    ctypes.string_at(0)
    raise AssertionError("unreachable")


def vanish(*_: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def swallow(*_: Any) -> NoReturn:
    hoard = []
    while True:
        hoard.append(bytearray(64 * 1024**2))


class Wrecked(Isolated):
    """Whose `stage` ("survey" or "render") runs `wreck` in place of the decoder."""

    stage: str
    wreck: Any

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        return super().call(self.wreck if function.__name__ == self.stage else function, *args, **kwargs)


@pytest.mark.parametrize("stage", ["survey", "render"])
@pytest.mark.parametrize(
    ("wreck", "code"),
    [
        (spin, Code.DECODE_TIMEOUT),
        (segfault, Code.DECODER_CRASHED),
        (vanish, Code.DECODER_CRASHED),
        (swallow, Code.DECODER_CRASHED),
    ],
)
def test_a_decoder_that_goes_wrong_is_a_finding_and_leaves_no_process(
    tmp_path: Path, stage: str, wreck: Any, code: Code
) -> None:
    path = constant_clip(tmp_path / "a.mp4", 12)
    resource_tracker.ensure_running()  # a process of Python's own that stays
    before = set(psutil.Process().children(recursive=True))
    with Wrecked(timeout_s=60, memory_bytes=1024**3) as wrecked:
        wrecked.stage, wrecked.wreck = stage, wreck
        if code == Code.DECODE_TIMEOUT:
            wrecked.timeout_s = 2
        seen = examine(wrecked, path, tmp_path / "out")
        assert (codes(seen), seen.made) == ({code}, None)
        assert seen.clip.size_bytes == path.stat().st_size
        wrecked.stage, wrecked.timeout_s = "", 60
        assert_usable(examine(wrecked, path, tmp_path / "again"), tmp_path / "again")
    assert set(psutil.Process().children(recursive=True)) <= before


def test_a_file_that_never_answers_is_a_timeout(tmp_path: Path) -> None:
    path = tmp_path / "pipe.mp4"
    with Isolated(timeout_s=2) as isolated:
        isolated.call(len, "start the child")
        isolated.timeout_s = 0.3
        os.mkfifo(path)
        seen = examine(isolated, path, tmp_path / "out")
    assert codes(seen) == {Code.DECODE_TIMEOUT}


PARENT = """
import os, sys
from annotations.corpora.media.isolate import Isolated
from tests.unit.annotations.corpora.media.test_hostile import doze
if __name__ == "__main__":
    with Isolated(timeout_s=100) as isolated:
        print(isolated.call(os.getpid), flush=True)
        if sys.argv[1] == "busy":
            isolated.call(doze)
        sys.stdin.read()
"""


def doze() -> None:
    time.sleep(100)


@pytest.mark.parametrize("state", ["busy", "idle"])
def test_a_child_does_not_outlive_a_killed_parent(tmp_path: Path, state: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    root = str(Path(__file__).resolve().parents[5])
    parent = subprocess.Popen(
        [sys.executable, str(script), state], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    with parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    psutil.wait_procs([orphan], timeout=30)
    assert not orphan.is_running()


def test_there_are_twenty_and_more() -> None:
    assert len({hostile.name for hostile in FILES}) == len(FILES) > 20


def real_clips() -> list[dict[str, Any]]:
    manifest = SHARED / "data" / "clips" / "manifest.json"
    items: list[dict[str, Any]] = json.loads(manifest.read_text())["items"] if manifest.exists() else []
    return items or [{"file": "manifest.json"}]


@pytest.mark.parametrize("item", real_clips(), ids=lambda item: str(item["file"]))
def test_a_real_clip_is_what_its_manifest_says(child: Isolated, tmp_path: Path, item: dict[str, Any]) -> None:
    path = shared("data", "clips", item["file"])
    seen = examine(child, path, tmp_path / "out")
    assert_usable(seen, tmp_path / "out")
    clip: Probe = seen.clip
    assert clip.time_map is not None
    assert clip.frame_count == item["decoded_frames"]
    assert (clip.width, clip.height, clip.pix_fmt) == (item["width"], item["height"], item["pix_fmt"])
    assert clip.has_audio == bool(item["audio_streams"])
    assert clip.start_us == pytest.approx(item["first_pts_s"] * 1e6, abs=100)
    # The manifest takes the last picture's time as decoded, and the container's word for the duration.
    frame_us = item["max_dt"] * 1e6 + 100
    last = clip.start_us + clip.time_map.time_of(clip.frame_count - 1)
    assert last == pytest.approx(item["last_pts_s"] * 1e6, abs=frame_us)
    assert clip.duration_us == pytest.approx(item["duration_s"] * 1e6, abs=frame_us)
