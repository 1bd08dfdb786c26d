"""What can be wrong with, or worth knowing about, a media file. Reported by name, never repaired in
silence."""

from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is."""

    INFO = "info"
    """Worth knowing; the clip is fine."""
    WARNING = "warning"
    """Usable, with a loss that the message names."""
    ERROR = "error"
    """Not usable as it is."""


class Code(StrEnum):
    """Names of the findings; stored and shown, so never renamed."""

    ZERO_BYTE = "zero_byte"
    NOT_A_VIDEO = "not_a_video"
    NO_VIDEO_STREAM = "no_video_stream"
    CORRUPT = "corrupt"
    TRUNCATED = "truncated"
    ABSURD_SIZE = "absurd_size"
    NO_TIMESTAMPS = "no_timestamps"
    TIME_JUMPS = "time_jumps"
    VARIABLE_FRAME_RATE = "variable_frame_rate"
    OFFSET_START = "offset_start"
    TOO_SMALL = "too_small"
    AUDIO_LONGER = "audio_longer"
    AUDIO_DAMAGED = "audio_damaged"
    DECODE_TIMEOUT = "decode_timeout"
    DECODER_CRASHED = "decoder_crashed"


@dataclass(frozen=True)
class Finding:
    """One named observation about one file; `data` holds the numbers behind `message`."""

    code: Code
    severity: Severity
    message: str
    data: dict[str, int | float | str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Plain JSON-ready form."""
        return {
            "code": self.code.value,
            "severity": self.severity.value,
            "message": self.message,
            "data": dict(self.data),
        }


class MediaError(Exception):
    """The file cannot be used for what was asked; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding

    def __reduce__(self) -> tuple[type["MediaError"], tuple[Finding]]:
        return type(self), (self.finding,)
