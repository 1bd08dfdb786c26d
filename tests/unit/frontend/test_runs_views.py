"""The pages of prediction runs as they come from the server: who sees what, and that they speak of what is there."""

import json
import re
from typing import Any

import pytest
from django.test import Client

from annotations.cases.models import CaseStatus
from crashdesk.accounts.models import User
from crashdesk.jobs.services import claim_next
from model_assist.predictions.control import cancel_run, pause_run
from model_assist.predictions.models import PredictionRun
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_assist.predictions.estimate.somebody_listens", lambda: True)


def get(client: Client, user: User, address: str, status: int = 200, **query: Any) -> str:
    client.force_login(user)
    response = client.get(address, query)
    assert response.status_code == status, address
    return " ".join(response.content.decode().split())


def preview(client: Client, user: User, status: int = 200, **form: Any) -> str:
    client.force_login(user)
    response = client.post("/runs/new/preview", form)
    assert response.status_code == status
    return " ".join(response.content.decode().split())


def offered(text: str) -> set[str]:
    """What the buttons that show would do."""
    return {name for name in ("pause", "resume", "cancel", "retry") if f'data-when="{name}">' in text}


def test_everybody_looks_and_those_who_may_start(
    client: Client, lead: User, engineer: User, annotator: User, reviewer: User
) -> None:
    run = factories.make_prediction_run(cases=1)
    assert client.get("/runs").status_code == 302
    for user, status in ((lead, 200), (engineer, 200), (annotator, 403), (reviewer, 403)):
        for address in ("/runs", f"/runs/{run.pk}", f"/runs/{run.pk}/progress"):
            get(client, user, address)
        get(client, user, "/runs/new", status)
        preview(client, user, status)
    text = get(client, annotator, f"/runs/{run.pk}")
    assert offered(text) == set()
    assert "Start a run" not in get(client, annotator, "/runs")


def test_empty_pages_say_what_to_do(client: Client, lead: User) -> None:
    assert "No run yet" in get(client, lead, "/runs")
    assert "There is no case to answer yet" in get(client, lead, "/runs/new")
    case = factories.make_case()
    text = get(client, lead, "/runs/new")
    assert "No model version is registered" in text
    factories.make_model_version("the-model")
    text = get(client, lead, "/runs/new")
    assert "the-model (in use)" in text
    assert f'name="corpus" value="{case.corpus_id}"' in text
    factories.make_case()
    assert 'name="guideline"' not in get(client, lead, "/runs/new")  # which corpus?
    for corpus in ("nonsense", "999999", "9" * 30):
        assert "choose one" in get(client, lead, "/runs/new", corpus=corpus)
    get(client, lead, "/runs/999999", 404)


def test_the_form_offers_what_the_corpus_holds(client: Client, lead: User) -> None:
    factories.make_model_version()
    corpus = factories.make_corpus()
    factories.make_case(video=factories.make_video(corpus, source="night & fog", split="val"))
    text = get(client, lead, "/runs/new", corpus=corpus.pk)
    assert "<option>night &amp; fog</option>" in text
    assert "<option>val</option>" in text
    assert text.count('name="kinds"') == 6
    assert 'value="person"' in text


def test_the_preview_is_the_dry_run_and_the_request(client: Client, lead: User) -> None:
    run = factories.make_prediction_run(cases=3, done=1)
    asked = {
        "corpus": run.corpus_id,
        "guideline": run.guideline_id,
        "kinds": "crash_localization",
        "limit": 1,
    }
    text = preview(client, lead, **asked)
    assert "<strong>1</strong> case to answer" in text
    assert "1 answered already, left out; 1 beyond the limit" in text
    assert "No run of this model version was measured yet. A trial of 1 case would tell" in text
    assert "recognition was added" in text
    assert "not on this machine" in text
    found = re.search(r'<script id="run-body" type="application/json">(.*?)</script>', text)
    assert found is not None
    client.force_login(lead)
    answer = client.post("/api/prediction-runs", json.loads(found[1]), content_type="application/json")
    assert (answer.status_code, answer.json()["progress"]["total"]) == (202, 1)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"kinds": []}, "Kinds"),
        ({"case_ids": "twelve"}, "Case ids"),
        ({"case_ids": "999999"}, "1 cases are not of this corpus and guideline: 999999"),
        ({"max_rank": "0"}, "Filters, max rank"),
        ({"limit": "many"}, "Limit"),
        ({"guideline": "999999"}, "Guideline"),
        ({"search": "a\0b"}, "Filters, search"),
    ],
)
def test_a_form_that_is_not_understood_says_where(
    client: Client, lead: User, asked: dict[str, Any], said: str
) -> None:
    run = factories.make_prediction_run(cases=1)
    form = {"corpus": run.corpus_id, "guideline": run.guideline_id, "kinds": "crash_recognition"}
    text = preview(client, lead, **{**form, **asked})
    assert said in text
    assert "run-body" not in text
    assert 'data-to-do="0"' in text


def test_a_run_of_many_named_cases_is_previewed(client: Client, lead: User) -> None:
    run = factories.make_prediction_run(cases=2)
    ids = " ".join(str(pk) for pk in run.case_predictions.values_list("case_id", flat=True))
    padded = ids + ",  " * 20_000
    text = preview(
        client,
        lead,
        corpus=run.corpus_id,
        guideline=run.guideline_id,
        kinds="crash_recognition",
        case_ids=padded,
    )
    assert "<strong>2</strong> cases to answer" in text


def test_the_list_says_how_far_each_run_is(
    client: Client, lead: User, django_assert_max_num_queries: Any
) -> None:
    run = factories.make_prediction_run(cases=3, done=1, failed=1, priority="person")
    factories.start_run(
        corpus=run.corpus, guideline=run.guideline, by=lead, filters={"answers": "has"}, again=True
    )
    client.force_login(lead)
    with django_assert_max_num_queries(7):
        text = " ".join(client.get("/runs").content.decode().split())
    assert "1 of 3" in text
    assert f'href="/runs/{run.pk}?state=failed">1</a>' in text
    assert "a person is waiting" in text


def test_a_run_and_what_may_be_done_to_it(client: Client, lead: User) -> None:
    run = factories.make_prediction_run(cases=4, done=1)
    address = f"/runs/{run.pk}"
    assert offered(get(client, lead, address)) == {"pause", "cancel"}
    claim_next("gpu")
    text = get(client, lead, address)
    assert "1 at work" in text
    assert "<h3>At work</h3>" in text
    pause_run(run=run, by=lead)
    text = get(client, lead, address)
    assert offered(text) == {"resume", "cancel"}
    assert "held since" in text
    cancel_run(run=run, by=lead)
    text = get(client, lead, address)
    assert offered(text) == {"retry"}
    assert "Stopping…" in text


def test_failed_cases_with_their_reason_and_the_trace_for_those_who_may(
    client: Client, lead: User, annotator: User, settings: Any
) -> None:
    settings.JOB_MAX_ATTEMPTS = 1
    run = factories.make_prediction_run(cases=2)
    poison = factories.work_on(run, error=ValueError("no <such> clip"))
    factories.work_on(run)
    text = get(client, lead, f"/runs/{run.pk}", state="failed")
    assert "Set aside" in text
    assert "ValueError: no &lt;such&gt; clip" in text
    assert "Traceback (most recent call last)" in text
    assert f'aria-label="Try case {poison.case_id} again"' in text
    assert f'href="/cases/{poison.case_id}"' in text
    hidden = get(client, annotator, f"/runs/{run.pk}", state="failed")
    assert "ValueError: no &lt;such&gt; clip" in hidden
    assert "Traceback (most recent call last)" not in hidden
    assert "Try case" not in hidden
    assert "No case of this run is in this state" in get(client, lead, f"/runs/{run.pk}", state="queued")
    get(client, lead, f"/runs/{run.pk}", 404, state="asleep")
    get(client, lead, f"/runs/{run.pk}", 404, cursor="nonsense")


def test_many_cases_come_in_pages(client: Client, lead: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("frontend.runs_views.CASES_PER_PAGE", 2)
    run = factories.make_prediction_run(cases=3)
    text = get(client, lead, f"/runs/{run.pk}", state="queued")
    following = re.search(r'href="\?(state=queued&amp;cursor=[^"]+)"', text)
    assert following is not None
    second = get(client, lead, f"/runs/{run.pk}?{following[1].replace('&amp;', '&')}")
    assert second.count('<th scope="row">') == 1


def test_a_run_that_found_nothing_to_do(client: Client, lead: User) -> None:
    run = factories.make_prediction_run(cases=1, done=1)
    again = factories.start_run(corpus=run.corpus, guideline=run.guideline, by=lead)
    text = get(client, lead, f"/runs/{again.pk}")
    assert "every case was answered already" in text
    assert "This run has no case" in text
    assert "all were answered already" in get(client, lead, "/runs")


def test_a_case_offers_the_model_to_those_who_may(client: Client, lead: User, annotator: User) -> None:
    case = factories.make_case()
    assert f"/api/cases/{case.pk}/predict" in get(client, lead, f"/cases/{case.pk}")
    assert "/predict" not in get(client, annotator, f"/cases/{case.pk}")
    excluded = factories.make_case(CaseStatus.EXCLUDED)
    assert "/predict" not in get(client, lead, f"/cases/{excluded.pk}")


def test_the_loop_leads_to_the_form(client: Client, lead: User) -> None:
    factories.make_model_version()
    factories.make_case()
    assert 'href="/runs/new"' in get(client, lead, "/")
    assert PredictionRun.objects.count() == 0
