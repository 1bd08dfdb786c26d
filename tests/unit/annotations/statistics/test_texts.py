from hypothesis import given
from hypothesis import strategies as st

from annotations.statistics.texts import edit_distance, normalised_edit_distance, token_f1, words_of


def test_case_punctuation_and_white_space_never_count() -> None:
    assert words_of("  The car,\nRED  (a Škoda) ") == ("the", "car", "red", "a", "škoda")
    assert words_of("\uff23\uff41\uff52 hits—truck.") == ("car", "hits", "truck")
    assert words_of("...") == ()


def test_token_f1_by_hand() -> None:
    assert token_f1(words_of("car hits a truck."), words_of("Car hits a van!")) == 0.75
    assert token_f1(("a", "a", "b"), ("a", "c")) == 2 * 1 / 5, "a word counts as often as both have it"
    assert token_f1((), ()) == 1.0
    assert token_f1((), ("a",)) == 0.0


def test_edit_distance_by_hand() -> None:
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == edit_distance("abc", "") == 3
    assert normalised_edit_distance(words_of("the car hits a truck"), words_of("the car hits truck")) == 0.2
    assert normalised_edit_distance((), ()) == 0.0


def by_definition(first: str, second: str) -> int:
    row = list(range(len(second) + 1))
    for i, one in enumerate(first, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(second, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (one != other))
    return row[-1]


@given(st.text("abc", max_size=80), st.text("abcd", max_size=80))
def test_edit_distance_is_what_its_definition_says(first: str, second: str) -> None:
    assert edit_distance(first, second) == by_definition(first, second) == edit_distance(second, first)
