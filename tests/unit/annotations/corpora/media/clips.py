"""Writes small clips whose every frame shows its own number, so that tests can read which frame they see."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

BITS = 10
BAR = 16
WIDTH, HEIGHT = BITS * BAR, 128


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """RGB [height, width, 3]: bit b of `number` is bar b, white for 1."""
    bits = (number >> np.arange(BITS)) & 1
    row = np.repeat(bits * 255, BAR).astype(np.uint8)
    image = np.full((height, width, 3), 128, dtype=np.uint8)
    image[: min(height, HEIGHT), : min(width, WIDTH)] = row[None, : min(width, WIDTH), None]
    return image


def number_shown(frame: VideoFrame) -> int:
    """The number that `picture` drew, read back from a decoded frame."""
    gray = frame.to_ndarray(format="gray")[: HEIGHT // 2, :WIDTH].mean(axis=0)
    bits = gray.reshape(BITS, BAR).mean(axis=1) > 127
    return int((bits << np.arange(BITS)).sum())


def numbers_shown(path: Path) -> list[int]:
    """Numbers of all frames of a file, in presentation order."""
    with av.open(str(path)) as container:
        return [number_shown(frame) for frame in container.decode(video=0)]


def write_clip(
    path: Path,
    ticks: Sequence[int],
    time_base: Fraction,
    *,
    container: str = "mp4",
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    b_frames: int = 0,
    faststart: bool = False,
    audio_s: float = 0.0,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    rate: Fraction = Fraction(30),
) -> Path:
    """Frame k shows k and is presented at ticks[k] * time_base; the last one lasts 1/rate."""
    options = {"movflags": "+faststart"} if faststart else {}
    with av.open(str(path), "w", format=container, options=options) as target:
        stream = target.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = pix_fmt
        stream.time_base = time_base
        stream.codec_context.time_base = time_base
        stream.codec_context.gop_size = gop
        if codec == "libx264":
            stream.codec_context.max_b_frames = b_frames
            adapt = {"b-adapt": "0", "sc_threshold": "0"} if b_frames else {}
            stream.options = {"preset": "veryfast", "threads": "1", "crf": "20"} | adapt
        sound = target.add_stream("aac", rate=16_000, layout="mono") if audio_s else None
        for number, tick in enumerate(ticks):
            frame = VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = tick, time_base
            target.mux(stream.encode(frame.reformat(format=pix_fmt)))
        target.mux(stream.encode(None))
        if sound is not None:
            for index in range(int(audio_s * 16_000) // 1024):
                silence = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
                )
                silence.sample_rate, silence.pts = 16_000, index * 1024
                target.mux(sound.encode(silence))
            target.mux(sound.encode(None))
    return path


def constant_clip(path: Path, frames: int = 40, fps: Fraction = Fraction(30), **options: object) -> Path:
    """A constant-rate clip: ticks of 1/fps."""
    return write_clip(path, range(frames), 1 / fps, rate=fps, **options)  # type: ignore[arg-type]


def rotate_tag(path: Path, degrees: int) -> None:
    """Overwrite the display matrix of the first video track header of an MP4 (0 or 90 degrees clockwise)."""
    data = bytearray(path.read_bytes())
    one, minus = (0x10000).to_bytes(4, "big"), (-0x10000).to_bytes(4, "big", signed=True)
    zero, w = bytes(4), (0x40000000).to_bytes(4, "big")
    identity = one + zero * 3 + one + zero * 3 + w
    turned = zero + one + zero + minus + zero * 4 + w
    header = data.index(b"tkhd")
    place = data.index(identity, header)
    data[place : place + 36] = {0: identity, 90: turned}[degrees]
    path.write_bytes(bytes(data))
