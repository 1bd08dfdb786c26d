"""Remarks, replies, edits, threads, returns, and who is told."""

import pytest
from django.db import IntegrityError, transaction

from annotations.cases.models import Case, CaseStatus
from annotations.comments import services
from annotations.comments.models import Comment, Why
from annotations.comments.reading import comments_of, inbox, unread, visible_to
from annotations.gold.services import mark
from annotations.reviews.models import Assignment, Purpose, Way
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from tests.assign_made import drafted, given, people, planned_corpus, submit
from tests.factories import make_case, make_user

pytestmark = pytest.mark.django_db


def told(person: User) -> list[tuple[int, str]]:
    return list(inbox(person).values_list("comment", "why"))


def code(work: object, **asked: object) -> str:
    with pytest.raises(Problem) as caught:
        work(**asked)  # type: ignore[operator]
    return caught.value.code


def test_a_remark_on_a_moment_tells_whom_it_mentions(annotator: User, lead: User) -> None:
    case = make_case()
    made = services.comment_on(case=case, text=f" Early? @{lead.username} ", by=annotator, at_us=1_200_000)
    assert (made.text, made.at_us, made.thread) == (f"Early? @{lead.username}", 1_200_000, None)
    assert told(lead) == [(made.pk, Why.MENTION)]
    assert unread(lead) == 1
    assert unread(annotator) == 0
    event = AuditEvent.objects.filter(verb="comment.written").get()
    assert (event.actor, event.subject_id, event.data) == (
        annotator.username,
        made.pk,
        {"case": case.pk, "at_us": 1_200_000},
    )


@pytest.mark.parametrize("text", ["", "  \n", "\0", "x" * 4001])
def test_a_comment_has_words_and_not_too_many(text: str, annotator: User) -> None:
    assert code(services.comment_on, case=make_case(), text=text, by=annotator) == "invalid"
    assert not Comment.objects.exists()


@pytest.mark.parametrize("at_us", [-1, 5_000_001])
def test_a_moment_lies_in_the_clip(at_us: int, annotator: User) -> None:
    assert code(services.comment_on, case=make_case(), text="x", by=annotator, at_us=at_us) == "invalid"


def test_a_clip_without_media_has_no_moments(annotator: User) -> None:
    case = make_case()
    case.video.media = None
    assert code(services.comment_on, case=case, text="x", by=annotator, at_us=0) == "invalid"
    assert services.comment_on(case=case, text="x", by=annotator).at_us is None


def test_a_reply_tells_everybody_in_the_thread_once() -> None:
    case, (ann, bob, cleo) = make_case(), people(3)
    root = services.comment_on(case=case, text="Where does it begin?", by=ann)
    first = services.reply_to(comment=root, text="At the brake lights.", by=bob)
    again = services.reply_to(comment=first, text=f"@{ann.username} @{cleo.username} earlier", by=ann)
    assert again.thread == root
    assert told(ann) == [(first.pk, Why.REPLY)]
    assert told(bob) == [(again.pk, Why.REPLY)]
    assert told(cleo) == [(again.pk, Why.MENTION)]


def test_an_edit_keeps_the_earlier_words_and_tells_who_is_new(lead: User) -> None:
    case, (ann, bob) = make_case(), people(2)
    made = services.comment_on(case=case, text=f"@{bob.username} one", by=ann)
    services.edit(comment=made, text=f"@{bob.username} @{lead.username} two", by=ann)
    made = services.edit(comment=made, text=f"@{bob.username} @{lead.username} three", by=ann)
    assert [wording.text for wording in made.wordings.all()] == [
        f"@{bob.username} one",
        f"@{bob.username} @{lead.username} two",
    ]
    assert made.edited_at is not None
    assert len(told(bob)) == len(told(lead)) == 1
    assert code(services.edit, comment=made, text="mine now", by=bob) == "not_allowed"
    same = services.edit(comment=made, text=f" {made.text} ", by=ann)
    assert same.wordings.count() == 2


def test_a_thread_is_settled_and_opened_again(reviewer: User, engineer: User) -> None:
    case = make_case()
    root = services.comment_on(case=case, text="x", by=engineer)
    answer = services.reply_to(comment=root, text="y", by=reviewer)
    settled = services.resolve(comment=answer, by=reviewer)
    assert (settled.pk, settled.resolved_by) == (root.pk, reviewer)
    assert code(services.resolve, comment=root, by=engineer) == "resolved_already"
    opened = services.reopen(comment=root, by=engineer)
    assert (opened.resolved_at, opened.resolved_by) == (None, None)
    assert code(services.reopen, comment=root, by=engineer) == "not_resolved"
    other = services.comment_on(case=case, text="z", by=reviewer)
    assert code(services.resolve, comment=other, by=engineer) == "not_allowed"
    verbs = AuditEvent.objects.filter(subject_type="comment", subject_id=root.pk).values_list(
        "verb", flat=True
    )
    assert list(verbs) == ["comment.reopened", "comment.resolved", "comment.written"]


def test_the_database_refuses_a_reply_with_a_moment_or_an_end() -> None:
    case, (ann,) = make_case(), people(1)
    root = services.comment_on(case=case, text="x", by=ann)
    for wrong in ({"at_us": 1}, {"resolved_at": root.created_at, "resolved_by": ann}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Comment.objects.create(case=case, thread=root, author=ann, text="y", **wrong)


def test_a_corpus_for_members_is_closed_to_others(annotator: User) -> None:
    case, (ann,) = make_case(), people(1)
    corpus = case.corpus
    corpus.access = "members"
    corpus.save()
    Membership.objects.create(user=ann, corpus=corpus, role=Role.ANNOTATOR)
    made = services.comment_on(case=case, text=f"@{annotator.username}", by=ann)
    assert services.strangers(made) == [annotator.username]
    assert told(annotator) == []
    assert list(visible_to(annotator)) == []
    assert code(services.comment_on, case=case, text="x", by=annotator) == "not_found"
    assert code(services.reply_to, comment=made, text="x", by=annotator) == "not_found"
    assert code(services.edit, comment=made, text="x", by=annotator) == "not_found"
    assert code(services.resolve, comment=made, by=annotator) == "not_found"


def test_whoever_leaves_a_corpus_finds_nothing_of_it_in_their_inbox(annotator: User) -> None:
    case, (ann,) = make_case(), people(1)
    services.comment_on(case=case, text=f"@{annotator.username}", by=ann)
    assert unread(annotator) == 1
    case.corpus.access = "members"
    case.corpus.save()
    assert unread(annotator) == 0


def test_two_people_who_answer_blind_do_not_read_each_other(lead: User) -> None:
    (case,), (ann, bob, watcher) = drafted(planned_corpus(double_share=1.0)), people(3)
    given(case, ann)
    given(case, bob, Purpose.DOUBLE)
    hint = services.comment_on(case=case, text=f"It begins at 1.2 s, @{bob.username}", by=ann)
    asked = services.comment_on(case=case, text="Mind the onset.", by=lead)
    assert list(comments_of(case, ann)) == list(comments_of(case, lead)) == [hint, asked]
    assert list(comments_of(case, bob)) == list(comments_of(case, watcher)) == [asked]
    assert told(bob) == []
    assert code(services.reply_to, comment=hint, text="?", by=bob) == "not_found"
    Case.objects.filter(pk=case.pk).update(status=CaseStatus.SUBMITTED)
    assert list(comments_of(case, bob)) == [hint, asked]


def test_a_gold_case_is_answered_without_what_others_said(lead: User) -> None:
    (ann, bob), case = people(2), make_case(CaseStatus.APPROVED)
    services.comment_on(case=case, text=f"@{ann.username} The truck, at 2 s.", by=lead)
    assert unread(ann) == 1
    mark(case=case, by=lead)
    assert list(comments_of(case, ann)) == list(comments_of(case, bob)) == []
    assert (unread(ann), comments_of(case, lead).count()) == (0, 1)
    given(case, ann, Purpose.GOLD, way=Way.TAKEN)
    mine = services.comment_on(case=case, text="Hard one.", by=ann)
    assert list(comments_of(case, ann)) == [mine]


def test_returning_with_a_comment_tells_the_annotator_and_gives_them_the_case(
    lead: User, annotator: User
) -> None:
    (case,) = drafted(planned_corpus())
    submit(case, annotator, assignment=given(case, annotator))
    text = f"@{annotator.username} the onset is later: " + "look " * 120
    made = services.return_with_comment(case=case, text=text, at_us=2_000_000, by=lead)
    case.refresh_from_db()
    assert (case.status, len(case.returned_reason), made.at_us) == (CaseStatus.RETURNED, 500, 2_000_000)
    assert told(annotator) == [(made.pk, Why.RETURN)]
    back = Assignment.objects.get(case=case, state="open")
    assert (back.person, back.way) == (annotator, Way.RETURNED)


def test_a_return_that_is_refused_leaves_no_comment(lead: User, annotator: User) -> None:
    case = make_case(CaseStatus.PREDICTED)
    assert code(services.return_with_comment, case=case, text="x", by=lead) == "invalid_move"
    assert code(services.return_with_comment, case=case, text="x", by=annotator) == "not_allowed"
    assert not Comment.objects.exists()


def test_reading_the_inbox_and_a_case(annotator: User, lead: User) -> None:
    one, other = make_case(), make_case()
    for case in (one, one, other):
        services.comment_on(case=case, text=f"@{annotator.username}", by=lead)
    assert services.mark_case_read(person=annotator, case=one) == 2
    assert unread(annotator) == 1
    assert services.mark_read(person=annotator) == 1
    newest = inbox(annotator)[0]
    assert services.mark_read(person=make_user(), notices=[newest.pk], read=False) == 0
    assert services.mark_read(person=annotator, notices=[newest.pk], read=False) == 1
    assert unread(annotator) == 1
