"""Reads everything CrashDesk needs to know about a clip: `probe` by decoding all of it, `survey` from its packets.

A header can promise what the data does not hold, so nothing is believed for good that was not decoded. `survey`
is many times faster and says the same of every sound clip; what it says holds once `render`, which decodes the
clip for its proxy anyway, has met exactly these pictures. Where packets cannot speak for pictures (damage,
missing, doubled or unordered times, fields, pictures before the first key frame) `survey` decodes after all.
The result is either a `Probe` with a time map, or a `Probe` whose findings hold an error that says why there is
none.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from annotations.corpora.media.decode import (
    MAX_RATE,
    DecodeLog,
    decode_frames,
    open_video,
    read_packets,
    refuse_absurd_size,
)
from annotations.corpora.media.findings import Code, Finding, MediaError, Severity
from annotations.corpora.media.structure import Structure, read_structure
from annotations.corpora.media.timemap import MICROSECONDS, TimeMap, ticks_to_us

TOLERATED_LOSS = 0.02
"""Share of frames that may be damaged or missing before the finding is an error instead of a warning."""

SMALL_SIDE = 128
"""Below this many pixels on the short side a clip shows too little to judge."""

_NEVER_REORDERED = frozenset(
    {"mjpeg", "rawvideo", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "png", "huffyuv", "ffv1", "dvvideo"}
)
_JUMP_S = 1
_AUDIO_SLACK_US = 100_000
_MAX_DURATION_US = 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class Probe:
    """What a clip is. Without a time map (`usable` false) all but `findings` and `size_bytes` may be
    defaults.

    `width`, `height`: as displayed, square pixels, after `rotation` (degrees, multiple of 90,
    counter-clockwise as stored). `fps`: the constant rate, or frames/duration. `start_us`: first frame on
    the file's clock.
    `gop_max`: most frames from one key frame to the next. `faststart`: MP4 whose index comes first.
    `audio_codec`: of the first sound track. `audio_end_us`: when the last sound ends, after the first picture.
    `trimmed`: some of its pictures are not shown, by an edit list or because the recording was cut within their group.
    `decoded`: every picture was decoded; else the times are those of the packets, to be confirmed by `render`.
    """

    size_bytes: int
    container: str = ""
    codec: str = ""
    profile: str = ""
    pix_fmt: str = ""
    width: int = 0
    height: int = 0
    rotation: int = 0
    frame_count: int = 0
    fps: Fraction = Fraction(0)
    declared_fps: Fraction | None = None
    variable_rate: bool = False
    duration_us: int = 0
    start_us: int = 0
    gop_max: int = 0
    has_b_frames: bool = False
    faststart: bool = False
    has_audio: bool = False
    audio_codec: str = ""
    audio_duration_us: int = 0
    audio_end_us: int = 0
    trimmed: bool = False
    time_map: TimeMap | None = None
    decoded: bool = False
    findings: tuple[Finding, ...] = field(default=())

    @property
    def usable(self) -> bool:
        """A time map exists and no finding is an error."""
        return self.time_map is not None and not any(f.severity is Severity.ERROR for f in self.findings)

    @property
    def codes(self) -> frozenset[Code]:
        """Names of all findings."""
        return frozenset(finding.code for finding in self.findings)


def probe(path: Path) -> Probe:
    """Decode `path` once and report. Never raises for what is wrong with the file; OSError if it cannot be
    read.

    May hang or crash on hostile bytes: run it through `isolate` for files from outside.
    """
    log = DecodeLog()
    return _examine(
        path, log, lambda container, stream: deque(decode_frames(container, stream, log), maxlen=0)
    )


def survey(path: Path) -> Probe:
    """What `probe` reports, from the packets of `path` where these can speak for its pictures; else `probe` itself.

    Raises and may hang as `probe`. See `Probe.decoded`.
    """
    log = DecodeLog()
    sure = False

    def read(container: InputContainer, stream: VideoStream) -> None:
        nonlocal sure
        first = read_packets(container, stream, log)
        sure = first is not None and _packets_speak(log, first, stream)
        if first is not None and sure:
            log.frame_ticks.extend(sorted(tick for tick, _ in log.packets if tick is not None))
            log.frames = len(log.frame_ticks)
            log.rotation = round(first.rotation / 90) % 4 * 90

    seen = _examine(path, log, read)
    if log.packets and not (sure and seen.codes.isdisjoint({Code.CORRUPT, Code.TRUNCATED})):
        return probe(path)
    return replace(seen, decoded=False)


def _packets_speak(log: DecodeLog, first: VideoFrame, stream: VideoStream) -> bool:
    """Whether each packet is one picture, shown at the packet's time."""
    ticks = {tick for tick, _ in log.packets}
    reordering = stream.codec_context.name not in _NEVER_REORDERED
    return (
        log.flawless
        and not (reordering and stream.container.format.name == "avi")  # AVI stores no presentation times
        and not log.empty_packets
        and None not in ticks
        and len(ticks) == len(log.packets)
        and first.pts == min(tick for tick in ticks if tick is not None)
        and not first.interlaced_frame
        and log.starts_with_key
        and (first.width, first.height) == (stream.codec_context.width, stream.codec_context.height)
    )


def _examine(path: Path, log: DecodeLog, read: Callable[[InputContainer, VideoStream], object]) -> Probe:
    size = path.stat().st_size
    structure = read_structure(path)
    try:
        refuse_absurd_size(path, *structure.picture_size)
        with open_video(path) as (container, stream):
            described = _describe(Probe(size_bytes=size, decoded=True), container, stream, structure)
            # Of MP4 the samples that its edit lists leave, of which some are only decoded for others' sake.
            declared_frames = len(stream.index_entries) if structure.kind == "iso" else int(stream.frames)
            audio_us, audio_end_us = _audio_span_us(container)
            time_base = stream.time_base or Fraction(1, 90_000)
            read(container, stream)
    except MediaError as error:
        return Probe(size_bytes=size, findings=(_named_by_structure(path, error.finding, structure),))
    findings = _damage(path, log, structure, declared_frames)
    if log.frames == 0:
        return replace(described, findings=tuple(findings))
    time_map, no_times = times_of(log, time_base, described.declared_fps)
    if no_times is not None:
        findings.append(no_times)
    if (
        time_map.duration_us > _MAX_DURATION_US
        or time_map.duration_us * MAX_RATE < len(time_map) * MICROSECONDS
    ):
        hours, frames = time_map.duration_us / 3.6e9, len(time_map)
        message = f"{path.name} claims to show {frames} frames in {hours:.6g} hours"
        data: dict[str, int | float | str] = {"duration_us": time_map.duration_us, "frames": frames}
        findings.append(Finding(Code.ABSURD_SIZE, Severity.ERROR, message, data))
        return replace(described, findings=tuple(findings))
    constant = time_map.constant_rate(described.declared_fps)
    turned = log.rotation in (90, 270)
    result = replace(
        described,
        width=described.height if turned else described.width,
        height=described.width if turned else described.height,
        rotation=log.rotation,
        frame_count=len(time_map),
        fps=constant or time_map.average_rate(),
        variable_rate=constant is None and len(time_map) > 1,
        duration_us=time_map.duration_us,
        start_us=time_map.start_us,
        gop_max=_longest_gop(log),
        has_b_frames=described.has_b_frames or _reordered(log),
        audio_duration_us=audio_us,
        trimmed=log.discarded > 0,
        audio_end_us=audio_end_us - time_map.start_us,
        time_map=time_map,
    )
    if not any(finding.severity is Severity.ERROR for finding in findings):
        findings += _remarks(path, result)  # of a broken file they would describe the damage
    return replace(result, findings=tuple(findings))


def _describe(base: Probe, container: InputContainer, stream: VideoStream, structure: Structure) -> Probe:
    context = stream.codec_context
    aspect = context.sample_aspect_ratio or Fraction(1)
    width = context.width if aspect <= 0 else max(1, round(context.width * aspect))
    return replace(
        base,
        container=container.format.name,
        codec=context.name,
        profile=str(context.profile or ""),
        pix_fmt=context.pix_fmt or "",
        width=width,
        height=context.height,
        declared_fps=stream.average_rate or stream.base_rate,
        has_b_frames=bool(context.has_b_frames),
        faststart=structure.faststart,
        has_audio=bool(container.streams.audio),
        audio_codec=next((audio.codec_context.name for audio in container.streams.audio), ""),
    )


def _audio_span_us(container: InputContainer) -> tuple[int, int]:
    """How long the longest sound track is, and when the last one ends on the file's clock."""
    spans = [
        (ticks_to_us(audio.start_time or 0, audio.time_base), ticks_to_us(audio.duration, audio.time_base))
        for audio in container.streams.audio
        if audio.duration and audio.time_base
    ]
    longest = max((length for _, length in spans), default=0)
    return longest, max((start + length for start, length in spans), default=0)


def _named_by_structure(path: Path, finding: Finding, structure: Structure) -> Finding:
    """A file that is shorter than it says, or an MP4 without its index, was cut off while being written or copied; say
    that rather than "not a video"."""
    if finding.code is not Code.NOT_A_VIDEO or (structure.has_index and not structure.missing_bytes):
        return finding
    where = "within" if structure.has_index else "before"
    message = (
        f"{path.name} breaks off {where} its index (moov box): the recording or the copy was not finished"
        if structure.kind == "iso"
        else f"{path.name} breaks off: the recording or the copy was not finished"
    )
    return Finding(Code.TRUNCATED, Severity.ERROR, message, {"missing_bytes": structure.missing_bytes})


def _damage(path: Path, log: DecodeLog, structure: Structure, declared: int) -> list[Finding]:
    """Findings on lost data, from what decoding met and what the container promised.

    `declared`: samples that the container promises, those that are only decoded for others' sake included; 0: none.
    """
    findings: list[Finding] = []
    packets, promised = len(log.packets), max(0, declared - log.discarded)
    missing, size = structure.missing_bytes, path.stat().st_size
    cut_off = missing > 0 or (structure.kind == "iso" and packets < promised)
    if cut_off:
        share = max((promised - log.frames) / promised, 0) if promised else missing / (missing + size)
        there = f"{log.frames} of {promised} frames" if promised else f"{size} of {missing + size} bytes"
        message = f"{path.name} breaks off: {there} are there"
        data: dict[str, int | float | str] = {
            "frames": log.frames,
            "declared_frames": promised,
            "missing_bytes": missing,
        }
        severity = Severity.ERROR if share > TOLERATED_LOSS or log.frames == 0 else Severity.WARNING
        findings.append(Finding(Code.TRUNCATED, severity, message, data))
    # Damage in the last packets of a file that breaks off is the break itself.
    only_tail = cut_off and log.damaged_frames == 0 and log.first_bad_packet >= packets - 3
    bad = max(log.errors + log.damaged_frames, 0)
    if bad and not only_tail:
        lost = max(packets - log.frames, bad)
        message = (
            f"{path.name} holds damaged data: {bad} errors while decoding, "
            f"{log.frames} of {packets} frames sound"
        )
        data = {
            "errors": log.errors,
            "damaged_frames": log.damaged_frames,
            "frames": log.frames,
            "packets": packets,
        }
        if log.first_error:
            data["first_error"] = log.first_error
            data["first_bad_packet"] = log.first_bad_packet
        severity = (
            Severity.ERROR if lost > TOLERATED_LOSS * max(packets, 1) or not log.frames else Severity.WARNING
        )
        findings.append(Finding(Code.CORRUPT, severity, message, data))
    if log.frames == 0 and not findings:
        message = f"{path.name} has a video stream without a single picture"
        findings.append(Finding(Code.CORRUPT, Severity.ERROR, message, {"packets": packets}))
    return findings


def times_of(
    log: DecodeLog, time_base: Fraction, declared: Fraction | None
) -> tuple[TimeMap, Finding | None]:
    """The time map of the pictures in `log` (at least one); a finding when it had to be made up from `declared`."""
    known = [tick for tick in log.frame_ticks if tick is not None]
    ticks, jumps = _joined(known, time_base)
    if len(known) < log.frames or len(set(ticks)) <= log.frames // 2:
        rate = declared or Fraction(25)
        message = (
            f"the file stores no frame times; frames are placed at its declared {float(rate):.3f} per second"
        )
        missing = log.frames - len(set(ticks))
        finding = Finding(Code.NO_TIMESTAMPS, Severity.WARNING, message, {"frames_without_time": missing})
        return TimeMap.constant(log.frames, rate), finding
    time_map = TimeMap.from_ticks(ticks, time_base, last_ticks=log.last_frame_ticks)
    if not jumps:
        return time_map, None
    message = f"the file's clock jumps back ({jumps} times); what follows a jump is placed right after what precedes it"
    return time_map, Finding(Code.TIME_JUMPS, Severity.WARNING, message, {"jumps": jumps})


def _joined(ticks: Sequence[int], time_base: Fraction) -> tuple[list[int], int]:
    """Times in output order without their jumps back (recordings put one after the other), and how many there were.

    Going back by less than a second is a container's disorder among neighbours, which `TimeMap.from_ticks` puts right.
    """
    joined: list[int] = []
    most = _JUMP_S / time_base
    offset, jumps, gap = 0, 0, 1
    latest = ticks[0] - 1 if ticks else 0
    for tick in ticks:
        moment = tick + offset
        if moment > latest:
            gap = moment - latest if joined else gap
            latest = moment
        elif latest - moment > most:
            jumps += 1
            offset += latest + gap - moment
            latest = moment = latest + gap
        joined.append(moment)
    return joined, jumps


def _longest_gop(log: DecodeLog) -> int:
    keys = [index for index, (_, key) in enumerate(log.packets) if key]
    start = 0 if keys[:1] == [0] else -log.discarded  # a key frame that is not shown comes before
    return max(b - a for a, b in pairwise([start, *keys, len(log.packets)]))


def _reordered(log: DecodeLog) -> bool:
    times = [pts for pts, _ in log.packets if pts is not None]
    return log.out_of_order or any(b < a for a, b in pairwise(times))


def _remarks(path: Path, clip: Probe) -> list[Finding]:
    findings: list[Finding] = []
    if clip.variable_rate:
        message = f"{path.name} has no constant frame rate (average {float(clip.fps):.3f} per second)"
        findings.append(
            Finding(
                Code.VARIABLE_FRAME_RATE, Severity.INFO, message, {"average_fps": round(float(clip.fps), 4)}
            )
        )
    if clip.start_us != 0:
        message = (
            f"the first frame of {path.name} is at {clip.start_us / 1e6:g} s on the file's clock, not at 0"
        )
        findings.append(Finding(Code.OFFSET_START, Severity.INFO, message, {"start_us": clip.start_us}))
    if min(clip.width, clip.height) < SMALL_SIDE:
        message = f"{path.name} is only {clip.width} x {clip.height} pixels"
        findings.append(
            Finding(Code.TOO_SMALL, Severity.INFO, message, {"width": clip.width, "height": clip.height})
        )
    if clip.audio_duration_us > clip.duration_us + _AUDIO_SLACK_US:
        over = clip.audio_duration_us - clip.duration_us
        message = f"the sound of {path.name} goes on {over / 1e6:.1f} s after the last picture"
        findings.append(Finding(Code.AUDIO_LONGER, Severity.INFO, message, {"excess_us": over}))
    return findings
