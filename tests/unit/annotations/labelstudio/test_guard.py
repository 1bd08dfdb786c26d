"""The guard's table, line by line, with people who hold every kind of pass. Whatever is not in it is refused."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.contrib.sessions.models import Session
from django.test import Client as Browser
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.labelstudio import guard_facts
from annotations.labelstudio.accounts.models import BrowserSession
from annotations.labelstudio.doors import read_session
from annotations.labelstudio.guard import TABLE, Asked, Need, Verdict, decide, rule_for
from annotations.labelstudio.key import KEY_HEADER, door_key
from annotations.labelstudio.models import LabelStudioTask
from annotations.reviews.models import AssignmentState, CaseDraw, Purpose
from annotations.reviews.plans import current_plan
from crashdesk.accounts.models import Role, User
from crashdesk.environment import S3Location
from tests.factories import make_case, make_user, make_video
from tests.signing_made import cookie, make_assignment, make_member, make_task, sign_in

pytestmark = pytest.mark.django_db


def ask(user: User | BrowserSession, method: str, uri: str) -> Verdict:
    session = user if isinstance(user, BrowserSession) else sign_in(user)
    return decide(Asked(method, uri, {"sessionid": session.session_cookie}))


def status(user: User | BrowserSession, method: str, uri: str) -> int:
    return ask(user, method, uri).status


@pytest.fixture
def case() -> Case:
    return make_case(CaseStatus.IN_REVIEW)


@pytest.fixture
def task(case: Case) -> LabelStudioTask:
    return make_task(case)


@pytest.fixture
def holder(case: Case, task: LabelStudioTask) -> User:
    """An annotator with an open assignment for the case."""
    user = make_user(Role.ANNOTATOR)
    make_assignment(case, user)
    return user


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """What Label Studio says when it is asked, by path."""
    said: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr(guard_facts, "_ask", said.get)
    guard_facts.draft_facts.cache_clear()
    return said


REFUSED = [
    "DELETE /api/projects/{p}", "DELETE /api/projects/{p}/", "PATCH /api/projects/{p}/", "POST /api/projects",
    "PUT /api/projects/{p}", "GET /api/projects", "GET /api/projects/{p}/export?exportType=JSON",
    "GET /api/projects/{p}/exports/", "GET /api/projects/{p}/tasks/", "DELETE /api/projects/{p}/tasks",
    "POST /api/projects/{p}/import", "GET /api/projects/{p}/next", "POST /api/dm/actions?id=delete_tasks&project={p}",
    "POST /api/dm/actions?id=next_task&project={p}", "GET /api/dm/actions?project={p}", "DELETE /api/dm/views/1",
    "PATCH /api/dm/views/1/", "POST /api/dm/views?project={p}", "DELETE /api/dm/views/reset",
    "GET /api/tasks/{t}/annotations", "GET /api/tasks/{t}/annotations/", "GET /api/tasks/{t}/drafts",
    "PATCH /api/tasks/{t}", "DELETE /api/tasks/{t}/", "PUT /api/tasks/{t}", "POST /api/tasks",
    "POST /api/annotations/1/convert-to-draft", "PUT /api/annotations/1", "GET /api/predictions?task={t}",
    "DELETE /api/predictions/1", "GET /api/webhooks/", "POST /api/webhooks/",
    "GET /api/storages/localfiles?project={p}",
    "POST /api/storages/s3", "GET /api/invite", "POST /api/invite/reset-token", "GET /api/organizations/1/memberships",
    "DELETE /api/organizations/1/memberships/1/", "PATCH /api/users/1", "POST /api/users/", "GET /api/users/1",
    "GET /api/current-user/token", "POST /api/current-user/reset-token", "POST /api/token/", "GET /api/token",
    "GET /user/account/", "POST /user/account", "GET /projects/", "GET /projects/{p}/settings/", "GET /people/",
    "GET /projects/{p}/data?labeling=1", "GET /projects/{p}/data/export", "GET /admin/", "GET /docs/api/schema/json/",
    "POST /api/jwt/settings", "GET /django-rq/", "GET /projects/{p}/resolve/?fileuri=eA==", "POST /api/ml/",
    "GET /data/upload/1/x.csv", "OPTIONS /api/projects/{p}", "TRACE /api/version", "GET /api/tasks/{t}/agreement",
    "GET /api/fsm/entities/task/{t}/history", "POST /api/label_links", "GET /metrics/", "POST /api/projects/{p}/data",
]  # fmt: skip


@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.REVIEWER, Role.LEAD, Role.ENGINEER])
def test_nobody_but_an_admin_may(role: Role, case: Case, task: LabelStudioTask) -> None:
    user = make_user(role)
    make_assignment(case, user)
    browser = sign_in(user)
    lines = [line.format(p=task.project.project_id, t=task.task_id) for line in REFUSED]
    assert [line for line in lines if status(browser, *line.split()) != 403] == []


def test_an_admin_may_do_all_and_a_stranger_nothing(admin: User, task: LabelStudioTask) -> None:
    for line in REFUSED:
        method, uri = line.format(p=task.project.project_id, t=task.task_id).split()
        assert status(admin, method, uri) == 204
        assert decide(Asked(method, uri)).status == 401
        assert decide(Asked(method, uri, {"sessionid": cookie("made-up", 1)})).status == 401


LABELLING = [
    "GET /projects/{p}/data?task={t}", "GET /api/version", "GET /api/current-user/whoami", "GET /api/projects/{p}",
    "GET /api/ml?project={p}", "GET /api/dm/columns?project={p}", "GET /api/dm/views?project={p}",
    "GET /api/dm/project?interaction=timer&project={p}", "GET /api/users?project={p}",
    "GET /api/projects/{p}/label-stream-history?project={p}", "GET /api/label_links?project={p}&expand=label",
    "GET /api/tasks/{t}?project={p}", "GET /api/tasks/{t}/", "POST /api/tasks/{t}/drafts?project={p}",
    "POST /api/tasks/{t}/annotations?project={p}", "PATCH /api/current-user/hotkeys/",
]  # fmt: skip


def test_who_is_asked_may_label(holder: User, task: LabelStudioTask) -> None:
    lines = [line.format(p=task.project.project_id, t=task.task_id) for line in LABELLING]
    assert [line for line in lines if ask(holder, *line.split()) != Verdict(204)] == []


def test_who_is_not_asked_sees_no_task(holder: User, task: LabelStudioTask) -> None:
    other = make_user(Role.ANNOTATOR)
    for method, path in (("GET", ""), ("POST", "/annotations"), ("POST", "/drafts")):
        verdict = ask(other, method, f"/api/tasks/{task.task_id}{path}")
        assert (verdict.status, verdict.leads_to) == (403, "/work")


def test_lists_hold_ones_own_tasks_only(holder: User, task: LabelStudioTask, lead: User) -> None:
    project, uri = (
        task.project.project_id,
        f"/api/tasks?page=2&page_size=30&view=7&project={task.project.project_id}",
    )
    verdict = ask(holder, "GET", uri)
    query = parse_qs(verdict.query or "")
    assert {name: query[name] for name in ("page", "page_size", "project")} == {
        "page": ["2"], "page_size": ["30"], "project": [str(project)],
    }  # fmt: skip
    assert set(query) == {"page", "page_size", "project", "query"}
    assert json.loads(query["query"][0]) == {"selectedItems": {"all": False, "included": [task.task_id]}}
    nothing = ask(make_user(Role.ANNOTATOR), "GET", uri).query or ""
    assert json.loads(parse_qs(nothing)["query"][0])["selectedItems"]["included"] == [0]
    assert ask(lead, "GET", uri) == Verdict(204)
    assert status(holder, "GET", "/api/tasks?page=1") == 403
    assert status(holder, "GET", f"/api/tasks?project={project}&project=1") == 403


@pytest.mark.parametrize("purpose", [Purpose.DOUBLE, Purpose.GOLD])
def test_a_blind_pass_shows_its_own_task_and_not_the_first_answer(
    purpose: Purpose, case: Case, holder: User, task: LabelStudioTask
) -> None:
    second = make_user(Role.REVIEWER)
    own = make_task(case, make_assignment(case, second, purpose))
    assert status(second, "GET", f"/api/tasks/{own.task_id}") == 204
    assert status(second, "POST", f"/api/tasks/{own.task_id}/annotations") == 204
    assert status(second, "GET", f"/api/tasks/{task.task_id}") == 403
    assert status(holder, "GET", f"/api/tasks/{own.task_id}") == 403
    assert status(holder, "POST", f"/api/tasks/{own.task_id}/annotations") == 403
    listed = ask(second, "GET", f"/api/tasks?project={task.project.project_id}").query or ""
    assert json.loads(parse_qs(listed)["query"][0])["selectedItems"]["included"] == [own.task_id]


def test_who_oversees_sees_all_but_what_they_answer_blind(
    case: Case, task: LabelStudioTask, lead: User
) -> None:
    uri = f"/api/tasks/{task.task_id}"
    for role in (Role.REVIEWER, Role.LEAD, Role.ENGINEER):
        user = make_user(role)
        assert status(user, "GET", uri) == 204
        assert status(user, "POST", uri + "/annotations") == 403
    gold = make_assignment(case, lead, Purpose.GOLD)
    assert status(lead, "GET", uri) == 403
    gold.state, gold.closed_at = AssignmentState.DONE, timezone.now()
    gold.save()
    assert status(lead, "GET", uri) == 204


@pytest.mark.parametrize(
    ("role", "before", "after"),
    [(Role.REVIEWER, 403, 204), (Role.LEAD, 204, 204), (Role.ENGINEER, 204, 204), (Role.ANNOTATOR, 403, 403)],
)
def test_who_may_get_the_second_pass_sees_no_first(
    role: Role, before: int, after: int, case: Case, task: LabelStudioTask, there: dict[str, dict[str, Any]]
) -> None:
    plan = current_plan(case.corpus_id)
    draw = CaseDraw.objects.create(case=case, plan=plan, blind=False, double=True, second=False)
    user, project = make_user(role), task.project.project_id
    there["/api/annotations/5/"] = {"completed_by": 1, "task": task.task_id}
    uris = (f"/api/tasks/{task.task_id}", "/api/annotations/5")
    lists = f"/api/tasks?project={project}"
    assert [status(user, "GET", uri) for uri in uris] == [before, before]
    assert (ask(user, "GET", lists).query is None) is (before == 204)
    Case.objects.filter(pk=case.pk).update(status=CaseStatus.DISPUTED)
    assert [status(user, "GET", uri) for uri in uris] == [after, after]
    assert (ask(user, "GET", lists).query is None) is (after == 204)
    Case.objects.filter(pk=case.pk).update(status=CaseStatus.IN_REVIEW)
    draw.double = False
    draw.save()
    assert [status(user, "GET", uri) for uri in uris] == [after, after]


@pytest.mark.parametrize(
    ("state", "case_status", "answers"),
    [
        (AssignmentState.OPEN, CaseStatus.IN_REVIEW, True),
        (AssignmentState.DONE, CaseStatus.SUBMITTED, True),
        (AssignmentState.DONE, CaseStatus.APPROVED, False),
        (AssignmentState.RELEASED, CaseStatus.IN_REVIEW, False),
        (AssignmentState.EXPIRED, CaseStatus.IN_REVIEW, True),
    ],
)
def test_when_a_case_may_be_answered(state: AssignmentState, case_status: CaseStatus, answers: bool) -> None:
    user, case = make_user(Role.ANNOTATOR), make_case(case_status)
    task = make_task(case)
    make_assignment(case, user, state=state)
    assert (status(user, "POST", f"/api/tasks/{task.task_id}/annotations") == 204) is answers


def test_a_reservation_that_ran_out_yields_to_who_has_begun(case: Case, task: LabelStudioTask) -> None:
    late, other = make_user(Role.ANNOTATOR), make_user(Role.ANNOTATOR)
    make_assignment(case, late, state=AssignmentState.EXPIRED)
    uri = f"/api/tasks/{task.task_id}/annotations"
    given = make_assignment(case, other)
    assert status(late, "POST", uri) == 204
    given.opened_at = timezone.now()
    given.save()
    assert status(late, "POST", uri) == 403


def test_a_returned_case_that_goes_to_another_is_no_longer_the_firsts(
    case: Case, task: LabelStudioTask
) -> None:
    first = make_user(Role.ANNOTATOR)
    make_assignment(case, first, state=AssignmentState.DONE)
    uri = f"/api/tasks/{task.task_id}/annotations"
    assert status(first, "POST", uri) == 204
    make_assignment(case, make_user(Role.ANNOTATOR))
    assert status(first, "POST", uri) == 403


@pytest.mark.parametrize("purpose", [Purpose.DOUBLE, Purpose.GOLD])
@pytest.mark.parametrize(
    ("state", "answers"), [(AssignmentState.EXPIRED, True), (AssignmentState.RELEASED, False)]
)
def test_ones_own_task_takes_the_late_answer(
    purpose: Purpose, state: AssignmentState, answers: bool, case: Case
) -> None:
    user = make_user(Role.ANNOTATOR)
    own = make_task(case, make_assignment(case, user, purpose, state))
    assert (status(user, "POST", f"/api/tasks/{own.task_id}/annotations") == 204) is answers
    assert (status(user, "GET", f"/api/tasks/{own.task_id}") == 204) is answers


def test_annotations_belong_to_who_made_them(
    case: Case, holder: User, task: LabelStudioTask, lead: User, there: dict[str, dict[str, Any]]
) -> None:
    browser, other = sign_in(holder), make_member(make_user(Role.ANNOTATOR))
    there["/api/annotations/5/"] = {"completed_by": browser.member.labelstudio_id, "task": task.task_id}
    there["/api/annotations/6/"] = {"completed_by": {"id": other.labelstudio_id}, "task": task.task_id}
    for method in ("GET", "PATCH", "DELETE"):
        assert status(browser, method, "/api/annotations/5/") == 204
        assert status(browser, method, "/api/annotations/6") == 403
        assert status(browser, method, "/api/annotations/7") == 403
    assert status(browser, "POST", f"/api/tasks/{task.task_id}/annotations/5/drafts") == 204
    assert status(browser, "POST", f"/api/tasks/{task.task_id}/annotations/6/drafts") == 403
    elsewhere = make_task(make_case(CaseStatus.IN_REVIEW))
    assert status(browser, "POST", f"/api/tasks/{elsewhere.task_id}/annotations/5/drafts") == 403
    assert [status(lead, method, "/api/annotations/6") for method in ("GET", "PATCH", "DELETE")] == [
        204,
        403,
        403,
    ]


def test_drafts_belong_to_who_wrote_them(
    holder: User, task: LabelStudioTask, there: dict[str, dict[str, Any]]
) -> None:
    browser, other = sign_in(holder), make_member(make_user(Role.ANNOTATOR))
    there["/api/drafts/5/"] = {"user": browser.member.address, "task": task.task_id}
    there["/api/drafts/6/"] = {"user": other.address, "task": task.task_id}
    for method in ("GET", "PATCH", "DELETE"):
        assert [status(browser, method, f"/api/drafts/{pk}") for pk in (5, 6, 7)] == [204, 403, 403]
    there["/api/drafts/7/"] = there["/api/drafts/5/"]
    assert status(browser, "PATCH", "/api/drafts/7") == 204


def test_a_closed_corpus_is_closed_in_label_studio_too(holder: User, task: LabelStudioTask) -> None:
    browser = sign_in(holder)
    corpus = task.project.corpus
    corpus.access = "members"
    corpus.save()
    for line in LABELLING:
        method, uri = line.format(p=task.project.project_id, t=task.task_id).split()
        harmless = rule_for(method, uri.split("?")[0].rstrip("/"))
        assert harmless is not None
        assert (status(browser, method, uri) == 204) == (harmless.need == Need.MEMBER)


def test_clips_of_open_corpora_play(holder: User, case: Case, settings: Any) -> None:
    media = case.video.media
    assert media is not None
    assert status(holder, "GET", f"/data/local-files/?d={media.proxy_name}") == 204
    assert status(holder, "GET", f"/data/local-files?d={media.storage_name}") == 403
    assert status(holder, "GET", "/data/local-files/?d=../secrets.json") == 403
    assert status(holder, "GET", "/data/local-files/") == 403
    hidden = make_video()
    hidden.corpus.access = "members"
    hidden.corpus.save()
    assert hidden.media is not None
    assert status(holder, "GET", f"/data/local-files/?d={hidden.media.proxy_name}") == 403


def test_a_bucket_gives_the_tasks_own_clip(holder: User, task: LabelStudioTask, settings: Any) -> None:
    media = task.case.video.media
    assert media is not None
    settings.STORAGE_LOCATION = S3Location(bucket="clips", endpoint="", region="")

    def resolve(uri: str) -> int:
        return status(holder, "GET", f"/tasks/{task.task_id}/resolve/?fileuri={uri}")

    assert resolve(base64.urlsafe_b64encode(f"s3://clips/{media.proxy_name}".encode()).decode()) == 204
    assert resolve(base64.urlsafe_b64encode(b"s3://clips/backup.sql").decode()) == 403
    assert resolve("") == 403


def test_tokens(task: LabelStudioTask, holder: User, settings: Any) -> None:
    uri = f"/api/projects/{task.project.project_id}"
    settings.LABELSTUDIO_TOKEN = "a" * 40

    def by(authorization: str = "", **more: Any) -> int:
        return decide(Asked("DELETE", uri, authorization=authorization, **more)).status

    def jwt(user_id: object) -> str:
        return f"Bearer x.{base64.urlsafe_b64encode(json.dumps({'user_id': user_id}).encode()).decode()}.y"

    member = make_member(holder)
    assert by(f"Token {'a' * 40}") == 204
    assert by("", api_key="a" * 40) == 204
    assert by(f"Token {'b' * 40}") == 403
    assert by("", api_key="b" * 40) == 403
    assert by(jwt(1)) == 204
    assert by(jwt(member.labelstudio_id)) == 403
    assert [by(word) for word in ("Bearer x", "Bearer", "Bearer x.!.y", jwt([1]), "Basic eDp5")] == [403] * 5
    browser = sign_in(holder)
    assert by(jwt(1), cookies={"sessionid": browser.session_cookie}) == 403
    assert by(f"Token {'a' * 40}", cookies={"sessionid": browser.session_cookie}) == 403
    nobodys = (
        "eyJ1aWQiOiJ4In0:1xVJOp:EcZ14LV6uotSfJ3HlyMTetTcv"  # {"uid":"x"}: what a script gets and brings back
    )
    assert by(f"Token {'a' * 40}", cookies={"sessionid": nobodys}) == 204
    settings.LABELSTUDIO_TOKEN = ""
    assert by("Token ") == 403
    assert by("", key=door_key()) == 204
    assert by("", key="x") == 401


def test_a_new_password_ends_it(holder: User, task: LabelStudioTask) -> None:
    browser = sign_in(holder)
    address = f"/api/tasks/{task.task_id}"
    assert status(browser, "GET", address) == 204
    holder.set_password("a new one, quite long")
    holder.save()
    assert status(browser, "GET", address) == 401


def test_a_session_ends_with_crashdesks(holder: User, task: LabelStudioTask) -> None:
    browser = sign_in(holder)
    assert status(browser, "GET", "/api/version") == 204
    Session.objects.filter(session_key=browser.desk_session).delete()
    verdict = ask(browser, "GET", "/projects/3/data?task=4")
    assert (verdict.status, verdict.leads_to, verdict.back) == (
        401,
        "/labelstudio",
        "/projects/3/data?task=4",
    )
    for change in ({"is_active": False}, {"role": Role.LEAD}):
        browser = sign_in(holder)
        User.objects.filter(pk=holder.pk).update(**change)
        assert status(browser, "GET", "/api/version") == (401 if change == {"is_active": False} else 204)
        User.objects.filter(pk=holder.pk).update(is_active=True)
    browser.ended_at = timezone.now()
    browser.save()
    assert status(browser, "GET", "/api/version") == 401


def test_a_cookie_that_claims_another_person_is_nobodys(holder: User, admin: User) -> None:
    mine, theirs = sign_in(holder), sign_in(admin)
    assert theirs.member.labelstudio_id is not None
    forged = cookie(mine.uid, theirs.member.labelstudio_id)
    assert decide(Asked("DELETE", "/api/projects/1", {"sessionid": forged})).status == 401


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        ":::",
        "a:b:c",
        ".x:1:2",
        ".!!!!:1:2",
        "e30:1:2",
        "W10:1:2",
        cookie("u", 1)[:-5] + ":" * 3,
        "x" * 20_000,
    ],
)
def test_unreadable_cookies_are_nobodys(text: str) -> None:
    assert read_session(text) is None


def test_cookies_are_read_packed_and_plain() -> None:
    for packed in (True, False):
        said = read_session(cookie("abc", 7, packed=packed))
        assert said is not None
        assert (said.uid, said.labelstudio_id) == ("abc", 7)


@pytest.mark.parametrize(
    "uri",
    ["", "//evil.example/static/x", "http://evil.example/health", "/%ff", "/api/tasks/1/../../projects/1",
     "/api//version", "/api/version%00", "/API/version", "/api/tasks/%D9%A1", "/api/tasks/99999999999",
     "/api/version;x=/static/y",
     "/static/../api/tasks?project=1", "/static/%2e%2e/api/tasks", "/static/./x", "/static//x"],
)  # fmt: skip
def test_odd_addresses_do_not_pass(uri: str, holder: User) -> None:
    assert status(holder, "GET", uri) == 403


def test_every_line_has_a_reason_and_files_need_nobody() -> None:
    assert all(rule.why for rule in TABLE)
    assert {rule.need for rule in TABLE} == set(Need)
    for uri in ("/static/icons/x.svg", "/react-app/main.js", "/health", "/favicon.ico", "/sw.js"):
        assert decide(Asked("GET", uri)) == Verdict(204)
    assert decide(Asked("POST", "/static/x")).status == 401


def test_the_endpoint_says_it_in_headers(holder: User, task: LabelStudioTask) -> None:
    browser = Browser()
    browser.cookies["sessionid"] = sign_in(holder).session_cookie

    def put(uri: str, method: str = "GET") -> Any:
        headers = {"X-Original-URI": uri, "X-Original-Method": method, "X-Original-Host": "localhost:8001"}
        return browser.get("/api/labelstudio/guard", headers=headers)

    assert put("/api/version").status_code == 204
    listed = put(f"/api/tasks?project={task.project.project_id}")
    assert "included" in listed["X-CrashDesk-Query"]
    refused = put(f"/api/projects/{task.project.project_id}", "DELETE")
    assert (refused.status_code, refused["X-CrashDesk-Reason"]) == (
        403,
        "CrashDesk does not allow this in Label Studio.",
    )
    assert refused["X-CrashDesk-Location"] == "http://localhost:8000/work"
    again = put("/user/login/?next=/projects/1/data%3Ftask%3D2")
    assert again["X-CrashDesk-Location"] == (
        "http://localhost:8000/labelstudio?next=%2Fprojects%2F1%2Fdata%3Ftask%3D2&renew=1"
    )
    browser.cookies.clear()
    assert put("/projects/1/data")["X-CrashDesk-Location"].endswith(
        "/labelstudio?next=%2Fprojects%2F1%2Fdata"
    )
    opened = browser.get(
        "/api/labelstudio/guard",
        headers={"X-Original-URI": "/api/x", "X-Original-Method": "POST", KEY_HEADER: door_key()},
    )
    assert opened.status_code == 204
