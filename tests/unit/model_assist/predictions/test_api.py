"""The addresses of prediction runs: who may do what, what is refused how, and pages of cases."""

from typing import Any

import pytest
from django.test import Client

from annotations.cases.models import CaseStatus
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job
from model_assist.predictions.models import CasePrediction, PredictionRun
from tests import factories

pytestmark = pytest.mark.django_db
RUNS = "/api/prediction-runs"


@pytest.fixture(autouse=True)
def somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_assist.predictions.estimate.somebody_listens", lambda: True)


def post(client: Client, user: User, address: str, status: int, **body: Any) -> dict[str, Any]:
    client.force_login(user)
    answer = client.post(address, body, content_type="application/json")
    assert answer.status_code == status, answer.content
    told: dict[str, Any] = answer.json()
    return told


def get(client: Client, user: User, address: str, **query: Any) -> dict[str, Any]:
    client.force_login(user)
    answer = client.get(address, query)
    assert answer.status_code == 200, answer.content
    told: dict[str, Any] = answer.json()
    return told


def body(run: PredictionRun) -> dict[str, Any]:
    return {"corpus": run.corpus_id, "guideline": run.guideline_id}


@pytest.mark.parametrize(
    "step", ["", "/estimate", "/{run}/pause", "/{run}/resume", "/{run}/cancel", "/{run}/retry-failed"]
)
def test_people_who_review_may_look_but_not_steer(
    client: Client, annotator: User, reviewer: User, step: str
) -> None:
    run = factories.make_prediction_run(cases=1)
    for user in (annotator, reviewer):
        told = post(client, user, RUNS + step.format(run=run.pk), 403, **body(run))
        assert told["error"]["code"] == "permission_denied"
        assert get(client, user, f"{RUNS}/{run.pk}/progress")["total"] == 1


def test_started_with_everything_that_can_be_asked(client: Client, engineer: User) -> None:
    corpus = factories.make_corpus()
    factories.make_model_version("used")
    case = factories.make_case(video=factories.make_video(corpus, split="val"))
    told = post(
        client, engineer, RUNS, 202, corpus=corpus.pk, guideline=case.guideline_id, kinds=["crash_localization"],
        priority="batch", filters={"split": "val", "status": ["ready"], "answers": ""}, case_ids=[case.pk], limit=7,
    )  # fmt: skip
    assert told["kinds"] == ["crash_recognition", "crash_localization"]
    assert told["filters"] == {"split": "val", "status": ["ready"], "case_ids": [case.pk], "limit": 7}
    assert (told["priority"], told["state"], told["progress"]["queued"], told["tally"]["to_do"]) == (
        "batch", "queued", 1, 1,
    )  # fmt: skip
    assert Job.objects.get(group=f"prediction_run:{told['id']}").priority == 10
    assert get(client, engineer, f"{RUNS}/{told['id']}")["progress"] == told["progress"]


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"kinds": []}, {"kinds"}),
        ({"kinds": ["weather"]}, {"kinds"}),
        ({"priority": "urgent"}, {"priority"}),
        ({"filters": {"colour": "red"}}, {"filters"}),
        ({"filters": {"status": ["asleep"]}}, {"filters"}),
        ({"filters": ["ready"]}, {"filters"}),
        ({"case_ids": ["one"]}, {"case_ids"}),
        ({"case_ids": [999_999]}, {"case_ids"}),
        ({"limit": 0}, {"limit"}),
        ({"model_version": 999_999}, {"model_version"}),
    ],
)
@pytest.mark.parametrize("address", ["", "/estimate"])
def test_what_is_not_understood_names_its_field(
    client: Client, engineer: User, asked: dict[str, Any], fields: set[str], address: str
) -> None:
    run = factories.make_prediction_run(cases=1)
    told = post(client, engineer, RUNS + address, 400, **body(run), **asked)
    assert set(told["error"]["fields"]) == fields


def test_starting_twice_does_the_work_once(client: Client, engineer: User) -> None:
    run = factories.make_prediction_run(cases=2, done=2)
    told = post(client, engineer, RUNS, 202, **body(run))
    assert (told["state"], told["progress"]["total"], told["tally"]["answered"]) == ("done", 0, 2)
    told = post(client, engineer, RUNS, 409, **body(run), filters={"source": "nowhere"})
    assert told["error"]["code"] == "nothing_to_predict"


def test_a_dry_run_tells_and_starts_nothing(client: Client, engineer: User) -> None:
    run = factories.make_prediction_run(cases=3, done=1)
    told = post(client, engineer, f"{RUNS}/estimate", 200, **body(run), kinds=["crash_localization"], limit=1)
    assert told["cases"] == {
        "matched": 3, "excluded": 0, "without_clip": 0, "answered": 1, "to_do": 1, "beyond_limit": 1,
    }  # fmt: skip
    assert (told["added_kinds"], told["durations"], told["trial"]) == (["crash_recognition"], [], 1)
    assert told["memory"] == []
    assert "not on this machine" in told["memory_unknown"]
    assert [warning["code"] for warning in told["warnings"]] == ["recognition_added", "in_another_run"]
    assert PredictionRun.objects.count() == 1


def test_the_list_is_paged_and_counts_in_a_fixed_number_of_queries(
    client: Client, annotator: User, django_assert_max_num_queries: Any
) -> None:
    runs = [factories.make_prediction_run(cases=1, done=int(number < 2)) for number in range(3)]
    client.force_login(annotator)
    with django_assert_max_num_queries(6):  # session, person, where they may look (2), page, counts
        told = client.get(RUNS, {"page_size": 2}).json()
    assert [row["id"] for row in told["results"]] == [runs[2].pk, runs[1].pk]
    assert [row["state"] for row in told["results"]] == ["queued", "done"]
    assert [row["id"] for row in client.get(told["next"]).json()["results"]] == [runs[0].pk]
    assert len(get(client, annotator, RUNS, corpus=runs[0].corpus_id)["results"]) == 1


def test_held_resumed_stopped_and_taken_up_again(client: Client, lead: User) -> None:
    run = factories.make_prediction_run(cases=2, failed=1)
    address = f"{RUNS}/{run.pk}"
    held = post(client, lead, f"{address}/pause", 200)
    assert (held["state"], held["progress"]["paused"]) == ("paused", 1)
    assert held["paused_at"] is not None
    assert post(client, lead, f"{address}/pause", 409)["error"]["code"] == "run_not_running"
    assert post(client, lead, f"{address}/resume", 200)["state"] == "running"
    assert post(client, lead, f"{address}/cancel", 200)["state"] == "cancelled"
    assert post(client, lead, f"{address}/retry-failed", 200)["progress"]["queued"] == 2
    assert post(client, lead, f"{address}/retry-failed", 409)["error"]["code"] == "nothing_to_retry"


def test_cases_by_state_page_by_page(client: Client, lead: User, annotator: User) -> None:
    run = factories.make_prediction_run(cases=5, done=1, failed=3)
    address = f"{RUNS}/{run.pk}/cases"
    first = get(client, lead, address, state="failed", page_size=2)
    client.force_login(lead)
    second = client.get(first["next"]).json()
    rows = [*first["results"], *second["results"]]
    failed = Job.objects.filter(group=run.group, state="failed").order_by("id")
    assert [row["job"] for row in rows] == list(failed.values_list("pk", flat=True))
    assert rows[0]["error"] == rows[0]["traceback"] == "clip.mp4: no frame can be read"
    assert (rows[0]["attempts"], rows[0]["set_aside"], rows[0]["url"]) == (
        1,
        False,
        f"/cases/{rows[0]['case']}",
    )
    assert second["next"] is None
    (hidden, *_) = get(client, annotator, address, state="failed")["results"]
    assert (hidden["error"], hidden["traceback"]) == ("clip.mp4: no frame can be read", None)
    assert len(get(client, lead, address)["results"]) == 5
    assert client.get(address, {"state": "asleep"}).status_code == 400
    assert client.get(address, {"cursor": "nonsense"}).status_code == 400


def test_one_case_is_retried(client: Client, lead: User) -> None:
    run = factories.make_prediction_run(cases=2, failed=2)
    one = CasePrediction.objects.filter(run=run).latest("id")
    told = post(client, lead, f"{RUNS}/{run.pk}/retry-failed", 200, case_ids=[one.case_id])
    assert (told["progress"]["queued"], told["progress"]["failed"]) == (1, 1)


def test_a_person_who_waits_goes_first(client: Client, lead: User, annotator: User) -> None:
    batch = factories.make_prediction_run(cases=2)
    case = factories.make_case(video=factories.make_video(batch.corpus))
    told = post(client, lead, f"/api/cases/{case.pk}/predict", 202)
    assert (told["priority"], told["filters"]) == ("person", {"case_ids": [case.pk]})
    run = PredictionRun.objects.get(pk=told["id"])
    assert factories.work_on(run).case_id == case.pk
    again = post(client, lead, f"/api/cases/{case.pk}/predict", 409)
    assert again["error"]["code"] == "already_answered"
    other = factories.make_model_version("other")
    post(client, lead, f"/api/cases/{case.pk}/predict", 202, model_version=other.pk)
    post(client, lead, f"/api/cases/{case.pk}/predict", 202, again=True)
    post(client, annotator, f"/api/cases/{case.pk}/predict", 403)
    excluded = factories.make_case(CaseStatus.EXCLUDED)
    refused = post(client, lead, f"/api/cases/{excluded.pk}/predict", 409)
    assert (refused["error"]["code"], "1 are excluded" in refused["error"]["message"]) == (
        "nothing_to_predict",
        True,
    )
    post(client, lead, "/api/cases/999999/predict", 404)
