"""From decoded tokens to answers: parsed values, confidence, agreement of samples, closed gates."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from model_assist.crashchat import kinds as k
from model_assist.crashchat.answers import KindAnswer
from model_assist.crashchat.confidence import confidence
from model_assist.crashchat.parsing import parse_answer
from model_assist.crashchat.prefix import Trace
from model_assist.crashchat.prompts import prompt_version

CUT_OFF: Final = "the answer was cut off at the token limit"
NOT_ASKED: Final = "not asked: recognition did not say yes"
ONSET_AGREES_US: Final = 500_000
"""Two onsets agree within half a second, the tolerance of the published score."""


def read_answer(
    kind: str, trace: Trace, *, tokenizer: Any, question: str, adapter: str, duration_us: int
) -> KindAnswer:
    """The answer that a trace spells, with its confidence.  Cut-off answers are only usable as text."""
    text = str(tokenizer.decode(trace.tokens, skip_special_tokens=True)).strip()
    parsed = parse_answer(kind, text, duration_us=duration_us)
    state, value, reason = parsed.state, parsed.value, parsed.reason
    if not trace.ended and kind not in k.TEXT_KINDS:
        state, value, reason = "unparsable", None, CUT_OFF
    elif not trace.ended:
        reason = CUT_OFF
    score, detail = confidence(kind, state, value, trace)
    if parsed.off_format:
        detail["off_format"] = True
    return KindAnswer(
        kind=kind,
        raw_text=text,
        state=state,
        value=value,
        reason=reason,
        confidence=score,
        confidence_detail=detail,
        adapter=adapter,
        prompt_version=prompt_version(question),
    )


def closed_answer(kind: str, recognition: KindAnswer, *, question: str, adapter: str) -> KindAnswer:
    """The answer to a localisation question that recognition made pointless; nothing was asked."""
    return KindAnswer(
        kind=kind,
        raw_text="",
        state="absent",
        value=None,
        reason=NOT_ASKED,
        confidence=recognition.confidence,
        confidence_detail={"gated": True, "recognition_state": recognition.state},
        adapter=adapter,
        prompt_version=prompt_version(question),
    )


def says_yes(recognition: KindAnswer) -> bool:
    """Whether the gate to localisation is open."""
    return recognition.value == {"label": "yes"}


def with_agreement(
    answer: KindAnswer, samples: Sequence[KindAnswer], *, temperature: float, seed: int
) -> KindAnswer:
    """The greedy answer with the record of how far the sampled ones agree with it (`agreement`)."""
    record = {
        "share": agreement(answer, samples),
        "samples": len(samples),
        "temperature": temperature,
        "seed": seed,
    }
    return replace(answer, confidence_detail={**answer.confidence_detail, "agreement": record})


def agreement(answer: KindAnswer, samples: Sequence[KindAnswer]) -> float:
    """Mean agreement of samples with an answer, 0 to 1; an unparsable answer agrees with nothing.

    Recognition: same label.  Spans: intersection over union.  Onsets: within half a second.  Texts: words in
    common, 2 * common / (words of both), words counted once and without case.  Absent agrees with absent.
    """
    return sum(_agrees(answer, sample) for sample in samples) / len(samples)


def _agrees(one: KindAnswer, other: KindAnswer) -> float:
    if "unparsable" in (one.state, other.state):
        return 0.0
    if one.value is None or other.value is None:
        return float(one.state == other.state)
    if one.kind == k.CRASH_RECOGNITION:
        return float(one.value == other.value)
    if one.kind == k.CRASH_LOCALIZATION:
        (a, b), (c, d) = ((x.value["start_us"], x.value["end_us"]) for x in (one, other) if x.value)
        union = max(b, d) - min(a, c)
        return max(0, min(b, d) - max(a, c)) / union if union else 1.0
    if one.kind == k.PRE_CRASH_LOCALIZATION:
        return float(abs(one.value["at_us"] - other.value["at_us"]) <= ONSET_AGREES_US)
    words, others = (set(re.findall(r"\w+", x.raw_text.lower())) for x in (one, other))
    return 2 * len(words & others) / (len(words) + len(others)) if words or others else 1.0
