"""Nobody who is measured can tell a gold case from any other, and nobody sees what would lead their own answer."""

from typing import Any

import pytest
from django.test import Client

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, Case, CaseStatus
from annotations.gold.asking import next_gold
from annotations.gold.services import mark, score_if_gold
from annotations.reviews.assignments import assign
from annotations.reviews.decisions import approve
from annotations.reviews.models import Purpose, Way
from annotations.reviews.services import withdraw
from crashdesk.accounts.models import Role, User
from frontend.queue import Filters, narrowed, neighbours
from tests.disputes_made import answer, ask, make_dispute, make_plan, make_planned_case
from tests.factories import CRASH, make_case, make_user, make_video
from tests.gold_made import WRONG, make_gold

pytestmark = pytest.mark.django_db

SAME = (
    "kind", "state", "reason", "author_kind", "author", "draft", "raw_text", "confidence", "confidence_detail",
    "model_version", "adapter", "prompt_version", "frames",
)  # fmt: skip
"""What could tell an answer that equals a draft from one that does not."""


def case_of(client: Client, case: Case) -> dict[str, Any]:
    answer = client.get(f"/api/cases/{case.pk}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def listed(client: Client, **query: str) -> dict[int, str]:
    rows = client.get("/api/cases", query).json()["results"]
    return {row["id"]: row["status"] for row in rows}


def shape(found: dict[str, Any]) -> dict[str, Any]:
    """What an observer could compare between two cases: everything but numbers, times and the clip."""
    return {
        "status": found["status"],
        "answers": [(one["kind"], one["author_kind"]) for one in found["answers"]],
        "approved": found["approved"],
        "current": sorted(found["current"]),
        "drafts": sorted(found["drafts"]),
        "history": [event["verb"] for event in found["history"]],
        "findings": found["findings"],
        "reasons": (found["excluded_reason"], found["returned_reason"]),
        "rank": found["review_rank"],
    }


def test_before_during_and_after_a_gold_case_looks_like_an_ordinary_one(
    client: Client, annotator: User
) -> None:
    plan = make_plan(gold_share=1.0)
    (gold,) = make_gold(plan)
    plain = make_case(CaseStatus.IN_REVIEW, video=make_video(plan.corpus))
    Case.objects.filter(pk=plain.pk).update(review_rank=4)
    client.force_login(annotator)
    assert shape(case_of(client, gold.case)) == shape(case_of(client, plain))
    given = next_gold(annotator)
    assert given is not None
    assign(case=plain, person=annotator, purpose=Purpose.ANNOTATE, way=Way.TAKEN, by=annotator)
    during = shape(case_of(client, plain))
    assert shape(case_of(client, gold.case)) == during
    score_if_gold(answer(gold.case, annotator, WRONG))
    answer(plain, annotator, WRONG)
    assert shape(case_of(client, gold.case)) == shape(case_of(client, plain))
    assert "gold" not in str(case_of(client, gold.case))
    own = [one for one in case_of(client, gold.case)["answers"] if one["author_kind"] == "person"]
    assert {one["author"] for one in own} == {annotator.username}


def test_lists_and_filters_tell_nothing_either(client: Client, annotator: User, lead: User) -> None:
    (gold,) = make_gold(make_plan(gold_share=1.0))
    client.force_login(annotator)
    assert listed(client)[gold.case_id] == CaseStatus.IN_REVIEW
    assert gold.case_id not in listed(client, status="approved")
    assert listed(client, status="in_review") == {gold.case_id: CaseStatus.IN_REVIEW}
    shown = client.get("/cases?status=approved").content.decode()
    assert f"/cases/{gold.case_id}" not in shown
    assert f"/cases/{gold.case_id}" in client.get("/cases?status=in_review").content.decode()
    client.force_login(lead)
    assert listed(client, status="approved") == {gold.case_id: CaseStatus.APPROVED}


def test_neither_ranks_nor_orders_tell_who_waits(client: Client, annotator: User, lead: User) -> None:
    plan = make_plan(gold_share=1.0)
    (gold,) = make_gold(plan)
    waiting = [make_case(CaseStatus.IN_REVIEW, video=make_video(plan.corpus)) for _ in range(2)]
    for rank, case in enumerate(reversed(waiting), start=1):
        Case.objects.filter(pk=case.pk).update(review_rank=rank)
    by_id, by_rank = (
        [gold.case_id, *(case.pk for case in waiting)],
        [waiting[1].pk, waiting[0].pk, gold.case_id],
    )
    for person, ranks, order in ((annotator, [None, None, None], by_id), (lead, [None, 2, 1], by_rank)):
        client.force_login(person)
        assert [row["review_rank"] for row in client.get("/api/cases").json()["results"]] == ranks
        found = [row.pk for row in narrowed(Filters(), person)]
        assert found == order
        ends = neighbours(Case.objects.get(pk=order[0]), Filters(), person)
        assert (ends.previous, ends.next) == (None, order[1])
    client.force_login(annotator)
    refused = client.get("/api/cases?ordering=review_rank")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "ordering_not_open")
    assert client.get("/api/selection-rounds").status_code == 403


def test_the_page_of_a_gold_case_shows_neither_key_nor_history(client: Client, annotator: User) -> None:
    plan = make_plan(gold_share=1.0)
    said = {**CRASH, "causal_reasoning": WRONG["causal_reasoning"]}
    author = make_user()
    case = make_case(CaseStatus.IN_REVIEW, video=make_video(plan.corpus))
    answer(case, author, said)
    boss = make_user(Role.LEAD)
    approve(case=case, by=boss)
    mark(case=case, by=boss)
    client.force_login(annotator)
    for moment in range(2):
        shown = client.get(f"/cases/{case.pk}").content.decode()
        for hidden in (
            "Ice on the bridge.",
            author.username,
            boss.username,
            "pill--approved",
            "moved it to approved",
        ):
            assert hidden not in shown, (moment, hidden)
        assert next_gold(annotator) is not None


def test_the_queue_and_the_reviews_call_it_an_ordinary_case(client: Client, annotator: User) -> None:
    (gold,) = make_gold(make_plan(gold_share=1.0))
    client.force_login(annotator)
    taken = client.post("/api/work/next", {}, content_type="application/json")
    assert taken.status_code == 200
    assert "gold" not in taken.content.decode()
    answer(gold.case, annotator)
    reviews = client.get("/api/reviews").json()["results"]
    assert [one["reviewer"] for one in reviews] == [annotator.username]
    assert "gold" not in client.get("/api/reviews").content.decode()


def test_the_first_page_does_not_tell_what_did_not_happen(
    client: Client, annotator: User, lead: User
) -> None:
    (gold,) = make_gold(make_plan(gold_share=1.0))
    given = next_gold(annotator)
    assert given is not None
    score_if_gold(answer(gold.case, annotator, WRONG))
    client.force_login(annotator)
    events = client.get("/api/loop").json()["events"]
    assert not [event for event in events if "gold" in event["subject"] or "gold" in event["verb"]]
    assert not [event for event in events if event["actor"] == annotator.username and event["url"]]
    client.force_login(lead)
    assert [event for event in client.get("/api/loop").json()["events"] if "gold" in event["subject"]]


def test_a_reviewer_sees_it_masked_from_the_moment_it_is_theirs(client: Client, reviewer: User) -> None:
    (gold,) = make_gold(make_plan(gold_share=1.0))
    client.force_login(reviewer)
    assert case_of(client, gold.case)["status"] == CaseStatus.APPROVED
    next_gold(reviewer)
    assert case_of(client, gold.case)["status"] == CaseStatus.IN_REVIEW


def test_who_answered_it_long_ago_sees_it_as_it_is(client: Client, lead: User) -> None:
    author = make_user(Role.ANNOTATOR)
    case = make_case(CaseStatus.APPROVED, reviewer=author)
    mark(case=case, by=lead)
    client.force_login(author)
    assert case_of(client, case)["status"] == CaseStatus.APPROVED


def test_the_control_arm_shows_nobody_a_draft_while_it_is_open(
    client: Client, annotator: User, lead: User
) -> None:
    case = make_planned_case(blind_share=1.0)
    for person in (annotator, lead):
        client.force_login(person)
        found = case_of(client, case)
        assert (found["answers"], found["drafts"], found["current"]) == ([], {}, {})
        assert "car hits a truck." not in client.get(f"/cases/{case.pk}").content.decode()
    answer(case, annotator, WRONG)
    assert len(case_of(client, case)["drafts"]) == 6


def test_who_answered_the_control_arm_sees_no_draft_while_they_may_edit(
    client: Client, annotator: User, reviewer: User, lead: User
) -> None:
    case = make_planned_case(blind_share=1.0)
    answer(case, annotator, WRONG)
    for person in (annotator, make_user(Role.ANNOTATOR)):
        client.force_login(person)
        assert case_of(client, case)["drafts"] == {}
        assert "looked away from the road." not in client.get(f"/cases/{case.pk}").content.decode()
    client.force_login(reviewer)
    assert len(case_of(client, case)["drafts"]) == 6
    answer(case, reviewer, WRONG)
    assert case_of(client, case)["drafts"] == {}
    approve(case=Case.objects.get(pk=case.pk), by=lead)
    for person in (annotator, reviewer):
        client.force_login(person)
        assert len(case_of(client, case)["drafts"]) == 6


def test_a_reviewer_who_may_get_the_second_pass_does_not_see_the_first(
    client: Client, reviewer: User, lead: User
) -> None:
    case = make_planned_case(double_share=1.0)
    answer(case, make_user(Role.ANNOTATOR), WRONG)
    for person, shown in ((reviewer, False), (lead, True)):
        client.force_login(person)
        assert ("Ice on the bridge." in client.get(f"/cases/{case.pk}").content.decode()) is shown


def test_the_second_person_does_not_see_the_first(
    client: Client, annotator: User, reviewer: User, lead: User
) -> None:
    case, first = make_planned_case(double_share=1.0), make_user(Role.ANNOTATOR)
    review = answer(case, first, WRONG)
    ask(case, reviewer, Purpose.DOUBLE)
    for person in (annotator, reviewer):
        client.force_login(person)
        found = case_of(client, case)
        assert {one["author_kind"] for one in found["answers"]} == {"model"}
        assert "Ice on the bridge." not in client.get(f"/cases/{case.pk}").content.decode()
        assert client.get("/api/reviews").json()["results"] == []
    client.force_login(first)
    assert "Ice on the bridge." in client.get(f"/cases/{case.pk}").content.decode()
    client.force_login(lead)
    assert client.get("/api/reviews").json()["results"][0]["id"] == review.pk
    answer(case, reviewer, WRONG)
    client.force_login(reviewer)
    assert "Ice on the bridge." in client.get(f"/cases/{case.pk}").content.decode()


def test_while_it_is_disputed_the_two_do_not_see_each_other(client: Client) -> None:
    dispute = make_dispute()
    client.force_login(dispute.first.reviewer)
    authors = {one["author"] for one in case_of(client, dispute.case)["answers"] if one["author"]}
    assert dispute.second.reviewer.username not in authors
    withdraw(review=dispute.second, by=None)
    assert case_of(client, dispute.case)["status"] == CaseStatus.IN_REVIEW


def test_what_one_said_blindly_is_ones_own_also_where_a_hidden_draft_says_the_same(
    client: Client, annotator: User, reviewer: User, lead: User
) -> None:
    same, other = make_planned_case(blind_share=1.0), make_planned_case(blind_share=1.0)
    reviews = [answer(same, annotator), answer(other, annotator, WRONG)]
    drafted = {one.kind: one for one in same.answers.filter(author=None)}
    client.force_login(annotator)
    shown = []
    for case, review in zip((same, other), reviews, strict=True):
        found = case_of(client, case)
        own = found["answers"]
        assert {one["kind"]: one["author"] for one in own} == dict.fromkeys(Kind.values, annotator.username)
        assert sorted(one["id"] for one in own) == sorted(found["current"].values())
        (listed,) = [row for row in client.get("/api/reviews").json()["results"] if row["id"] == review.pk]
        assert sorted(listed["answers"]) == sorted(one["id"] for one in own)
        told = [{name: one[name] for name in SAME} | {"pass": one["origin"].partition("@")[2]} for one in own]
        shown.append((shape(found), told))
    assert shown[0] == shown[1], "neither what is said of it nor its history tells which equals the draft"
    said = case_of(client, same)["answers"]
    assert [one["value"] for one in said] == [drafted[one["kind"]].value for one in said]
    assert "car hits a truck." in client.get(f"/cases/{same.pk}").content.decode()
    client.force_login(make_user(Role.ANNOTATOR))
    assert case_of(client, same)["drafts"] == {}


def test_saying_it_again_changes_nothing_and_another_revision_adds_what_is_new(annotator: User) -> None:
    case = make_planned_case(blind_share=1.0)
    first = answer(case, annotator)
    held = set(first.answers.values_list("pk", flat=True))
    again = answer(case, annotator)
    assert (again, set(again.answers.values_list("pk", flat=True))) == (first, held)
    assert Answer.objects.filter(case=case, author=annotator).count() == 6
