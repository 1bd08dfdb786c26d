"""The scripted reviewer's regions say exactly the truth."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.media.timemap import ProxyMap, TimeMap
from annotations.labelstudio.conversion import from_regions
from crashdesk.demo.truth import corrected, frame_of
from tests.factories import CRASH, NO_CRASH

RATES = [Fraction(30), Fraction(25), Fraction(30000, 1001), Fraction(10)]


def as_truth(said: object) -> dict[str, dict[str, object]]:
    return {kind: {"state": what.state, "value": what.value} for kind, what in said.items()}  # type: ignore[attr-defined]


@given(st.integers(0, 2000), st.sampled_from(RATES))
def test_a_frames_own_time_is_that_frame(frame: int, fps: Fraction) -> None:
    assert frame_of(round(frame / fps * 1_000_000), fps) == frame + 1


def test_the_truth_is_read_back_as_it_is() -> None:
    fps = Fraction(30)
    frames = ProxyMap(TimeMap.constant(150, fps), fps, 150)
    for said in (CRASH, NO_CRASH):
        reading = from_regions(corrected(as_truth(said), fps), drafts={}, frames=frames)
        assert reading.unread == []
        assert reading.said == dict(said)
