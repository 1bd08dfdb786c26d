"""The questions and the text around them.

A prompt's version is the hash of its words, so two runs with the same version asked the same question.  The
layout is CrashChat's training form: no system prompt, one "Time x.xs:" label per frame, and no "<video>"
marker left in the question.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from model_assist.crashchat.kinds import (
    ALL,
    CAUSAL_REASONING,
    CRASH_DESCRIPTION,
    CRASH_LOCALIZATION,
    CRASH_RECOGNITION,
    PRE_CRASH_LOCALIZATION,
    PREVENTION_REASONING,
    check_kind,
)

VIDEO_MARKER: Final = "<video>"
IMAGE_MARKER: Final = "<image>"
VIDEO_PAD: Final = "<|video_pad|>"
TURN_END: Final = "<|im_end|>"
SPECIAL_TOKENS: Final = ("<|endoftext|>", "<|im_start|>", TURN_END, "<|image_pad|>", VIDEO_PAD)
"""What a tokenizer must have, each as one token."""
PREFIX_OPENING: Final = "<|im_start|>user\n"
SUFFIX_CLOSING: Final = f"{TURN_END}\n<|im_start|>assistant\n"

DEFAULT_PROMPTS: Final[Mapping[str, str]] = {
    CRASH_RECOGNITION: "Does a traffic crash happen in this clip? Reply with one word: Yes or No.",
    CRASH_DESCRIPTION: (
        "Say in one short sentence who does what to whom in the crash, as [subject] [verb] [object], "
        "for example 'truck hits cyclist'. If there is no crash, reply exactly 'no collision.'"
    ),
    CAUSAL_REASONING: (
        "Give the most likely cause of the crash in one short sentence. "
        "If there is no crash, reply exactly 'No accident, no cause.'"
    ),
    PREVENTION_REASONING: (
        "Explain in full sentences what the people involved could have done to prevent the crash. "
        "If there is no crash, reply exactly 'No accident, no prevention needed.'"
    ),
    CRASH_LOCALIZATION: (
        "From when to when does the crash last? Reply with two times in seconds: 'start - end seconds', "
        "for example '2.4 - 3.1 seconds'."
    ),
    PRE_CRASH_LOCALIZATION: (
        "When does the first visible sign of the coming crash appear? Reply with one time in seconds, "
        "for example '1.3 seconds'."
    ),
}
"""CrashDesk's own wording of the six questions; a guideline may carry others."""


def clean_prompt(text: str) -> str:
    """The question without CrashChat's "<video>" marker before or after it and without surrounding white space.

    Stripping matters: prefix and suffix are tokenised apart, and only then equal the joint tokenisation.
    Raises ValueError when nothing is left, and for words that a tokenizer takes for something else: a marker inside
    the question, or a chat control token.
    """
    cleaned = text.strip()
    while cleaned.startswith(VIDEO_MARKER) or cleaned.endswith(VIDEO_MARKER):
        cleaned = cleaned.removeprefix(VIDEO_MARKER).removesuffix(VIDEO_MARKER).strip()
    if not cleaned:
        raise ValueError("the prompt is empty")
    if "<|" in cleaned:
        raise ValueError("the prompt holds a chat control token ('<|...')")
    for marker in (VIDEO_MARKER, IMAGE_MARKER):
        if marker in cleaned:
            raise ValueError(
                f"the prompt holds {marker!r} inside; it may only stand before or after the question"
            )
    return cleaned


def prompt_version(text: str) -> str:
    """Twelve hexadecimal digits of the SHA-256 of the cleaned question."""
    return hashlib.sha256(clean_prompt(text).encode()).hexdigest()[:12]


def complete_prompts(prompts: Mapping[str, str] | None, kinds: Sequence[str] = ALL) -> dict[str, str]:
    """Cleaned questions for `kinds`: the given ones, and the defaults where none is given.

    Raises ValueError for unknown kinds and unusable questions, naming the kind.
    """
    given = dict(prompts or {})
    for kind in (*given, *kinds):
        check_kind(kind)
    cleaned = {}
    for kind in kinds:
        try:
            cleaned[kind] = clean_prompt(given.get(kind, DEFAULT_PROMPTS[kind]))
        except ValueError as error:
            raise ValueError(f"{kind}: {error}") from error
    return cleaned


def read_prompts(path: Path) -> dict[str, str]:
    """Questions from a JSON file: an object of kind to question, whole or under "prompts".  Raises ValueError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error
    table = content.get("prompts", content) if isinstance(content, dict) else None
    if not isinstance(table, dict) or not table:
        raise ValueError(f"{path}: must hold a JSON object of kind to question")
    for kind, text in table.items():
        if not isinstance(text, str):
            raise ValueError(f"{path}: {kind}: must be text, not {type(text).__name__}")
    try:
        return complete_prompts(table, list(table))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def time_label(time_us: int) -> str:
    """A frame's label, "Time 1.2s:"; the time is rounded to a tenth as the original prints it."""
    return f"Time {round(time_us / 1_000_000, 1)}s:"


def prefix_text(times_us: Sequence[int], token_counts: Sequence[int]) -> str:
    """The part that all questions about a clip share: the frames with their labels, ending in a newline.

    `token_counts[k]` is the number of visual tokens that token compression kept of frame k.
    """
    frames = (time_label(t) + VIDEO_PAD * n for t, n in zip(times_us, token_counts, strict=True))
    return PREFIX_OPENING + ",".join(frames) + "\n"


def suffix_text(prompt: str) -> str:
    """A question after the shared prefix, up to where the answer begins."""
    return clean_prompt(prompt) + SUFFIX_CLOSING
