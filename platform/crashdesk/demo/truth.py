"""What the demo's reviewer knows: the generator's exact truth, applied to a draft in Label Studio's own form."""

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from crashdesk.demo.reviewer import Region

FIELDS = {
    "description": "crash_description",
    "cause": "causal_reasoning",
    "prevention": "prevention_reasoning",
}


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """The demo corpus's manifest by file name."""
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    return {row["file"]: row for row in rows}


def frame_of(time_us: int, fps: Fraction) -> int:
    """The 1-based frame that starts nearest to a time in microseconds."""
    return int(Fraction(time_us, 1_000_000) * fps + Fraction(1, 2)) + 1


def corrected(truth: Mapping[str, Any], fps: Fraction) -> list[Region]:
    """The regions a reviewer would submit who sees the truth: a choice, three sentences, and both ranges."""
    label = truth["crash_recognition"]["value"]["label"]
    regions: list[Region] = [_region("crash", "choices", {"choices": ["Yes" if label == "yes" else "No"]})]
    for name, kind in FIELDS.items():
        regions.append(_region(name, "textarea", {"text": [truth[kind]["value"]["text"]]}))
    span, onset = truth["crash_localization"]["value"], truth["pre_crash_localization"]["value"]
    if span is not None:
        start, end = frame_of(span["start_us"], fps), frame_of(span["end_us"], fps)
        regions.append(_range("Crash", start, max(start, end - 1)))
        if onset is not None:
            cue = frame_of(onset["at_us"], fps)
            regions.append(_range("Pre-crash", cue, max(cue, start - 1)))
    return regions


def _region(name: str, kind: str, value: dict[str, Any]) -> Region:
    return {"id": f"demo-{name}", "from_name": name, "to_name": "video", "type": kind, "value": value}


def _range(label: str, start: int, end: int) -> Region:
    value = {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]}
    return _region("segments", "timelinelabels", value) | {"id": f"demo-{label}"}
