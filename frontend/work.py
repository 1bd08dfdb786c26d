"""What the pages of work say: one's own queue, the lead's board, comments in threads."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from annotations.cases.models import Case
from annotations.comments.mentions import NAME
from annotations.comments.models import Comment
from annotations.comments.reading import comments_of
from annotations.gold.queue import Item
from annotations.reviews.assignments import Turn
from annotations.reviews.assignments_rules import PASSES
from annotations.reviews.disputes import live_dispute
from annotations.reviews.models import Purpose
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may_in

TASKS = {
    Purpose.ANNOTATE: "Answer",
    Purpose.SECOND: "Look over",
    Purpose.ADJUDICATE: "Decide",
}
TURNS = {
    Turn.RETURNED: "returned to you",
    Turn.BEGUN: "begun",
    Turn.TAKEN: "taken",
    Turn.GIVEN: "given to you",
}


@dataclass(frozen=True)
class WorkRow:
    """One case of one's own queue, and where it is worked on."""

    item: Item
    task: str
    turn: str
    address: str


def where(purpose: Purpose, case: Case) -> str:
    """The page on which somebody does what they are asked."""
    dispute = live_dispute(case) if purpose == Purpose.ADJUDICATE else None
    if dispute is not None:
        return f"/disputes/{dispute.pk}"
    return reverse("review" if purpose in (*PASSES, Purpose.GOLD) else "case", args=[case.pk])


def work_row(item: Item) -> WorkRow:
    return WorkRow(
        item=item,
        task=TASKS[item.purpose],
        turn=TURNS[item.turn],
        address=where(item.purpose, item.assignment.case),
    )


@dataclass(frozen=True)
class Part:
    """A piece of a comment: plain words, or a name after @."""

    text: str
    name: bool


def parts(text: str) -> list[Part]:
    """A comment's text cut at its mentions, nothing lost."""
    found, end = [], 0
    for match in NAME.finditer(text):
        found += [Part(text[end : match.start()], False), Part(match.group(0), True)]
        end = match.end()
    found.append(Part(text[end:], False))
    return [part for part in found if part.text]


@dataclass(frozen=True)
class Said:
    """A comment as it is shown: in parts, and whether the person may edit it."""

    comment: Comment
    parts: list[Part]
    own: bool


@dataclass(frozen=True)
class Thread:
    """A remark with its replies, and whether the person may settle it."""

    root: Said
    replies: list[Said]
    may_settle: bool


def threads(case: Case, person: User) -> list[Thread]:
    """Open threads in the order of the clip, those about the whole case first; then the settled ones."""
    reviews = may_in(person, Action.REVIEW, case.corpus_id)
    replies: dict[int, list[Said]] = defaultdict(list)
    roots = []
    for comment in comments_of(case, person):
        said = Said(comment, parts(comment.text), comment.author_id == person.pk)
        if comment.thread_id is None:
            roots.append(said)
        else:
            replies[comment.thread_id].append(said)
    roots.sort(key=lambda said: _place(said.comment))
    return [Thread(root, replies[root.comment.pk], reviews or root.own) for root in roots]


def _place(comment: Comment) -> tuple[bool, int, int]:
    at_us = -1 if comment.at_us is None else comment.at_us
    return comment.resolved_at is not None, at_us, comment.pk


def comments_panel(case: Case, person: User) -> dict[str, Any]:
    """What the panel on the page of a case needs."""
    found = threads(case, person)
    return {
        "case": case,
        "threads": found,
        "open_threads": sum(thread.root.comment.resolved_at is None for thread in found),
        "has_moments": bool(case.video.media and case.video.media.duration_us),
    }
