"""The JSON file that describes a fine-tuning run."""

import dataclasses
import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from model_assist.crashchat.kinds import ALL, LINGUISTIC, PERCEPTION
from model_assist.crashchat.settings import LORA_TARGETS

FULL = "full"
"""The name under which a run that trains all weights reports its progress."""

OPERATIONAL = ("output", "progress", "checkpoint_every", "feature_cache_mb", "frame_timeout_s")
"""Fields that do not change what is learnt."""


class ConfigError(ValueError):
    """A run that cannot start; the message names the field."""


@dataclass(frozen=True)
class _Range:
    """The numbers a field takes: from `low` to `high`, both included unless said otherwise; never NaN."""

    words: str
    low: float
    high: float
    above_low: bool = False
    below_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.above_low else value >= self.low
        below = value < self.high if self.below_high else value <= self.high
        return above and below


_COUNT = _Range("be positive and below 2**31", 1, 2**31 - 1)
_POSITIVE = _Range("be positive and finite", 0, sys.float_info.max, above_low=True)
_NOT_NEGATIVE = _Range("be finite and not negative", 0, sys.float_info.max)

_WHOLE: Final[Mapping[str, _Range]] = {
    **dict.fromkeys(("rank", "alpha", "grad_accumulation", "checkpoint_every"), _COUNT),
    **dict.fromkeys(("steps", "max_frames", "max_tokens"), _COUNT),
    "seed": _Range("lie in [0, 2**32)", 0, 2**32 - 1),  # what NumPy takes
    "feature_cache_mb": _NOT_NEGATIVE,
}
_REAL: Final[Mapping[str, _Range]] = {
    **dict.fromkeys(("lr", "projector_lr", "max_grad_norm", "epochs", "fps", "frame_timeout_s"), _POSITIVE),
    "weight_decay": _NOT_NEGATIVE,
    "dropout": _Range("lie in [0, 1)", 0, 1, below_high=True),
    "warmup_ratio": _Range("lie in [0, 1]", 0, 1),
}
_OTHER: Final[Mapping[str, tuple[type, str]]] = {
    **dict.fromkeys(
        ("base", "examples", "output", "target_modules", "precision", "progress"), (str, "a text")
    ),
    **dict.fromkeys(("full", "gradient_checkpointing"), (bool, "true or false")),
    **dict.fromkeys(("adapters", "start_from"), (dict, "an object")),
}
_OPTIONAL: Final = frozenset({"steps", "fps", "max_frames", "max_tokens", "progress"})


def _check(name: str, value: object) -> None:
    """Raises ConfigError for a value of the wrong type, and for a number out of its field's range."""
    if name in _OTHER:
        wanted, words = _OTHER[name]
        if not isinstance(value, wanted):
            raise ConfigError(f"{name} must be {words}, not {value!r}")
        return
    whole = name in _WHOLE
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise ConfigError(f"{name} must be a {'whole ' if whole else ''}number, not {value!r}")
    allowed = (_WHOLE if whole else _REAL)[name]
    if value not in allowed:
        raise ConfigError(f"{name} must {allowed.words}, not {value!r}")


def _is_adapter_name(name: object) -> bool:
    """A folder's name that is neither hidden (as scratch folders are) nor the name of a full run."""
    return isinstance(name, str) and name not in ("", FULL) and "/" not in name and not name.startswith(".")


@dataclass(frozen=True)
class RunConfig:
    """One run.  Rank, alpha, dropout and learning rates are CrashChat's published values.

    base: model folder or hub id.  examples: JSONL file.  output: folder that receives adapters/<name> (or
    base, with full).  adapters: kinds per adapter.  start_from: adapter folders to continue, by name.
    full: train all weights instead.  steps: optimiser steps per adapter; overrides epochs when given.
    fps, max_frames, max_tokens: override the settings shipped with the model.  precision: "bf16", "fp32" or
    "auto" (bf16 on CUDA).  gradient_checkpointing: less memory, no shared prefix.
    """

    base: str
    examples: str
    output: str
    adapters: dict[str, list[str]] = field(
        default_factory=lambda: {"linguistic": list(LINGUISTIC), "perception": list(PERCEPTION)}
    )
    start_from: dict[str, str] = field(default_factory=dict)
    full: bool = False
    rank: int = 64
    alpha: int = 16
    dropout: float = 0.05
    target_modules: str = LORA_TARGETS
    lr: float = 1e-5
    projector_lr: float = 1e-5
    weight_decay: float = 0.0
    warmup_ratio: float = 0.03
    max_grad_norm: float = 1.0
    epochs: float = 1.0
    steps: int | None = None
    grad_accumulation: int = 8
    seed: int = 0
    fps: float | None = None
    max_frames: int | None = None
    max_tokens: int | None = None
    precision: str = "auto"
    gradient_checkpointing: bool = False
    checkpoint_every: int = 100
    feature_cache_mb: int = 2048
    frame_timeout_s: float = 120.0
    progress: str | None = None

    def __post_init__(self) -> None:
        for field_ in dataclasses.fields(self):
            value = getattr(self, field_.name)
            if value is not None or field_.name not in _OPTIONAL:
                _check(field_.name, value)
        if self.precision not in ("auto", "bf16", "fp32"):
            raise ConfigError(f"precision must be auto, bf16 or fp32, not {self.precision!r}")
        try:
            re.compile(self.target_modules)
        except re.error as error:
            raise ConfigError(f"target_modules is not a regular expression ({error})") from error
        self._check_adapters()

    def _check_adapters(self) -> None:
        if not self.adapters and not self.full:
            raise ConfigError("adapters: name at least one")
        for name, kinds in self.adapters.items():
            known = isinstance(kinds, list) and bool(kinds) and all(kind in ALL for kind in kinds)
            if not known or not _is_adapter_name(name):
                raise ConfigError(f"adapters: {name!r} with kinds {kinds!r} cannot be trained")
        for name, folder in self.start_from.items():
            if not isinstance(folder, str):
                raise ConfigError(f"start_from: {name!r} must name a folder, not {folder!r}")
        if set(self.start_from) - set(self.adapters):
            raise ConfigError("start_from names adapters that are not trained")

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Raises ConfigError naming the file and the field."""
        try:
            values: Any = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ConfigError("must hold a JSON object")
            unknown = set(values) - {f.name for f in dataclasses.fields(cls)}
            if unknown:
                raise ConfigError(f"unknown fields: {', '.join(sorted(unknown))}")
            return cls(**values)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(f"{path}: {error}") from error

    def to_json(self) -> str:
        """The JSON that `from_file` reads."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    def fingerprint(self, adapter: str) -> str:
        """Hash of everything that decides what `adapter` learns.

        The examples count by content; model folders by the name, size and time of their files, since hashing
        billions of weights takes minutes.
        """
        values = {k: v for k, v in dataclasses.asdict(self).items() if k not in OPERATIONAL}
        folders = [self.base, *self.start_from.values()]
        files = [(f.name, f.stat().st_size, f.stat().st_mtime_ns)
                 for folder in folders for f in sorted(Path(folder).glob("*.safetensors"))]  # fmt: skip
        digest = hashlib.sha256(json.dumps([adapter, values, files], sort_keys=True).encode())
        digest.update(Path(self.examples).read_bytes())
        return digest.hexdigest()

    @property
    def progress_path(self) -> Path:
        """Where progress lines go; output/progress.jsonl unless named."""
        return Path(self.progress) if self.progress else Path(self.output) / "progress.jsonl"
