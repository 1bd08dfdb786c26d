"""Records for the tests of the metrics."""

from model_assist.crashchat import kinds as k
from model_assist.training.metrics import Pair, Record

WRONG = ("unparsable", None)
SECOND = 1_000_000


def us(seconds: float) -> int:
    return round(seconds * SECOND)


def label(truth: str, said: str | None) -> Record:
    predicted = ("valued", {"label": said}) if said else WRONG
    return {k.CRASH_RECOGNITION: Pair("valued", {"label": truth}, *predicted)}


def text(truth: str, said: str | None, kind: str = k.CRASH_DESCRIPTION) -> Record:
    predicted = ("valued", {"text": said}) if said else WRONG
    return {kind: Pair("valued", {"text": truth}, *predicted)}


def span(start: float, end: float) -> dict[str, int]:
    return {"start_us": us(start), "end_us": us(end)}


def spans(truth: dict[str, int] | None, said: dict[str, int] | None, state: str = "valued") -> Record:
    predicted = state if said else ("absent" if state == "absent" else "unparsable")
    return {k.CRASH_LOCALIZATION: Pair("valued" if truth else "absent", truth, predicted, said)}


def onsets(truth: float, said: float | None, crash: float | None) -> Record:
    predicted = ("valued", {"at_us": us(said)}) if said is not None else WRONG
    record = {k.PRE_CRASH_LOCALIZATION: Pair("valued", {"at_us": us(truth)}, *predicted)}
    if crash is not None:
        record |= spans(span(crash, crash + 1), span(crash, crash + 1))
    return record
