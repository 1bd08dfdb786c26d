"""What a container's outer structure says, read without decoding: where the index lies, whether the end is
missing, and how large its pictures are where decoders would only say "damaged" of too large ones.

Formats: EBML (Matroska, WebM) element sizes, RFC 8794 section 4; ISO base media (MP4, MOV) boxes, ISO/IEC
14496-12 section 4.2; RIFF (AVI) chunk sizes and its video's BITMAPINFOHEADER; GIF89a logical screen
descriptor, section 18.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

_HEAD = 4096
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


@dataclass(frozen=True)
class Structure:
    """`kind`: "iso", "riff", "gif", "ebml" or "other". `faststart`: the index precedes the media data (False for other
    kinds).
    `missing_bytes`: how much the file is shorter than it says. `has_index`: an ISO file has its `moov` box
    (True for other kinds). `picture_size`: width and height in pixels, of GIF and AVI; else (0, 0)."""

    kind: str
    faststart: bool
    has_index: bool
    missing_bytes: int
    picture_size: tuple[int, int] = (0, 0)


def read_structure(path: Path) -> Structure:
    """Walk the top-level boxes of `path`. OSError when it cannot be read; odd bytes are never an error."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return _read_iso(file.fileno(), size)
    if head[:4] == b"RIFF" and len(head) >= 8:
        declared: int = 8 + struct.unpack("<I", head[4:8])[0]
        # Writers that never seek back leave 0 or 0xFFFFFFFF; files over 1 GiB go on in further RIFF chunks.
        known = declared not in (8, 8 + 0xFFFFFFFF)
        missing = max(0, declared - size) if known else 0
        return Structure("riff", False, True, missing, _avi_size(head))
    if head[:4] == b"GIF8" and len(head) >= 10:
        width, height = struct.unpack_from("<HH", head, 6)
        return Structure("gif", False, True, 0, (width, height))
    if head[:4] == _EBML:
        return Structure("ebml", False, True, _ebml_missing(head, size))
    return Structure("other", False, True, 0)


def _avi_size(head: bytes) -> tuple[int, int]:
    form = head.find(b"strf", head.find(b"vids") + 1)
    if b"vids" not in head or form < 0 or len(head) < form + 20:
        return 0, 0
    width, height = struct.unpack_from("<ii", head, form + 12)
    return abs(width), abs(height)  # a negative height is a picture stored from the top


def _ebml_missing(head: bytes, size: int) -> int:
    """How much the segment, which holds everything after the header, lacks; 0 where its size was never written."""
    length, width = _ebml_size(head, 4)
    segment = 4 + width + length
    if head[segment : segment + 4] != _SEGMENT:
        return 0
    length, width = _ebml_size(head, segment + 4)
    unknown = length == (1 << 7 * width) - 1
    return 0 if unknown else max(0, segment + 4 + width + length - size)


def _ebml_size(data: bytes, at: int) -> tuple[int, int]:
    """(value, bytes taken) of the variable-size integer at `at`; its leading zero bits count its bytes."""
    first = data[at] if at < len(data) else 0x80
    width = 9 - first.bit_length()
    return int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1), width


def _read_iso(descriptor: int, size: int) -> Structure:
    offset, missing = 0, 0
    order: list[bytes] = []
    with open(descriptor, "rb", closefd=False) as file:
        while offset + 8 <= size:
            file.seek(offset)
            head = file.read(16)
            length, kind = struct.unpack(">I4s", head[:8])
            if length == 1 and len(head) == 16:
                length = struct.unpack(">Q", head[8:16])[0]
            elif length == 0:
                length = size - offset
            if length < 8:
                break
            order.append(kind)
            missing = max(0, offset + length - size)
            offset += length
    has_index = b"moov" in order
    faststart = has_index and (b"mdat" not in order or order.index(b"moov") < order.index(b"mdat"))
    return Structure("iso", faststart, has_index, missing)
