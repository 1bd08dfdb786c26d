"""Every kind of file: the frames shown are those the published rule picks, whichever way they are read."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from model_assist.crashchat import frames_pyav
from model_assist.crashchat.errors import FrameReadError, UndecodableError
from model_assist.crashchat.frames import Frames, index_frames, read_frames
from model_assist.crashchat.sizing import target_size
from tests.unit.model_assist.crashchat.clip_kinds import KINDS, Maker
from tests.unit.model_assist.crashchat.clips import number_of

UNTURNED = {"rotated by 90": -1, "rotated by 180": 2, "rotated by -90": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Make each kind once."""
    clips: dict[str, tuple[Path, dict[int, Fraction]]] = {}

    def make(kind: str) -> tuple[Path, dict[int, Fraction]]:
        if kind not in clips:
            clips[kind] = KINDS[kind].write(tmp_path_factory.mktemp("kind"))
        return clips[kind]

    return make


def rule(times: dict[int, Fraction], duration: Fraction) -> list[int]:
    """The published rule, one tick after the other, on when each frame number is shown."""
    numbers = []
    for k in range(max(1, int(duration * 10 + Fraction(1, 10**6)))):
        end = Fraction(k + 1, 10) - Fraction(1, 10**4)
        before = [number for number, at in times.items() if at < end]
        numbers.append(max(before) if before else min(times))
    return numbers


def numbers_shown(frames: Frames, kind: str) -> list[int]:
    return [number_of(np.rot90(p, UNTURNED.get(kind, 0))) for p in frames.pixels]


def decoded_in_order(path: Path) -> list[np.ndarray]:
    """All frames of a clip at full size, upright, as the plainest program reads them."""
    with av.open(str(path)) as container:
        return [np.rot90(f.to_ndarray(format="rgb24"), f.rotation // 90) for f in container.decode(video=0)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_right_frames_are_shown(made: Maker, kind: str) -> None:
    path, times = made(kind)
    frames = read_frames(path, reader="pyav")
    assert numbers_shown(frames, kind) == rule(times, Fraction(frames.duration_us, 10**6))
    first = min(times)
    if not kind.startswith("AVI"):  # see FrameIndex.counted
        assert frames.source_pts_us == [round(times[first + i] * 10**6) for i in frames.source_indices]
    assert [first + i for i in frames.source_indices] == numbers_shown(frames, kind)
    assert frames.damaged == 0
    assert frames.times_us == [k * 100_000 for k in range(len(frames.pixels))]


@pytest.mark.parametrize("kind", KINDS)
def test_all_ways_of_reading_give_the_same_pixels(
    made: Maker, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = made(kind)
    auto = read_frames(path, max_tokens=300)
    everything = decoded_in_order(path)[-len(index_frames(path).ticks) :]
    size = target_size(auto.height, auto.width, len(auto.pixels), max_tokens=300)
    for pixels, source in zip(auto.pixels, auto.source_indices, strict=True):
        picture = Image.fromarray(np.ascontiguousarray(everything[source]))
        expected = picture.resize(size[::-1], Image.Resampling.BICUBIC)
        assert np.array_equal(pixels, np.asarray(expected))
    monkeypatch.setattr(frames_pyav, "_thrifty", lambda *_: None)
    assert np.array_equal(read_frames(path, max_tokens=300, reader="pyav").pixels, auto.pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_decord_agrees_or_refuses(made: Maker, kind: str) -> None:
    path, _ = made(kind)
    try:
        second = read_frames(path, reader="decord")
    except UndecodableError as error:
        assert "decord is not proven exact here" in str(error)  # noqa: PT017  (either outcome is right)
        assert kind not in {"constant rate", "29.97 per second"}
    else:
        reference = read_frames(path, reader="pyav")
        assert second.source_indices == reference.source_indices
        assert np.array_equal(second.pixels, reference.pixels)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("MPEG-TS", "it is not MP4"),
        ("HEVC open GOP", "it is not H.264"),
        ("edit list", "an edit list hides frames"),
        ("B-frames", "stored out of order"),
        ("variable rate", "not evenly spaced"),
        ("rotated by 90", "rotated"),
    ],
)
def test_decord_is_refused_with_the_reason(made: Maker, kind: str, reason: str) -> None:
    with pytest.raises(UndecodableError, match=reason):
        read_frames(made(kind)[0], reader="decord")


@pytest.mark.parametrize("kind", KINDS)
def test_fast_reading_shows_the_same_frames(made: Maker, kind: str) -> None:
    path, _ = made(kind)
    exact, fast = read_frames(path), read_frames(path, decode="fast")
    assert numbers_shown(fast, kind) == numbers_shown(exact, kind)
    assert (fast.source_indices, fast.times_us) == (exact.source_indices, exact.times_us)
    small = [read_frames(path, max_tokens=300, decode=d).pixels for d in ("exact", "fast")]
    assert np.abs(small[0].astype(int) - small[1]).mean() < 4


@pytest.mark.parametrize("kind", ["B-frames", "Matroska", "HEVC closed GOP", "60 per second"])
def test_packets_that_cannot_matter_are_left_out(made: Maker, kind: str) -> None:
    path, _ = made(kind)
    index = index_frames(path)
    sparse = {index.ticks[i] for i in (0, 2, len(index.ticks) - 20)}
    needed = index.needed(sparse)
    assert needed is not None
    assert sum(needed) < len(index.ticks)
    few = read_frames(path, max_frames=3)
    assert [number_of(p) for p in few.pixels] == few.source_indices


def test_open_groups_prove_no_restart(made: Maker) -> None:
    assert index_frames(made("HEVC open GOP")[0]).restarts == []
    assert index_frames(made("HEVC closed GOP")[0]).restarts == [12, 24, 36, 48]
    assert index_frames(made("B-frames")[0]).restarts == [12, 24, 36, 48]
    assert index_frames(made("MPEG-TS")[0]).order == []


@pytest.mark.parametrize("kind", ["B-frames", "Matroska", "HEVC closed GOP"])
@pytest.mark.parametrize("seed", range(4))
def test_damage_is_treated_as_if_everything_were_decoded(
    made: Maker, kind: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = made(kind)
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for at in rng.integers(len(data) // 3, len(data) * 2 // 3, 6):
        data[at] ^= 0xFF
    broken = tmp_path / path.name
    broken.write_bytes(data)

    def outcome() -> tuple[list[int], bytes] | str:
        try:
            frames = read_frames(broken, max_frames=9)
        except FrameReadError as error:
            return str(error)
        return frames.source_indices, frames.pixels.tobytes()

    thrifty = outcome()
    monkeypatch.setattr(frames_pyav, "_thrifty", lambda *_: None)
    assert thrifty == outcome()
