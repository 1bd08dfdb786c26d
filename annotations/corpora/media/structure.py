"""What a container's outer structure says, read without decoding: where the index lies and whether the end
is missing.

Formats: ISO base media (MP4, MOV) boxes, ISO/IEC 14496-12 section 4.2; RIFF (AVI) chunk sizes.
"""

import struct
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Structure:
    """`kind`: "iso", "riff" or "other". `faststart`: the index precedes the media data (False for other
    kinds).
    `missing_bytes`: how much the file is shorter than it says. `has_index`: an ISO file has its `moov` box
    (True for other kinds)."""

    kind: str
    faststart: bool
    has_index: bool
    missing_bytes: int


def read_structure(path: Path) -> Structure:
    """Walk the top-level boxes of `path`. OSError when it cannot be read; odd bytes are never an error."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return _read_iso(file.fileno(), size)
    if head[:4] == b"RIFF" and len(head) >= 8:
        declared: int = 8 + struct.unpack("<I", head[4:8])[0]
        # Writers that never seek back leave 0 or 0xFFFFFFFF; files over 1 GiB go on in further RIFF chunks.
        known = declared not in (8, 8 + 0xFFFFFFFF)
        return Structure("riff", False, True, max(0, declared - size) if known else 0)
    return Structure("other", False, True, 0)


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
