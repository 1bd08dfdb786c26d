"""What drafts save: told only with its control, and then what was put in."""

import numpy as np
import pytest

from annotations.cases.kinds import Kind
from annotations.cases.rules import Said
from annotations.corpora.models import Corpus
from annotations.effort.control import FEWEST_PER_ARM, FEWEST_RECORDINGS, compare
from annotations.effort.ledger import Asked, entries
from tests.effort_made import Worked, drawn_case, many_reviews, submit
from tests.factories import CRASH, make_corpus, make_guideline, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def corpus() -> Corpus:
    return make_corpus("control")


def fill(corpus: Corpus, *, shown: int, blind: int, people: int = 2) -> None:
    """Reviews of 40 s (shown, the draft kept) and 60 s (blind, the onset elsewhere) that wobble by a tenth."""
    persons = [make_user() for _ in range(people)]
    elsewhere = {**CRASH, Kind.PRE_CRASH_LOCALIZATION: Said("valued", {"at_us": 700_000})}
    draw = np.random.default_rng(3)
    reviews = [
        Worked(
            persons[number // 2 % people], (60 if number < blind else 40) * (1 + 0.1 * draw.normal()), number < blind,
            elsewhere if number < blind and number % 2 else CRASH,
        )
        for number in range(shown + blind)
    ]  # fmt: skip
    many_reviews(corpus, make_guideline(), reviews, draft=CRASH)


def test_a_saving_with_its_interval_and_the_anchoring(corpus: Corpus) -> None:
    fill(corpus, shown=50, blind=FEWEST_PER_ARM)
    found = compare(entries(Asked()))
    assert found.saving is not None
    assert found.saving.value == pytest.approx(1 / 3, abs=0.04)
    assert found.saving.low < 1 / 3 < found.saving.high
    assert (found.saving.without, found.saving.of, found.saving.people) == (FEWEST_PER_ARM, 50, 2)
    anchoring = {one.kind: one for one in found.anchoring}
    onset = anchoring[Kind.PRE_CRASH_LOCALIZATION]
    assert onset.blind == pytest.approx(0.75)  # half of the blind answers lie 0.5 s off, which agrees to 0.5
    assert onset.rise.value == pytest.approx(0.25, abs=0.01)
    assert onset.rise.low < 0.25 < onset.rise.high
    assert set(anchoring) == {"", Kind.PRE_CRASH_LOCALIZATION}  # where all are alike, nothing can be told
    assert found.words.startswith("The draft saves 3")
    assert "anchoring: agreement with the draft rises by 4 points" in found.words


def test_no_saving_without_enough_of_a_control(corpus: Corpus) -> None:
    fill(corpus, shown=50, blind=FEWEST_PER_ARM - 2)
    found = compare(entries(Asked()))
    assert (found.saving, found.anchoring) == (None, [])
    (lacking,) = found.missing
    assert (lacking.have, lacking.need) == (FEWEST_PER_ARM - 2, FEWEST_PER_ARM)
    assert "blind cases" in lacking.what
    assert found.words.startswith(f"No saving can be told yet: {FEWEST_PER_ARM - 2} of {FEWEST_PER_ARM} ")


def test_nothing_at_all_says_what_is_missing() -> None:
    found = compare([])
    assert found.saving is None
    assert [one.need for one in found.missing] == [
        FEWEST_PER_ARM, FEWEST_PER_ARM, FEWEST_RECORDINGS, FEWEST_RECORDINGS,
    ]  # fmt: skip


def test_times_that_nobody_measured_make_no_saving(corpus: Corpus) -> None:
    guideline, person = make_guideline(), make_user()
    for number in range(4):
        submit(drawn_case(corpus, guideline, blind=number < 2), person, blind=number < 2)
    found = compare(entries(Asked()))
    assert (found.blind_reviews, found.unmeasured_blind, found.unmeasured_model) == (2, 2, 2)
    assert found.missing[0].have == 0
