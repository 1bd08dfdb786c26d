"""The way into Label Studio and out again, with stand-ins for its sign-in."""

import re
from typing import Any

import pytest
from django.test import Client as Browser

from annotations.cases.models import Case, CaseStatus
from annotations.gold.pauses import pause
from annotations.labelstudio import people
from annotations.labelstudio.accounts.models import BrowserSession
from annotations.reviews.models import Assignment, Purpose, Strategy
from annotations.reviews.plans import set_plan
from crashdesk.accounts.models import Role, User
from frontend import opening
from tests.factories import make_case, make_user
from tests.gold_made import make_gold
from tests.signing_made import Doors, make_assignment, make_task

pytestmark = pytest.mark.django_db


class Owner:
    def patch(self, *_: Any) -> None:
        """Names are nobody's business here."""


@pytest.fixture(autouse=True)
def doors(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Doors:
    made = Doors()
    settings.LABELSTUDIO_PUBLIC_URL = "http://desk.example:8001"
    settings.ALLOWED_HOSTS = ["*"]
    monkeypatch.setattr(people, "log_in", made.log_in)
    monkeypatch.setattr(people, "sign_up", made.sign_up)
    monkeypatch.setattr(opening, "client", Owner)
    monkeypatch.setattr(opening, "push_assignment", lambda one, by: opening.task_for(one.case, by))
    return made


@pytest.fixture
def case() -> Case:
    made = make_case(CaseStatus.IN_REVIEW)
    make_task(made)
    return made


def visit(user: User, address: str, host: str = "desk.example:8000") -> Any:
    browser = Browser(headers={"Host": host})
    browser.force_login(user)
    return browser.get(address)


def test_a_free_case_is_taken_and_opened_with_both_cookies(case: Case) -> None:
    user = make_user(Role.ANNOTATOR)
    answer = visit(user, f"/review/{case.pk}")
    task = opening.task_for(case, user)
    assert task is not None
    assert answer.status_code == 302
    assert (
        answer["Location"]
        == f"http://desk.example:8001/projects/{task.project.project_id}/data?task={task.task_id}"
    )
    session = BrowserSession.objects.get()
    assert answer.cookies["sessionid"].value == session.session_cookie
    assert (answer.cookies["sessionid"]["httponly"], answer.cookies["sessionid"]["samesite"]) == (True, "Lax")
    assert answer.cookies["csrftoken"].value == session.csrf_cookie
    assert "no-store" in answer["Cache-Control"]
    taken = Assignment.objects.get()
    assert (taken.person, taken.purpose, taken.opened_at is not None) == (user, Purpose.ANNOTATE, True)


def test_somebody_elses_case_is_explained(case: Case) -> None:
    holder = make_user(Role.ANNOTATOR)
    make_assignment(case, holder)
    answer = visit(make_user(Role.ANNOTATOR), f"/review/{case.pk}")
    assert answer.status_code == 409
    assert f"Case {case.pk} is not free for you" in answer.content.decode()
    assert holder.username not in answer.content.decode()
    assert "sessionid" not in answer.cookies
    assert visit(make_user(Role.LEAD), f"/review/{case.pk}").status_code == 302
    assert visit(make_user(Role.ANNOTATOR), "/review/999999").status_code == 404
    case.corpus.access = "members"
    case.corpus.save()
    assert visit(make_user(Role.LEAD), f"/review/{case.pk}").status_code == 404


def test_another_site_takes_no_case_for_anybody(case: Case) -> None:
    browser = Browser(headers={"Host": "desk.example:8000"}, enforce_csrf_checks=True)
    browser.force_login(make_user(Role.ANNOTATOR))
    address = f"/review/{case.pk}"
    asked = browser.get(address, headers={"Sec-Fetch-Site": "cross-site"})
    assert (asked.status_code, "sessionid" in asked.cookies) == (200, False)
    assert browser.post(address).status_code == 403
    assert not Assignment.objects.exists()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', asked.content.decode())
    assert token is not None
    assert browser.post(address, {"csrfmiddlewaretoken": token[1]}).status_code == 302
    assert Assignment.objects.get().case == case
    assert browser.get(address, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 302


def test_nobody_takes_a_case_past_a_pause_the_entrance_or_the_sharing_out(case: Case, lead: User) -> None:
    paused = make_user(Role.ANNOTATOR)
    pause(person=paused, corpus=case.corpus, reason="too many mistakes", by=lead)
    assert visit(paused, f"/review/{case.pk}").status_code == 409
    plan = set_plan(corpus=case.corpus, by=lead, gold_entrance=1)
    make_gold(plan)
    assert visit(make_user(Role.ANNOTATOR), f"/review/{case.pk}").status_code == 409
    set_plan(corpus=case.corpus, by=lead, gold_entrance=0, strategy=Strategy.ROUND_ROBIN)
    annotator = make_user(Role.ANNOTATOR)
    answer = visit(annotator, f"/review/{case.pk}")
    assert (answer.status_code, "nobody takes them" in answer.content.decode()) == (409, True)
    assert not Assignment.objects.exists()
    make_assignment(case, annotator)
    assert visit(annotator, f"/review/{case.pk}").status_code == 302


def test_a_lead_takes_a_case_that_is_shared_out(case: Case, lead: User) -> None:
    set_plan(corpus=case.corpus, by=lead, strategy=Strategy.ROUND_ROBIN)
    assert visit(lead, f"/review/{case.pk}").status_code == 302
    assert Assignment.objects.get().person == lead


def test_a_gold_case_that_was_not_asked_for_is_refused_as_any_other(case: Case, lead: User) -> None:
    (gold,) = make_gold(set_plan(corpus=case.corpus, by=lead, gold_share=0.0))
    make_assignment(case, make_user(Role.ANNOTATOR))
    annotator = make_user(Role.ANNOTATOR)
    told = [
        visit(annotator, f"/review/{pk}").content.decode().replace(str(pk), "#")
        for pk in (gold.case_id, case.pk)
    ]
    refusals = [re.search(r'role="alert">(.*?)</p>', page) for page in told]
    first, second = (found[1] for found in refusals if found is not None)
    assert first == second


def test_two_host_names_are_an_error_that_says_what_to_do(case: Case) -> None:
    answer = visit(make_user(Role.ANNOTATOR), f"/review/{case.pk}", host="other.example")
    assert answer.status_code == 409
    assert "CRASHDESK_LABELSTUDIO_PUBLIC_URL" in answer.content.decode()
    assert "sessionid" not in answer.cookies


def test_names_of_this_machine_stand_for_each_other(case: Case, settings: Any) -> None:
    settings.LABELSTUDIO_PUBLIC_URL = "http://127.0.0.1:8001"
    answer = visit(make_user(Role.ANNOTATOR), f"/review/{case.pk}", host="localhost:8000")
    assert answer["Location"].startswith("http://localhost:8001/projects/")


def test_coming_back_and_going_round_in_circles() -> None:
    browser = Browser(headers={"Host": "desk.example"})
    browser.force_login(make_user(Role.ANNOTATOR))
    back = "/labelstudio?next=/projects/1/data%3Ftask%3D2"
    assert browser.get(back)["Location"] == "http://desk.example:8001/projects/1/data?task=2"
    assert browser.get(back + "&renew=1").status_code == 502
    BrowserSession.objects.update(started_at="2026-01-01T00:00Z")
    assert browser.get(back + "&renew=1").status_code == 302
    for odd in ("//evil.example/x", "https://evil.example", "/\\evil.example", "", "x"):
        assert browser.get("/labelstudio", {"next": odd})["Location"] == "/cases"


def test_leaving_ends_the_session_and_takes_the_cookies(case: Case) -> None:
    browser = Browser(headers={"Host": "desk.example:8000"})
    browser.force_login(make_user(Role.ANNOTATOR))
    browser.get(f"/review/{case.pk}")
    answer = browser.post("/logout")
    assert answer.status_code == 302
    assert {name: answer.cookies[name]["max-age"] for name in ("sessionid", "csrftoken")} == {
        "sessionid": 0,
        "csrftoken": 0,
    }
    assert BrowserSession.objects.get().ended_at is not None
    assert browser.get(f"/review/{case.pk}")["Location"].startswith("/login?next=")
