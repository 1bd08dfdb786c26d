import json
import time
import uuid
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from annotations.cases.models import Case
from annotations.corpora.models import Access
from annotations.effort import tickets
from annotations.effort.models import Activity
from annotations.effort.tickets import DAY_SECONDS, TICKET_SECONDS, give, read, renewed, script_address
from crashdesk.accounts.models import User
from tests.effort_made import moments, submit
from tests.factories import make_case

pytestmark = pytest.mark.django_db
LABELSTUDIO = "http://labelstudio.example:8089"


@pytest.fixture
def case() -> Case:
    return make_case()


def body(at_case: Case, **other: Any) -> dict[str, Any]:
    now = time.time_ns() // 1_000_000
    told = {
        "case": at_case.pk,
        "batch": str(uuid.uuid4()),
        "place": "labelstudio",
        "now": now,
        "at": [now - 3000, now - 1000],
    }
    return {**told, "typed": 2, **other}


def tell(told: dict[str, Any], *, by: User | None = None, kind: str = "text/plain", **headers: str) -> Any:
    client = Client(enforce_csrf_checks=True, headers=headers or None)
    if by is not None:
        client.force_login(by)
    return client.post("/api/activity", json.dumps(told), content_type=kind)


def test_a_ticket_stands_in_for_a_session_and_is_renewed(case: Case, annotator: User) -> None:
    answer = tell(body(case, ticket=give(annotator)))
    assert answer.status_code == 200
    assert answer.json()["kept"] == 2
    row = Activity.objects.get()
    assert (row.person, row.case, row.typed, row.place) == (annotator, case, 2, "labelstudio")
    assert row.last_us - row.first_us == 2_000_000
    next_one = read(answer.json()["ticket"])
    assert next_one is not None
    assert next_one.user == annotator


def test_a_session_needs_its_token_against_forgery(case: Case, annotator: User) -> None:
    assert tell(body(case), by=annotator).status_code == 403
    client = Client()
    client.force_login(annotator)
    answer = client.post("/api/activity", body(case), content_type="application/json")
    assert (answer.status_code, answer.json()) == (200, {"kept": 2, "ticket": None})


@pytest.mark.parametrize("ticket", ["", "no ticket", 7, "eyJ1c2VyIjoxfQ:1tQ:abc"])
def test_without_a_good_ticket_nothing_is_kept(case: Case, ticket: object) -> None:
    assert tell(body(case, ticket=ticket)).status_code == 401
    assert not Activity.objects.exists()


def test_a_batch_sent_twice_counts_once(case: Case, annotator: User) -> None:
    told = body(case, ticket=give(annotator))
    assert [tell(told).json()["kept"] for _ in range(2)] == [2, 0]
    assert Activity.objects.count() == 1


def test_a_wrong_clock_of_the_browser_does_not_matter(case: Case, annotator: User) -> None:
    late = 86_400_000 * 400
    now = time.time_ns() // 1_000_000
    told = body(
        case, ticket=give(annotator), now=now - late, at=[now - late - 5000, now - late, now - late + 9999]
    )
    assert tell(told).json()["kept"] == 2  # the last lies after it was sent
    row = Activity.objects.get()
    assert abs(row.last_us - time.time_ns() // 1000) < 60_000_000
    assert row.last_us - row.first_us == 5_000_000


def test_old_moments_are_left_out(case: Case, annotator: User) -> None:
    now = time.time_ns() // 1_000_000
    told = body(case, ticket=give(annotator), at=[now - 25 * 3_600_000])
    assert tell(told).json()["kept"] == 0


@pytest.mark.parametrize(
    "wrong",
    [{"at": []}, {"at": ["soon"]}, {"place": "elsewhere"}, {"case": 0}, {"batch": "7"}, {"typed": -1}],
)
def test_nonsense_is_named(case: Case, annotator: User, wrong: dict[str, Any]) -> None:
    answer = tell(body(case, ticket=give(annotator), **wrong))
    assert answer.status_code == 400
    assert answer.json()["error"]["fields"].keys() == wrong.keys()


def test_a_corpus_that_is_closed_to_the_person_does_not_exist(case: Case, annotator: User) -> None:
    case.corpus.access = Access.MEMBERS
    case.corpus.save()
    assert tell(body(case, ticket=give(annotator))).status_code == 404


def test_engineers_do_not_review(case: Case, engineer: User) -> None:
    assert tell(body(case, ticket=give(engineer))).status_code == 403


def test_tickets_end(annotator: User, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket = give(annotator)
    assert read(ticket) is not None
    monkeypatch.setattr("django.core.signing.time.time", lambda: time.time_ns() / 1e9 + TICKET_SECONDS + 1)
    assert read(ticket) is None


def test_a_row_of_tickets_ends_with_the_day(annotator: User) -> None:
    young, old = (int(time.time_ns() / 1e9) - age for age in (DAY_SECONDS - 60, DAY_SECONDS + 60))
    for since, goes_on in ((young, True), (old, False)):
        ticket = read(give(annotator, since=since))
        assert ticket is not None
        assert (renewed(ticket) is not None) is goes_on


def test_who_may_not_sign_in_has_no_ticket(annotator: User) -> None:
    ticket = give(annotator)
    User.objects.filter(pk=annotator.pk).update(is_active=False)
    assert read(ticket) is None


def test_a_ticket_is_good_for_nothing_else(case: Case, annotator: User) -> None:
    assert Client().get("/api/cases", {"ticket": give(annotator)}).status_code in (401, 403)
    assert tickets.SALT != ""


def test_only_label_studios_pages_may_read_the_answers(annotator: User, settings: Settings) -> None:
    settings.LABELSTUDIO_PUBLIC_URL = f"{LABELSTUDIO}/ls"
    client = Client()
    client.force_login(annotator)
    answer = client.get("/api/activity/ticket", headers={"origin": LABELSTUDIO})
    assert read(answer.json()["ticket"]) is not None
    assert answer["Access-Control-Allow-Origin"] == LABELSTUDIO
    assert answer["Access-Control-Allow-Credentials"] == "true"
    assert "Origin" in answer["Vary"]
    other = client.get("/api/activity/ticket", headers={"origin": "https://elsewhere.example"})
    assert "Access-Control-Allow-Origin" not in other


def test_the_address_of_the_script_carries_a_ticket(annotator: User, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://crashdesk.example"
    address = script_address(annotator)
    assert address.startswith("https://crashdesk.example/static/frontend/activity.js?ticket=")


def test_the_report_and_the_table(case: Case, annotator: User, lead: User, client: Client) -> None:
    moments(annotator, case, [30, 10])
    submit(case, annotator, blind=True)
    client.force_login(lead)
    told = client.get("/api/effort", {"corpus": case.corpus_id}).json()
    assert told["overall"]["active_total"] == 20.0
    assert told["comparison"]["saving"] is None
    assert told["comparison"]["missing"]
    table = client.get("/api/effort.csv")
    assert b"".join(table).count(b"\r\n") == 2
    assert client.get("/api/effort", {"from": "2026-02-02", "to": "2026-02-01"}).status_code == 400
    case.corpus.access = Access.MEMBERS
    case.corpus.save()
    assert client.get("/api/effort").json()["overall"]["reviews"] == 0
