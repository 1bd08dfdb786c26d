"""The picture size under a token budget; free of torch, so that the frame-reading child can use it."""

import math

PATCH = 14
MERGE = 2
MIN_TOKENS = 16


def target_size(
    height: int, width: int, frame_count: int, *, max_tokens: int, min_tokens: int = MIN_TOKENS
) -> tuple[int, int]:
    """Height and width (pixels) each frame is resized to, as VideoLLaMA3's own image processor computes them.

    One visual token covers a square of PATCH*MERGE pixels.  `max_tokens` is the budget of the whole clip,
    `min_tokens` the floor of each frame (the floor wins where they conflict, as in the original).
    """
    if min(height, width, frame_count, max_tokens) < 1:
        raise ValueError(f"cannot size {frame_count} frames of {width}x{height} under {max_tokens} tokens")
    side = PATCH * MERGE
    floor, ceiling = min_tokens * side**2, max_tokens * side**2 // frame_count
    rows, columns = round(height / side) * side, round(width / side) * side
    if rows * columns > ceiling:
        shrink = math.sqrt(height * width / ceiling)
        rows, columns = (math.floor(x / shrink / side) * side for x in (height, width))
    if rows * columns < floor:
        grow = math.sqrt(floor / (height * width))
        rows, columns = (math.ceil(x * grow / side) * side for x in (height, width))
    return rows, columns
