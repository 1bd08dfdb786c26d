"""Times of generated clips of every kind, from the file to the proxy's pictures and back: exact, each time."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.corpora.media.probe import probe, survey
from annotations.corpora.media.proxy import needs_proxy
from annotations.corpora.media.render import PROXY, render
from annotations.corpora.media.timemap import ProxyMap, TimeMap, ticks_to_us
from tests.unit.annotations.corpora.media.clips import numbers_shown, write_clip

RATES = [
    Fraction(60000, 1001),
    Fraction(30000, 1001),
    Fraction(10),
    Fraction(25, 2),
    Fraction(25),
    Fraction(30),
]
SUFFIXES = {"mp4": "mp4", "matroska": "mkv", "mpegts": "ts"}
CLOCK = Fraction(1, 90_000)


@dataclass(frozen=True)
class Recipe:
    """How a clip is written. `ticks`: when each picture is presented, in `time_base` on the file's clock."""

    ticks: tuple[int, ...]
    time_base: Fraction
    rate: Fraction
    container: str
    b_frames: int
    gop: int

    def times_us(self) -> list[int]:
        """What the time map must hold, computed apart from it."""
        first = self.ticks[0]
        if self.container == "matroska":  # stores whole milliseconds
            at = [(2 * tick * self.time_base * 1000 + 1) // 2 for tick in self.ticks]
            return [1000 * int(moment - at[0]) for moment in at]
        return [round((tick - first) * self.time_base * 1_000_000) for tick in self.ticks]


@st.composite
def constant_clips(draw: st.DrawFn) -> Recipe:
    fps = draw(st.sampled_from(RATES))
    start = draw(st.sampled_from([0, 0, 1, 7, 250]))
    count = draw(st.integers(2, 40))
    container = draw(st.sampled_from(["mp4", "mp4", "matroska"]))
    ticks = tuple(range(start, start + count))
    return Recipe(
        ticks, 1 / fps, fps, container, draw(st.sampled_from([0, 1, 3])), draw(st.sampled_from([1, 12, 250]))
    )


@st.composite
def variable_clips(draw: st.DrawFn) -> Recipe:
    container = draw(st.sampled_from(["mp4", "mp4", "mpegts"]))
    few = 10 if container == "mpegts" else 1  # FFmpeg opens no transport stream of under about 8 KiB
    gaps = draw(st.lists(st.integers(1_530, 40_000), min_size=few, max_size=16))  # 17 ms to 0.44 s
    ticks = [draw(st.sampled_from([0, 0, 1_234, 900_000]))]
    for gap in gaps:
        ticks.append(ticks[-1] + gap)
    return Recipe(tuple(ticks), CLOCK, Fraction(30), container, draw(st.sampled_from([0, 2])), 250)


def check(recipe: Recipe) -> TimeMap:
    """Everything that holds of any clip whose frame k shows the number k."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"clip.{SUFFIXES[recipe.container]}"
        write_clip(
            path, recipe.ticks, recipe.time_base, container=recipe.container, rate=recipe.rate, gop=recipe.gop,
            b_frames=recipe.b_frames,
        )  # fmt: skip
        clip = survey(path)
        times = clip.time_map
        assert clip.usable
        assert times is not None
        assert times.times_us.tolist() == recipe.times_us()
        assert probe(path).time_map == times
        if recipe.container == "mp4":
            start_us = ticks_to_us(recipe.ticks[0], recipe.time_base)
            assert 0 <= start_us - times.start_us < 1000  # an edit list counts in whole milliseconds
        made = render(path, Path(folder), clip)
        shown = Path(folder) / PROXY if made.proxy else path
        fps, count = (made.proxy.fps, made.proxy.frame_count) if made.proxy else (clip.fps, clip.frame_count)
        proxy = ProxyMap(times, fps, count)
        assert numbers_shown(shown) == proxy.source_frames.tolist()
        assert not needs_proxy(probe(shown))
    assert proxy.hidden_frames == 0
    for frame in range(len(times)):
        at = times.time_of(frame)
        assert proxy.source_frames[proxy.proxy_frame(at)] == frame
        assert proxy.source_us(proxy.proxy_frame(at)) == at
    for n in range(proxy.frame_count):
        assert proxy.source_frames[proxy.proxy_frame(proxy.source_us(n))] == proxy.source_frames[n]
    assert proxy.source_us(proxy.proxy_boundary(times.duration_us)) == times.duration_us
    return times


@settings(max_examples=12)
@given(constant_clips())
def test_clips_of_constant_rate(recipe: Recipe) -> None:
    times = check(recipe)
    assert ProxyMap.plan(times, declared=recipe.rate).one_to_one
    if len(times) >= 20:
        assert times.constant_rate(recipe.rate) == recipe.rate


@settings(max_examples=12)
@given(variable_clips())
def test_clips_of_variable_rate(recipe: Recipe) -> None:
    check(recipe)
