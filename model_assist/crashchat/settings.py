"""How a model is asked, and where its parts lie. Free of torch, so that every process may read it quickly."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Self

from model_assist.crashchat import kinds as k
from model_assist.crashchat.errors import CrashChatError, ModelLoadError

SETTINGS_FILE: Final = "crashdesk.json"
LORA_TARGETS: Final = (
    r"model\.language_model\.layers\.\d+\.(self_attn\.(q|k|v|o)_proj|mlp\.(gate|up|down)_proj)"
)
"""Every linear layer of the language model and nothing of the vision tower (plain suffixes match both)."""

DEFAULT_ROUTING: Final[Mapping[str, str]] = MappingProxyType(
    {kind: "linguistic" for kind in k.LINGUISTIC} | {kind: "perception" for kind in k.PERCEPTION}
)
DEFAULT_LIMITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        k.CRASH_RECOGNITION: 8,
        k.CRASH_DESCRIPTION: 64,
        k.CAUSAL_REASONING: 96,
        k.PREVENTION_REASONING: 256,
        k.CRASH_LOCALIZATION: 24,
        k.PRE_CRASH_LOCALIZATION: 16,
    }
)


@dataclass(frozen=True)
class EngineSettings:
    """How clips are sampled, routed and answered.  The defaults are CrashChat's published values.

    max_tokens: visual token budget of a whole clip (10240 in training; the published evaluation used 16384).
    max_new_tokens: limit per kind.  routing: adapter per kind.  gate_localisation: ask the two localisation
    kinds only when recognition says yes.  prefill_chunk: tokens per prefill step, None for all at once.
    clips_per_batch: clips answered together (halved when memory runs out).  decode: "exact" gives the published
    pixels bit for bit, "fast" scales while decoding.  agreement_samples: extra sampled answers per question, at
    agreement_temperature and reproducible from agreement_seed, whose agreement with the greedy answer is
    recorded; 0 samples nothing.
    """

    fps: float = 10.0
    max_frames: int = 96
    max_tokens: int = 10240
    max_new_tokens: Mapping[str, int] = field(default_factory=lambda: dict(DEFAULT_LIMITS))
    routing: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULT_ROUTING))
    gate_localisation: bool = True
    prefill_chunk: int | None = None
    clips_per_batch: int = 4
    decode: Literal["exact", "fast"] = "exact"
    agreement_samples: int = 0
    agreement_temperature: float = 0.7
    agreement_seed: int = 0

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.max_frames < 1 or self.max_tokens < 1:
            raise ValueError("fps, max_frames and max_tokens must be positive")
        if self.clips_per_batch < 1 or (self.prefill_chunk is not None and self.prefill_chunk < 1):
            raise ValueError("clips_per_batch and prefill_chunk must be positive")
        if self.decode not in ("exact", "fast"):
            raise ValueError(f"decode must be exact or fast, not {self.decode!r}")
        if self.agreement_samples < 0 or self.agreement_temperature <= 0:
            raise ValueError("agreement_samples must not be negative, agreement_temperature must be positive")
        for kind in (*self.max_new_tokens, *self.routing):
            k.check_kind(kind)
        if any(n < 1 for n in self.max_new_tokens.values()):
            raise ValueError("max_new_tokens must be positive")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings from JSON (a model's crashdesk.json); partial tables are completed with the defaults.

        Raises ValueError for names that are no setting.
        """
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"unknown engine settings: {', '.join(sorted(unknown))}")
        merged = dict(values)
        merged["max_new_tokens"] = {**DEFAULT_LIMITS, **values.get("max_new_tokens", {})}
        merged["routing"] = {**DEFAULT_ROUTING, **values.get("routing", {})}
        return cls(**merged)

    def to_dict(self) -> dict[str, Any]:
        """The JSON that `from_dict` reads."""
        return asdict(self)


def read_settings(base_path: str | Path) -> dict[str, Any]:
    """The engine settings shipped with a model (crashdesk.json), or {} when there are none."""
    path = Path(base_path) / SETTINGS_FILE
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelLoadError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(settings, dict):
        raise ModelLoadError(f"{path}: must hold a JSON object")
    return settings


def find_adapters(folder: Path | None) -> dict[str, Path]:
    """Adapters by name: the subfolders of `folder` that hold an adapter_config.json; {} for None."""
    if folder is None:
        return {}
    found = sorted(p.parent for p in folder.glob("[!.]*/adapter_config.json"))  # hidden: being written
    if not found:
        raise CrashChatError(f"{folder}: no adapters (subfolders with adapter_config.json)")
    return {p.name: p for p in found}
