from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.corpus_audit.columns import (
    APPROVED,
    BY_PERSON,
    IMPORTED,
    UNKNOWN,
    Builder,
    ClipFacts,
    Coded,
    Columns,
)
from tests.unit.annotations.corpus_audit.made import ONSET, SPAN, answer


def build(clips: list[ClipFacts], answers: list = ()) -> Columns:  # type: ignore[type-arg]
    builder = Builder("A corpus")
    for clip in clips:
        builder.add_clip(clip)
    builder.end_clips()
    for one in answers:
        builder.add_answer(one)
    return builder.build()


def test_the_approved_answer_counts_then_the_newest_person_then_the_newest_import() -> None:
    said = [
        answer(1, "crash_recognition", "no", rank=IMPORTED, order=9),
        answer(1, "crash_recognition", "yes", rank=APPROVED, order=2),
        answer(1, "crash_recognition", "no", rank=BY_PERSON, order=5),
        answer(1, ONSET, 10, rank=BY_PERSON, order=3),
        answer(1, ONSET, 20, rank=BY_PERSON, order=4),
        answer(1, ONSET, 30, rank=IMPORTED, order=8),
        answer(1, SPAN, (1, 2), order=1),
        answer(1, SPAN, (3, 4), order=2),
    ]
    for order in (said, said[::-1]):
        found = build([ClipFacts(video=1, name="a")], order)
        assert (found.labels[0], found.onset_us[0], found.start_us[0], found.end_us[0]) == (1, 20, 3, 4)


def test_clips_are_sorted_by_name_with_their_answers() -> None:
    clips = [ClipFacts(video=7, name="b", source="B"), ClipFacts(video=3, name="a", source="A")]
    found = build(clips, [answer(7, "causal_reasoning", " Speed. "), answer(99, "causal_reasoning", "gone")])
    assert found.names == ("a", "b")
    assert found.videos.tolist() == [3, 7]
    assert (found.source[0], found.source[1]) == ("A", "B")
    assert (found.texts[1][0], found.texts[1][1]) == ("", "Speed.")
    assert found.labels.tolist() == [UNKNOWN, UNKNOWN]


def test_a_clip_is_given_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        build([ClipFacts(video=1, name="a"), ClipFacts(video=1, name="b")])


def test_no_clips_at_all() -> None:
    found = build([])
    assert len(found) == 0
    assert found.inputs_hash == build([]).inputs_hash


@given(st.permutations(range(5)), st.integers(1, 1000))
def test_the_hash_knows_neither_order_nor_database_ids(order: list[int], offset: int) -> None:
    def made(ids: list[int], order: list[int]) -> Columns:
        clips = [
            ClipFacts(video=ids[place], case=ids[place], name=f"c{place}", source="AB"[place % 2])
            for place in order
        ]
        said = [
            answer(ids[place], "crash_recognition", "yes" if place else "no", order=ids[place])
            for place in order
        ]
        return build(clips, said)

    plain = made([1, 2, 3, 4, 5], [0, 1, 2, 3, 4])
    moved = made([offset + place for place in (9, 4, 7, 2, 5)], order)
    assert moved.inputs_hash == plain.inputs_hash
    assert moved.labels.tolist() == plain.labels.tolist()


@pytest.mark.parametrize(
    "change",
    [
        {"source": "B"}, {"recording": "r"}, {"split": "val"}, {"version_split": "val"}, {"cluster": "k"},
        {"excluded": True}, {"sha256": "00"}, {"media_state": "ready"}, {"width": 2}, {"rate": (25, 1)},
        {"duration_us": 3}, {"declared_duration_us": 3}, {"inconsistent": ("x",)}, {"name": "other"},
        {"recording_origin": "person"},
        {"place_us": (0, 1)},
    ],
)  # fmt: skip
def test_the_hash_sees_every_fact(change: dict) -> None:  # type: ignore[type-arg]
    clip = ClipFacts(video=1, name="a", source="A")
    assert build([clip]).inputs_hash != build([replace(clip, **change)]).inputs_hash


def test_the_hash_sees_answers_and_other_corpora() -> None:
    clip = ClipFacts(video=1, name="a")
    hashes = {
        build([clip], said).inputs_hash
        for said in (
            [],
            [answer(1, ONSET, 1)],
            [answer(1, ONSET, 2)],
            [answer(1, ONSET, 2, rank=APPROVED)],
            [answer(1, SPAN, (1, 2))],
            [answer(1, SPAN, "absent")],
        )
    }
    builder = Builder("A corpus")
    builder.add_clip(clip)
    builder.add_elsewhere(1, corpus="B", name="x", split="", why="bytes")
    builder.end_clips()
    assert len(hashes | {builder.build().inputs_hash}) == 7


def test_coded_texts() -> None:
    found = Coded.of(["a", None, "b", "", "a"])
    assert found.codes.tolist() == [0, -1, 1, -1, 0]
    assert found.values == ("a", "b")
    assert found.known.tolist() == [True, False, True, False, True]
    assert np.array_equal(Coded.of([]).codes, [])
