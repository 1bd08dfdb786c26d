"""Files that do harm, and how each must end. Made here: none is anybody's footage."""

import io
import random
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from annotations.corpora.media.findings import Code
from tests.unit.annotations.corpora.media.clips import constant_clip, picture, write_clip


@dataclass(frozen=True)
class Hostile:
    """`make` writes the file; `codes` must be among its findings; `usable` is how it must end."""

    name: str
    make: Callable[[Path], object]
    codes: frozenset[Code] = frozenset()
    usable: bool = False


def _bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _noise(size: int, seed: int = 5) -> bytes:
    return random.Random(seed).randbytes(size)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


FTYP = _box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")


def _cut(share: float, **options: object) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        constant_clip(path, 60, **options)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return make


def _patched(edit: Callable[[bytearray], object], **options: object) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        constant_clip(path, 60, faststart=True, **options)
        data = bytearray(path.read_bytes())
        edit(data)
        path.write_bytes(bytes(data))

    return make


def _zero_media(data: bytearray) -> None:
    start = data.index(b"mdat") + 4
    data[start:] = bytes(len(data) - start)


def _scratch(data: bytearray) -> None:
    start = data.index(b"mdat") + 4
    for place in range(start + (len(data) - start) // 4, len(data), 40):
        data[place] ^= 0x5A


def _stts(count: int, delta: int) -> Callable[[bytearray], object]:
    """Every frame of an MP4 lasts `delta` ticks, and there are `count` of them."""

    def edit(data: bytearray) -> None:
        place = data.index(b"stts") + 8
        assert struct.unpack_from(">I", data, place)[0] == 1
        struct.pack_into(">III", data, place, 1, count, delta)

    return edit


def _shuffle(data: bytearray) -> None:
    """Presentation times that go back and forth: every other composition offset is wrong by up to three frames."""
    place = data.index(b"ctts") + 8
    for entry in range(0, struct.unpack_from(">I", data, place)[0], 2):
        at = place + 8 + 8 * entry
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + 700 + 90 * entry % 800)


def _many_samples(data: bytearray) -> None:
    """10^9 samples of one byte each, in a file of a few kilobytes."""
    place = data.index(b"stsz") + 8
    struct.pack_into(">II", data, place, 1, 10**9)
    _stts(10**9, 512)(data)
    chunks = data.index(b"stsc") + 12
    struct.pack_into(">II", data, chunks, 1, 10**9)


def _sound_only(path: Path) -> None:
    with av.open(str(path), "w") as target:
        _add_silence(target)


def _add_silence(target: av.container.OutputContainer) -> None:
    sound = target.add_stream("aac", rate=16_000, layout="mono")
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
    frame.sample_rate = 16_000
    target.mux(sound.encode(frame))
    target.mux(sound.encode(None))


def _song_with_cover(path: Path) -> None:
    """An M4A with an attached picture: iTunes' `covr` atom."""
    _sound_only(path)
    image = io.BytesIO()
    Image.fromarray(picture(3)).save(image, format="JPEG")
    cover = _box(b"covr", _box(b"data", struct.pack(">II", 13, 0) + image.getvalue()))
    handler = _box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    meta = _box(b"udta", _box(b"meta", bytes(4) + handler + _box(b"ilst", cover)))
    data = bytearray(path.read_bytes())
    place = data.index(b"moov") - 4
    size = struct.unpack_from(">I", data, place)[0]
    struct.pack_into(">I", data, place, size + len(meta))
    data[place + size : place + size] = meta
    path.write_bytes(bytes(data))


def _no_pictures(path: Path) -> None:
    """A video stream with not one sample."""
    constant_clip(path, 3, faststart=True)
    data = bytearray(path.read_bytes())
    for box in (b"stsz", b"stts", b"stsc", b"stco", b"stss"):
        place = data.index(box) + 8
        struct.pack_into(">I", data, place + (4 if box == b"stsz" else 0), 0)
    path.write_bytes(bytes(data))


def _wide_gif(path: Path) -> None:
    constant_clip(path, 6, Fraction(10), container="gif", codec="gif", pix_fmt="rgb8")
    data = bytearray(path.read_bytes())
    struct.pack_into("<HH", data, 6, 30_000, 30_000)  # the logical screen
    path.write_bytes(bytes(data))


def _wide_avi(path: Path) -> None:
    write_clip(
        path, range(6), Fraction(1, 10), container="avi", codec="mjpeg", pix_fmt="yuvj420p", rate=Fraction(10)
    )
    data = bytearray(path.read_bytes())
    place = data.index(b"strf") + 8
    struct.pack_into("<ii", data, place + 4, 30_000, 30_000)  # BITMAPINFOHEADER
    for at in range(len(data) - 9):
        if data[at : at + 4] == b"\xff\xc0\x00\x11":
            struct.pack_into(">HH", data, at + 5, 30_000, 30_000)  # JPEG's own start of frame
    path.write_bytes(bytes(data))


def _joined(path: Path) -> None:
    """Two transport streams one after the other: the clock starts again half-way."""
    parts = []
    for index in range(2):
        part = path.with_name(f"{index}.{path.name}")
        constant_clip(part, 60, Fraction(25), container="mpegts")
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))


def _gap(path: Path) -> None:
    """A transport stream with a tenth of its packets missing from the middle."""
    constant_clip(path, 120, Fraction(25), container="mpegts", gop=12)
    data = path.read_bytes()
    count = len(data) // 188
    path.write_bytes(data[: count * 45 // 100 * 188] + data[count * 55 // 100 * 188 :])


def _negative_times(path: Path) -> None:
    """A transport stream whose clock wraps right after its start."""
    with av.open(
        str(path), "w", format="mpegts",
        options={"avoid_negative_ts": "disabled", "muxdelay": "0", "mpegts_copyts": "1"},
    ) as target:  # fmt: skip
        stream = target.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        stream.codec_context.max_b_frames = 0
        for number in range(60):
            frame = VideoFrame.from_ndarray(picture(number), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number - 20, Fraction(1, 25)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


def _growing(path: Path) -> None:
    """A stream whose pictures change size half-way."""
    parts = []
    for index, size in enumerate([(160, 128), (320, 256)]):
        part = path.with_name(f"{index}.{path.name}")
        ticks = range(index * 30, index * 30 + 30)
        write_clip(part, ticks, Fraction(1, 25), container="mpegts", size=size, rate=Fraction(25))
        parts.append(part.read_bytes())
        part.unlink()
    path.write_bytes(b"".join(parts))


def _zip(path: Path) -> None:
    inner = path.with_name("inner.mp4")
    constant_clip(inner, 5)
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(inner, "clip.mp4")
    inner.unlink()


def _still(form: str) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(picture(7)).save(path, format=form)


def _sparse(path: Path) -> None:
    """An MP4 that claims 8 GiB of media, most of them a hole in the file."""
    constant_clip(path, 20, faststart=True)
    data = bytearray(path.read_bytes())
    place = data.index(b"mdat") - 4
    with path.open("wb") as file:
        file.write(data[:place] + struct.pack(">I4sQ", 1, b"mdat", 8 * 1024**3))
        file.truncate(8 * 1024**3)


def _playlist(path: Path) -> None:
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")


def _tiny(path: Path) -> None:
    constant_clip(path, 9, size=(16, 16))


NOT, TRUNCATED, CORRUPT = Code.NOT_A_VIDEO, Code.TRUNCATED, Code.CORRUPT
JUMPS, NO_TIMES, ABSURD = Code.TIME_JUMPS, Code.NO_TIMESTAMPS, Code.ABSURD_SIZE


def _bad(name: str, make: Callable[[Path], object], *codes: Code) -> Hostile:
    return Hostile(name, make, frozenset(codes))


def _good(name: str, make: Callable[[Path], object], *codes: Code) -> Hostile:
    return Hostile(name, make, frozenset(codes), usable=True)


FILES = [
    _bad("zero_byte.mp4", _bytes(b""), Code.ZERO_BYTE),
    _bad("text.mp4", _bytes(b"dear diary, today a crash\n" * 99), NOT),
    _bad("one_byte.avi", _bytes(b"R"), NOT),
    _bad("noise.mp4", _bytes(_noise(50_000)), NOT),
    _bad("encrypted.mp4", _bytes(FTYP + _noise(50_000)), TRUNCATED),
    _bad("no_moov.mp4", _bytes(FTYP + _box(b"mdat", _noise(50_000))), TRUNCATED),
    _bad("noise_in_moov.mp4", _bytes(FTYP + _box(b"moov", _noise(9_000))), Code.NO_VIDEO_STREAM),
    _bad("archive.mp4", _zip, NOT),
    _bad("playlist.mp4", _playlist, NOT),
    _bad("cut_before_index.mp4", _cut(0.9), TRUNCATED),
    _bad("cut_in_index.mp4", _cut(0.2, faststart=True), TRUNCATED),
    _bad("cut_at_half.mp4", _cut(0.6, faststart=True), TRUNCATED),
    _good("cut_at_end.mp4", _cut(0.998, faststart=True), TRUNCATED),
    _bad("cut.avi", _cut(0.5, container="avi", codec="mpeg4"), TRUNCATED),
    _bad("scratched.mp4", _patched(_scratch, gop=250), CORRUPT),
    _bad("zeros_for_media.mp4", _patched(_zero_media), CORRUPT),
    _bad("sound_only.mp4", _sound_only, Code.NO_VIDEO_STREAM),
    _bad("cover.m4a", _song_with_cover, Code.NO_VIDEO_STREAM),
    _bad("no_pictures.mp4", _no_pictures, CORRUPT),
    _bad("wide.gif", _wide_gif, ABSURD),
    _bad("wide.avi", _wide_avi, ABSURD),
    _bad("long.mp4", _patched(_stts(60, 0x7FFFFFF0)), ABSURD),
    _bad("fast.mp4", _patched(_stts(60, 1)), ABSURD),
    _bad("many_samples.mp4", _patched(_many_samples), CORRUPT),
    _bad("sparse.mp4", _sparse, CORRUPT),
    _bad("cut.mkv", _cut(0.3, container="matroska"), TRUNCATED),
    _bad("cut.ts", _cut(0.01, container="mpegts"), NOT),
    _bad("still.jpg", _still("JPEG"), NOT),
    _bad("still.png", _still("PNG"), NOT),
    _good("same_time.mp4", _patched(_stts(60, 0)), NO_TIMES),
    _bad("negative_steps.mp4", _patched(_stts(60, 0xFFFFFE00)), ABSURD),
    _good("backwards.mp4", _patched(_shuffle, b_frames=2), Code.VARIABLE_FRAME_RATE),
    _good("joined.ts", _joined, JUMPS),
    _good("gap.ts", _gap, CORRUPT),
    _good("negative.ts", _negative_times, Code.OFFSET_START),
    _good("growing.ts", _growing, CORRUPT),
    _good("one_frame.mp4", lambda path: constant_clip(path, 1)),
    _good("moving.gif", lambda path: constant_clip(
        path, 12, Fraction(10), container="gif", codec="gif", pix_fmt="rgb8")),
    _good("tiny.mp4", _tiny, Code.TOO_SMALL),
]  # fmt: skip
