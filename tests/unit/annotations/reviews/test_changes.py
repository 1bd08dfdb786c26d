"""What became of a draft, told by region id and by what was said; nothing the review tool claims plays a part."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.cases.kinds import NEGATIVE_TEXT, TEXT_KINDS, Kind
from annotations.cases.rules import Said
from annotations.reviews.changes import Change, distance, recognise, says_the_same
from tests.factories import CRASH, NO_CRASH

SPAN, ONSET, CAUSE, CRASHED = (
    Kind.CRASH_LOCALIZATION, Kind.PRE_CRASH_LOCALIZATION, Kind.CAUSAL_REASONING, Kind.CRASH_RECOGNITION,
)  # fmt: skip
OWN = {kind: [str(kind)] for kind in Kind.values}
TIMES = st.integers(0, 600_000_000)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40).filter(
    str.strip
)


def values(kind: str) -> st.SearchStrategy[Said]:
    """Any value a person or a model can give to this kind."""
    if kind == CRASHED:
        return st.sampled_from(["yes", "no"]).map(lambda label: Said("valued", {"label": label}))
    if kind in TEXT_KINDS:
        return WORDS.map(lambda text: Said("valued", {"text": text}))
    if kind == ONSET:
        return TIMES.map(lambda at: Said("valued", {"at_us": at}))
    return st.tuples(TIMES, TIMES).map(
        lambda span: Said("valued", {"start_us": min(span), "end_us": max(span)})
    )


def answers() -> st.SearchStrategy[Mapping[str, Said]]:
    """Any set of answers, of all kinds or some, with values or without."""
    empty = st.sampled_from([Said("absent", None), Said("unparsable", None)])
    return st.fixed_dictionaries({}, optional={kind: values(kind) | empty for kind in Kind.values})


REGIONS = st.fixed_dictionaries(
    {}, optional={kind: st.lists(st.sampled_from([str(kind), "a", "b"]), max_size=2) for kind in Kind.values}
)


@given(answers(), REGIONS)
def test_what_is_left_as_it_was_is_accepted_whatever_its_regions_are_called(
    shown: Mapping[str, Said], regions: dict[str, list[str]]
) -> None:
    found = recognise(shown=shown, said=shown, regions=regions)
    stated = {kind for kind, draft in shown.items() if draft.state != "unparsable"}
    assert found == {kind: Change("accepted", 0.0) for kind in stated}


@given(answers(), answers(), REGIONS, st.sets(st.sampled_from(Kind.values)))
def test_every_change_follows_from_the_values_and_the_region_ids(
    shown: Mapping[str, Said], said: Mapping[str, Said], regions: dict[str, list[str]], unread: set[str]
) -> None:
    found = recognise(shown=shown, said=said, regions=regions, unread=unread)
    assert not unread & found.keys()
    for kind in set(Kind.values) - unread:
        draft, answer, ids = shown.get(kind), said.get(kind), regions.get(kind, [])
        had = draft is not None and draft.value is not None
        has = answer is not None and answer.value is not None and bool(ids)
        if draft is not None and answer is not None and says_the_same(draft, answer):
            expected = "" if draft.state == "unparsable" else "accepted"
        elif had and has:
            expected = "edited" if kind in ids else "rewritten"
        else:
            expected = "removed" if had else "added" if has else ""
        assert (found[kind].change if kind in found else "") == expected
        if had and kind in found:
            assert 0 <= found[kind].distance <= 1


@given(st.data())
def test_a_distance_is_nothing_only_between_equals_and_the_same_both_ways(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(Kind.values))
    one, other = data.draw(values(kind)), data.draw(values(kind))
    assert one.value is not None
    assert other.value is not None
    apart = distance(kind, one.value, other.value)
    assert apart == distance(kind, other.value, one.value)
    assert 0 <= apart <= 1
    assert (apart == 0) == says_the_same(one, other)


@given(values(SPAN), values(SPAN), values(ONSET), values(ONSET))
def test_the_draft_and_its_shifts_give_the_answer(was: Said, now: Said, cue: Said, later: Said) -> None:
    found = recognise(shown={SPAN: was, ONSET: cue}, said={SPAN: now, ONSET: later}, regions=OWN)
    assert was.value
    assert now.value
    assert cue.value
    assert later.value
    if was != now:
        assert was.value["start_us"] + (found[SPAN].start_shift_us or 0) == now.value["start_us"]
        assert was.value["end_us"] + (found[SPAN].end_shift_us or 0) == now.value["end_us"]
    if cue != later:
        assert cue.value["at_us"] + (found[ONSET].start_shift_us or 0) == later.value["at_us"]
        assert found[ONSET].end_shift_us is None


def test_how_far_an_edit_went() -> None:
    said = {
        **CRASH,
        SPAN: Said("valued", {"start_us": 2_000_000, "end_us": 4_000_000}),
        ONSET: Said("valued", {"at_us": 950_000}),
        CRASHED: Said("valued", {"label": "no"}),
        CAUSE: Said("valued", {"text": "The car driver looked away from the roads."}),
    }
    found = recognise(shown=CRASH, said=said, regions=OWN)
    assert found[SPAN] == Change("edited", 0.25, 0, 500_000)
    assert found[ONSET] == Change("edited", 0.25, -250_000, None)
    assert found[CRASHED] == Change("edited", 1.0)
    assert found[CAUSE] == Change("edited", 1 / 42)
    assert found[Kind.CRASH_DESCRIPTION] == Change("accepted", 0.0)


def test_another_region_in_the_drafts_place_is_a_rewriting() -> None:
    said = {**CRASH, SPAN: Said("valued", {"start_us": 0, "end_us": 1_000_000})}
    found = recognise(shown=CRASH, said=said, regions={**OWN, SPAN: ["xK3"]})
    assert found[SPAN] == Change("rewritten", 1.0, -2_000_000, -2_500_000)


def test_the_texts_that_no_hides_were_removed_by_nobody_when_the_draft_said_no() -> None:
    regions = {CRASHED: [str(CRASHED)]}
    found = recognise(shown=NO_CRASH, said=NO_CRASH, regions=regions)
    assert {change.change for change in found.values()} == {"accepted"}
    found = recognise(shown=CRASH, said=NO_CRASH, regions=regions)
    assert {kind: change.change for kind, change in found.items()} == {
        CRASHED: "edited", **{kind: "removed" for kind in Kind.values if kind != CRASHED}
    }  # fmt: skip


def test_a_crash_found_where_the_model_saw_none_is_added() -> None:
    found = recognise(shown=NO_CRASH, said=CRASH, regions=OWN)
    assert found[SPAN] == found[ONSET] == Change("added", 1.0)
    assert found[CAUSE].change == "edited"
    assert recognise(shown={}, said={CAUSE: Said("valued", {"text": NEGATIVE_TEXT[CAUSE]})}, regions={}) == {}


@pytest.mark.parametrize(("ids", "change"), [(["draft-7"], "edited"), ([str(SPAN)], "rewritten")])
def test_a_draft_whose_region_had_another_name(ids: list[str], change: str) -> None:
    said = {SPAN: Said("valued", {"start_us": 2_000_000, "end_us": 3_000_000})}
    found = recognise(shown=CRASH, said=said, regions={SPAN: ids}, drawn={SPAN: "draft-7"})
    assert found[SPAN].change == change
