"""Gold cases, scores and pauses through the API: for leads alone."""

from typing import Any

import pytest
from django.test import Client

from annotations.cases.kinds import Kind
from annotations.cases.models import CaseStatus
from annotations.gold.models import Pause
from crashdesk.accounts.models import User
from tests.disputes_made import make_plan
from tests.factories import make_case
from tests.gold_made import WRONG, answer_gold, make_gold


def post(client: Client, path: str, **body: Any) -> Any:
    return client.post(f"/api/{path}", body, content_type="application/json")


def test_a_case_is_marked_and_unmarked(client: Client, lead: User) -> None:
    client.force_login(lead)
    case = make_case(CaseStatus.APPROVED)
    made = post(client, "gold-cases", case=case.pk, tolerances={Kind.PRE_CRASH_LOCALIZATION.value: 200_000})
    assert made.status_code == 201
    gold = made.json()
    assert (gold["case"], gold["marked_by"]) == (case.pk, lead.username)
    assert post(client, f"gold-cases/{gold['id']}/tolerances", tolerances={"mood": 1}).status_code == 400
    assert post(client, f"gold-cases/{gold['id']}/tolerances", tolerances={}).json()["tolerances"] == {}
    done = post(client, f"gold-cases/{gold['id']}/unmark", reason="too well known").json()
    assert (done["unmarked_by"], done["voided"]) == (lead.username, False)
    assert post(client, f"gold-cases/{gold['id']}/unmark").status_code == 409
    assert post(client, "gold-cases", case=999_999).status_code == 404


def test_scores_and_pauses_are_listed_and_a_pause_lifted(client: Client, lead: User, annotator: User) -> None:
    make_gold(make_plan(gold_share=1.0, gold_limit=0.8, gold_window=1))
    made = answer_gold(annotator, WRONG)
    client.force_login(lead)
    (score,) = client.get(f"/api/gold-scores?person__username={annotator.username}").json()["results"]
    assert (score["id"], score["person"]) == (made.pk, annotator.username)
    (held,) = client.get("/api/pauses?lifted_at__isnull=true").json()["results"]
    assert (held["person"], held["scores"]) == (annotator.username, [made.pk])
    assert post(client, f"pauses/{held['id']}/lift").status_code == 400
    assert post(client, f"pauses/{held['id']}/lift", reason="we talked").json()["lifted_by"] == lead.username
    again = post(client, "pauses", person=annotator.username, corpus=held["corpus"], reason="on holiday")
    assert again.status_code == 201
    assert Pause.objects.filter(lifted_at__isnull=True).get().paused_by == lead


@pytest.mark.parametrize("path", ["gold-cases", "gold-scores", "pauses", "review-plans"])
def test_nobody_who_is_measured_reads_any_of_it(
    client: Client, annotator: User, reviewer: User, path: str
) -> None:
    for person in (annotator, reviewer):
        client.force_login(person)
        assert client.get(f"/api/{path}").status_code == 403
