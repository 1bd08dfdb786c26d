"""Finds which of many clips may show the same footage, so that only those are aligned. No Django here.

Every clip is known by a few of its pictures' hashes (`key_hashes`); two clips are candidates when a key of one lies
within the matching distance of a key of the other. FAISS compares all keys of the clips that are asked about with
all keys there are, exactly: O(asked * all) comparisons of 256 bits, O(all) memory. docs/duplicates.md has the times.
"""

from collections.abc import Callable, Mapping, Set
from typing import Final

import faiss
import numpy as np
import numpy.typing as npt

from annotations.corpora.duplicates.fingerprint import BITS, WORDS, ClipPrint, Hashes
from annotations.corpora.duplicates.matching import MAX_DISTANCE

KEY_STEP_US: Final = 500_000
"""Time between two keys of a clip, at least."""
ALIKE_BITS: Final = 16
"""A picture that differs from the last key in fewer bits adds nothing: a still scene has few keys."""
MAX_NEIGHBOURS: Final = 100
"""Most candidates of one clip, the likest first: bounds the work where thousands of clips show one scene."""
_RADIUS: Final = int(MAX_DISTANCE * BITS)
_BLOCK: Final = 1024

Pair = tuple[int, int]
Owners = npt.NDArray[np.int64]


def key_hashes(clip: ClipPrint) -> Hashes:
    """uint64 [keys, 4]: one hash at most every KEY_STEP_US, none of plain pictures, none like the one before."""
    every = max(1, KEY_STEP_US // clip.step_us)
    keys: list[Hashes] = []
    for picture in clip.hashes[::every][clip.telling[::every]]:
        if not keys or int(np.bitwise_count(picture ^ keys[-1]).sum()) >= ALIKE_BITS:
            keys.append(picture)
    return np.stack(keys) if keys else np.empty((0, WORDS), dtype=np.uint64)


def candidates(
    keys: Mapping[int, Hashes],
    asked: Set[int] | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Pair]:
    """Pairs of clips (smaller id first, sorted) with keys near each other, at least one of them in `asked` (all when
    None). `progress(done, total)` counts keys and may raise to stop.

    The result does not depend on the order of `keys`.
    """
    ids = sorted(identity for identity, found in keys.items() if len(found))
    if not ids:
        return []
    table = np.concatenate([keys[identity] for identity in ids]).view(np.uint8).reshape(-1, BITS // 8)
    owners = np.repeat(ids, [len(keys[identity]) for identity in ids])
    index = faiss.IndexBinaryFlat(BITS)
    index.add(table)
    rows = np.arange(len(owners)) if asked is None else np.flatnonzero(np.isin(owners, list(asked)))
    nearest: dict[Pair, int] = {}
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        limits, distances, found = index.range_search(table[block], _RADIUS + 1)
        _note(nearest, np.repeat(owners[block], np.diff(limits).astype(np.int64)), owners[found], distances)
        progress(start + len(block), len(rows))
    return _likest(nearest)


def _note(nearest: dict[Pair, int], one: Owners, other: Owners, distances: npt.NDArray[np.int32]) -> None:
    """Keep the smallest distance of every pair of different clips."""
    different = one != other
    pairs = np.stack([np.minimum(one, other), np.maximum(one, other)], axis=1)[different]
    if not len(pairs):
        return
    unique, place = np.unique(pairs, axis=0, return_inverse=True)
    least = np.full(len(unique), BITS, dtype=np.int64)
    np.minimum.at(least, place.ravel(), distances[different].astype(np.int64))
    for (first, second), distance in zip(unique.tolist(), least.tolist(), strict=True):
        nearest[first, second] = min(distance, nearest.get((first, second), BITS))


def _likest(nearest: Mapping[Pair, int]) -> list[Pair]:
    """The pairs that are among the MAX_NEIGHBOURS likest of either clip."""
    taken: dict[int, int] = {}
    kept: list[Pair] = []
    for _, first, second in sorted((distance, *pair) for pair, distance in nearest.items()):
        if min(taken.get(first, 0), taken.get(second, 0)) < MAX_NEIGHBOURS:
            kept.append((first, second))
            taken[first], taken[second] = taken.get(first, 0) + 1, taken.get(second, 0) + 1
    return sorted(kept)
