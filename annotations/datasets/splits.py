"""Which split every clip belongs to: leak-free, repeatable, balanced as far as the footage allows.

Clips that share footage form one group, and a group never straddles splits. Two clips share footage when
they name the same recording, hold the same bytes or lie in one cluster of near duplicates, directly or through a
chain of other clips. The result depends on the seed, the shares and the clips alone, never on the order they come in.

A clip whose answers nobody looked at is no yardstick: it is never in val or test.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

TRAIN: Final = "train"
VAL: Final = "val"
TEST: Final = "test"
SPLITS: Final = (TRAIN, VAL, TEST)


@dataclass(frozen=True)
class Member:
    """One clip: name (unique in the corpus), recording ("" unknown), SHA-256 of its bytes, crash or not, and the
    cluster of near duplicates that it lies in now, if any. `unseen`: a policy approved its answers, no person did."""

    video: str
    recording: str
    sha256: str | None
    crash: bool
    cluster: int | None = None
    unseen: bool = False

    @property
    def identities(self) -> tuple[str, ...]:
        cluster = () if self.cluster is None else (f"cluster:{self.cluster}",)
        return identities(self.video, self.recording, self.sha256) + cluster


def identities(video: str, recording: str, sha256: str | None) -> tuple[str, ...]:
    """What a clip can be recognised by; two clips with one in common share footage."""
    names = [f"video:{video}"]
    if recording:
        names.append(f"recording:{recording}")
    if sha256:
        names.append(f"sha256:{sha256}")
    return tuple(names)


_Need = Callable[["_Group"], bool]


@dataclass(eq=False)
class _Group:
    """Clips that must stay together. `counts`: clips without and with a crash. `fixed`: may not be moved."""

    members: list[Member]
    rank: str
    fixed: bool = False
    counts: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        crashes = sum(member.crash for member in self.members)
        self.counts = (len(self.members) - crashes, crashes)

    def seen(self) -> "_Group":
        """The same without the clips that nobody looked at."""
        return _Group([member for member in self.members if not member.unseen], self.rank, self.fixed)


def assign(
    members: Iterable[Member],
    *,
    seed: int,
    val_share: float,
    test_share: float,
    earlier: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The split of every clip, by video name.

    Shares are parts of 1; train gets the rest, which must be more than nothing. Groups are dealt out largest
    first, in an order drawn from the seed, each to the split that lacks most of what the group holds (clips
    with and without a crash count apart). Then every split with a share gets at least one group, and at
    least one group with and one without a crash, wherever there are enough groups to give away.

    `earlier` (identity -> split, see `identities`): footage that was in a split before stays there, so that
    no model is judged on what an earlier version trained it on. Footage known from several splits goes to
    the first of train, val, test.

    Footage with a clip that is `unseen` goes to train. Where an earlier version put it in val or test, it stays
    there without that clip, which is missing from the result.

    Raises ValueError for impossible shares, repeated video names and unknown splits in `earlier`.
    """
    shares = check_shares(val_share=val_share, test_share=test_share)
    known = earlier or {}
    if unknown := set(known.values()) - set(SPLITS):
        raise ValueError(f"unknown splits: {sorted(unknown)}")
    groups = _groups(members, seed)
    totals = tuple(sum(group.counts[label] for group in groups) for label in (0, 1))
    dealt: dict[str, list[_Group]] = {split: [] for split in SPLITS}
    lacking = {split: [shares[split] * total for total in totals] for split in SPLITS}

    def deal(group: _Group, split: str) -> None:
        dealt[split].append(group)
        for label in (0, 1):
            lacking[split][label] -= group.counts[label]

    free = []
    for group in groups:
        before = {known[name] for member in group.members for name in member.identities if name in known}
        if not before and not any(member.unseen for member in group.members):
            free.append(group)
            continue
        split = min(before, key=SPLITS.index) if before else TRAIN
        kept = group if split == TRAIN else group.seen()
        if kept.members:
            kept.fixed = True
            deal(kept, split)
    wanted = [split for split in SPLITS if shares[split] > 0]
    for group in free:
        deal(group, max(wanted, key=lambda split: _need(group, lacking[split], totals)))
    _give_everyone_some(dealt, wanted)
    return {member.video: split for split in SPLITS for group in dealt[split] for member in group.members}


def check_shares(*, val_share: float, test_share: float) -> dict[str, float]:
    """The share of every split. Raises ValueError unless both are 0 or more and leave something to train."""
    if not (0 <= val_share < 1 and 0 <= test_share < 1 and val_share + test_share < 1):
        raise ValueError(
            f"val_share={val_share} and test_share={test_share}: each from 0, together less than 1"
        )
    return {TRAIN: 1 - val_share - test_share, VAL: val_share, TEST: test_share}


def _groups(members: Iterable[Member], seed: int) -> list[_Group]:
    """Connected clips, largest group first, then in an order drawn from the seed."""
    ordered = sorted(members, key=lambda member: member.video)
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for member in ordered:
        first, *others = member.identities
        if first in parent:
            raise ValueError(f"video {member.video!r} appears twice")
        for other in others:
            parent[root(other)] = root(first)
    together: dict[str, list[Member]] = {}
    for member in ordered:
        together.setdefault(root(member.identities[0]), []).append(member)
    groups = [_Group(found, _rank(seed, found[0].video)) for found in together.values()]
    return sorted(groups, key=lambda group: (-len(group.members), group.rank))


def _rank(seed: int, video: str) -> str:
    return hashlib.sha256(f"{seed}\n{video}".encode()).hexdigest()


def _need(group: _Group, lacking: list[float], totals: tuple[int, ...]) -> float:
    """How much a split lacks of what the group holds, as parts of each label's total."""
    held = [label for label in (0, 1) if group.counts[label]]
    return sum(group.counts[label] * lacking[label] / totals[label] for label in held)


def _give_everyone_some(dealt: dict[str, list[_Group]], wanted: list[str]) -> None:
    """Move the smallest fitting groups to splits that have none; nobody gives away what was settled."""
    needs: list[_Need] = [
        lambda group: True,
        lambda group: group.counts[1] > 0,
        lambda group: group.counts[0] > 0,
    ]
    for position, fits in enumerate(needs):
        for split in wanted:
            if any(map(fits, dealt[split])):
                continue
            found = _spare(dealt, fits, kept=needs) or _spare(dealt, fits, kept=needs[: position + 1])
            if found is not None:
                giver, group = found
                dealt[giver].remove(group)
                dealt[split].append(group)


def _spare(dealt: dict[str, list[_Group]], fits: _Need, *, kept: list[_Need]) -> tuple[str, _Group] | None:
    """A small movable group that fits, from a split that keeps a group for each need in `kept` it meets."""
    for giver in sorted(SPLITS, key=lambda name: -sum(map(fits, dealt[name]))):
        only_one = [need for need in kept if sum(map(need, dealt[giver])) == 1]
        for group in reversed(dealt[giver]):
            if not group.fixed and fits(group) and not any(need(group) for need in only_one):
                return giver, group
    return None
