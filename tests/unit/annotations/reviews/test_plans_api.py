"""Plans through the API: leads set them, nobody else sees a seed."""

import pytest
from django.test import Client

from crashdesk.accounts.models import User
from tests.factories import make_corpus


@pytest.mark.django_db
def test_a_lead_sets_and_reads_plans(client: Client, lead: User) -> None:
    corpus = make_corpus()
    client.force_login(lead)
    body = {"corpus": corpus.pk, "double_share": 0.25, "thresholds": {"crash_localization": 0.6}}
    made = client.post("/api/review-plans", body, content_type="application/json")
    assert made.status_code == 201
    plan = made.json()
    assert (plan["version"], plan["double_share"], plan["thresholds"]) == (
        2,
        0.25,
        {"crash_localization": 0.6},
    )
    assert plan["double_seed"] > 0
    listed = client.get(f"/api/review-plans?corpus={corpus.pk}").json()["results"]
    assert [one["version"] for one in listed] == [2, 1]
    again = client.post("/api/review-plans", body, content_type="application/json").json()
    assert again["id"] == plan["id"]


@pytest.mark.django_db
def test_what_is_no_plan_is_refused(client: Client, lead: User) -> None:
    client.force_login(lead)
    corpus = make_corpus()
    for wrong in ({"blind_share": 2}, {"thresholds": {"mood": 0.5}}, {"strategy": "magic"}):
        sent = client.post(
            "/api/review-plans", {"corpus": corpus.pk, **wrong}, content_type="application/json"
        )
        assert sent.status_code == 400, wrong
    missing = client.post("/api/review-plans", {"corpus": 999_999}, content_type="application/json")
    assert missing.status_code == 404


def test_seeds_are_for_leads_alone(client: Client, reviewer: User) -> None:
    client.force_login(reviewer)
    assert client.get("/api/review-plans").status_code == 403
