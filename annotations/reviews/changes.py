"""What became of a draft: how a person's answer differs from what they were shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """One kind's difference; the fields are those of AnswerChange, shifts in microseconds, person minus draft."""

    change: str
    distance: float
    start_shift_us: int | None = None
    end_shift_us: int | None = None
