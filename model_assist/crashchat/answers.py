"""What the engine says about a clip, as plain data. Free of torch."""

from dataclasses import asdict, dataclass
from typing import Any

from model_assist.crashchat import kinds as k


@dataclass(frozen=True)
class KindAnswer:
    """One answer with its evidence.  adapter is "" when the bare base model answered."""

    kind: str
    raw_text: str
    state: k.State
    value: dict[str, Any] | None
    reason: str
    confidence: float
    confidence_detail: dict[str, Any]
    adapter: str
    prompt_version: str


@dataclass(frozen=True)
class FramesUsed:
    """Which frames the model saw: how sampled, when (labels, microseconds), at what size, read by what."""

    fps: float
    count: int
    times_us: list[int]
    source_indices: list[int]
    source_pts_us: list[int]
    width: int
    height: int
    visual_tokens: int
    reader: str
    damaged: int


@dataclass(frozen=True)
class ClipAnswers:
    """Everything the engine says about one clip; `timings` are seconds per stage."""

    answers: dict[str, KindAnswer]
    frames: FramesUsed
    duration_us: int
    timings: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data."""
        return asdict(self)
