"""How sure the model was of an answer, from the token probabilities recorded while it was decoded.

The number is a ranking aid between 0 and 1, comparable within a kind; it is not a calibrated probability. What it is
worth has to be learnt from reviewed answers (docs/calibration.md). All probabilities are the model's own, before
temperature or any other sampling rule.
"""

import math
from typing import Any

from model_assist.crashchat.kinds import CRASH_RECOGNITION, PERCEPTION, State
from model_assist.crashchat.prefix import Trace


def confidence(
    kind: str, state: State, value: dict[str, Any] | None, trace: Trace
) -> tuple[float, dict[str, Any]]:
    """Confidence of one answer and the figures behind it.

    Recognition: the probability of the answered word's spellings at the first token, so hesitation and
    off-format mass both lower it; where the tokenizer has no single token for either word, as for texts.
    Localisation: the geometric mean probability of the digits, since the rest of the answer is format.  Text, and
    an answer that nothing happened: the geometric mean probability of all tokens.  An unparsable answer has
    confidence 0.

    The figures are those of `trace_detail`; for recognition also yes_no_mass, the probability of both words
    together at the first token (low: the model would rather have said something else), and p_yes, the share of
    "yes" in it (None without any mass).
    """
    detail = trace_detail(trace)
    if state == "unparsable":
        return 0.0, detail
    if kind == CRASH_RECOGNITION and value is not None:
        mass = trace.p_yes + trace.p_no
        said = trace.p_yes if value["label"] == "yes" else trace.p_no
        detail |= {"p_yes": _clip(trace.p_yes / mass) if mass else None, "yes_no_mass": _clip(mass)}
        return (_clip(said) if mass else detail["mean_prob"]), detail
    if kind in PERCEPTION and trace.digit_logprobs:
        return _mean_prob(trace.digit_logprobs), detail
    return float(detail["mean_prob"]), detail


def trace_detail(trace: Trace) -> dict[str, Any]:
    """Plain figures of a trace, kept with the answer.

    tokens: how many were written, the end of turn not counted; ended: whether the answer was finished.  mean_prob:
    the geometric mean of the written tokens' probabilities, the end of turn included; min_prob: the lowest of them;
    both 0 for an empty trace.  digit_entropy: for every digit written, the entropy over the ten digits there
    relative to ln 10: 0 for a sure digit, 1 where all ten were equally likely.
    """
    return {
        "tokens": len(trace.tokens),
        "ended": trace.ended,
        "mean_prob": _mean_prob(trace.logprobs),
        "min_prob": _clip(math.exp(min(trace.logprobs))) if trace.logprobs else 0.0,
        "digit_entropy": [_clip(entropy / math.log(10)) for entropy in trace.digit_entropy],
    }


def _mean_prob(logprobs: list[float]) -> float:
    """exp of the mean; rounding may leave a log-probability a little above 0, a probability never above 1."""
    return _clip(math.exp(sum(logprobs) / len(logprobs))) if logprobs else 0.0


def _clip(p: float) -> float:
    return min(1.0, max(0.0, p))
