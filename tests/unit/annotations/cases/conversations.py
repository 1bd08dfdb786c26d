"""Writes small CrashChat conversation files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE_OF = {
    "crash_recognition": "t_crash_recognition_val.json",
    "crash_description": "t_crash_description_val.json",
    "causal_reasoning": "t_cause_reasoning_val.json",
    "prevention_reasoning": "t_prevention_reasoning_val.json",
    "crash_localization": "t_crash_localization_val.json",
    "pre_crash_localization": "t_pre_crash_localization_val.json",
}
CRASH = {
    "crash_recognition": "Yes",
    "crash_description": "car hits car.",
    "causal_reasoning": "Speeding.",
    "prevention_reasoning": "Slow down.",
    "crash_localization": "1.9 - 4.0 seconds",
    "pre_crash_localization": "0.4 seconds",
}
CALM = {
    "crash_recognition": "No",
    "crash_description": "no collision.",
    "causal_reasoning": "No accident, no cause.",
    "prevention_reasoning": "No accident, no prevention needed.",
}


def row(name: str, answer: str, *, prompt: str = "What?", source: str = "Nexar") -> dict[str, Any]:
    return {
        "video": [name],
        "conversations": [
            {"from": "human", "value": f"<video>\n{prompt}"},
            {"from": "gpt", "value": answer},
        ],
        "source": source,
    }


def write(folder: Path, clips: Mapping[str, Mapping[str, str]]) -> Path:
    """One file per kind that occurs; `clips`: answers by kind for each clip's name."""
    folder.mkdir(exist_ok=True)
    for kind, file in FILE_OF.items():
        rows = [row(name, told[kind], prompt=f"{kind}?") for name, told in clips.items() if kind in told]
        if rows:
            (folder / file).write_text(json.dumps(rows))
    return folder
