"""Which videos belong together, given who is alike and what people said. No Django, no randomness.

The outcome depends on what is given, never on its order: the same links and verdicts make the same clusters.
"""

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass, field

Pair = tuple[int, int]


@dataclass(frozen=True, order=True)
class Link:
    """Two videos that look alike, by how much (higher is surer)."""

    first: int
    second: int
    strength: float


@dataclass(frozen=True)
class Group:
    """Videos that belong together. `cluster`: the earlier cluster it goes on as, None for a new one."""

    videos: frozenset[int]
    cluster: int | None = None


@dataclass(frozen=True)
class Grouping:
    """`groups`: two videos or more each, by their smallest video. `unjoined`: pairs of kept clusters that links tie
    together: for a person to merge."""

    groups: tuple[Group, ...]
    unjoined: tuple[Pair, ...] = ()


@dataclass(eq=False)
class _Part:
    videos: set[int]
    kept: int | None = None
    apart: set[int] = field(default_factory=set)
    """Videos that some video of this part was declared different from."""


class _Parts:
    """Disjoint sets that refuse to join what a person keeps apart, or two clusters that persons made."""

    def __init__(self, apart: Iterable[Pair]) -> None:
        self._of: dict[int, _Part] = {}
        for first, second in apart:
            self.of(first).apart.add(second)
            self.of(second).apart.add(first)

    def of(self, video: int) -> _Part:
        return self._of.setdefault(video, _Part({video}))

    def parts(self) -> list[_Part]:
        return list({id(part): part for part in self._of.values()}.values())

    def join(self, first: int, second: int) -> bool:
        """Whether both are in one part now."""
        one, other = self.of(first), self.of(second)
        if one is other:
            return True
        if (one.kept is not None and other.kept is not None) or one.apart & other.videos:
            return False
        if len(one.videos) < len(other.videos):
            one, other = other, one
        one.videos |= other.videos
        one.apart |= other.apart
        one.kept = other.kept if one.kept is None else one.kept
        for video in other.videos:
            self._of[video] = one
        return True

    def keep(self, cluster: int, videos: Collection[int]) -> None:
        """Put a person's cluster together as it is, whatever was said of single pairs in it."""
        part = _Part(set(videos), cluster)
        for video in videos:
            part.apart |= self.of(video).apart
            self._of[video] = part


def group(
    links: Iterable[Link],
    *,
    together: Iterable[Pair] = (),
    apart: Iterable[Pair] = (),
    kept: Mapping[int, Set[int]] | None = None,
    earlier: Mapping[int, Set[int]] | None = None,
) -> Grouping:
    """Connected videos, joined likest first.

    `together`, `apart`: pairs that a person declared the same, or different. A pair declared different never ends in
    one group, not even through others (unless a kept cluster holds both); a pair declared the same does, unless that
    would break the former. `kept`: clusters that a person made or confirmed, with their videos (disjoint): each goes
    on with all of them, others may come in, and no two of them are joined. `earlier`: clusters of an earlier search;
    a group goes on as the one it shares most videos with.
    """
    kept, earlier = kept or {}, earlier or {}
    parts = _Parts(apart)
    for cluster, videos in sorted(kept.items()):
        parts.keep(cluster, videos)
    for first, second in sorted((min(pair), max(pair)) for pair in together):
        parts.join(first, second)
    unjoined: set[Pair] = set()
    for link in sorted(links, key=lambda link: (-link.strength, link.first, link.second)):
        if not parts.join(link.first, link.second):
            clusters = parts.of(link.first).kept, parts.of(link.second).kept
            if clusters[0] is not None and clusters[1] is not None:
                unjoined.add((min(clusters[0], clusters[1]), max(clusters[0], clusters[1])))
    found = [part for part in parts.parts() if len(part.videos) > 1 or part.kept is not None]
    return Grouping(_named(found, earlier), tuple(sorted(unjoined)))


def _named(parts: list[_Part], earlier: Mapping[int, Set[int]]) -> tuple[Group, ...]:
    """Give every group the id of the earlier cluster it goes on as: largest share first, then lowest id."""
    groups = {min(part.videos): part for part in parts}
    free = {cluster for cluster in earlier if cluster not in {part.kept for part in parts}}
    holder = {video: lowest for lowest, part in groups.items() if part.kept is None for video in part.videos}
    shared: dict[Pair, int] = {}
    for cluster in free:
        for video in earlier[cluster]:
            if video in holder:
                shared[cluster, holder[video]] = shared.get((cluster, holder[video]), 0) + 1
    names: dict[int, int] = {}
    for _, cluster, lowest in sorted((-count, *pair) for pair, count in shared.items()):
        if cluster in free and lowest not in names:
            names[lowest] = cluster
            free.discard(cluster)
    return tuple(
        Group(frozenset(part.videos), part.kept if part.kept is not None else names.get(lowest))
        for lowest, part in sorted(groups.items())
    )
