"""Source times become frames of the proxy on the server; the page only seeks to them."""

from fractions import Fraction

import numpy as np
import pytest

from annotations.cases.models import CaseStatus
from annotations.cases.services import drafts
from annotations.corpora.media.timemap import ProxyMap, TimeMap
from annotations.corpora.models import MediaState
from frontend.timeline import timeline
from tests import factories

pytestmark = pytest.mark.django_db


def test_spans_come_with_the_frames_of_the_proxy() -> None:
    media = factories.make_media(seconds=5, fps=Fraction(25))
    case = factories.make_case(CaseStatus.PREDICTED, video=factories.make_video(media=media))
    lane = timeline(media, drafts=drafts(case), human={}, approved={})
    assert lane["fps"] == {"num": 25, "den": 1}
    assert lane["frames"] == len(lane["frame_us"]) == 125
    assert lane["duration_us"] == 5_000_000
    model, human, approved = lane["rows"]
    assert model["span"] == {"start_us": 2_000_000, "end_us": 3_500_000, "start_frame": 50, "end_frame": 87}
    assert model["onset"] == {"at_us": 1_200_000, "frame": 30}
    assert human["span"] is approved["span"] is None


def test_variable_rate_frames_keep_their_own_times() -> None:
    times = TimeMap(np.array([0, 40_000, 200_000, 240_000], dtype=np.int64), 300_000)
    plan = ProxyMap.plan(times)
    media = factories.make_media(
        time_map=times.encode(), duration_us=times.duration_us, frame_count=4, proxy_fps_num=plan.fps.numerator,
        proxy_fps_den=plan.fps.denominator, proxy_frame_count=plan.frame_count,
    )  # fmt: skip
    lane = timeline(media, drafts={}, human={}, approved={})
    assert sorted(set(lane["frame_us"])) == [0, 40_000, 200_000, 240_000]
    assert len(lane["frame_us"]) == plan.frame_count


def test_without_media_the_scale_ends_at_the_latest_time() -> None:
    case = factories.make_case(CaseStatus.PREDICTED)
    lane = timeline(None, drafts=drafts(case), human={}, approved={})
    assert lane["fps"] is None
    assert lane["duration_us"] == 3_500_000


def test_unusable_media_have_nothing_to_play() -> None:
    media = factories.make_media(state=MediaState.UNUSABLE, proxy_name="", time_map=None)
    assert timeline(media, drafts={}, human={}, approved={})["fps"] is None
