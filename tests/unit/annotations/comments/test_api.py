"""The API of comments and of the inbox."""

import pytest
from rest_framework.test import APIClient

from annotations.comments import services
from crashdesk.accounts.models import User
from tests.assign_made import drafted, given, planned_corpus, submit
from tests.factories import make_case

pytestmark = pytest.mark.django_db


def client(user: User) -> APIClient:
    made = APIClient()
    made.force_authenticate(user)
    return made


def test_writing_replying_editing_and_settling(annotator: User, reviewer: User) -> None:
    case = make_case()
    mine, theirs = client(annotator), client(reviewer)
    made = mine.post("/api/comments", {"case": case.pk, "text": "Here? @nobody", "at_us": 1_000_000})
    assert made.status_code == 201, made.data
    assert (made.data["at_us"], made.data["strangers"], made.data["author"]) == (
        1_000_000,
        ["nobody"],
        annotator.username,
    )
    pk = made.data["id"]
    reply = theirs.post(f"/api/comments/{pk}/reply", {"text": "Yes."})
    assert (reply.status_code, reply.data["thread"]) == (201, pk)
    assert theirs.patch(f"/api/comments/{pk}", {"text": "No."}).status_code == 403
    edited = mine.patch(f"/api/comments/{pk}", {"text": "There?"})
    assert [one["text"] for one in edited.data["wordings"]] == ["Here? @nobody"]
    assert theirs.post(f"/api/comments/{pk}/resolve").data["resolved_by"] == reviewer.username
    again = theirs.post(f"/api/comments/{pk}/resolve")
    assert (again.status_code, again.data["error"]["code"]) == (409, "resolved_already")
    assert mine.post(f"/api/comments/{pk}/reopen").data["resolved_at"] is None
    listed = mine.get("/api/comments", {"case": case.pk, "thread__isnull": True}).data["results"]
    assert [one["id"] for one in listed] == [pk]
    assert [one["id"] for one in mine.get("/api/comments", {"thread": pk}).data["results"]] == [
        reply.data["id"]
    ]


def test_what_is_wrong_is_said_by_field(annotator: User) -> None:
    answer = client(annotator).post("/api/comments", {"case": 999, "text": "", "at_us": -1})
    assert answer.status_code == 400
    assert set(answer.data["error"]["fields"]) == {"case", "text", "at_us"}


def test_a_case_of_a_closed_corpus_does_not_exist(annotator: User, lead: User) -> None:
    case = make_case()
    made = services.comment_on(case=case, text="x", by=annotator)
    case.corpus.access = "members"
    case.corpus.save()
    asks = client(annotator)
    assert asks.post("/api/comments", {"case": case.pk, "text": "x"}).status_code == 400
    assert asks.get(f"/api/comments/{made.pk}").status_code == 404
    assert asks.post(f"/api/comments/{made.pk}/reply", {"text": "x"}).status_code == 404
    assert asks.get("/api/comments").data["results"] == []
    assert client(lead).post(f"/api/cases/{case.pk}/return-with-comment", {"text": "x"}).status_code == 404


def test_the_inbox_and_a_return(annotator: User, lead: User) -> None:
    (case,) = drafted(planned_corpus())
    submit(case, annotator, assignment=given(case, annotator))
    answer = client(lead).post(f"/api/cases/{case.pk}/return-with-comment", {"text": "Later.", "at_us": 0})
    assert answer.status_code == 201, answer.data
    asks = client(annotator)
    (line,) = asks.get("/api/inbox", {"read_at__isnull": True}).data["results"]
    assert (line["why"], line["comment"]["text"], line["clip"]) == ("return", "Later.", case.video.name)
    assert asks.post("/api/inbox/read", {"ids": [line["id"]]}).data == {"changed": 1, "unread": 0}
    assert asks.post("/api/inbox/read", {"read": False}).data == {"changed": 1, "unread": 1}
    assert client(lead).get("/api/inbox").data["results"] == []


def test_a_long_list_costs_no_more_queries(
    annotator: User, lead: User, django_assert_max_num_queries: object
) -> None:
    case = make_case()
    for _ in range(12):
        services.comment_on(case=case, text=f"@{annotator.username}", by=lead)
    asks = client(annotator)
    for address in ("/api/comments", "/api/inbox"):
        with django_assert_max_num_queries(9):  # type: ignore[operator]
            assert len(asks.get(address).data["results"]) == 12
