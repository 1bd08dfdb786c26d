"""Which media show the same footage: candidates by their keys, then aligned two by two."""

from collections import OrderedDict
from collections.abc import Callable, Set
from datetime import datetime
from typing import Final

from annotations.corpora.duplicates import METHOD
from annotations.corpora.duplicates.fingerprint import ClipPrint
from annotations.corpora.duplicates.matching import Alignment, align
from annotations.corpora.duplicates.search import Pair, candidates, key_hashes
from annotations.corpora.models import Fingerprint, MediaState

Progress = Callable[[int, int | None, str], None]
"""Told (done, total, what is being done); may raise to stop."""

_HELD: Final = 4000
_AHEAD: Final = 500


def find_links(corpus_id: int | None, since: datetime | None, progress: Progress) -> dict[Pair, Alignment]:
    """Pairs of media (smaller id first) that show the same footage, and how they lie on each other.

    With a corpus, or a time: only pairs with at least one media of that corpus, or with a fingerprint made since; the
    other may be any.
    """
    everything = Fingerprint.objects.filter(method=METHOD, media__state=MediaState.READY)
    total = everything.count()
    keys = {}
    for done, (media_id, data) in enumerate(everything.values_list("media_id", "data").iterator(200), 1):
        keys[media_id] = key_hashes(ClipPrint.decode(bytes(data)))
        progress(done, total, "reading fingerprints")
    asked: Set[int] | None = None
    if corpus_id is not None or since is not None:
        about = everything
        if corpus_id is not None:
            about = about.filter(media__videos__corpus=corpus_id)
        if since is not None:
            about = about.filter(made_at__gte=since)
        asked = set(about.values_list("media_id", flat=True))
    pairs = candidates(keys, asked, progress=lambda done, total: progress(done, total, "comparing scenes"))
    prints = _Prints()
    found: dict[Pair, Alignment] = {}
    for start in range(0, len(pairs), _AHEAD):
        block = pairs[start : start + _AHEAD]
        prints.fetch({media_id for pair in block for media_id in pair})
        for done, (first, second) in enumerate(block, start + 1):
            progress(done, len(pairs), "comparing clips")
            alignment = align(prints[first], prints[second])
            if alignment is not None and alignment.same_footage:
                found[first, second] = alignment
    return found


class _Prints:
    """Fingerprints by media id; the last few thousand used are held."""

    def __init__(self) -> None:
        self._held: OrderedDict[int, ClipPrint] = OrderedDict()

    def fetch(self, media_ids: Set[int]) -> None:
        """Read what is not held yet, in one query."""
        wanted = sorted(media_ids - self._held.keys())
        for media_id in media_ids & self._held.keys():
            self._held.move_to_end(media_id)
        rows = Fingerprint.objects.filter(media__in=wanted, method=METHOD).values_list("media_id", "data")
        for media_id, data in rows:
            self._held[media_id] = ClipPrint.decode(bytes(data))
        while len(self._held) > max(_HELD, len(media_ids)):
            self._held.popitem(last=False)

    def __getitem__(self, media_id: int) -> ClipPrint:
        return self._held[media_id]
