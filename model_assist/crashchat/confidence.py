"""How sure the model was of an answer, from the token probabilities recorded while it was decoded.

The number is a ranking aid between 0 and 1, comparable within a kind; it is not a calibrated probability.
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
    off-format mass both lower it.  Localisation: the geometric mean probability of the digits.  Text: the
    geometric mean probability of all tokens.  An unparsable answer has confidence 0.
    """
    detail = trace_detail(trace)
    if state == "unparsable":
        return 0.0, detail
    if kind == CRASH_RECOGNITION and value is not None:
        mass = trace.p_yes + trace.p_no
        said = trace.p_yes if value["label"] == "yes" else trace.p_no
        detail |= {"p_yes": trace.p_yes / mass if mass else None, "yes_no_mass": mass}
        return _clip(said), detail
    if kind in PERCEPTION and trace.digit_logprobs:
        return _clip(_mean_prob(trace.digit_logprobs)), detail
    return _clip(detail["mean_prob"]), detail


def trace_detail(trace: Trace) -> dict[str, Any]:
    """Plain figures of a trace: token count, mean and minimum probability, digit entropies, whether it ended.

    digit_entropy is given relative to ln 10, so 1 means that all ten digits were equally likely.
    """
    return {
        "tokens": len(trace.tokens),
        "ended": trace.ended,
        "mean_prob": _mean_prob(trace.logprobs),
        "min_prob": math.exp(min(trace.logprobs)) if trace.logprobs else 0.0,
        "digit_entropy": [e / math.log(10) for e in trace.digit_entropy],
    }


def _mean_prob(logprobs: list[float]) -> float:
    return math.exp(sum(logprobs) / len(logprobs)) if logprobs else 0.0


def _clip(p: float) -> float:
    return min(1.0, max(0.0, p))
