"""A decoder that hangs or dies takes its child with it, not the caller."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotations.corpora.media.findings import Code, Finding, MediaError, Severity
from annotations.corpora.media.isolate import Isolated
from tests.unit.annotations.corpora.media.clips import constant_clip


def hang() -> None:
    time.sleep(60)


def die() -> None:
    os._exit(7)


def grow() -> int:
    return len(bytearray(8 * 1024**3))


def complain(message: str) -> None:
    raise MediaError(Finding(Code.CORRUPT, Severity.ERROR, message, {"errors": 3}))


def fail() -> None:
    raise ZeroDivisionError("a bug, not a bad file")


@pytest.fixture(scope="module")
def media() -> Iterator[Isolated]:
    with Isolated(timeout_s=30) as isolated:
        yield isolated


def test_a_hang_is_a_timeout_and_the_next_call_works() -> None:
    with Isolated(timeout_s=0.5) as isolated:
        with pytest.raises(MediaError) as caught:
            isolated.call(hang)
        assert caught.value.finding.code is Code.DECODE_TIMEOUT
        assert isolated.call(len, "abc") == 3


def test_a_death_is_a_crash_and_the_next_call_works(media: Isolated) -> None:
    with pytest.raises(MediaError) as caught:
        media.call(die)
    assert caught.value.finding.code is Code.DECODER_CRASHED
    assert caught.value.finding.data["exit_code"] == 7
    assert media.call(len, "abc") == 3


def test_too_much_memory_is_a_crash(media: Isolated) -> None:
    with pytest.raises(MediaError, match="memory") as caught:
        media.call(grow)
    assert caught.value.finding.code is Code.DECODER_CRASHED


def test_findings_and_bugs_come_back_as_they_are(media: Isolated) -> None:
    with pytest.raises(MediaError) as caught:
        media.call(complain, "broken")
    assert caught.value.finding.data == {"errors": 3}
    with pytest.raises(ZeroDivisionError):
        media.call(fail)


def test_the_child_is_kept(media: Isolated) -> None:
    first = media.call(os.getpid)
    assert first != os.getpid()
    assert media.call(os.getpid) == first


def test_probing_in_the_child(media: Isolated, tmp_path: Path) -> None:
    clip = media.probe(constant_clip(tmp_path / "a.mp4", 12))
    assert clip.usable
    assert clip.time_map is not None
    assert len(clip.time_map) == 12


def test_probing_never_raises_for_a_hang(tmp_path: Path) -> None:
    path = tmp_path / "pipe.mp4"
    path.write_bytes(b"x")
    with Isolated(timeout_s=0.3) as isolated:
        isolated.call(len, "start the child")
        os.unlink(path)
        os.mkfifo(path)  # opening it blocks for ever
        clip = isolated.probe(path)
    assert clip.codes == {Code.DECODE_TIMEOUT}
    assert not clip.usable
