"""The pages of disputes: what they show before, during and after a decision, and to whom."""

import json
import re

import pytest
from django.test import Client

from annotations.cases.kinds import Kind
from annotations.reviews import adjudication
from annotations.reviews.models import Dispute
from crashdesk.accounts.models import Role, User
from tests.disputes_made import make_dispute


@pytest.fixture
def dispute(db: None) -> Dispute:
    return make_dispute()


def html(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_list_names_what_is_in_dispute(client: Client, reviewer: User, dispute: Dispute) -> None:
    client.force_login(reviewer)
    shown = html(client, "/disputes")
    assert "Cause, Crash span" in shown
    assert f"/disputes/{dispute.pk}" in shown
    assert dispute.first.reviewer.username not in shown
    assert "None yet." in html(client, "/disputes?state=settled")
    assert client.get("/disputes?state=lost").status_code == 404


def test_both_answers_stand_side_by_side_without_names(
    client: Client, reviewer: User, dispute: Dispute
) -> None:
    client.force_login(reviewer)
    shown = html(client, f"/disputes/{dispute.pk}")
    assert "Decide this dispute" in shown
    assert "data-choose" not in shown  # not before it is claimed
    for review in (dispute.first, dispute.second):
        assert review.reviewer.username not in shown
    found = re.search(r'id="timeline-data" type="application/json">(.*?)</script>', shown)
    assert found is not None
    rows = json.loads(found[1])["rows"]
    assert [row["label"] for row in rows] == ["First", "Second", "Decided"]
    starts = [row["span"]["start_us"] for row in rows[:2]]
    assert starts == [
        dispute.compared[Kind.CRASH_LOCALIZATION][side]["value"]["start_us"] for side in ("first", "second")
    ]
    assert rows[2]["span"] is None
    assert rows[2]["onset"]["at_us"] == 1_200_000  # never in dispute


def test_who_claimed_it_can_decide_and_sees_names_on_asking(
    client: Client, reviewer: User, dispute: Dispute
) -> None:
    client.force_login(reviewer)
    adjudication.claim(dispute=dispute, by=reviewer)
    shown = html(client, f"/disputes/{dispute.pk}")
    assert shown.count('data-choose="first"') == 6
    assert "Still to decide: Cause, Crash span." in shown
    adjudication.show_names(dispute=dispute, by=reviewer)
    assert f"First: {dispute.first.reviewer.username}" in html(client, f"/disputes/{dispute.pk}")
    adjudication.rule(dispute=dispute, kind=Kind.CRASH_LOCALIZATION, choice="second", by=reviewer)
    shown = html(client, f"/disputes/{dispute.pk}")
    assert "Still to decide: Cause." in shown
    assert "the second&#x27;s answer" in shown


def test_somebody_else_only_watches(client: Client, reviewer: User, lead: User, dispute: Dispute) -> None:
    adjudication.claim(dispute=dispute, by=reviewer, names=True)
    client.force_login(lead)
    shown = html(client, f"/disputes/{dispute.pk}")
    assert f"{reviewer.username} decides it." in shown
    assert "data-choose" not in shown
    assert dispute.first.reviewer.username not in shown


def test_a_decided_dispute_says_by_whom(client: Client, reviewer: User, dispute: Dispute) -> None:
    adjudication.claim(dispute=dispute, by=reviewer)
    for kind in (Kind.CRASH_LOCALIZATION, Kind.CAUSAL_REASONING):
        adjudication.rule(dispute=dispute, kind=kind, choice="first", by=reviewer)
    adjudication.approve_decided(dispute=dispute, by=reviewer)
    client.force_login(reviewer)
    shown = html(client, f"/disputes/{dispute.pk}")
    assert f"by {reviewer.username}, without the names" in shown
    assert "not in dispute" in shown
    assert f"/disputes/{dispute.pk}" in html(client, "/disputes?state=settled")


def test_who_answered_or_only_annotates_does_not_see_it(
    client: Client, annotator: User, dispute: Dispute
) -> None:
    client.force_login(annotator)
    assert client.get(f"/disputes/{dispute.pk}").status_code == 403
    person = dispute.first.reviewer
    User.objects.filter(pk=person.pk).update(role=Role.REVIEWER)
    client.force_login(User.objects.get(pk=person.pk))
    assert client.get(f"/disputes/{dispute.pk}").status_code == 404
