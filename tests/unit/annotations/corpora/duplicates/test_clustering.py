import random

from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.duplicates.clustering import Group, Grouping, Link, Pair, group

VIDEOS = st.integers(1, 12)


def pairs(most: int) -> st.SearchStrategy[set[Pair]]:
    two = st.tuples(VIDEOS, VIDEOS).filter(lambda pair: pair[0] < pair[1])
    return st.sets(two, max_size=most)


@st.composite
def links(draw: st.DrawFn) -> list[Link]:
    return [Link(*pair, draw(st.sampled_from([0.5, 0.7, 0.9, 2.0]))) for pair in sorted(draw(pairs(14)))]


def shuffled(items: list[Link], seed: int) -> list[Link]:
    copy = list(items)
    random.Random(seed).shuffle(copy)
    return copy


def together(found: Grouping, first: int, second: int) -> bool:
    return any({first, second} <= one.videos for one in found.groups)


def as_clusters(found: Grouping, start: int = 100) -> dict[int, set[int]]:
    """As the next search meets them: new groups have got ids."""
    return {
        one.cluster if one.cluster is not None else start + place: set(one.videos)
        for place, one in enumerate(found.groups)
    }


@given(links())
def test_without_verdicts_groups_are_the_connected_videos(given_links: list[Link]) -> None:
    found = group(given_links)
    reach = {video: {video} for link in given_links for video in (link.first, link.second)}
    for _ in range(len(reach)):
        for link in given_links:
            joined = reach[link.first] | reach[link.second]
            for video in joined:
                reach[video] = joined
    assert {one.videos for one in found.groups} == {frozenset(videos) for videos in reach.values()}


@given(links(), pairs(5), pairs(5), st.integers(0, 99))
def test_the_order_of_what_is_given_does_not_matter(
    given_links: list[Link], same: set[Pair], different: set[Pair], seed: int
) -> None:
    turned = [Link(link.second, link.first, link.strength) for link in given_links[::2]]
    assert group(given_links, together=same, apart=different) == group(
        shuffled(given_links, seed),
        together=sorted(same, reverse=True),
        apart=sorted(different, reverse=True),
    )
    everything = shuffled(turned + given_links, seed)
    assert {one.videos for one in group(everything).groups} == {
        one.videos for one in group(given_links).groups
    }


@given(links(), pairs(5), pairs(6))
def test_what_was_declared_different_is_never_joined(
    given_links: list[Link], same: set[Pair], different: set[Pair]
) -> None:
    found = group(given_links, together=same, apart=different)
    assert not any(together(found, *pair) for pair in different)


@given(links(), pairs(5))
def test_what_was_declared_the_same_is_joined(given_links: list[Link], same: set[Pair]) -> None:
    found = group(given_links, together=same)
    assert all(together(found, *pair) for pair in same)


@given(links(), pairs(4), pairs(4))
def test_a_second_search_changes_nothing(
    given_links: list[Link], same: set[Pair], different: set[Pair]
) -> None:
    first = as_clusters(group(given_links, together=same, apart=different))
    again = group(given_links, together=same, apart=different, earlier=first)
    assert {one.cluster: set(one.videos) for one in again.groups} == first


@given(links(), links(), pairs(4))
def test_ids_are_used_once_and_follow_the_videos(
    before: list[Link], after: list[Link], different: set[Pair]
) -> None:
    earlier = as_clusters(group(before))
    found = group(after, apart=different, earlier=earlier)
    used = [one.cluster for one in found.groups if one.cluster is not None]
    assert len(used) == len(set(used))
    for one in found.groups:
        overlapping = [name for name, videos in earlier.items() if videos & one.videos]
        if one.cluster is None:
            assert all(name in used for name in overlapping)
        else:
            assert one.cluster in overlapping


@given(links(), links(), pairs(4))
def test_kept_clusters_keep_their_videos_and_stay_apart(
    before: list[Link], after: list[Link], different: set[Pair]
) -> None:
    kept = as_clusters(group(before))
    found = group(after, apart=different, kept=kept, earlier=kept)
    by_id = {one.cluster: one.videos for one in found.groups if one.cluster is not None}
    for name, videos in kept.items():
        assert videos <= by_id[name]
    placed = [video for one in found.groups for video in one.videos]
    assert len(placed) == len(set(placed))
    for first, second in found.unjoined:
        assert first < second
        assert {first, second} <= kept.keys()


def test_the_surer_link_wins_where_only_one_can() -> None:
    found = group([Link(1, 2, 0.6), Link(2, 3, 0.9)], apart=[(1, 3)])
    assert [one.videos for one in found.groups] == [frozenset({2, 3})]


def test_two_clusters_of_persons_that_look_alike_are_named() -> None:
    found = group([Link(2, 3, 0.9), Link(4, 5, 0.8)], kept={7: {1, 2}, 8: {3, 4}})
    assert found.groups == (Group(frozenset({1, 2}), 7), Group(frozenset({3, 4, 5}), 8))
    assert found.unjoined == ((7, 8),)
