import pytest
from django.test import Client

from annotations.cases.models import Case, CaseStatus
from annotations.corpora.models import Access
from crashdesk.accounts.models import User
from crashdesk.audit.models import AuditEvent
from model_assist.suspects.models import Suspect, SuspectState
from model_assist.suspects.searching import Tally, _write, find
from tests.factories import make_corpus, make_guideline, make_user
from tests.suspects_made import NOON, bare_case, label_case
from tests.unit.model_assist.suspects.test_searching import NO, RECOGNITION, YES

pytestmark = pytest.mark.django_db


@pytest.fixture
def case() -> Case:
    """Approved as yes, though somebody else said no."""
    case = bare_case(make_corpus(), make_guideline(), "clip", seconds=5)
    label_case(case, make_user(), {RECOGNITION: NO}, approved=False, at=NOON.replace(hour=9))
    label_case(case, make_user(), {RECOGNITION: YES})
    _write(find([case.pk]), Tally())
    return case


@pytest.fixture
def suspect(case: Case) -> Suspect:
    return Suspect.objects.get(case=case)


@pytest.fixture
def client(client: Client, reviewer: User) -> Client:
    client.force_login(reviewer)
    return client


def test_the_list_names_who_says_something_else(client: Client, suspect: Suspect) -> None:
    (told,) = client.get("/api/suspects", {"state": "open", "kind": RECOGNITION}).json()["results"]
    assert (told["id"], told["by_model"], told["approved"]) == (suspect.pk, None, True)
    assert told["score"] == told["by_people"] == pytest.approx(9 / 28)
    assert [one["apart"] for one in told["evidence"]["people"]] == [1.0]
    assert client.get("/api/suspects", {"state": "dismissed"}).json()["results"] == []


@pytest.mark.parametrize(("word", "state"), [("dismiss", "dismissed"), ("confirm", "confirmed")])
def test_a_decision_is_written_down_once(
    client: Client, suspect: Suspect, reviewer: User, word: str, state: str
) -> None:
    answer = client.post(
        f"/api/suspects/{suspect.pk}/{word}", {"reason": "looked"}, content_type="application/json"
    )
    assert (answer.status_code, answer.json()["state"], answer.json()["decided_by"]) == (
        200,
        state,
        "the-reviewer",
    )
    event = AuditEvent.objects.get(verb=f"suspect.{state}")
    assert (event.actor, event.data["reason"], event.data["case"]) == (
        reviewer.username,
        "looked",
        suspect.case_id,
    )
    again = client.post(f"/api/suspects/{suspect.pk}/{word}", {}, content_type="application/json")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_decided")
    suspect.case.refresh_from_db()
    assert suspect.case.status == CaseStatus.APPROVED


def test_sending_back_returns_the_case_with_the_reason(client: Client, suspect: Suspect) -> None:
    address = f"/api/suspects/{suspect.pk}/return"
    assert client.post(address, {}, content_type="application/json").status_code == 400
    answer = client.post(address, {"reason": "no crash to be seen"}, content_type="application/json")
    assert answer.json()["state"] == SuspectState.RETURNED
    suspect.case.refresh_from_db()
    assert (suspect.case.status, suspect.case.returned_reason) == (CaseStatus.RETURNED, "no crash to be seen")


def test_a_case_that_cannot_go_back_leaves_the_suspect_open(client: Client, suspect: Suspect) -> None:
    Case.objects.filter(pk=suspect.case_id).update(status=CaseStatus.IN_REVIEW)
    answer = client.post(
        f"/api/suspects/{suspect.pk}/return", {"reason": "wrong"}, content_type="application/json"
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "invalid_move")
    suspect.refresh_from_db()
    assert suspect.state == SuspectState.OPEN


def test_a_search_is_a_job(client: Client, case: Case) -> None:
    answer = client.post("/api/suspects/search", {"corpus": case.corpus_id}, content_type="application/json")
    assert (answer.status_code, answer.json()["kind"]) == (202, "find_suspects")
    assert (
        client.post("/api/suspects/search", {"corpus": 10**9}, content_type="application/json").status_code
        == 404
    )


def test_a_closed_corpus_has_no_suspects_for_others(client: Client, suspect: Suspect) -> None:
    suspect.case.corpus.access = Access.MEMBERS
    suspect.case.corpus.save()
    assert client.get("/api/suspects").json()["results"] == []
    assert client.get(f"/api/suspects/{suspect.pk}").status_code == 404
    assert (
        client.post(f"/api/suspects/{suspect.pk}/dismiss", {}, content_type="application/json").status_code
        == 404
    )
    search = client.post(
        "/api/suspects/search", {"corpus": suspect.case.corpus_id}, content_type="application/json"
    )
    assert search.status_code == 404


def test_annotators_do_not_see_what_others_got_wrong(
    client: Client, suspect: Suspect, annotator: User
) -> None:
    client.force_login(annotator)
    assert client.get("/api/suspects").status_code == 403
