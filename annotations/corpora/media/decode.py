"""The one way CrashDesk opens and decodes a clip: so that frame k means the same picture everywhere."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from annotations.corpora.media.findings import Code, Finding, MediaError, Severity

# Only media containers that hold a moving picture, only local files: playlists, concatenation scripts and
# text "animations" are demuxers too, and some of them open other files or addresses.
_FORMATS = (
    "mov,avi,matroska,webm,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,h264,hevc,ivf,mjpeg,m4v,mxf,nut,apng,dv"
)
_OPEN_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
_DECODER_THREADS = 2

MAX_PIXELS = 8192 * 8192
"""Largest picture that is decoded; a bigger claim in a header is refused before memory is asked for."""

MAX_RATE = 10_000
"""More frames per second than this are no camera's."""

_IDR = 5
_DECODER_OPTIONS = {"err_detect": "explode", "max_pixels": str(MAX_PIXELS)}


@dataclass
class DecodeLog:
    """What a decode pass met.

    `packets`: (pts, key frame) of each packet to be shown, file order. `discarded`: count of those that are not (an
    edit list has them decoded for others' sake only, or they lean on what was cut off). `starts_with_key`: of all
    packets. `frames`: count of pictures out. `frame_ticks`: their pts, output order. `errors`: packets that failed.
    """

    packets: list[tuple[int | None, bool]] = field(default_factory=list)
    frame_ticks: list[int | None] = field(default_factory=list)
    frames: int = 0
    errors: int = 0
    damaged_frames: int = 0
    last_frame_ticks: int = 0
    out_of_order: bool = False
    rotation: int = 0
    first_error: str = ""
    first_bad_packet: int = -1
    empty_packets: int = 0
    discarded: int = 0
    starts_with_key: bool = False

    @property
    def flawless(self) -> bool:
        """Nothing was damaged, skipped or out of order."""
        return not (self.errors or self.damaged_frames or self.out_of_order)


def open_container(path: Path) -> InputContainer:
    """The container. MediaError zero_byte or not_a_video; MemoryError when its index needs more than there is."""
    if path.stat().st_size == 0:
        raise MediaError(Finding(Code.ZERO_BYTE, Severity.ERROR, f"{path.name} is empty (0 bytes)"))
    try:
        return av.open(f"file:{path}", options=dict(_OPEN_OPTIONS), metadata_errors="replace")
    except av.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise
        message = f"{path.name} is not a video that can be opened: {error.strerror}"
        raise MediaError(Finding(Code.NOT_A_VIDEO, Severity.ERROR, message)) from error


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its first video stream (cover pictures apart).

    MediaError with zero_byte, not_a_video, truncated (an index that should be there is not),
    no_video_stream or absurd_size.
    """
    with open_container(path) as container:
        stream = next((s for s in container.streams.video if not _is_cover(s)), None)
        if stream is None:
            message = f"{path.name} holds no moving picture ({len(container.streams)} other streams)"
            raise MediaError(Finding(Code.NO_VIDEO_STREAM, Severity.ERROR, message))
        _refuse_absurd_size(path, stream)
        yield container, stream


def decode_frames(container: InputContainer, stream: VideoStream, log: DecodeLog) -> Iterator[VideoFrame]:
    """Every picture of `stream` in presentation order; packets that fail are counted in `log` and skipped.

    Errors that the decoder would hide (it paints over damage) are errors here: pictures from damaged data are
    counted and not handed out.
    """
    stream.codec_context.options = dict(_DECODER_OPTIONS)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = _DECODER_THREADS
    for packet in _packets(container, stream, log):
        index = len(log.packets)
        _note_packet(log, packet)
        if packet.is_corrupt:
            _note_error(log, index, "packet flagged as damaged")
            continue
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            _note_error(log, index, error)
            continue
        yield from _sound(frames, log)
    while True:
        try:
            frames = stream.codec_context.decode(None)
        except av.error.EOFError:
            return
        except av.FFmpegError as error:
            _note_error(log, len(log.packets), error)
            if log.errors > len(log.packets) + 64:
                return
            continue
        yield from _sound(frames, log)
        return


def read_packets(container: InputContainer, stream: VideoStream, log: DecodeLog) -> VideoFrame | None:
    """Note every packet of `stream` in `log` as `decode_frames` does, decoding no more than the first picture.

    Returns that picture (its pts and turning tell whether packets can speak for pictures), or None when no
    packet gave one. `log.frame_ticks` stays empty; `log.last_frame_ticks` is the last shown packet's duration.
    """
    context = stream.codec_context
    context.options = dict(_DECODER_OPTIONS)
    context.thread_count = 1
    first: VideoFrame | None = None
    last = None
    for packet in _packets(container, stream, log):
        _note_packet(log, packet)
        if not packet.is_discard and packet.pts is not None and (last is None or packet.pts > last):
            last, log.last_frame_ticks = packet.pts, packet.duration or 0
        if packet.is_corrupt:
            _note_error(log, len(log.packets) - 1, "packet flagged as damaged")
        elif first is None and not log.errors:
            first = _first_picture(log, context, packet)
    if first is None and not log.errors:
        first = _first_picture(log, context, None)
    return first


def _first_picture(
    log: DecodeLog, context: "av.VideoCodecContext", packet: "av.packet.Packet[VideoStream] | None"
) -> VideoFrame | None:
    try:
        frames = context.decode(packet)
    except av.FFmpegError as error:
        _note_error(log, len(log.packets) - 1, error)
        return None
    return next(iter(frames), None)


def _packets(
    container: InputContainer, stream: VideoStream, log: DecodeLog
) -> Iterator["av.packet.Packet[VideoStream]"]:
    """The packets with data, but for those of H.264 pictures that no decoder can make.

    A recording cut within an open group of pictures starts with a key frame that is no IDR picture; what follows it
    but is shown before it refers to pictures that were cut off (ITU-T H.264, D.2.8, recovery point). FFmpeg's decoder,
    told to take errors seriously, would refuse everything after them; HEVC's decoder leaves out its own kind.
    """
    packets = container.demux(stream)
    seen = 0
    shown_from: int | None = None  # while set: packets shown earlier cannot be decoded
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError as error:
            _note_error(log, len(log.packets), error)
            return
        if packet.size:
            seen += 1
            if seen == 1 and packet.is_keyframe and stream.codec_context.name == "h264":
                idr = holds_idr(bytes(packet), stream.codec_context.extradata or b"")
                shown_from = None if idr else packet.pts
            elif packet.is_keyframe:
                shown_from = None
            elif shown_from is not None and packet.pts is not None and packet.pts < shown_from:
                log.discarded += 1
                continue
            yield packet
        elif packet.dts is not None:  # AVI's "same picture again"; without times it is the flush at the end
            log.empty_packets += 1


def holds_idr(packet: bytes, extradata: bytes) -> bool:
    """Whether an H.264 packet holds a slice of an IDR picture (NAL unit type 5; ITU-T H.264, 7.4.1).

    `extradata`: the stream's; with an avcC record (ISO/IEC 14496-15, 5.3.3.1) NAL units are preceded by their length,
    else by start codes.
    """
    if extradata[:1] != b"\1" or len(extradata) < 5:
        return any(unit[1][0] & 31 == _IDR for unit in re.finditer(rb"\x00\x00\x01(.)", packet, re.DOTALL))
    width, at = (extradata[4] & 3) + 1, 0
    while at + width < len(packet):
        if packet[at + width] & 31 == _IDR:
            return True
        at += width + int.from_bytes(packet[at : at + width], "big")
    return False


def _sound(frames: list[VideoFrame], log: DecodeLog) -> Iterator[VideoFrame]:
    for frame in frames:
        if frame.is_corrupt:
            log.damaged_frames += 1
            continue
        previous = log.frame_ticks[-1] if log.frame_ticks else None
        if frame.pts is not None and previous is not None and frame.pts <= previous:
            log.out_of_order = True
        log.frame_ticks.append(frame.pts)
        log.last_frame_ticks = frame.duration or 0
        if log.frames == 0:
            log.rotation = round(frame.rotation / 90) % 4 * 90
        log.frames += 1
        yield frame


def _note_packet(log: DecodeLog, packet: "av.packet.Packet[VideoStream]") -> None:
    if not log.packets and not log.discarded:
        log.starts_with_key = packet.is_keyframe
    if packet.is_discard:
        log.discarded += 1
    else:
        log.packets.append((packet.pts, packet.is_keyframe))


def _note_error(log: DecodeLog, packet: int, error: av.FFmpegError | str) -> None:
    if isinstance(error, MemoryError):  # not the file's fault: whoever set the limit hears of it
        raise error
    message = error if isinstance(error, str) else str(error.strerror)
    log.errors += 1
    if log.first_bad_packet < 0:
        log.first_bad_packet = packet
        log.first_error = message


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & stream.disposition.attached_pic)


def _refuse_absurd_size(path: Path, stream: VideoStream) -> None:
    rate = stream.average_rate or Fraction(0)
    refuse_absurd_size(path, stream.codec_context.width, stream.codec_context.height, rate)


def refuse_absurd_size(path: Path, width: int, height: int, rate: Fraction = Fraction(0)) -> None:
    """MediaError absurd_size when `path` claims larger or faster pictures than are decoded."""
    if width * height > MAX_PIXELS or rate > MAX_RATE:
        message = f"{path.name} claims pictures of {width} x {height}"
        if rate:
            message += f" at {float(rate):.0f} frames per second"
        data: dict[str, int | float | str] = {"width": width, "height": height, "fps": float(rate)}
        raise MediaError(Finding(Code.ABSURD_SIZE, Severity.ERROR, message, data))
