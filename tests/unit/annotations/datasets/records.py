"""Records and version facts made by hand, for the exporters' tests."""

import hashlib
from typing import Any

from annotations.cases.kinds import NEGATIVE_TEXT, Kind
from annotations.datasets.exporters.facts import VersionFacts
from annotations.datasets.records import content_hash, header_line, order_of

PROMPTS = {kind: f"What about {kind.replace('_', ' ')}?\nAnswer briefly." for kind in Kind.values}

CRASH = {
    Kind.CRASH_RECOGNITION: ("valued", {"label": "yes"}),
    Kind.CRASH_DESCRIPTION: ("valued", {"text": "ego-car hits a car | “brüsk” 急"}),
    Kind.CAUSAL_REASONING: ("valued", {"text": "The car in front brakes."}),
    Kind.PREVENTION_REASONING: ("valued", {"text": "Keep a distance."}),
    Kind.CRASH_LOCALIZATION: ("valued", {"start_us": 3_900_000, "end_us": 5_033_367}),
    Kind.PRE_CRASH_LOCALIZATION: ("valued", {"at_us": 2_400_000}),
}
NO_CRASH: dict[str, tuple[str, Any]] = {
    Kind.CRASH_RECOGNITION: ("valued", {"label": "no"}),
    **{kind: ("valued", {"text": text}) for kind, text in NEGATIVE_TEXT.items()},
    Kind.CRASH_LOCALIZATION: ("absent", None),
    Kind.PRE_CRASH_LOCALIZATION: ("absent", None),
}


def make_record(video: str, *, crash: bool = True, **facts: Any) -> dict[str, Any]:
    """A record as `services.freeze` writes it."""
    said = CRASH if crash else NO_CRASH
    return {
        "corpus": "Night drives",
        "licence": "CC BY 4.0",
        "video": video,
        "sha256": None,
        "source": "MM-AU-CAP" if crash else "Nexar",
        "recording": video.removesuffix(".mp4"),
        "duration_us": 10_000_000,
        "guideline": {
            "name": "crashes",
            "version": 1,
            "prompts": {
                kind: hashlib.sha256(text.encode()).hexdigest()[:12] for kind, text in PROMPTS.items()
            },
        },
        "answers": {
            kind: {
                "state": state,
                "value": dict(value) if value else value,
                "lineage": {
                    "answer_id": 100 + position,
                    "author_kind": "person",
                    "author": "rana",
                    "adapter": "",
                    "prompt_version": "",
                    "answered_at": "2026-03-01T10:00:00.000001Z",
                    "draft_answer_id": 10 + position,
                    "draft_author_kind": "model",
                    "draft_author": "tiny-1",
                    "approved_at": "2026-03-01T11:00:00.000000Z",
                    "approved_by": "lee",
                },
            }
            for position, (kind, (state, value)) in enumerate(said.items())
        },
    } | facts


def make_version(
    rows: list[tuple[str, dict[str, Any]]],
) -> tuple[VersionFacts, list[tuple[str, dict[str, Any]]]]:
    """The facts of a version with these (split, record) pairs, and the pairs in canonical order."""
    split = {"split_seed": 7, "val_share": 0.1, "test_share": 0.2}
    ordered = sorted(rows, key=lambda row: order_of(row[1]))
    facts = VersionFacts(
        number=3,
        content_hash=content_hash(header_line(**split), rows),  # type: ignore[arg-type]
        note="after the second review",
        record_count=len(rows),
        frozen_at="2026-03-02T09:00:00.000000Z",
        guideline="crashes v1",
        prompts=PROMPTS,
        **split,  # type: ignore[arg-type]
    )
    return facts, ordered


def small_version() -> tuple[VersionFacts, list[tuple[str, dict[str, Any]]]]:
    """Five clips: three crashes, two without, over all splits."""
    return make_version(
        [
            ("train", make_record("a.mp4")),
            ("train", make_record("b.mp4", crash=False)),
            ("train", make_record("videos/c.mp4")),
            ("val", make_record("d.mp4", crash=False)),
            ("test", make_record("e.mp4")),
        ]
    )
