"""The six answers of a case side by side: draft, person, approved, and everything said before."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from annotations.cases.kinds import TEXT_KINDS, AnswerState, Kind
from annotations.cases.models import Answer, ApprovedAnswer, Case
from annotations.cases.rules import RuleFinding, check
from annotations.cases.services import drafts, said_by
from annotations.cases.sight import CLEAR, Veil
from annotations.reviews.decisions import findings_of
from annotations.reviews.models import Review, ReviewOutcome
from annotations.reviews.services import latest_submitted
from crashdesk.accounts.models import User
from frontend import times

LABELS = {
    Kind.CRASH_RECOGNITION: "Is there a crash?",
    Kind.CRASH_DESCRIPTION: "What happens",
    Kind.CAUSAL_REASONING: "Why it happens",
    Kind.PREVENTION_REASONING: "How to prevent it",
    Kind.CRASH_LOCALIZATION: "When it crashes",
    Kind.PRE_CRASH_LOCALIZATION: "First visible cue",
}


@dataclass(frozen=True)
class Piece:
    """Part of a text compared with another: change is 'kept', 'added' or 'removed'."""

    change: str
    text: str


@dataclass(frozen=True)
class Cell:
    """One answer as shown. `same` tells whether it says what the draft says (None: nothing to compare with)."""

    answer: Answer
    text: str
    times_us: list[int]
    pieces: list[Piece]
    same: bool | None


@dataclass(frozen=True)
class KindRow:
    """One kind across the columns, with every answer ever given, newest first."""

    kind: str
    label: str
    question: str
    draft: Cell | None
    human: Cell | None
    approved: Cell | None
    approval: ApprovedAnswer | None
    history: list[Cell]


@dataclass(frozen=True)
class Answers:
    """All six rows, the review the human column shows, and the broken rules among what counts most so far."""

    rows: list[KindRow]
    review: Review | None
    findings: list[RuleFinding]
    checked: str
    drafts: dict[str, Answer]
    human: dict[str, Answer]
    approved: dict[str, Answer]


def say(answer: Answer) -> str:
    """The answer in words; times in seconds."""
    if answer.state == AnswerState.ABSENT:
        return "None: no crash"
    if answer.state == AnswerState.UNPARSABLE or answer.value is None:
        return "Not readable as an answer"
    if answer.kind == Kind.CRASH_RECOGNITION:
        return "Crash" if answer.value["label"] == "yes" else "No crash"
    if answer.kind == Kind.CRASH_LOCALIZATION:
        return times.span(answer.value["start_us"], answer.value["end_us"])
    if answer.kind == Kind.PRE_CRASH_LOCALIZATION:
        return times.instant(answer.value["at_us"])
    return str(answer.value["text"])


def times_of(answer: Answer) -> list[int]:
    """The microseconds an answer speaks of: a span's start and end, an instant, or none."""
    if answer.value is None:
        return []
    return [answer.value[name] for name in ("start_us", "end_us", "at_us") if name in answer.value]


def compare(before: str, after: str) -> list[Piece]:
    """`after` word by word against `before`."""
    old, new = before.split(), after.split()
    pieces: list[Piece] = []
    for change, i, j, k, m in SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if change == "equal":
            pieces.append(Piece("kept", " ".join(new[k:m])))
            continue
        if j > i:
            pieces.append(Piece("removed", " ".join(old[i:j])))
        if m > k:
            pieces.append(Piece("added", " ".join(new[k:m])))
    return pieces


def cell(answer: Answer | None, draft: Answer | None = None) -> Cell | None:
    """How an answer is shown beside the draft it is compared with."""
    if answer is None:
        return None
    same = None
    pieces: list[Piece] = []
    if draft is not None:
        same = (answer.state, answer.value) == (draft.state, draft.value)
        if not same and answer.kind in TEXT_KINDS and draft.value is not None and answer.value is not None:
            pieces = compare(say(draft), say(answer))
    return Cell(answer=answer, text=say(answer), times_us=times_of(answer), pieces=pieces, same=same)


def _rows(
    case: Case,
    draft: Mapping[str, Answer],
    human: Mapping[str, Answer],
    approvals: Mapping[str, ApprovedAnswer],
    said: Mapping[str, list[Cell]],
) -> list[KindRow]:
    questions = dict(case.guideline.prompts.values_list("kind", "text"))
    rows = []
    for kind in Kind:
        approval = approvals.get(kind)
        rows.append(
            KindRow(
                kind=kind.value,
                label=LABELS[kind],
                question=questions.get(kind.value, ""),
                draft=cell(draft.get(kind)),
                human=cell(human.get(kind), draft.get(kind)),
                approved=cell(approval.answer, draft.get(kind)) if approval else None,
                approval=approval,
                history=said[kind.value],
            )
        )
    return rows


def _said(case: Case, person: User | None, veil: Veil) -> dict[str, list[Cell]]:
    """By kind, every answer that the person may see, newest first."""
    said: dict[str, list[Cell]] = {kind: [] for kind in Kind.values}
    answers = Answer.objects.filter(case=case).select_related("author").order_by("-id")
    for answer in veil.answers(answers, person):
        shown = cell(answer)
        if shown is not None:
            said[answer.kind].append(shown)
    return said


def _findings(
    review: Review | None,
    draft: Mapping[str, Answer],
    approved: Mapping[str, Answer],
    duration_us: int | None,
) -> tuple[list[RuleFinding], str]:
    if approved:
        return check(said_by(approved.values()), duration_us=duration_us), "approved answers"
    if review is not None:
        return findings_of(review), "person's answers"
    return (check(said_by(draft.values()), duration_us=duration_us) if draft else []), "drafts"


def answers_of(
    case: Case, *, duration_us: int | None, person: User | None = None, veil: Veil = CLEAR
) -> Answers:
    """Everything the page says about the answers of a case. Rules are checked on the approved answers, else on the
    person's, else on the drafts. `duration_us` None: the clip's length is unknown. `veil`: what of it `person` sees."""
    own = Review.objects.filter(case=case, reviewer=person, outcome=ReviewOutcome.SUBMITTED).order_by(
        "submitted_at"
    )
    review = latest_submitted(case) if veil.others else own.last()
    draft = drafts(case) if veil.drafts else {}
    human = {a.kind: a for a in review.answers.select_related("author").order_by("id")} if review else {}
    pointers = ApprovedAnswer.objects.filter(case=case).select_related("answer__author", "approved_by")
    pointers = pointers if veil.others else pointers.none()
    approvals = {pointer.kind: pointer for pointer in pointers}
    approved = {kind: pointer.answer for kind, pointer in approvals.items()}
    findings, checked = _findings(review, draft, approved, duration_us)
    return Answers(
        rows=_rows(case, draft, human, approvals, _said(case, person, veil)), review=review, findings=findings,
        checked=checked, drafts=draft, human=human, approved=approved,
    )  # fmt: skip
