"""The API of one's own queue and of the lead's board."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from annotations.cases.models import CaseStatus
from annotations.corpora.models import Corpus
from annotations.gold.models import Pause
from annotations.gold.services import mark
from annotations.reviews.models import Assignment, Purpose
from annotations.reviews.plans import current_plan, set_plan
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from tests.assign_made import bare_cases, drafted, given, people, planned_corpus, submit
from tests.factories import make_case, make_video

pytestmark = pytest.mark.django_db


def client(user: User) -> APIClient:
    made = APIClient()
    made.force_authenticate(user)
    return made


def assigned(lead: User, asked: dict[str, Any]) -> dict[str, Any]:
    """What came of this order, once a worker has done it."""
    answer = client(lead).post("/api/assignments", asked)
    assert (answer.status_code, answer.data["kind"], answer.data["state"]) == (202, "assign_cases", "queued")
    job = claim_next("data")
    assert job is not None
    perform(job)
    found: dict[str, Any] = client(lead).get(f"/api/jobs/{answer.data['id']}").data["result"]
    return found


def test_taking_the_next_case_and_giving_it_back(annotator: User) -> None:
    cases, asks = drafted(planned_corpus(), 2), client(annotator)
    first = asks.post("/api/work/next").data
    assert (first["item"]["case"], first["item"]["turn"], first["why"]) == (cases[0].pk, "taken", "")
    assert first["item"]["until"] is not None
    assert [item["id"] for item in asks.get("/api/work").data["items"]] == [first["item"]["id"]]
    assert asks.post(f"/api/work/{first['item']['id']}/release", {"reason": "too dark"}).status_code == 204
    again = asks.post(f"/api/work/{first['item']['id']}/release")
    assert (again.status_code, again.data["error"]["code"]) == (409, "not_open")
    assert asks.post("/api/work/next").data["item"]["case"] == cases[1].pk


def test_why_nothing_comes(annotator: User) -> None:
    corpus, asks = planned_corpus(), client(annotator)
    assert asks.post("/api/work/next").data == {"item": None, "why": "nothing_waits"}
    drafted(corpus)
    Pause.objects.create(person=annotator, corpus=corpus, plan=current_plan(corpus))
    assert asks.post("/api/work/next").data == {"item": None, "why": "paused"}
    assert asks.get("/api/work").data["paused"] == [corpus.pk]


def test_what_to_look_over_is_for_reviewers(annotator: User, reviewer: User) -> None:
    corpus = planned_corpus(second_share=1.0)
    (case,) = drafted(corpus)
    submit(case, annotator, assignment=given(case, annotator))
    assert client(annotator).post("/api/work/next", {"what": "look_over"}).data["item"] is None
    found = client(reviewer).post("/api/work/next", {"what": "look_over", "corpus": corpus.pk}).data["item"]
    assert (found["case"], found["purpose"]) == (case.pk, "second")
    wrong = client(reviewer).post("/api/work/next", {"what": "sleep"})
    assert (wrong.status_code, list(wrong.data["error"]["fields"])) == (400, ["what"])


def test_gold_is_not_told_to_its_person_but_to_leads(annotator: User, lead: User) -> None:
    corpus = planned_corpus()
    gold = make_case(CaseStatus.APPROVED, video=make_video(corpus))
    mark(case=gold, by=lead)
    set_plan(corpus=corpus, by=lead, gold_entrance=1)
    item = client(annotator).post("/api/work/next").data["item"]
    assert (item["case"], item["purpose"], item["status"]) == (gold.pk, "annotate", "in_review")
    assert client(annotator).get("/api/assignments").status_code == 403
    (row,) = client(lead).get("/api/assignments", {"purpose": "gold"}).data["results"]
    assert (row["person"], row["case"]) == (annotator.username, gold.pk)


def test_assigning_a_selection_to_one_person(lead: User) -> None:
    corpus, (ann, bob) = planned_corpus(), people(2)
    cases = bare_cases(corpus, 3)
    given(cases[0], bob)
    asked = {"corpus": corpus.pk, "cases": [case.pk for case in cases], "way": "manual", "minutes": 60}
    result = assigned(lead, {**asked, "people": [ann.username]})
    assert (result["given"], result["left"]) == (2, [{"case": cases[0].pk, "code": "already_assigned"}])
    held = Assignment.objects.filter(person=ann)
    assert [one.case_id for one in held if one.expires_at] == [cases[1].pk, cases[2].pk]


def test_assigning_what_matches_in_turn(lead: User) -> None:
    corpus, (ann, bob) = planned_corpus(), people(2)
    make_case(CaseStatus.PREDICTED, video=make_video(corpus, source="elsewhere"))
    cases = drafted(corpus, 4)
    asked = {"corpus": corpus.pk, "way": "round_robin", "from_source": "made up", "limit": 3}
    assert assigned(lead, asked)["given"] == 3
    assert list(Assignment.objects.values_list("case", "person")) == [
        (cases[0].pk, ann.pk), (cases[1].pk, bob.pk), (cases[2].pk, ann.pk),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"way": "manual"}, "people"),
        ({"way": "round_robin", "purpose": "second"}, "way"),
        ({"way": "guess"}, "way"),
        ({"way": "manual", "people": ["nobody"]}, "people"),
        ({"way": "round_robin", "minutes": 0}, "minutes"),
        ({"way": "round_robin", "purpose": "gold"}, "purpose"),
        ({"way": "round_robin", "cases": []}, "cases"),
    ],
)
def test_what_is_wrong_with_an_order(asked: dict[str, object], field: str, lead: User) -> None:
    answer = client(lead).post("/api/assignments", {"corpus": planned_corpus().pk, **asked})
    assert answer.status_code == 400
    assert list(answer.data["error"]["fields"]) == [field]


def test_cases_of_another_corpus_are_refused(lead: User) -> None:
    corpus, other, (ann,) = planned_corpus(), planned_corpus(), people(1)
    (elsewhere,) = bare_cases(other, 1)
    asked = {"corpus": corpus.pk, "cases": [elsewhere.pk], "way": "manual", "people": [ann.username]}
    answer = client(lead).post("/api/assignments", asked)
    assert (answer.status_code, answer.data["error"]["fields"]) == (400, {"cases": [elsewhere.pk]})


def test_a_lead_of_one_corpus_is_none_elsewhere(annotator: User) -> None:
    mine, other, (ann,) = planned_corpus(), planned_corpus(), people(1)
    Membership.objects.create(user=annotator, corpus=mine, role=Role.LEAD)
    held = [given(bare_cases(corpus, 1)[0], ann) for corpus in (mine, other)]
    asks = client(annotator)
    assert [row["id"] for row in asks.get("/api/assignments").data["results"]] == [held[0].pk]
    assert asks.get(f"/api/corpora/{mine.pk}/board").status_code == 200
    assert asks.get(f"/api/corpora/{other.pk}/board").status_code in (403, 404)
    assert asks.post("/api/assignments/rebalance", {"corpus": other.pk}).status_code == 403
    refused = asks.post("/api/assignments", {"corpus": other.pk, "way": "round_robin"})
    assert refused.status_code == 403
    told = asks.post("/api/assignments/release", {"ids": [one.pk for one in held]}).data
    assert told["released"] == 1
    assert [(one["assignment"], one["error"]["code"]) for one in told["left"]] == [(held[1].pk, "not_found")]
    held[1].refresh_from_db()
    assert held[1].state == "open"


def test_releasing_and_evening_out(lead: User) -> None:
    corpus, (ann, bob) = planned_corpus(), people(2)
    held = [given(case, ann) for case in bare_cases(corpus, 4)]
    asks = client(lead)
    told = asks.post("/api/assignments/release", {"ids": [held[0].pk], "reason": "on leave"}).data
    assert told == {"released": 1, "left": []}
    again = asks.post("/api/assignments/release", {"ids": [held[0].pk]}).data
    assert (again["released"], again["left"][0]["error"]["code"]) == (0, "not_open")
    moved = asks.post("/api/assignments/rebalance", {"corpus": corpus.pk}).data["moved"]
    assert [(one["before"], one["after"]) for one in moved] == [(ann.username, bob.username)]
    rows = {row["person"]: row["load"] for row in asks.get(f"/api/corpora/{corpus.pk}/board").data["people"]}
    assert rows == {ann.username: 2, bob.username: 1}


def test_a_pass_given_twice_never_goes_to_one_person(lead: User) -> None:
    corpus, (ann, bob) = planned_corpus(double_share=1.0), people(2)
    (case,) = drafted(corpus)
    given(case, ann)
    asked = {"corpus": corpus.pk, "way": "manual", "purpose": Purpose.DOUBLE, "cases": [case.pk]}
    assert assigned(lead, {**asked, "people": [ann.username]})["codes"] == {"both_passes": 1}
    assert assigned(lead, {**asked, "people": [bob.username]})["given"] == 1
    assert Corpus.objects.count() == 1
