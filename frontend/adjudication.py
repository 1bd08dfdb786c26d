"""What the pages of disputes show: both answers of every task, what is decided so far, and who may still decide."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from annotations.cases.kinds import TEXT_KINDS, TIME_KINDS, Kind
from annotations.cases.models import Answer
from annotations.cases.rules import RuleFinding
from annotations.reviews import adjudication
from annotations.reviews.adjudication_api import names_for
from annotations.reviews.disputes import LIVE, disputed_kinds
from annotations.reviews.models import Choice, Dispute, DisputeState
from crashdesk.accounts.models import User
from frontend.answers import LABELS, Cell, Piece, cell, compare, say
from frontend.quality import KIND_WORDS
from frontend.timeline import Timeline, timeline

SIDES = ("First", "Second")
CHOICE_WORDS = {
    Choice.FIRST.value: "the first's answer",
    Choice.SECOND.value: "the second's answer",
    Choice.OWN.value: "the adjudicator's own",
    Choice.AGREED.value: "not in dispute",
}


@dataclass(frozen=True)
class Task:
    """One kind: what both said, how far they agree (0 to 1), and what counts so far."""

    kind: str
    label: str
    shape: str
    agreement: float
    threshold: float | None
    disputed: bool
    first: Cell | None
    second: Cell | None
    differs: list[Piece]
    choice: str
    chosen: Cell | None

    @property
    def own(self) -> dict[str, Any]:
        """The value that a form for an own answer begins with: the decided one, else what is there of the two."""
        for shown in (self.chosen, self.first, self.second):
            if shown is not None and shown.answer.value is not None:
                return dict(shown.answer.value)
        return {}


@dataclass(frozen=True)
class Shown:
    """A dispute as its page shows it."""

    dispute: Dispute
    tasks: list[Task]
    undecided: list[str]
    findings: list[RuleFinding]
    names: dict[str, str] | None
    mine: bool
    free: bool
    timeline: Timeline

    @property
    def closed(self) -> bool:
        """Whether it is settled or dropped."""
        return self.dispute.state not in LIVE

    @property
    def settled(self) -> bool:
        """Whether somebody decided it."""
        return self.dispute.state == DisputeState.SETTLED

    @property
    def sides(self) -> list[tuple[str, str]]:
        """What each side is called, and whose it is when that may be known."""
        names = self.names or {"first": "", "second": ""}
        return [("First", names["first"]), ("Second", names["second"])]


def shown(dispute: Dispute, person: User) -> Shown:
    """Everything the page of a dispute says to this person."""
    chosen = adjudication.chosen(dispute)
    sides = [_answers(dispute, side) for side in ("first", "second")]
    tasks = [_task(dispute, kind, sides, chosen.get(kind)) for kind in Kind.values]
    asked = dispute.assignment
    media = dispute.case.video.media
    lane = timeline(
        media,
        drafts=sides[0],
        human=sides[1],
        approved={kind: answer for kind, (_, answer) in chosen.items()},
    )
    for row, label in zip(lane["rows"], (*SIDES, "Decided"), strict=True):
        row["label"] = label
    return Shown(
        dispute=dispute,
        tasks=tasks,
        undecided=[KIND_WORDS[kind] for kind in adjudication.undecided(dispute)]
        if dispute.state in LIVE
        else [],
        findings=adjudication.findings(dispute),
        names=names_for(dispute, person),
        mine=dispute.state == DisputeState.CLAIMED
        and not adjudication.is_free(dispute)
        and asked is not None
        and asked.person_id == person.pk,
        free=adjudication.is_free(dispute),
        timeline=lane,
    )


def _answers(dispute: Dispute, side: str) -> dict[str, Answer]:
    ids = [there[side]["answer"] for there in dispute.compared.values() if there[side]]
    return {answer.kind: answer for answer in Answer.objects.filter(pk__in=ids)}


def _task(
    dispute: Dispute, kind: str, sides: list[dict[str, Answer]], chosen: tuple[str, Answer] | None
) -> Task:
    first, second = (side.get(kind) for side in sides)
    there = dispute.compared[kind]
    differs = (
        compare(say(first), say(second))
        if kind in TEXT_KINDS and first is not None and second is not None and say(first) != say(second)
        else []
    )
    shape = "text" if kind in TEXT_KINDS else "label"
    if kind in TIME_KINDS:
        shape = "span" if kind == Kind.CRASH_LOCALIZATION else "instant"
    return Task(
        kind=kind, label=LABELS[Kind(kind)], shape=shape, agreement=there["agreement"], threshold=there["threshold"],
        disputed=there["disputed"], first=cell(first), second=cell(second), differs=differs,
        choice=chosen[0] if chosen else "", chosen=cell(chosen[1]) if chosen else None,
    )  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A dispute in the list."""

    dispute: Dispute
    kinds: list[str]
    free: bool
    mine: bool


def rows(disputes: Iterable[Dispute], person: User) -> list[Row]:
    """One row for every dispute."""
    return [
        Row(
            dispute,
            [KIND_WORDS[kind] for kind in disputed_kinds(dispute.compared)],
            adjudication.is_free(dispute),
            dispute.assignment is not None and dispute.assignment.person_id == person.pk,
        )
        for dispute in disputes
    ]
