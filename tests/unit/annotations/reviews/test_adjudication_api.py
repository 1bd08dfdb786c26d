"""Disputes through the API: what is seen by whom, and a decision from claim to approval."""

from typing import Any

import pytest
from django.test import Client

from annotations.cases.kinds import Kind
from annotations.cases.models import Case, CaseStatus
from annotations.reviews.models import Dispute
from crashdesk.accounts.models import Role, User
from tests.disputes_made import make_dispute

CAUSE, SPAN = Kind.CAUSAL_REASONING.value, Kind.CRASH_LOCALIZATION.value


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(f"/api/disputes/{path}", body, content_type="application/json")


@pytest.fixture
def dispute(db: None) -> Dispute:
    return make_dispute()


def test_a_dispute_is_decided_from_claim_to_approval(
    client: Client, reviewer: User, dispute: Dispute
) -> None:
    client.force_login(reviewer)
    (listed,) = client.get("/api/disputes").json()["results"]
    assert (listed["disputed"], listed["free"], listed["names"]) == ([CAUSE, SPAN], True, None)
    claimed = post(client, f"{dispute.pk}/claim").json()
    assert (claimed["adjudicator"], claimed["undecided"]) == (reviewer.username, [CAUSE, SPAN])
    post(client, f"{dispute.pk}/rule", kind=SPAN, choice="first")
    own = {"start_us": 2_100_000, "end_us": 3_400_000}
    ruled = post(client, f"{dispute.pk}/rule", kind=SPAN, choice="own", value=own).json()
    assert [(one["kind"], one["choice"]) for one in ruled["rulings"]] == [(SPAN, "own")]
    early = post(client, f"{dispute.pk}/approve")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "undecided")
    post(client, f"{dispute.pk}/rule", kind=CAUSE, choice="second")
    done = post(client, f"{dispute.pk}/approve").json()
    assert (done["id"], done["status"]) == (dispute.case_id, CaseStatus.APPROVED)
    assert Case.objects.get().approved.get(kind=SPAN).answer.value == own


def test_names_come_when_the_adjudicator_asks(client: Client, reviewer: User, dispute: Dispute) -> None:
    client.force_login(reviewer)
    refused = post(client, f"{dispute.pk}/names")
    assert refused.json()["error"]["code"] == "not_yours"
    post(client, f"{dispute.pk}/claim")
    assert client.get(f"/api/disputes/{dispute.pk}").json()["names"] is None
    names = post(client, f"{dispute.pk}/names").json()["names"]
    assert names == {"first": dispute.first.reviewer.username, "second": dispute.second.reviewer.username}


def test_whose_answer_is_in_dispute_does_not_see_the_others(client: Client, dispute: Dispute) -> None:
    person = dispute.first.reviewer
    User.objects.filter(pk=person.pk).update(role=Role.REVIEWER)
    client.force_login(User.objects.get(pk=person.pk))
    assert client.get("/api/disputes").json()["results"] == []
    assert client.get(f"/api/disputes/{dispute.pk}").status_code == 404
    assert post(client, f"{dispute.pk}/claim").status_code == 404


def test_giving_back(client: Client, reviewer: User, dispute: Dispute) -> None:
    client.force_login(reviewer)
    post(client, f"{dispute.pk}/claim", names=True)
    back = post(client, f"{dispute.pk}/give-back", reason="I know one of them").json()
    assert (back["state"], back["free"], back["adjudicator"]) == ("open", True, None)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": CAUSE},
        {"kind": "mood", "choice": "first"},
        {"kind": CAUSE, "choice": "agreed"},
        {"kind": CAUSE, "choice": "own"},
        {"kind": CAUSE, "choice": "own", "value": {"text": " "}},
        {"kind": SPAN, "choice": "own", "value": {"start_us": "1", "end_us": 2}},
        {"kind": SPAN, "choice": "own", "value": {"start_us": 1.5, "end_us": 2}},
    ],
)
def test_what_is_no_ruling_is_refused(
    client: Client, reviewer: User, dispute: Dispute, body: dict[str, Any]
) -> None:
    client.force_login(reviewer)
    post(client, f"{dispute.pk}/claim")
    assert post(client, f"{dispute.pk}/rule", **body).status_code == 400
    assert not dispute.rulings.exists()
