import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from annotations.corpora.duplicates.fingerprint import BITS, ClipPrint, fingerprint, make_fingerprint, pack
from annotations.corpora.duplicates.matching import MIN_MOTION, align, distances
from annotations.corpora.duplicates.sampling import (
    MAX_PICTURES,
    SIDE,
    STEP_US,
    sample,
    step_for,
    without_bars,
)
from annotations.corpora.duplicates.search import key_hashes
from annotations.corpora.media.findings import Code, MediaError
from annotations.corpora.media.probe import probe
from annotations.corpora.media.timemap import TimeMap
from tests.shared_data import ROOT, shared
from tests.unit.annotations.corpora.duplicates import copies


def print_of(path: Path) -> ClipPrint:
    clip = probe(path)
    assert clip.time_map is not None
    return ClipPrint.decode(make_fingerprint(path, clip.time_map))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> ClipPrint:
    return print_of(copies.write(tmp_path_factory.mktemp("clips") / "original.mp4", copies.scene(1)))


@pytest.mark.parametrize(
    ("how", "shift_us"),
    [
        ({"crf": 38}, 0),
        ({"change": copies.half_size}, 0),
        ({"change": copies.letterboxed}, 0),
        ({"change": copies.on_white}, 0),
        ({"change": copies.brighter}, 0),
        ({"change": copies.marked}, 0),
        ({"fps": 8}, 0),
        ({"start_s": 1.5}, 1_500_000),
        ({"end_s": 2.4}, 0),
        ({"start_s": 1.0, "end_s": 3.5, "change": copies.half_size, "crf": 30}, 1_000_000),
    ],
    ids=["recompressed", "half size", "letterbox", "white frame", "brighter", "logo", "8 fps", "start cut",
         "end cut", "cut and scaled"],
)  # fmt: skip
def test_a_copy_is_recognised_where_it_lies(
    tmp_path: Path, original: ClipPrint, how: dict[str, Any], shift_us: int
) -> None:
    found = align(original, print_of(copies.write(tmp_path / "copy.mp4", copies.scene(1), **how)))
    assert found is not None
    assert found.same_footage
    assert found.shift_us == shift_us


@pytest.mark.parametrize(
    "other", [copies.scene(2), copies.scene(2, camera=1)], ids=["another scene", "the same camera later"]
)
def test_other_footage_is_not_taken_for_a_copy(
    tmp_path: Path, original: ClipPrint, other: Callable[[float], copies.Picture]
) -> None:
    found = align(original, print_of(copies.write(tmp_path / "other.mp4", other)))
    assert found is None or not found.same_footage


def test_one_camera_is_told_apart_by_what_moves_not_by_its_hashes(
    tmp_path: Path, original: ClipPrint
) -> None:
    later = print_of(copies.write(tmp_path / "later.mp4", copies.scene(2, camera=1)))
    found = align(original, later)
    assert found is not None
    assert found.motion is not None
    assert found.motion < MIN_MOTION


def test_pictures_are_taken_at_their_times(tmp_path: Path) -> None:
    path = copies.write(tmp_path / "clip.mp4", copies.scene(1), fps=10, end_s=2.0)
    step, pictures = sample(path, TimeMap.constant(20, Fraction(10)))
    assert (step, pictures.shape) == (STEP_US, (8, SIDE, SIDE))
    stretched = TimeMap.constant(20, Fraction(5))  # the same frames shown for twice as long
    assert np.array_equal(sample(path, stretched)[1][::2], pictures)


def test_a_file_that_is_not_what_its_time_map_says_is_named(tmp_path: Path) -> None:
    path = copies.write(tmp_path / "clip.mp4", copies.scene(1), fps=10, end_s=1.0)
    with pytest.raises(MediaError) as refused:
        sample(path, TimeMap.constant(11, Fraction(10)))
    assert refused.value.finding.code == Code.CORRUPT


@given(st.integers(1, 24 * 3600 * 1_000_000))
def test_no_clip_has_more_pictures_than_it_may(duration_us: int) -> None:
    step = step_for(duration_us)
    assert -(-duration_us // step) <= MAX_PICTURES
    assert step == STEP_US or -(-duration_us // (step // 2)) > MAX_PICTURES


def test_bars_are_cut_and_plain_skies_are_not() -> None:
    rng = np.random.default_rng(0)
    inside = rng.integers(60, 200, (5, 160, 200), dtype=np.uint8)
    framed = np.pad(inside, ((0, 0), (48, 48), (28, 28)))
    assert without_bars(framed).shape == (5, 158, 198)
    sky = framed.copy()
    sky[:, -60:] = rng.integers(60, 200, (5, 60, 256))
    assert without_bars(sky).shape[1] == 256
    assert without_bars(np.zeros((3, 256, 256), np.uint8)).shape == (3, 256, 256)


def test_bars_inside_a_frame_are_cut_too() -> None:
    inside = np.random.default_rng(0).integers(60, 200, (4, 100, 256), dtype=np.uint8)
    black = np.pad(inside, ((0, 0), (30, 30), (0, 0)))
    white = np.pad(black, ((0, 0), (48, 48), (0, 0)), constant_values=255)
    cut = without_bars(white)
    assert cut.shape == (4, 98, 256)
    assert np.array_equal(cut, inside[:, 1:-1])


@cache
def _prints() -> st.SearchStrategy[ClipPrint]:
    def build(count: int) -> st.SearchStrategy[ClipPrint]:
        return st.builds(
            ClipPrint,
            st.sampled_from([250_000, 500_000]),
            npst.arrays(np.uint64, (count, 4)),
            npst.arrays(np.uint8, (count, 16, 16)),
            npst.arrays(np.bool_, (count,)),
        )

    return st.integers(1, 12).flatmap(build)


@given(_prints())
def test_a_fingerprint_survives_its_bytes(one: ClipPrint) -> None:
    again = ClipPrint.decode(one.encode())
    assert again.step_us == one.step_us
    for name in ("hashes", "greys", "telling"):
        assert np.array_equal(getattr(again, name), getattr(one, name))


@given(_prints(), st.integers(0, 10_000), st.integers(1, 255))
def test_damaged_bytes_are_refused_or_read_as_a_fingerprint(one: ClipPrint, place: int, change: int) -> None:
    data = bytearray(one.encode())
    data[place % len(data)] ^= change
    with suppress(ValueError):  # anything else that is raised fails the test
        again = ClipPrint.decode(bytes(data))
        assert len(again.hashes) == len(again.greys) == len(again.telling) > 0


@pytest.mark.parametrize("data", [b"", b"CDF1", b"CDF1" + bytes(12), b"x" * 40])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a fingerprint"):
        ClipPrint.decode(data)


@given(_prints(), _prints())
def test_aligning_keeps_its_bounds_either_way(one: ClipPrint, other: ClipPrint) -> None:
    there, back = align(one, other), align(other, one)
    assert (there is None) == (back is None)
    for found in (there, back):
        if found is not None:
            assert 0 <= found.distance <= 1
            assert found.motion is None or -1.001 <= found.motion <= 1.001
            assert 0 < found.overlap_us <= min(len(one) * one.step_us, len(other) * other.step_us) + 500_000
            assert 0 <= found.strength <= 1.001


@given(_prints())
def test_a_clip_is_aligned_with_itself(one: ClipPrint) -> None:
    one = replace(one, telling=np.ones(len(one), np.bool_))
    found = align(one, one)
    assert found is not None
    assert found.distance == 0
    assert found.motion is None or found.motion == pytest.approx(1)


@given(npst.arrays(np.bool_, (3, BITS)), npst.arrays(np.bool_, (2, BITS)))
def test_distances_count_differing_bits(one: Any, other: Any) -> None:
    counted = (one[:, None, :] != other[None, :, :]).sum(axis=2)
    assert np.array_equal(distances(pack(one), pack(other)), counted)


def test_a_long_clip_sampled_more_coarsely_is_compared_with_a_piece_of_it() -> None:
    rng = np.random.default_rng(3)
    hashes, greys = (
        rng.integers(0, 2**63, (80, 4), dtype=np.uint64),
        rng.integers(0, 255, (80, 16, 16), np.uint8),
    )
    film = ClipPrint(500_000, hashes[::2], greys[::2], np.ones(40, np.bool_))
    piece = ClipPrint(250_000, hashes[20:60], greys[20:60], np.ones(40, np.bool_))
    found = align(film, piece)
    assert found is not None
    assert found.same_footage
    assert (found.shift_us, found.overlap_us, found.distance) == (5_000_000, 10_000_000, 0)


def test_plain_pictures_tell_nothing() -> None:
    plain = fingerprint(STEP_US, np.full((8, 64, 64), 30, np.uint8))
    assert not plain.telling.any()
    assert len(key_hashes(plain)) == 0
    assert align(plain, plain) is None


@pytest.mark.slow
def test_the_same_real_footage_is_recognised_with_boxes_drawn_in() -> None:
    clean, boxes = (print_of(shared("data", "clips", f"cadp_1407_{name}.mp4")) for name in ("clean", "boxes"))
    found = align(clean, boxes)
    assert found is not None
    assert found.same_footage
    assert found.shift_us == 0


def test_the_decoding_child_needs_no_django() -> None:
    plain = ("sampling", "fingerprint", "matching", "search", "clustering")
    names = ", ".join(f"annotations.corpora.duplicates.{name}" for name in plain)
    script = f"import sys, {names}; assert 'django' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
