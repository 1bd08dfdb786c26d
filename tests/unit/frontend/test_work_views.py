"""The pages of work as they come from the server: who sees what, and that they speak of what is there."""

from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.comments import services
from annotations.comments.reading import unread
from annotations.corpora.models import Corpus
from annotations.gold.models import Pause
from annotations.gold.queue_bulk import ask_to_assign
from annotations.gold.services import mark
from annotations.reviews import assignments
from annotations.reviews.models import Purpose, Way
from annotations.reviews.plans import current_plan, set_plan
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from frontend.work import Part, parts
from tests.assign_made import bare_cases, drafted, given, people, planned_corpus, submit
from tests.factories import make_case, make_user, make_video

pytestmark = pytest.mark.django_db


def get(client: Client, user: User, address: str, status: int = 200, **query: object) -> str:
    client.force_login(user)
    response = client.get(address, query)
    assert response.status_code == status, address
    return " ".join(response.content.decode().split())


def test_who_sees_which_page(
    client: Client, lead: User, engineer: User, annotator: User, reviewer: User
) -> None:
    for address in ("/work", "/board", "/inbox"):
        assert client.get(address).status_code == 302
    for user, work, board in (
        (annotator, 200, 403),
        (reviewer, 200, 403),
        (lead, 200, 200),
        (engineer, 403, 403),
    ):
        get(client, user, "/work", work)
        get(client, user, "/board", board)
        text = get(client, user, "/inbox")
        assert ('href="/work"' in text, 'href="/board"' in text) == (work == 200, board == 200)


def test_an_empty_queue_says_what_to_do(client: Client, annotator: User, reviewer: User) -> None:
    text = get(client, annotator, "/work")
    assert "Nothing is waiting for you by name" in text
    assert 'data-take="answer"' in text
    assert 'data-take="look_over"' not in text
    planned_corpus()
    assert 'data-take="look_over"' in get(client, reviewer, "/work")


def test_returned_ones_stand_first_with_their_reason(client: Client, annotator: User, lead: User) -> None:
    corpus = planned_corpus()
    fresh, back = drafted(corpus, 2)
    given(fresh, annotator, minutes=90)
    submit(back, annotator)
    services.return_with_comment(case=back, text="The <onset> is later.", by=lead)
    text = get(client, annotator, "/work")
    assert text.index(f"Answer case {back.pk}") < text.index(f"Answer case {fresh.pk}")
    assert "The &lt;onset&gt; is later." in text
    assert f'href="/review/{fresh.pk}"' in text
    assert "1 hour, 29 minutes" in text.replace("\xa0", " ")
    assert "yours until you are done" in text
    assert 'Finished today <span class="muted">1</span>' in text


def test_neither_gold_nor_second_passes_can_be_told_apart(
    client: Client, annotator: User, lead: User
) -> None:
    corpus, (first,) = planned_corpus(), people(1)
    gold = make_case(CaseStatus.APPROVED, video=make_video(corpus))
    set_plan(corpus=corpus, by=lead, double_share=1.0)
    (case,) = drafted(corpus)
    given(case, first)
    given(case, annotator, Purpose.DOUBLE)
    mark(case=gold, by=lead)
    given(gold, annotator, Purpose.GOLD)
    text = get(client, annotator, "/work").lower()
    for word in ("gold", "double", "second"):
        assert word not in text
    assert f"answer case {gold.pk}" in text


def test_a_pause_is_told(client: Client, annotator: User) -> None:
    corpus = planned_corpus()
    Pause.objects.create(person=annotator, corpus=corpus, plan=current_plan(corpus))
    assert f"You are given nothing new in {corpus.name}" in get(client, annotator, "/work")


def test_the_board_shows_people_and_what_waits(client: Client, lead: User, annotator: User) -> None:
    corpus = planned_corpus()
    held, waits = drafted(corpus, 2)
    assignments.begin(given(held, annotator))
    text = get(client, lead, "/board", corpus=corpus.pk)
    assert annotator.username in text
    assert f'value="{waits.pk}"' in text
    assert f'name="cases" value="{held.pk}"' not in text
    assert "default, nothing known" in text
    text = get(client, lead, "/board", corpus=corpus.pk, show="held")
    assert f"Case {held.pk}" in text
    assert "begun" in text
    assert "No case waits here" in get(client, lead, "/board", corpus=corpus.pk, source="elsewhere")
    for nonsense in ("x", "0", str(2**70)):
        assert "no such corpus among yours" in get(client, lead, "/board", corpus=nonsense)


def test_the_board_is_of_the_corpora_one_leads(client: Client, annotator: User) -> None:
    mine, other = planned_corpus(), planned_corpus()
    Membership.objects.create(user=annotator, corpus=mine, role=Role.LEAD)
    text = get(client, annotator, "/board")
    assert mine.name in text
    assert other.name not in text
    assert "no such corpus among yours" in get(client, annotator, "/board", corpus=other.pk)


def test_an_order_to_look_over_names_a_person(client: Client, lead: User, reviewer: User) -> None:
    corpus = planned_corpus(second_share=1.0)
    (case,) = drafted(corpus)
    submit(case, people(1)[0])
    text = get(client, lead, "/board", corpus=corpus.pk, show="second")
    assert f'name="cases" value="{case.pk}"' in text
    assert 'value="round_robin"' not in text


def test_the_board_of_many_cases_reads_a_page_of_them(
    client: Client, lead: User, django_assert_max_num_queries: object
) -> None:
    corpus = planned_corpus()
    for case, person in zip(bare_cases(corpus, 120), people(3) * 40, strict=True):
        if case.pk % 2:
            given(case, person)
    client.force_login(lead)
    with django_assert_max_num_queries(40):  # type: ignore[operator]
        text = client.get("/board", {"corpus": corpus.pk}).content.decode()
    assert text.count('name="cases"') == 50


def test_the_board_costs_the_same_however_many_people_there_are(client: Client, lead: User) -> None:
    """With everything the board says of somebody: gold scores, agreements, pauses, open cases of all sorts."""
    client.force_login(lead)
    counts = []
    for count in (2, 20):
        corpus = planned_corpus(double_share=1.0)
        for person, other in pairwise([*people(count), *people(1)]):
            Membership.objects.create(user=person, corpus=corpus, role=Role.ANNOTATOR)
            done, held = drafted(corpus)[0], bare_cases(corpus, 1)[0]
            submit(done, person, assignment=given(done, person))
            submit(done, other, assignment=given(done, other, Purpose.DOUBLE))
            given(held, person)
            Pause.objects.create(person=person, corpus=corpus, plan=current_plan(corpus))
        with CaptureQueriesContext(connection) as queries:
            text = client.get("/board", {"corpus": corpus.pk}).content.decode()
        assert text.count("agreement 100") == count + 1
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_board_shows_how_far_an_order_is_and_what_came_of_it(
    client: Client, lead: User, annotator: User, engineer: User
) -> None:
    corpus, (other,) = planned_corpus(), people(1)
    cases = bare_cases(corpus, 3)
    given(cases[0], other)
    assert "data-progress" not in get(client, lead, "/board", corpus=corpus.pk)
    asked = {"corpus": corpus, "way": Way.MANUAL, "by": lead, "cases": [case.pk for case in cases]}
    job = ask_to_assign(people=[annotator], **asked)  # type: ignore[arg-type]
    text = get(client, lead, "/board", corpus=corpus.pk)
    assert f'data-url="/board/assigning/{job.pk}"' in text
    assert "waits for a free worker" in text
    assert 'data-when="open"><button' in text
    assert 'data-when="undone" hidden' in text
    claimed = claim_next("data")
    assert claimed is not None
    perform(claimed)
    part = get(client, lead, f"/board/assigning/{job.pk}")
    assert "2 assigned, of 3" in part
    assert f'1 left, with somebody already: <a href="/cases/{cases[0].pk}">' in part
    assert other.username not in part
    for person, status in ((annotator, 403), (engineer, 403), (lead, 200)):
        get(client, person, f"/board/assigning/{job.pk}", status)
    Corpus.objects.update(access="members")
    get(client, lead, f"/board/assigning/{job.pk}", 404)
    Corpus.objects.update(access="everyone")
    Job.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert "data-progress" not in get(client, lead, "/board", corpus=corpus.pk)


def test_the_board_says_why_an_order_failed(client: Client, lead: User, annotator: User) -> None:
    corpus, boss = planned_corpus(), make_user(Role.LEAD)
    cases = [case.pk for case in bare_cases(corpus, 1)]
    ask_to_assign(corpus=corpus, way=Way.MANUAL, by=boss, cases=cases, people=[annotator])
    User.objects.filter(pk=boss.pk).update(role=Role.ANNOTATOR)
    claimed = claim_next("data")
    assert claimed is not None
    perform(claimed)
    text = get(client, lead, "/board", corpus=corpus.pk)
    assert "failed; what was assigned stays" in text
    assert "Your role in this corpus does not allow this." in text
    assert 'data-when="undone"><button' in text


def test_comments_on_the_page_of_a_case(client: Client, annotator: User, reviewer: User) -> None:
    case = make_case()
    root = services.comment_on(case=case, text="<b>Here?</b> @the-reviewer", by=annotator, at_us=1_200_000)
    services.reply_to(comment=root, text="Yes.", by=reviewer)
    settled = services.comment_on(case=case, text="Done.", by=annotator)
    services.resolve(comment=settled, by=reviewer)
    assert unread(reviewer) == 1
    text = get(client, reviewer, f"/cases/{case.pk}")
    assert unread(reviewer) == 0, "who opens the case has read what it says"
    assert "&lt;b&gt;Here?&lt;/b&gt;" in text
    assert '<span class="mention">@the-reviewer</span>' in text
    assert 'data-seek-us="1200000"' in text
    assert text.index(f'id="comment-{root.pk}"') < text.index(f'id="comment-{settled.pk}"')
    part = get(client, reviewer, f"/cases/{case.pk}/comments")
    assert part.startswith("<li")
    assert "Settled by the-reviewer" in part
    assert f'data-comment="/api/comments/{root.pk}"' not in part, "only who wrote it edits it"
    assert f'data-comment="/api/comments/{root.pk}"' in get(client, annotator, f"/cases/{case.pk}/comments")


def test_the_inbox_counts_in_the_header(client: Client, annotator: User, lead: User) -> None:
    case = make_case()
    assert "You are told here" in get(client, annotator, "/inbox")
    said = services.comment_on(case=case, text=f"@{annotator.username} look", by=lead, at_us=0)
    text = get(client, annotator, "/inbox")
    assert 'aria-label="1 unread"' in text
    assert f'href="/cases/{case.pk}#comment-{said.pk}"' in text
    assert f"mentioned you on case {case.pk} at 0.000 s" in text
    services.mark_read(person=annotator)
    assert "unread" not in get(client, annotator, "/inbox").replace("inbox__line--unread", "").lower()


def test_comments_of_a_closed_corpus_are_not_there(client: Client, annotator: User) -> None:
    case = make_case()
    case.corpus.access = "members"
    case.corpus.save()
    get(client, annotator, f"/cases/{case.pk}/comments", 404)


def test_a_text_is_cut_at_its_mentions_and_nothing_is_lost() -> None:
    text = "See @ann, and mail x@y.example"
    assert parts(text) == [Part("See ", False), Part("@ann", True), Part(", and mail x@y.example", False)]
    assert "".join(part.text for part in parts(text)) == text


def test_a_case_remembers_who_had_it(client: Client, annotator: User, lead: User) -> None:
    (case,) = drafted(planned_corpus())
    held = given(case, annotator, by=lead)
    assignments.release(assignment=held, by=lead, reason="on leave")
    text = get(client, lead, f"/cases/{case.pk}")
    assert f"<strong>{lead.username}</strong> assigned it" in text
    assert "released it" in text
    assert f"({annotator.username})" in text


def test_a_plan_with_gold_shows_no_gold_to_its_person(client: Client, annotator: User, lead: User) -> None:
    corpus = planned_corpus()
    gold = make_case(CaseStatus.APPROVED, video=make_video(corpus))
    mark(case=gold, by=lead)
    set_plan(corpus=corpus, by=lead, gold_entrance=1)
    given(gold, annotator, Purpose.GOLD)
    assert "1 gold" in get(client, lead, "/board", corpus=corpus.pk)
    assert Case.objects.get(pk=gold.pk).status == CaseStatus.APPROVED
