"""What the engine is asked about a clip and what it says, as plain data. Free of torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_assist.crashchat import kinds as k


@dataclass(frozen=True)
class ClipRequest:
    """One clip to answer.

    prompts: questions by kind, the default wording where there is none.  features_key: under which the feature
    store knows the clip, None to leave the store out.
    """

    path: str | Path
    prompts: Mapping[str, str] | None = None
    kinds: Sequence[str] = k.ALL
    features_key: str | None = None


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
    """Which frames the model saw: how sampled, when (labels, microseconds), at what size, read by what and how."""

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
    decode: str = "exact"


@dataclass(frozen=True)
class ClipAnswers:
    """Everything the engine says about one clip.

    timings: seconds per stage; of work that several clips shared, this clip's equal share.  "frames" and
    "preprocess" were spent beside the model's work on earlier clips.
    """

    answers: dict[str, KindAnswer]
    frames: FramesUsed
    duration_us: int
    timings: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data."""
        return asdict(self)
