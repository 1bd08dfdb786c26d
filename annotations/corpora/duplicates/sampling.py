"""Pictures of a clip at regular times, small and grey, without the bars around them. No Django: runs in the child."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from annotations.corpora.media.decode import DecodeLog, decode_frames, open_video
from annotations.corpora.media.findings import Code, Finding, MediaError, Severity
from annotations.corpora.media.timemap import TimeMap

STEP_US = 250_000
"""Time between two pictures. A trimmed copy's pictures then lie at most half of it beside the original's."""
MAX_PICTURES = 1200
"""Longer clips (over 5 minutes) are sampled at twice, four times … the step."""
SIDE = 256
"""Pictures are squeezed to a square: what a copy's aspect was does not matter."""

_BLACK, _WHITE = 28, 235
_BAR_SPREAD = 16
_MIN_BAR, _MAX_BAR = 0.02, 0.36
_UNEVEN = 0.05
_LOOKED_AT = 24

Pictures = npt.NDArray[np.uint8]


def step_for(duration_us: int) -> int:
    """Microseconds between two pictures of a clip that long: STEP_US, doubled until MAX_PICTURES suffice."""
    step = STEP_US
    while duration_us > step * MAX_PICTURES:
        step *= 2
    return step


def sample(path: Path, time_map: TimeMap) -> tuple[int, Pictures]:
    """(step in microseconds, uint8 [pictures, SIDE, SIDE]): picture k is what the clip shows at k * step.

    Upright, grey, 0 to 255. MediaError corrupt when the file decodes to other frames than the time map has,
    and what `open_video` raises.
    """
    step = step_for(time_map.duration_us)
    instants = np.arange(0, time_map.duration_us, step, dtype=np.int64)
    shown = np.maximum(np.searchsorted(time_map.times_us, instants, side="right") - 1, 0)
    wanted = set(shown.tolist())
    seen: dict[int, Pictures] = {}
    log = DecodeLog()
    with open_video(path) as (container, stream):
        for index, frame in enumerate(decode_frames(container, stream, log)):
            if index in wanted:
                small = frame.reformat(width=SIDE, height=SIDE, format="gray", interpolation="AREA")
                seen[index] = np.rot90(small.to_ndarray(), log.rotation // 90)
    if log.frames != len(time_map):
        message = f"{path.name} decodes to {log.frames} frames, its time map has {len(time_map)}"
        data: dict[str, int | float | str] = {"frames": log.frames, "expected": len(time_map)}
        raise MediaError(Finding(Code.CORRUPT, Severity.ERROR, message, data))
    return step, np.stack([seen[index] for index in shown.tolist()])


def without_bars(pictures: Pictures) -> Pictures:
    """The pictures [n, h, w] cut to what lies between black or white bars, the same cut for all of them.

    Bars come in pairs, as players and editors make them: left and right, or above and below, about equally wide
    and plain in every picture. A plain sky or a dark verge on one side is no bar. Bars inside bars are cut too, once.
    """
    for _ in range(2):
        looked_at = pictures[:: max(1, len(pictures) // _LOOKED_AT)]
        top, bottom = _kept(looked_at)
        left, right = _kept(looked_at.transpose(0, 2, 1))
        pictures = pictures[:, top:bottom, left:right]
    return pictures


def _kept(pictures: Pictures) -> tuple[int, int]:
    """(first, end) of the rows between the bars; all rows where there are none."""
    low, high = np.percentile(pictures, [3, 97], axis=2)
    plain = high - low <= _BAR_SPREAD
    rows = pictures.shape[1]
    for bar in ((plain & (high <= _BLACK)).all(axis=0), (plain & (low >= _WHITE)).all(axis=0)):
        widths = [rows if side.all() else int(np.argmin(side)) for side in (bar, bar[::-1])]
        fair = _MIN_BAR * rows <= min(widths) and max(widths) <= _MAX_BAR * rows
        if fair and abs(widths[0] - widths[1]) <= _UNEVEN * rows:
            return widths[0] + 1, rows - widths[1] - 1  # the border itself is blurred
    return 0, rows
