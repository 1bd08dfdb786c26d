"""The second reader: decord, an independent ffmpeg, for files on which it is proven to be exact.

It hangs on MPEG-TS and returns wrong frames after edit lists and around open-GOP HEVC key frames, with right
time stamps: it cannot be caught afterwards, so it is refused beforehand.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import av
import numpy as np
from PIL import Image

from model_assist.crashchat.errors import UndecodableError
from model_assist.crashchat.frames_fit import Sheet, fit_picture, turns_of
from model_assist.crashchat.frames_index import SAMPLING_TOLERANCE_US, FrameIndex, video_stream

CHUNK: Final = 16
"""Full-size frames held at once."""


def decode_decord(path: str | Path, index: FrameIndex, chosen: list[int], sheet: Sheet) -> list[int]:
    """Fill `sheet` with the frames `chosen` and return them.

    Raises UndecodableError when decord is not installed, not proven to be exact on this file, or sees other frames
    or times than the packet index.
    """
    if index.doubts:
        raise UndecodableError(f"{path}: decord is not proven exact here: {'; '.join(index.doubts)}")
    if _is_turned(path):
        raise UndecodableError(f"{path}: decord is not proven exact here: the picture is to be rotated")
    if find_spec("decord") is None:
        raise UndecodableError(f"{path}: decord is not installed")
    import decord  # loads a second ffmpeg: only where it is used

    wanted = sorted(set(chosen))
    try:
        video = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        if len(video) != len(index.ticks):
            raise UndecodableError(f"{path}: decord sees {len(video)} frames, not {len(index.ticks)}")
        shown_us = video.get_frame_timestamp(range(len(video)))[:, 0].astype(np.float64) * 1e6
        if np.abs(shown_us - np.asarray(index.pts_us)).max() > SAMPLING_TOLERANCE_US * 5:
            raise UndecodableError(f"{path}: decord sees other frame times than the packets carry")
        for at in range(0, len(wanted), CHUNK):
            chunk = wanted[at : at + CHUNK]
            for i, rgb in zip(chunk, video.get_batch(chunk).asnumpy(), strict=True):
                sheet.accept(rgb.shape[1], rgb.shape[0])
                places = [place for place, index_of in enumerate(chosen) if index_of == i]
                assert sheet.pixels is not None  # accept() came first
                fit_picture(Image.fromarray(rgb), sheet.pixels[places[0]])
                sheet.pixels[places[1:]] = sheet.pixels[places[0]]
    except (decord.DECORDError, RuntimeError) as error:
        raise UndecodableError(f"{path}: decord fails: {str(error)[:200]}") from error
    return list(chosen)


def _is_turned(path: str | Path) -> bool:
    with av.open(str(path)) as container:
        for frame in container.decode(video_stream(container, path)):
            return turns_of(frame) != 0
    return False
