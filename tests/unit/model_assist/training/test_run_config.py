"""A run's configuration refuses, field by field, what could not be trained."""

import dataclasses
import math
from typing import Any

import pytest

from model_assist.training.run_config import _OTHER, _REAL, _WHOLE, ConfigError, RunConfig

PATHS: dict[str, Any] = {"base": "b", "examples": "e", "output": "o"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fps", -1),
        ("fps", "abc"),
        ("fps", math.nan),
        ("steps", 1.5),
        ("steps", True),
        ("max_frames", 0),
        ("max_tokens", "many"),
        ("warmup_ratio", "x"),
        ("warmup_ratio", 1.1),
        ("seed", "q"),
        ("seed", -1),
        ("seed", 2**32),
        ("rank", 1.5),
        ("rank", None),
        ("rank", 2**31),
        ("alpha", 0),
        ("dropout", "0.1"),
        ("dropout", 1),
        ("lr", math.inf),
        ("lr", 10**309),
        ("projector_lr", [1]),
        ("weight_decay", -0.1),
        ("max_grad_norm", None),
        ("max_grad_norm", 0),
        ("epochs", "1"),
        ("grad_accumulation", False),
        ("checkpoint_every", 0),
        ("precision", 16),
        ("gradient_checkpointing", "yes"),
        ("full", 1),
        ("feature_cache_mb", -1),
        ("frame_timeout_s", 0),
        ("progress", 3),
        ("base", None),
        ("examples", 1),
        ("output", ["o"]),
        ("target_modules", "("),
        ("adapters", ["linguistic"]),
        ("adapters", {"a": "crash_recognition"}),
        ("adapters", {"a": [["crash_recognition"]]}),
        ("adapters", {".a": ["crash_recognition"]}),
        ("start_from", "folder"),
        ("start_from", {"linguistic": 1}),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name}"):
        RunConfig(**{**PATHS, name: value})


@pytest.mark.parametrize(
    "values",
    [
        {"fps": 5, "max_frames": 1, "max_tokens": 1, "steps": 1},
        {"fps": None, "max_frames": None, "max_tokens": None, "steps": None, "progress": None},
        {"dropout": 0, "warmup_ratio": 1, "weight_decay": 0, "seed": 2**32 - 1, "feature_cache_mb": 0},
        {"full": True, "adapters": {}},
    ],
)
def test_the_limits_themselves_are_taken(values: dict[str, Any]) -> None:
    config = RunConfig(**PATHS, **values)
    assert {name: getattr(config, name) for name in values} == values


def test_every_field_has_one_check() -> None:
    checked = [*_WHOLE, *_REAL, *_OTHER]
    assert sorted(checked) == sorted(f.name for f in dataclasses.fields(RunConfig))
