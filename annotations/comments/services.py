"""Writing comments: remarks, replies, edits, settled threads, returns with a reason. Nothing is deleted."""

from collections.abc import Collection, Iterable
from typing import Final

from django.db import transaction
from django.utils import timezone

from annotations.cases.models import Case
from annotations.comments.mentions import meant
from annotations.comments.models import Comment, Notice, Why, Wording
from annotations.comments.reading import inbox, visible_to
from annotations.corpora.access import require
from annotations.reviews.decisions import return_case
from annotations.reviews.models import Assignment, AssignmentState, Way
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record

LONGEST: Final = 4000
LONGEST_REASON: Final = 500


@transaction.atomic
def comment_on(*, case: Case, text: str, by: User, at_us: int | None = None) -> Comment:
    """A remark on a case, or on the moment `at_us` of its clip. Whoever it mentions is told.

    Raises Problem: not_found, invalid (fields: text, at_us).
    """
    require(by, Action.VIEW, case.corpus_id)
    made = Comment.objects.create(case=case, author=by, text=_words(text), at_us=_moment(case, at_us))
    record(actor=by, verb="comment.written", subject=made, data={"case": case.pk, "at_us": at_us})
    _tell(made, [(person, Why.MENTION) for person in _mentioned(made)])
    return made


@transaction.atomic
def reply_to(*, comment: Comment, text: str, by: User) -> Comment:
    """An answer in a comment's thread. Everybody who wrote in it is told, and whoever is mentioned.

    Raises Problem: not_found (also where the person may not read the comment), invalid (fields: text).
    """
    require(by, Action.VIEW, comment.case.corpus_id)
    _readable(comment, by)
    root = comment.thread or comment
    made = Comment.objects.create(case=root.case, thread=root, author=by, text=_words(text))
    record(actor=by, verb="comment.replied", subject=made, data={"case": root.case_id, "thread": root.pk})
    mentioned = _mentioned(made)
    wrote = User.objects.filter(comments__in=[root.pk, *root.replies.values_list("pk", flat=True)]).distinct()
    told = {person.pk for person in mentioned}
    _tell(
        made,
        [(person, Why.MENTION) for person in mentioned]
        + [(person, Why.REPLY) for person in wrote if person.pk not in told],
    )
    return made


@transaction.atomic
def edit(*, comment: Comment, text: str, by: User) -> Comment:
    """Say it in other words; the earlier ones stay readable. Only the author may. Who is newly mentioned is told.

    Raises Problem: not_found, not_allowed, invalid (fields: text).
    """
    require(by, Action.VIEW, comment.case.corpus_id)
    comment = Comment.objects.select_for_update().get(pk=comment.pk)
    if comment.author_id != by.pk:
        _readable(comment, by)
        raise Problem("not_allowed", "Only who wrote a comment may edit it.", status=403)
    words = _words(text)
    if words == comment.text:
        return comment
    Wording.objects.create(comment=comment, text=comment.text)
    comment.text, comment.edited_at = words, timezone.now()
    comment.save(update_fields=["text", "edited_at"])
    record(actor=by, verb="comment.edited", subject=comment, data={"case": comment.case_id})
    _tell(comment, [(person, Why.MENTION) for person in _mentioned(comment)])
    return comment


@transaction.atomic
def resolve(*, comment: Comment, by: User) -> Comment:
    """The thread is settled. Its author may say so, and whoever reviews in the corpus.

    Raises Problem: not_found, not_allowed, resolved_already.
    """
    return _settle(comment, by=by, resolved=True)


@transaction.atomic
def reopen(*, comment: Comment, by: User) -> Comment:
    """The thread is not settled after all. Raises Problem: not_found, not_allowed, not_resolved."""
    return _settle(comment, by=by, resolved=False)


def _settle(comment: Comment, *, by: User, resolved: bool) -> Comment:
    root = comment.thread or comment
    require(by, Action.VIEW if root.author_id == by.pk else Action.REVIEW, root.case.corpus_id)
    _readable(root, by)
    values = {"resolved_at": timezone.now(), "resolved_by": by} if resolved else {}
    changed = Comment.objects.filter(pk=root.pk, resolved_at__isnull=resolved).update(
        **{"resolved_at": None, "resolved_by": None, **values}
    )
    if not changed:
        code, words = (
            ("resolved_already", "This is settled already.") if resolved
            else ("not_resolved", "This is open already.")
        )  # fmt: skip
        raise Problem(code, words)
    verb = "comment.resolved" if resolved else "comment.reopened"
    record(actor=by, verb=verb, subject=root, data={"case": root.case_id})
    root.refresh_from_db()
    return root


@transaction.atomic
def return_with_comment(*, case: Case, text: str, by: User, at_us: int | None = None) -> Comment:
    """Give a case back to whoever answered it, and say why, at the moment it is about if there is one.

    The comment is in the thread of the case and in the annotator's inbox; the case keeps its first 500 characters as
    the reason. Raises what return_case raises (not_allowed, invalid_move …) and invalid (fields: text, at_us).
    """
    words = _words(text)
    reason = words if len(words) <= LONGEST_REASON else words[: LONGEST_REASON - 1] + "…"
    case = return_case(case=case, reason=reason, by=by)
    made = comment_on(case=case, text=words, by=by, at_us=at_us)
    back = Assignment.objects.filter(case=case, way=Way.RETURNED, state=AssignmentState.OPEN)
    Notice.objects.filter(comment=made, person__in=back.values("person")).delete()
    _tell(made, [(one.person, Why.RETURN) for one in back.select_related("person")])
    return made


@transaction.atomic
def mark_read(*, person: User, notices: Collection[int] | None = None, read: bool = True) -> int:
    """Mark these lines of the person's inbox, or all of them, as read or unread; returns how many changed."""
    mine = Notice.objects.filter(person=person, read_at__isnull=read)
    if notices is not None:
        mine = mine.filter(pk__in=notices)
    return mine.update(read_at=timezone.now() if read else None)


@transaction.atomic
def mark_case_read(*, person: User, case: Case) -> int:
    """The person has the case's comments before them; returns how many lines of their inbox that was."""
    found = inbox(person).filter(comment__case=case, read_at__isnull=True)
    return mark_read(person=person, notices=list(found.values_list("pk", flat=True)))


def strangers(comment: Comment) -> list[str]:
    """The names in a comment that are nobody's who may look into its corpus: nobody was told."""
    return meant(comment.text, corpus_id=comment.case.corpus_id)[1]


def _mentioned(comment: Comment) -> list[User]:
    return meant(comment.text, corpus_id=comment.case.corpus_id)[0]


def _tell(comment: Comment, people: Iterable[tuple[User, Why]]) -> None:
    """A line in the inbox of each who may read it, once per comment; never for its author."""
    Notice.objects.bulk_create(
        [
            Notice(person=person, comment=comment, why=why)
            for person, why in people
            if person.pk != comment.author_id and visible_to(person).filter(pk=comment.pk).exists()
        ],
        ignore_conflicts=True,
    )


def _readable(comment: Comment, person: User) -> None:
    if not visible_to(person).filter(pk=comment.pk).exists():
        raise Problem("not_found", "There is no such thing.", status=404)


def _words(text: str) -> str:
    words = text.replace("\0", "").strip()
    if not words:
        raise Problem("invalid", "Write something.", fields={"text": ["must not be empty"]}, status=400)
    if len(words) > LONGEST:
        message = f"at most {LONGEST} characters, this has {len(words)}"
        raise Problem("invalid", "The comment is too long.", fields={"text": [message]}, status=400)
    return words


def _moment(case: Case, at_us: int | None) -> int | None:
    if at_us is None:
        return None
    media = case.video.media
    duration = media.duration_us if media else None
    if duration is None:
        message = "the clip was not read yet: comment on the whole case"
        raise Problem("invalid", "There is no such moment.", fields={"at_us": [message]}, status=400)
    if not 0 <= at_us <= duration:
        message = f"must be from 0 to {duration} microseconds"
        raise Problem(
            "invalid", "There is no such moment in the clip.", fields={"at_us": [message]}, status=400
        )
    return at_us
