"""The addresses of decisions and reviews."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from annotations.cases.models import CaseStatus
from crashdesk.accounts.models import User
from tests.factories import make_case


def as_user(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def test_approve(reviewer: User) -> None:
    case = make_case(CaseStatus.SUBMITTED)
    response = as_user(reviewer).post(f"/api/cases/{case.pk}/approve")
    assert response.status_code == 200
    assert response.json()["status"] == "approved"


def test_a_refusal_has_the_one_error_body(reviewer: User) -> None:
    case = make_case(CaseStatus.READY)
    response = as_user(reviewer).post(f"/api/cases/{case.pk}/approve")
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "invalid_move"


def test_an_unknown_case_is_404(reviewer: User) -> None:
    assert as_user(reviewer).post("/api/cases/4711/approve").status_code == 404


@pytest.mark.parametrize("action", ["approve", "return", "exclude", "reopen"])
def test_an_annotator_is_refused(annotator: User, action: str) -> None:
    case = make_case(CaseStatus.SUBMITTED)
    response = as_user(annotator).post(f"/api/cases/{case.pk}/{action}", {"reason": "x"})
    assert response.status_code == 403


def test_return_exclude_reopen(lead: User) -> None:
    case, client = make_case(CaseStatus.SUBMITTED), as_user(lead)
    assert client.post(f"/api/cases/{case.pk}/return", {}).status_code == 400
    assert client.post(f"/api/cases/{case.pk}/return", {"reason": "cause"}).json()["status"] == "returned"
    assert client.post(f"/api/cases/{case.pk}/exclude", {"reason": "dark"}).json()["status"] == "excluded"
    assert client.post(f"/api/cases/{case.pk}/reopen").json()["status"] == "ready"


def test_bulk_approval_reports_each_case(reviewer: User) -> None:
    good, bad = make_case(CaseStatus.SUBMITTED), make_case(CaseStatus.READY)
    response = as_user(reviewer).post("/api/cases/approve", {"ids": [bad.pk, good.pk]})
    assert response.status_code == 200, response.json()
    body: dict[str, Any] = response.json()
    assert body["approved"] == 1
    assert [result["approved"] for result in body["results"]] == [False, True]
    assert body["results"][0]["error"]["code"] == "invalid_move"
    assert body["results"][1]["error"] is None


@pytest.mark.parametrize("ids", [[], ["x"], "all", [0], [2**70]])
def test_bulk_approval_wants_a_list_of_ids(reviewer: User, ids: Any) -> None:
    assert as_user(reviewer).post("/api/cases/approve", {"ids": ids}).status_code == 400


def test_reviews_are_listed_filtered_and_shown_with_their_findings(reviewer: User) -> None:
    case = make_case(CaseStatus.SUBMITTED)
    make_case(CaseStatus.SUBMITTED)
    client = as_user(reviewer)
    assert client.get("/api/reviews").json()["count"] == 2
    listed = client.get(f"/api/reviews?case={case.pk}&outcome=submitted").json()["results"]
    assert [review["case"] for review in listed] == [case.pk]
    shown = client.get(f"/api/reviews/{listed[0]['id']}").json()
    assert shown["findings"] == []
    assert len(shown["answers"]) == 6
