"""Which comments somebody may read, and their inbox."""

from django.db.models import Exists, OuterRef, Q, QuerySet

from annotations.cases.models import Case
from annotations.cases.sight import sight_of
from annotations.comments.models import Comment, Notice
from annotations.corpora.access import narrow, open_to
from annotations.reviews.assignments_rules import HELD, PASSES, WORKABLE, counting_reviews
from annotations.reviews.models import Assignment, Purpose
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action


def visible_to(person: User) -> QuerySet[Comment]:
    """The comments of corpora the person may look into, without those that would spoil their own answer.

    Until both passes of a case that two people answer are in, neither reads what the other writes about it, nor does
    anybody else who might still take the second; whoever assigns cases there reads all. Nobody reads others' comments
    on a case that is gold to them, or may yet be.
    """
    comments = narrow(Comment.objects.all(), person, "case__corpus")
    leads = open_to(person, Action.ASSIGN).values("pk")
    asked = Assignment.objects.filter(
        case=OuterRef("case"), person=OuterRef("author"), purpose__in=list(PASSES), state__in=HELD
    )
    answered = counting_reviews().filter(case=OuterRef("case"), reviewer=OuterRef("author"))
    open_statuses = list(WORKABLE[Purpose.DOUBLE])
    blind = Q(case__draw__double=True, case__status__in=open_statuses) & ~Q(case__corpus__in=leads)
    passed = Q(Exists(asked)) | Q(Exists(answered))
    gold = Q(case__in=list(sight_of(person).masked()))
    return comments.filter(Q(author=person) | ~(blind & passed) & ~gold)


def comments_of(case: Case, person: User) -> QuerySet[Comment]:
    """What the person may read about a case, oldest first, with authors and earlier wordings."""
    found = visible_to(person).filter(case=case)
    return found.select_related("author", "resolved_by").prefetch_related("wordings").order_by("id")


def inbox(person: User) -> QuerySet[Notice]:
    """What the person was told and may still read, newest first."""
    found = Notice.objects.filter(person=person, comment__in=visible_to(person).values("pk"))
    return found.select_related("comment__author", "comment__case__video", "comment__case__corpus").order_by(
        "-id"
    )


def unread(person: User) -> int:
    """How many lines of the inbox were not read. Asked on every page: one quick query where there are none."""
    if not Notice.objects.filter(person=person, read_at__isnull=True).exists():
        return 0
    return inbox(person).filter(read_at__isnull=True).count()
