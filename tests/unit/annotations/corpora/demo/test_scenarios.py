"""Ground truth of the demo scenes, checked against the tracks themselves."""

import random

import numpy as np
import pytest

from annotations.corpora.demo.motion import CONTACT_M, Track, gap
from annotations.corpora.demo.scenarios import (
    CRASH,
    DASHCAM_ROLES,
    NEAR_MISS,
    UNEVENTFUL,
    WITNESSED_ROLES,
    Role,
    Scene,
    Truth,
    simulate,
)

CASES = [(role, True) for role in DASHCAM_ROLES] + [(role, False) for role in WITNESSED_ROLES]
RATES = (10.0, 25.0, 30000 / 1001)


def _scenes(role: Role, outcome: str, witness: bool) -> list[tuple[np.ndarray, Scene]]:
    scenes = []
    for seed, fps in enumerate(RATES):
        times = np.arange(int(5 * fps)) / fps
        scenes.append(
            (times, simulate(role, outcome, times, random.Random(f"{seed}{role}"), witness=witness))
        )
    return scenes


def _steady(track: Track, times: np.ndarray, until: int) -> bool:
    """Whether the body moves straight at one speed, without braking, up to and including frame `until`."""
    steps = np.diff(times[: until + 1])
    return (
        np.ptp(np.diff(track.x[: until + 1]) / steps) < 1e-6
        and np.ptp(np.diff(track.y[: until + 1]) / steps) < 1e-6
        and np.ptp(track.heading[: until + 1]) < 1e-9
        and not track.braking[: until + 1].any()
    )


@pytest.mark.parametrize(("role", "witness"), CASES, ids=str)
def test_crash_frames_are_exact(role: Role, witness: bool) -> None:
    for times, scene in _scenes(role, CRASH, witness):
        truth, (subject, target) = scene.truth, scene.tracks[:2]
        assert truth.onset is not None
        assert truth.start is not None
        assert truth.end is not None
        assert 0 < truth.onset <= truth.start < truth.end < times.size
        apart = gap(subject, target)
        assert (apart[: truth.start] > CONTACT_M).all()
        assert apart[truth.start] <= CONTACT_M
        both = (subject, target)
        assert all(_steady(track, times, truth.onset - 1) for track in both)
        assert not all(_steady(track, times, truth.onset) for track in both)
        assert max(track.first_still() for track in both) == truth.end


@pytest.mark.parametrize("outcome", [NEAR_MISS, UNEVENTFUL])
@pytest.mark.parametrize(("role", "witness"), CASES, ids=str)
def test_nobody_touches_without_a_crash(role: Role, witness: bool, outcome: str) -> None:
    for _, scene in _scenes(role, outcome, witness):
        assert scene.truth == Truth()
        for index, a in enumerate(scene.tracks):
            for b in scene.tracks[index + 1 :]:
                assert float(gap(a, b).min()) > 0


def test_a_near_miss_is_nearer_than_an_uneventful_clip() -> None:
    role = Role("step_out", "car", "pedestrian")
    near = [float(np.min(gap(*scene.tracks[:2]))) for _, scene in _scenes(role, NEAR_MISS, False)]
    assert max(near) < 4.0


def test_a_dashcam_scene_has_one_camera_car() -> None:
    for role in DASHCAM_ROLES:
        for _, scene in _scenes(role, CRASH, True):
            assert sum(track.ego for track in scene.tracks) == 1


def test_the_same_seed_gives_the_same_scene() -> None:
    times = np.arange(150) / 30
    one, two = (simulate(WITNESSED_ROLES[0], CRASH, times, random.Random(3)) for _ in range(2))
    assert one.truth == two.truth
    assert all(np.array_equal(a.x, b.x) for a, b in zip(one.tracks, two.tracks, strict=True))
