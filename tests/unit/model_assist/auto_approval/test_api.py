from typing import Any

import pytest
from django.test import Client

from crashdesk.accounts.models import User
from model_assist.auto_approval import services
from model_assist.auto_approval.models import Policy
from tests.policy_made import World, work

pytestmark = pytest.mark.django_db
POLICIES = "/api/auto-approval-policies"
RULES = {"crash_recognition": {"rule": "differs"}}


def post(client: Client, path: str, status: int, **body: Any) -> dict[str, Any]:
    answer = client.post(path, body, content_type="application/json")
    assert answer.status_code == status, answer.content
    return dict(answer.json())


def test_a_lead_sets_up_certifies_starts_and_undoes_a_policy(client: Client, lead: User) -> None:
    world = World.made()
    world.add(230, confidence=0.95)
    client.force_login(lead)
    made = post(
        client, POLICIES, 201, corpus=world.corpus.pk, guideline=world.guideline.pk, max_error=0.1, certify_at=1.0,
        error_rules=RULES, evidence="any", most_share=1.0, sample_size=180,
        audit_share=0.2,
    )  # fmt: skip
    assert (made["state"], made["version"], made["certificate"], made["created_by"]) == (
        "collecting", 1, None, lead.username,
    )  # fmt: skip
    one = f"{POLICIES}/{made['id']}"
    Policy.objects.update(sample_seed=1, audit_seed=2)
    assert post(client, f"{one}/certify", 409)["error"]["code"] == "not_drawn"
    assert client.get(f"{one}/monitor").json()["error"]["code"] == "not_certified"
    work("data")
    policy = Policy.objects.get()
    world.review(policy.sample.values_list("case", flat=True), lead)
    post(client, f"{one}/certify", 202)
    work("data")
    shown = client.get(one).json()
    assert (shown["state"], shown["certificate"]["looks"][-1]["passed"]) == ("certified", True)
    assert post(client, f"{one}/start", 200)["state"] == "running"
    work("data")
    told = client.get(f"{one}/monitor").json()
    assert told["outcomes"]["approved"] + told["outcomes"]["audit"] == 50
    assert told["waiting"] == told["outcomes"]["audit"]
    assert told["upper"] == told["series"][-1]["upper"] <= told["limit"] == 0.1
    assert told["upper_fixed"] < told["upper"]
    assert (told["approved_since"], told["warning"]) == (told["outcomes"]["approved"], "")
    rows = client.get(f"{one}/decisions?outcome=audit").json()["results"]
    assert {row["outcome"] for row in rows} == {"audit"}
    assert all(row["draw"] < 0.2 for row in rows)
    stopped = post(client, f"{one}/stop", 200, detail="holidays")
    assert (stopped["stop_reason"], stopped["stop_detail"], stopped["stopped_by"]) == (
        "by_hand", "holidays", lead.username,
    )  # fmt: skip
    post(client, f"{one}/undo", 400)
    post(client, f"{one}/undo", 202, reason="checking")
    work("data")
    back = client.get(f"{one}/decisions?outcome=approved").json()["results"]
    assert all(row["undone_by"] == lead.username for row in back)
    assert [row["id"] for row in client.get(f"{POLICIES}?state=stopped").json()["results"]] == [made["id"]]


def test_a_preview_is_a_job_and_bad_settings_are_told_by_field(client: Client, lead: User) -> None:
    world = World.made()
    world.add(20)
    client.force_login(lead)
    asked = {"corpus": world.corpus.pk, "guideline": world.guideline.pk, "error_rules": RULES}
    job = post(client, f"{POLICIES}/preview", 202, **asked, max_error=0.05)
    work("data")
    assert client.get(f"/api/jobs/{job['id']}").json()["result"]["answered"] == 20
    refused = post(client, POLICIES, 400, **asked, max_error=0.9)
    assert refused["error"]["fields"] == {"max_error": ["from 0.001 to 0.5"]}
    for seed in ("sample_seed", "audit_seed"):
        refused = post(client, POLICIES, 400, **asked, max_error=0.1, **{seed: 4})
        assert refused["error"]["fields"] == {seed: ["drawn at random; it cannot be chosen"]}
    asked["error_rules"] = {"crash_recognition": {"rule": "tiou_below"}}
    refused = post(client, POLICIES, 400, **asked, max_error=0.1)
    assert "crash_recognition: needs" in refused["error"]["fields"]["error_rules"][0]
    assert not Policy.objects.exists()


def test_who_reviews_sees_the_policy_and_not_which_cases_it_audits(
    client: Client, lead: User, annotator: User
) -> None:
    policy = World.made().policy(lead)
    client.force_login(annotator)
    for shown in (client.get(f"{POLICIES}/{policy.pk}").json(), client.get(POLICIES).json()["results"][0]):
        assert (shown["id"], shown["sample_seed"], shown["audit_seed"]) == (policy.pk, None, None)
    assert client.get(f"{POLICIES}/{policy.pk}/decisions").status_code == 403
    for act in ("certify", "start", "stop", "undo"):
        assert client.post(f"{POLICIES}/{policy.pk}/{act}").status_code == 403
    assert services.NEEDS == "assign"
    client.force_login(lead)
    shown = client.get(f"{POLICIES}/{policy.pk}").json()
    assert (shown["sample_seed"], shown["audit_seed"]) == (policy.sample_seed, policy.audit_seed)
