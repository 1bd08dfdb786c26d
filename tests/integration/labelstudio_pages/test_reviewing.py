"""A reviewer in the real Label Studio, signed in from CrashDesk, and what the guard keeps from them."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import FloatRect, Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.corpora.models import Media
from annotations.effort.ledger import Asked, Entry, entries
from annotations.effort.models import Activity, Place
from annotations.gold.models import GoldScore
from annotations.gold.services import mark
from annotations.labelstudio.accounts.models import BrowserSession, Member
from annotations.labelstudio.client import Client
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.provision import RANK_FIELD
from annotations.labelstudio.pull import pull_project
from annotations.labelstudio.push import push_cases
from annotations.reviews.models import Assignment, AssignmentState, Purpose, Review, ReviewOutcome
from annotations.reviews.plans import set_plan
from crashdesk.accounts.models import Role, User
from crashdesk.demo.reviewer import LabelStudioReviewer
from tests.factories import make_case, make_video
from tests.integration.labelstudio_pages.conftest import PASSWORD, Window, make_person
from tests.signing_made import make_assignment

pytestmark = [
    pytest.mark.services,
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
]

DRAFT: Mapping[str, Said] = {
    Kind.CRASH_RECOGNITION: Said("valued", {"label": "yes"}),
    Kind.CRASH_DESCRIPTION: Said("valued", {"text": "car hits a truck."}),
    Kind.CAUSAL_REASONING: Said("valued", {"text": "The car driver looked away from the road."}),
    Kind.PREVENTION_REASONING: Said("valued", {"text": "Drivers should keep their eyes on the road."}),
    Kind.CRASH_LOCALIZATION: Said("valued", {"start_us": 300_000, "end_us": 800_000}),
    Kind.PRE_CRASH_LOCALIZATION: Said("valued", {"at_us": 200_000}),
}
SUBMIT = "[data-testid=bottombar-submit-button]"
SPAN = ".lsf-keypoints__lifespan:not(.lsf-keypoints__lifespan_instant)"
PIXELS_PER_FRAME = 16


@pytest.fixture
def case(project: LabelStudioProject, clip: Media, client: Client) -> Case:
    """A drafted case on show in Label Studio."""
    return on_show(project, clip, client)


def on_show(project: LabelStudioProject, clip: Media, client: Client) -> Case:
    video = make_video(project.corpus, media=clip)
    case = make_case(CaseStatus.PREDICTED, video=video, guideline=project.guideline, said=DRAFT)
    assert push_cases(project, client=client, by=None).pushed == 1
    return case


def own_task(case: Case) -> LabelStudioTask:
    return LabelStudioTask.objects.get(case=case, assignment__isnull=True)


def open_case(window: Window, case: Case) -> Page:
    """By CrashDesk's own address, until Label Studio's editor stands with the clip in it."""
    page = window.page
    page.goto(f"/review/{case.pk}")
    page.locator(SUBMIT).wait_for()
    page.locator(SPAN).first.wait_for()  # drawn once the clip is there
    return page


def drag_end(page: Page, frames: int) -> None:
    """Drag the right edge of the crash's span by so many frames."""
    box = at_rest(page)
    x, y = box["x"] + box["width"] - 1, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 9):
        page.mouse.move(x + frames * PIXELS_PER_FRAME * step / 8, y)
    page.mouse.up()
    page.wait_for_function(
        "([span, wide]) => Math.abs(document.querySelector(span).getBoundingClientRect().width - wide) < 4",
        arg=[SPAN, box["width"] + frames * PIXELS_PER_FRAME],
    )


def at_rest(page: Page) -> FloatRect:
    """Where the span is once the page around it has stopped moving."""
    span, last = page.locator(SPAN).first, None
    for _ in range(100):
        box = span.bounding_box()
        if box is not None and box == last:
            return box
        last = box
        page.wait_for_timeout(100)
    raise AssertionError(f"the timeline never came to rest: {last}")


def reword(page: Page, old: str, new: str) -> None:
    """Edit a text by its pencil."""
    page.get_by_text(old).scroll_into_view_if_needed()
    page.get_by_text(old).hover()
    page.locator("[data-testid=htx-textbox-edit-button]").first.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(new)
    page.get_by_role("heading", name="Description").click()
    expect(page.get_by_text(new).first).to_be_visible()


def submit(page: Page) -> None:
    with page.expect_response(lambda r: r.request.method == "POST" and "/annotations" in r.url) as answered:
        page.locator(SUBMIT).click()
    assert answered.value.status == 201
    expect(page.get_by_text("Annotation saved successfully").first).to_be_visible()


def told_of(page: Page, person: User) -> Entry:
    """The person's one review in the ledger, once Label Studio's page has told of all that they did there."""
    for _ in range(100):
        (entry,) = entries(Asked(person=person.username))
        if entry.active_us is not None:
            return entry
        page.wait_for_timeout(100)
    raise AssertionError(f"too little was told of: {list(Activity.objects.values())}")


def test_a_reviewer_corrects_a_draft(
    case: Case, project: LabelStudioProject, client: Client, window: Callable[[], Window], pictures: Path
) -> None:
    ada, mine = make_person("ada"), window()
    mine.sign_in(ada)
    page = open_case(mine, case)
    assert f"/projects/{project.project_id}/data?task={own_task(case).task_id}" in page.url
    expect(page.get_by_text("car hits a truck.")).to_be_visible()
    mine.keep_picture("draft", pictures)
    drag_end(page, 3)
    with page.expect_response(lambda r: r.request.method in ("POST", "PATCH") and "/drafts" in r.url) as kept:
        reword(page, "car hits a truck.", "A white car hits a parked truck.")
    assert kept.value.ok
    mine.keep_picture("corrected", pictures)
    submit(page)
    mine.keep_picture("submitted", pictures)
    assert mine.refused == []

    assert pull_project(project, client=client).submitted == 1
    review = Review.objects.get(case=case)
    assert review.reviewer == ada
    person = {a.kind: a.value for a in Answer.objects.filter(case=case, author_kind=AuthorKind.PERSON)}
    assert person == {
        Kind.CRASH_LOCALIZATION: {"start_us": 300_000, "end_us": 900_000},
        Kind.CRASH_DESCRIPTION: {"text": "A white car hits a parked truck."},
    }
    said = {answer.kind: answer.value for answer in review.answers.all()}
    assert said == {kind: what.value for kind, what in DRAFT.items()} | person
    case.refresh_from_db()
    assert case.status == CaseStatus.SUBMITTED
    asked = Assignment.objects.get(case=case)
    assert (asked.person, asked.purpose, asked.state) == (ada, Purpose.ANNOTATE, AssignmentState.DONE)
    assert asked.opened_at is not None
    shown = client.get(f"/api/users/{Member.objects.get(user=ada).labelstudio_id}/")
    assert shown["first_name"] == "Ada"

    page.goto(f"/cases/{case.pk}")
    expect(page.get_by_text("A white car hits a parked truck.").first).to_be_visible()
    mine.keep_picture("case", pictures)

    entry = told_of(page, ada)
    assert (entry.review, entry.case) == (review.pk, case.pk)
    assert entry.active_us is not None
    assert entry.active_us > 0
    assert Activity.objects.filter(person=ada, case=case, place=Place.LABELSTUDIO).exists()


def take_next(window: Window) -> Page:
    """By the queue's own button."""
    page = window.page
    page.goto("/work")
    page.get_by_role("button", name="Next case").click()
    page.locator(SUBMIT).wait_for()
    page.locator(SPAN).first.wait_for()
    return page


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "#", re.sub(r"just now|seconds ago|[\w ]+ (second|minute)s? ago", "lately", text))


def settled_text(page: Page) -> str:
    """What the page says once it changes no more."""
    last = ""
    for _ in range(50):
        text = page.locator("body").inner_text()
        if text == last:
            return text
        last = text
        page.wait_for_timeout(300)
    raise AssertionError(f"the page never came to rest: {last}")


def traces(window: Window, page: Page, keys: set[str]) -> dict[str, object]:
    """All that a person can find out about the task on screen, numbers left out: ids, clips and times always differ.

    `keys`: those of the tasks seen so far, which tell nothing; this one's is added.
    """
    task = re.search(r"task=(\d+)", page.url)
    assert task is not None
    raw = window.call("GET", f"/api/tasks/{task[1]}/")["text"]
    assert "gold" not in raw.lower()
    told = json.loads(raw)
    keys.add(without_numbers(told["data"]["external_id"]))
    shown = set(without_numbers(settled_text(page)).splitlines())
    address = without_numbers(page.url)
    page.goto("/work")
    return {
        "address": address,
        "data": {name: type(value) for name, value in told["data"].items()},
        "note and rank": [told["data"][name] for name in ("note", RANK_FIELD)],
        "fields": {name: type(value) for name, value in told.items() if name != "draft_exists"},
        "drafts": [
            (one["model_version"], one["score"], [region["type"] for region in one["result"]])
            for one in told["predictions"]
        ],
        "page": shown - keys,  # as sets: the list of tasks is one longer later
        "queue": without_numbers(page.locator(".work").inner_text()),
    }


def test_a_gold_case_is_answered_like_any_other(
    case: Case, project: LabelStudioProject, clip: Media, client: Client, window: Callable[[], Window]
) -> None:
    lead, hal, mine = make_person("lia", Role.LEAD), make_person("hal"), window()
    known = make_case(
        CaseStatus.APPROVED,
        video=make_video(project.corpus, media=clip),
        guideline=project.guideline,
        said=DRAFT,
    )
    mark(case=known, by=lead)
    set_plan(corpus=project.corpus, by=lead, gold_entrance=1)
    mine.sign_in(hal)
    seen, keys = [], set[str]()
    for number in (1, 2):
        page = take_next(mine)
        seen.append(traces(mine, page, keys))
        page.locator("a.work__name").click()
        page.locator(SUBMIT).wait_for()
        page.locator(SPAN).first.wait_for()
        submit(page)
        assert pull_project(project, client=client).submitted == 1
        assert GoldScore.objects.count() == 1, f"after case {number}"
    apart = {name: (seen[0][name], seen[1][name]) for name in seen[0] if seen[0][name] != seen[1][name]}
    assert not apart, str(apart)
    assert mine.refused == []
    (score,) = GoldScore.objects.all()
    assert (score.person, score.gold.case, score.score) == (hal, known, 1.0)
    asked = dict(Assignment.objects.filter(person=hal).values_list("case", "purpose"))
    assert asked == {known.pk: Purpose.GOLD, case.pk: Purpose.ANNOTATE}
    known.refresh_from_db()
    assert known.status == CaseStatus.APPROVED


def test_a_member_may_do_nothing_that_crashdesk_does_not_allow(
    case: Case, project: LabelStudioProject, clip: Media, client: Client, window: Callable[[], Window]
) -> None:
    theirs = on_show(project, clip, client)
    result = client.get(f"/api/tasks/{own_task(theirs).task_id}/")["predictions"][0]["result"]
    said = client.post(f"/api/tasks/{own_task(theirs).task_id}/annotations", {"result": result})
    ben, mine = make_person("ben"), window()
    mine.sign_in(ben)
    page = open_case(mine, case)
    p, t, other = project.project_id, own_task(case).task_id, own_task(theirs).task_id
    for method, path in [
        ("DELETE", f"/api/projects/{p}/"), ("PATCH", f"/api/projects/{p}/"), ("GET", f"/api/projects/{p}/export"),
        ("GET", "/api/projects"), ("GET", f"/api/tasks/{other}/"), ("GET", f"/api/tasks/{other}/annotations/"),
        ("GET", f"/api/tasks/{t}/annotations/"), ("GET", f"/api/annotations/{said['id']}/"),
        ("PATCH", f"/api/annotations/{said['id']}/"), ("DELETE", f"/api/annotations/{said['id']}/"),
        ("DELETE", f"/api/tasks/{other}/"), ("POST", f"/api/tasks/{other}/annotations"),
        ("POST", f"/api/dm/actions?id=delete_tasks&project={p}"), ("GET", "/api/current-user/token"),
        ("POST", "/api/token/"), ("GET", "/api/invite"), ("PATCH", "/api/users/1/"), ("GET", "/user/account/"),
    ]:  # fmt: skip
        answer = mine.call(method, path, None if method == "GET" else {"title": "mine"})
        assert (answer["status"], method, path) == (403, method, path)
    listed = mine.call("GET", f"/api/tasks?page=1&page_size=30&project={p}&fields=all")
    assert [task["id"] for task in json.loads(listed["text"])["tasks"]] == [t]
    forged = {"result": result, "completed_by": 1, "lead_time": 3.0}
    made = json.loads(mine.call("POST", f"/api/tasks/{t}/annotations", forged)["text"])
    assert made["completed_by"] == Member.objects.get(user=ben).labelstudio_id
    moved = mine.call("PATCH", f"/api/annotations/{made['id']}/", {"task": other, "completed_by": 1})
    kept = json.loads(moved["text"])
    assert (kept["task"], kept["completed_by"]) == (t, made["completed_by"])

    page.goto(f"{mine.labelstudio}/projects/")
    assert page.url.endswith("/work")
    assert client.exists(f"/api/projects/{p}/")
    assert client.exists(f"/api/annotations/{said['id']}/")
    client.delete(f"/api/projects/{p}/")
    assert not client.exists(f"/api/projects/{p}/")


def test_the_second_annotator_does_not_see_the_first_ones_answer(
    case: Case, project: LabelStudioProject, client: Client, window: Callable[[], Window], pictures: Path
) -> None:
    first, second = window(), window()
    first.sign_in(make_person("cleo"))
    page = open_case(first, case)
    reword(page, "car hits a truck.", "What only the first one says.")
    submit(page)
    dan = make_person("dan")
    make_assignment(case, dan, Purpose.DOUBLE)
    second.sign_in(dan)
    page = open_case(second, case)
    own = LabelStudioTask.objects.get(case=case, assignment__person=dan)
    assert f"task={own.task_id}" in page.url
    expect(page.get_by_text("car hits a truck.")).to_be_visible()
    expect(page.get_by_text("What only the first one says.")).to_have_count(0)
    second.keep_picture("second-pass", pictures)
    assert second.call("GET", f"/api/tasks/{own_task(case).task_id}/")["status"] == 403
    assert second.refused == []


def test_leaving_crashdesk_is_leaving_label_studio(
    case: Case, project: LabelStudioProject, window: Callable[[], Window]
) -> None:
    eve, mine = make_person("eve"), window()
    mine.sign_in(eve)
    page = open_case(mine, case)
    deep_link = page.url
    stolen = page.context.cookies(mine.labelstudio)
    page.goto("/cases")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in").wait_for()
    assert not {"sessionid", "csrftoken"} & {cookie["name"] for cookie in page.context.cookies()}
    page.context.add_cookies([c for c in stolen if c["name"] in ("sessionid", "csrftoken")])  # type: ignore[misc]
    page.goto(deep_link)
    assert "/login?next=" in page.url
    page.get_by_label("User name").fill("eve")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.locator(SUBMIT).wait_for()
    assert page.url.split("&")[0] == deep_link.split("&")[0]
    assert BrowserSession.objects.filter(member__user=eve, ended_at__isnull=True).count() == 1


def test_an_admin_may_do_all_in_label_studio_and_is_who_they_are(
    case: Case, project: LabelStudioProject, window: Callable[[], Window]
) -> None:
    root, mine = make_person("root", Role.ADMIN), window()
    mine.sign_in(root)
    mine.page.goto("/labelstudio")
    mine.page.get_by_text(project.title).first.wait_for()
    assert mine.page.url.startswith(f"{mine.labelstudio}/projects")
    who = json.loads(mine.call("GET", "/api/current-user/whoami")["text"])
    assert who["id"] == Member.objects.get(user=root).labelstudio_id
    assert (
        mine.call("PATCH", f"/api/projects/{project.project_id}/", {"description": project.title})["status"]
        == 200
    )


def test_a_case_can_be_skipped_from_its_deep_link(
    case: Case, project: LabelStudioProject, client: Client, window: Callable[[], Window], pictures: Path
) -> None:
    mine = window()
    mine.sign_in(make_person("fay"))
    page = open_case(mine, case)
    page.on("dialog", lambda dialog: dialog.accept())
    mine.keep_picture("bar", pictures)
    with page.expect_response(lambda r: r.request.method == "POST" and "/annotations" in r.url) as answered:
        page.get_by_role("button", name="Skip this case").click()
    assert answered.value.status == 201
    page.wait_for_url("**/work*")
    report = pull_project(project, client=client)
    assert (report.skipped, report.submitted, report.refused) == (1, 0, [])
    assert Review.objects.get(case=case).outcome == ReviewOutcome.SKIPPED


def test_the_demos_reviewer_comes_through_crashdesk(
    case: Case, project: LabelStudioProject, client: Client, live_server: LiveServer, settings: Settings
) -> None:
    gil = make_person("gil")
    reviewer = LabelStudioReviewer(
        settings.LABELSTUDIO_PUBLIC_URL,
        settings.LABELSTUDIO_TOKEN,
        desk=live_server.url,
        username="gil",
        password=PASSWORD,
    )
    task = own_task(case).task_id
    assert task is not None
    assert task in {one["id"] for one in reviewer.tasks(project.linked_id)}
    regions, prediction, _ = reviewer.draft(task)
    annotation = reviewer.submit(task, regions, prediction)
    assert pull_project(project, client=client).submitted == 1
    reviewer.update(annotation, regions[:-1])
    assert Review.objects.get(case=case).reviewer == gil
    reviewer.delete(annotation)
    assert pull_project(project, client=client).withdrawn == 1
