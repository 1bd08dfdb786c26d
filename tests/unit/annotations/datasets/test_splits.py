"""Splits: no footage on two sides, repeatable, balanced, nobody empty-handed."""

from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.datasets.splits import SPLITS, Member, assign

SHARES = st.sampled_from([(0.1, 0.1), (0.2, 0.0), (0.0, 0.3), (0.25, 0.25), (0.0, 0.0), (0.4, 0.4)])


@st.composite
def corpora(draw: st.DrawFn) -> list[Member]:
    clip = st.tuples(st.integers(0, 12), st.integers(0, 20), st.booleans(), st.integers(0, 25))
    rows = draw(st.lists(clip, max_size=40))
    return [
        Member(
            f"v{index:03}.mp4", f"r{recording}" if recording else "", f"{sha:064x}" if sha else None, crash,
            cluster or None,
        )
        for index, (recording, sha, crash, cluster) in enumerate(rows)
    ]  # fmt: skip


def components(members: list[Member]) -> list[set[str]]:
    """Connected clips, found the slow way."""
    found: list[tuple[set[str], set[str]]] = []
    for member in members:
        names, videos = set(member.identities), {member.video}
        touching = [pair for pair in found if pair[0] & names]
        found = [pair for pair in found if not pair[0] & names]
        for other_names, other_videos in touching:
            names |= other_names
            videos |= other_videos
        found.append((names, videos))
    return [videos for _, videos in found]


@given(members=corpora(), shares=SHARES, seed=st.integers(0, 5))
def test_every_clip_gets_one_split_and_footage_never_straddles(
    members: list[Member], shares: tuple[float, float], seed: int
) -> None:
    val, test = shares
    splits = assign(members, seed=seed, val_share=val, test_share=test)
    assert splits.keys() == {member.video for member in members}
    for group in components(members):
        assert len({splits[video] for video in group}) == 1
    for split, share in zip(SPLITS, (1 - val - test, val, test), strict=True):
        if share == 0:
            assert split not in splits.values()


@given(members=corpora(), shares=SHARES, seed=st.integers(0, 5), random=st.randoms(use_true_random=False))
def test_the_order_of_the_clips_does_not_matter(
    members: list[Member], shares: tuple[float, float], seed: int, random: object
) -> None:
    val, test = shares
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert assign(members, seed=seed, val_share=val, test_share=test) == assign(
        shuffled, seed=seed, val_share=val, test_share=test
    )


@given(members=corpora(), shares=SHARES, seed=st.integers(0, 5))
def test_no_split_with_a_share_stays_empty_while_there_are_enough_groups(
    members: list[Member], shares: tuple[float, float], seed: int
) -> None:
    val, test = shares
    splits = assign(members, seed=seed, val_share=val, test_share=test)
    wanted = [s for s, share in zip(SPLITS, (1 - val - test, val, test), strict=True) if share > 0]
    if len(components(members)) >= len(wanted):
        assert set(splits.values()) == set(wanted)


@given(crashes=st.integers(0, 150), others=st.integers(0, 150), shares=SHARES, seed=st.integers(0, 3))
def test_single_clips_keep_the_shares_for_crashes_and_others(
    crashes: int, others: int, shares: tuple[float, float], seed: int
) -> None:
    members = [Member(f"c{i}", f"c{i}", None, True) for i in range(crashes)]
    members += [Member(f"o{i}", f"o{i}", None, False) for i in range(others)]
    val, test = shares
    splits = assign(members, seed=seed, val_share=val, test_share=test)
    for total, crash in ((crashes, True), (others, False)):
        counts = Counter(splits[m.video] for m in members if m.crash is crash)
        for split, share in zip(SPLITS, (1 - val - test, val, test), strict=True):
            assert abs(counts[split] - share * total) <= 2


def test_a_small_corpus_has_crashes_and_others_in_every_split() -> None:
    members = [Member(f"v{i}", f"v{i}", None, i % 3 > 0) for i in range(12)]
    splits = assign(members, seed=1, val_share=0.15, test_share=0.15)
    labels = defaultdict(set)
    for member in members:
        labels[splits[member.video]].add(member.crash)
    assert labels == {"train": {True, False}, "val": {True, False}, "test": {True, False}}


def test_another_seed_gives_another_split() -> None:
    members = [Member(f"v{i}", f"v{i}", None, False) for i in range(40)]
    results = {tuple(assign(members, seed=s, val_share=0.2, test_share=0.2).items()) for s in range(5)}
    assert len(results) == 5


def test_recording_and_bytes_chain_clips_together() -> None:
    chain = [
        Member("a", "r1", "1" * 64, True),
        Member("b", "r2", "1" * 64, True),
        Member("c", "r2", "2" * 64, True),
        Member("d", "", "2" * 64, True),
    ]
    others = [Member(f"o{i}", f"o{i}", None, False) for i in range(10)]
    splits = assign([*chain, *others], seed=3, val_share=0.3, test_share=0.3)
    assert len({splits[m.video] for m in chain}) == 1


@given(members=corpora(), more=st.integers(0, 15), seed=st.integers(0, 3))
def test_footage_stays_in_the_split_it_had_before(members: list[Member], more: int, seed: int) -> None:
    before = assign(members, seed=seed, val_share=0.2, test_share=0.2)
    earlier = {name: before[m.video] for m in members for name in m.identities}
    grown = members + [Member(f"n{i}", f"new{i}", None, bool(i % 2)) for i in range(more)]
    after = assign(grown, seed=seed, val_share=0.2, test_share=0.2, earlier=earlier)
    assert {m.video: after[m.video] for m in members} == before


def test_footage_known_from_two_splits_goes_to_the_one_that_was_trained_on() -> None:
    merged = [Member("a", "r", None, True), Member("b", "r", None, True)]
    earlier = {"video:a": "test", "video:b": "train"}
    splits = assign(merged, seed=0, val_share=0.1, test_share=0.1, earlier=earlier)
    assert splits == {"a": "train", "b": "train"}


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.1), (0.5, 0.5), (1.0, 0.0), (float("nan"), 0.1)])
def test_impossible_shares_are_refused(val: float, test: float) -> None:
    with pytest.raises(ValueError, match="together less than 1"):
        assign([], seed=0, val_share=val, test_share=test)


def test_a_repeated_video_name_is_refused() -> None:
    twice = [Member("a", "r1", None, True), Member("a", "r2", None, True)]
    with pytest.raises(ValueError, match="appears twice"):
        assign(twice, seed=0, val_share=0.1, test_share=0.1)


def test_an_unknown_earlier_split_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown splits"):
        assign([], seed=0, val_share=0.1, test_share=0.1, earlier={"video:a": "dev"})


@given(members=corpora(), shares=SHARES, seed=st.integers(0, 5), data=st.data())
def test_what_nobody_looked_at_is_never_in_val_or_test(
    members: list[Member], shares: tuple[float, float], seed: int, data: st.DataObject
) -> None:
    names = [member.video for member in members]
    unseen = data.draw(st.sets(st.sampled_from(names))) if names else set()
    earlier = data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(SPLITS))) if names else {}
    told = [replace(member, unseen=member.video in unseen) for member in members]
    known = {f"video:{name}": split for name, split in earlier.items()}
    splits = assign(told, seed=seed, val_share=shares[0], test_share=shares[1], earlier=known)
    assert all(splits.get(name, "train") == "train" for name in unseen)
    assert splits.keys() | unseen == set(names)  # nothing else is left out
    for group in components(members):
        assert len({splits[name] for name in group if name in splits}) <= 1
        before = {earlier[name] for name in group if name in earlier}
        if not before and group & unseen:
            assert {splits[name] for name in group} == {"train"}
        if before <= {"val", "test"} and before:
            assert not group & unseen & splits.keys()
        if "train" in before:
            assert {splits[name] for name in group} == {"train"}
