"""What the page about suspect labels shows: each label beside what speaks against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from annotations.cases.kinds import Kind
from crashdesk.jobs.models import Job, JobState
from frontend import times
from frontend.quality import KIND_WORDS
from model_assist.suspects.models import Suspect
from model_assist.suspects.services import JOB


@dataclass(frozen=True)
class SuspectRow:
    """A suspect. `said`: the label in words; `against`: who says something else, in words."""

    suspect: Suspect
    kind: str
    said: str
    percent: int
    against: list[str]
    decided: bool


def said_words(kind: str, state: str, value: dict[str, Any] | None) -> str:
    """A label as text: 'yes', a span or an instant in seconds, 'none', or the sentence."""
    if value is None:
        return "none" if state == "absent" else state
    if kind == Kind.CRASH_RECOGNITION:
        return str(value["label"])
    if kind == Kind.CRASH_LOCALIZATION:
        return times.span(value["start_us"], value["end_us"])
    if kind == Kind.PRE_CRASH_LOCALIZATION:
        return times.instant(value["at_us"])
    return str(value["text"])


def rows(suspects: Sequence[Suspect]) -> list[SuspectRow]:
    """In the order given."""
    return [
        SuspectRow(
            one, KIND_WORDS[one.kind], said_words(one.kind, one.answer.state, one.answer.value), round(100 * one.score),
            _against(one.evidence), one.decided_at is not None,
        )
        for one in suspects
    ]  # fmt: skip


def _against(evidence: dict[str, Any]) -> list[str]:
    words = []
    model = evidence.get("model")
    if model and model["apart"] > 0:
        far = _far(model["apart"])
        words.append(f"{model['name']}, right {_percent(model['right'])}, says something else{far}")
    for source, what in (("people", ""), ("duplicates", ", a copy of the clip,")):
        for witness in evidence.get(source, ()):
            if witness["apart"] > 0:
                words.append(f"{witness['name']}{what} says something else{_far(witness['apart'])}")
    agreeing = sum(
        witness["apart"] == 0 for source in ("people", "duplicates") for witness in evidence.get(source, ())
    ) + bool(model and model["apart"] == 0)
    if agreeing:
        words.append(f"{agreeing} {'agrees' if agreeing == 1 else 'agree'} with the label")
    return words


def _far(apart: float) -> str:
    return "" if apart >= 0.995 else f" ({100 * apart:.0f} % apart)"


def _percent(right: float) -> str:
    return f"{100 * right:.0f} times of 100"


def searches(corpus: int | None) -> dict[str, Job | None]:
    """The search that waits or runs, and the last one that ended; of a corpus or of any."""
    jobs = Job.objects.filter(kind=JOB)
    if corpus is not None:
        jobs = jobs.filter(group=f"suspects:{corpus}")
    return {
        "under_way": jobs.filter(state__in=[JobState.QUEUED, JobState.RUNNING]).first(),
        "last": jobs.filter(state__in=[JobState.DONE, JobState.FAILED]).first(),
    }
