import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from annotations.corpora.duplicates import search
from annotations.corpora.duplicates.fingerprint import Hashes
from annotations.corpora.duplicates.matching import MAX_DISTANCE, distances
from annotations.corpora.duplicates.search import candidates

LIMIT = int(MAX_DISTANCE * 256)


@st.composite
def clips(draw: st.DrawFn) -> dict[int, Hashes]:
    """Keys of a few clips, many of them near each other: each a handful of flipped bits off one of two hashes."""
    bases = draw(npst.arrays(np.uint8, (2, 32)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    found = {}
    for identity in draw(st.sets(st.integers(1, 50), max_size=7)):
        count = draw(st.integers(0, 3))
        bits = np.unpackbits(bases[rng.integers(0, 2, count)], axis=1)
        flips = rng.random(bits.shape) < rng.uniform(0, 0.4, (count, 1))
        found[identity] = np.packbits(bits ^ flips, axis=1).reshape(count, 32).view(np.uint64)
    return found


def compared_one_by_one(keys: dict[int, Hashes]) -> list[tuple[int, int]]:
    ids = sorted(identity for identity in keys if len(keys[identity]))
    return [
        (one, other)
        for place, one in enumerate(ids)
        for other in ids[place + 1 :]
        if distances(keys[one], keys[other]).min() <= LIMIT
    ]


@given(clips(), st.randoms(use_true_random=False))
def test_exactly_the_near_pairs_are_found_in_any_order(
    keys: dict[int, Hashes], shuffle: random.Random
) -> None:
    ids = list(keys)
    shuffle.shuffle(ids)
    assert candidates({identity: keys[identity] for identity in ids}) == compared_one_by_one(keys)


@given(clips(), st.sets(st.integers(1, 50), max_size=4))
def test_asking_about_some_gives_their_pairs(keys: dict[int, Hashes], asked: set[int]) -> None:
    assert candidates(keys, asked) == [pair for pair in compared_one_by_one(keys) if asked & set(pair)]


def test_many_clips_of_one_scene_are_compared_with_the_likest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_NEIGHBOURS", 2)
    scene = np.zeros((30, 4), dtype=np.uint64)
    scene[:, 0] = (np.uint64(1) << np.arange(30, dtype=np.uint64)) - np.uint64(1)
    found = candidates({number: scene[number : number + 1] for number in range(30)})
    assert {(number, number + 1) for number in range(29)} <= set(found)
    assert len(found) <= 30 * 2


def test_progress_reaches_its_total_and_may_stop_the_search() -> None:
    keys = {number: np.full((1, 4), number, dtype=np.uint64) for number in range(3)}
    seen: list[tuple[int, int]] = []
    candidates(keys, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(3, 3)]

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        candidates(keys, progress=stop)
