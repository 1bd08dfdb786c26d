"""The pages: who sees which action, what empty pages say, and that names never become markup."""

import pytest
from django.test import Client

from annotations.cases.kinds import Kind
from annotations.cases.models import ApprovedAnswer, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.corpora.models import MediaState, VideoFinding
from annotations.datasets.services import freeze
from annotations.gold.services import mark
from annotations.reviews.decisions import approve
from crashdesk.accounts.models import User
from frontend.queue import Filters, neighbours
from tests import factories
from tests.disputes_made import LATE, answer, make_planned_case

pytestmark = pytest.mark.django_db
EVIL = "<script>alert('crash')</script>.mp4"


def page(client: Client, user: User, address: str) -> str:
    client.force_login(user)
    response = client.get(address)
    assert response.status_code == 200, address
    return response.content.decode()


@pytest.mark.parametrize("address", ["/", "/cases", "/cases/1"])
def test_pages_need_a_sign_in(client: Client, address: str) -> None:
    response = client.get(address)
    assert response.status_code == 302
    assert response["location"].startswith("/login?next=")


def test_signing_in_and_out(client: Client, annotator: User) -> None:
    annotator.set_password("a long enough one")
    annotator.save()
    refused = client.post("/login", {"username": annotator.username, "password": "wrong"})
    assert "do not match" in refused.content.decode()
    accepted = client.post(
        "/login", {"username": annotator.username, "password": "a long enough one", "next": "/cases"}
    )
    assert accepted["location"] == "/cases"
    assert client.post("/logout")["location"] == "/login"
    assert client.get("/cases").status_code == 302


def test_an_inactive_role_sees_nothing(client: Client, annotator: User) -> None:
    client.force_login(annotator)
    User.objects.filter(pk=annotator.pk).update(is_active=False)
    assert client.get("/").status_code == 302


def test_empty_pages_say_what_to_do_next(client: Client, lead: User, annotator: User) -> None:
    home = page(client, lead, "/")
    for words in (
        "No corpus yet.",
        "No version yet.",
        "No training run yet.",
        "No model is registered.",
        "make demo",
    ):
        assert words in home
    assert "Ask a lead" in page(client, annotator, "/")
    assert "There are no cases yet." in page(client, lead, "/cases")


def test_a_filter_that_leaves_nothing_offers_the_way_back(client: Client, lead: User) -> None:
    factories.make_case()
    assert "No case matches." in page(client, lead, "/cases?q=nowhere")


@pytest.mark.parametrize(
    "query",
    ["status=nonsense", "corpus=x", "corpus=99999999999999999999", "page=zzz", "q=%00", "source=%00", "q=²"],
)
def test_nonsense_in_the_address_is_ignored(client: Client, lead: User, query: str) -> None:
    factories.make_case()
    page(client, lead, f"/cases?{query}")


def test_filters_narrow_the_list(client: Client, lead: User) -> None:
    one = factories.make_video(name="tram.mp4", source="A")
    two = factories.make_video(name="bus.mp4", source="B")
    factories.make_case(CaseStatus.PREDICTED, video=one)
    other = factories.make_case(CaseStatus.READY, video=two)
    for query, found, missing in (
        ("status=predicted", "tram.mp4", "bus.mp4"),
        ("source=B", "bus.mp4", "tram.mp4"),
        (f"corpus={one.corpus_id}", "tram.mp4", "bus.mp4"),
        ("q=TRAM", "tram.mp4", "bus.mp4"),
        ("q=hits+a+truck", "tram.mp4", "bus.mp4"),
        (f"q=%23{other.pk}", "bus.mp4", "tram.mp4"),
    ):
        text = page(client, lead, f"/cases?{query}")
        assert found in text, query
        assert missing not in text, query


def test_a_search_finds_no_answer_that_is_hidden(
    client: Client, annotator: User, reviewer: User, lead: User
) -> None:
    case = make_planned_case(double_share=1.0)
    address, author = "/cases?q=ice+bridge", factories.make_user()
    answer(case, author, LATE)
    for person, found in ((annotator, False), (reviewer, False), (lead, True), (author, True)):
        assert (f"/cases/{case.pk}" in page(client, person, address)) is found, person
    answer(case, factories.make_user(), LATE)
    for person, found in ((annotator, False), (reviewer, True)):
        assert (f"/cases/{case.pk}" in page(client, person, address)) is found, person
    approve(case=Case.objects.get(pk=case.pk), by=lead)
    assert f"/cases/{case.pk}" in page(client, annotator, address)
    mark(case=Case.objects.get(pk=case.pk), by=lead)
    assert f"/cases/{case.pk}" not in page(client, annotator, address)


def test_the_list_costs_a_fixed_number_of_queries(
    client: Client, lead: User, django_assert_max_num_queries: object
) -> None:
    for _ in range(6):
        factories.make_case(CaseStatus.APPROVED)
    client.force_login(lead)
    with django_assert_max_num_queries(14):  # type: ignore[operator]
        client.get("/cases")


def test_names_and_answers_never_become_markup(client: Client, lead: User) -> None:
    said = {**factories.CRASH, Kind.CRASH_DESCRIPTION: Said("valued", {"text": EVIL})}
    corpus = factories.make_corpus(EVIL)
    case = factories.make_case(
        CaseStatus.SUBMITTED, said=said, video=factories.make_video(corpus, name=EVIL, source=EVIL)
    )
    for address in ("/", "/cases", f"/cases?q={EVIL}", f"/cases/{case.pk}"):
        assert "<script>alert" not in page(client, lead, address), address
    assert "&lt;script&gt;" in page(client, lead, f"/cases/{case.pk}")


def test_deciding_shows_to_those_who_may(
    client: Client, annotator: User, reviewer: User, engineer: User
) -> None:
    case = factories.make_case(CaseStatus.SUBMITTED)
    address = f"/cases/{case.pk}"
    for name in ("approve", "return-with-comment", "exclude"):
        assert f'data-post="/api{address}/{name}"' in page(client, reviewer, address)
        assert f'data-post="/api{address}/{name}"' not in page(client, annotator, address)
        assert f'data-post="/api{address}/{name}"' not in page(client, engineer, address)


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        (CaseStatus.READY, {"exclude"}),
        (CaseStatus.SUBMITTED, {"approve", "return", "exclude"}),
        (CaseStatus.APPROVED, {"return"}),
        (CaseStatus.EXCLUDED, {"reopen"}),
    ],
)
def test_only_moves_of_the_workflow_are_offered(
    client: Client, lead: User, status: CaseStatus, offered: set[str]
) -> None:
    case = factories.make_case(status)
    text = page(client, lead, f"/cases/{case.pk}")
    names = {"approve", "return", "exclude", "reopen"}
    assert {name for name in names if f"/api/cases/{case.pk}/{name}" in text} == offered


def test_promoting_shows_to_engineers_only(client: Client, engineer: User, lead: User) -> None:
    factories.make_model_version("first")
    other = factories.make_model_version("second", adapters={})
    type(other).objects.filter(pk=other.pk).update(in_use=False)
    promote = f'data-post="/api/model-versions/{other.pk}/promote"'
    assert promote in page(client, engineer, "/")
    assert promote not in page(client, lead, "/")


def test_a_dataset_version_is_listed_with_its_next_steps(client: Client, lead: User, annotator: User) -> None:
    case = factories.make_case(CaseStatus.APPROVED)
    version = freeze(corpus=case.corpus, guideline=case.guideline, by=lead)
    text = page(client, lead, "/")
    assert version.content_hash[:12] in text
    assert f'data-post="/api/dataset-versions/{version.pk}/export"' in text
    assert f'data-post="/api/dataset-versions/{version.pk}/export"' not in page(client, annotator, "/")


def test_a_dataset_version_says_what_nobody_looked_at(client: Client, lead: User) -> None:
    corpus, guideline = factories.make_corpus(), factories.make_guideline()
    cases = [
        factories.make_case(CaseStatus.APPROVED, video=factories.make_video(corpus), guideline=guideline)
        for _ in range(3)
    ]
    assert "by a policy" not in page(client, lead, "/")
    ApprovedAnswer.objects.filter(case=cases[0]).update(
        approved_by=None, policy="policy 1 (id 1), threshold 0.9"
    )
    assert "1 by a policy: a version takes them for training only" in page(client, lead, "/")
    freeze(corpus=corpus, guideline=guideline, by=lead)
    assert "1 approved by a policy, in train only</span>" in page(client, lead, "/")


def test_a_case_without_media_says_how_to_get_it(client: Client, lead: User) -> None:
    video = factories.make_video(media=None)
    case, _ = factories.ensure_case(video=video, guideline=factories.make_guideline(), by=None)
    text = page(client, lead, f"/cases/{case.pk}")
    assert "Nothing to watch" in text
    assert "<video" not in text


def test_an_unusable_clip_says_why(client: Client, lead: User) -> None:
    media = factories.make_media(state=MediaState.UNUSABLE, proxy_name="", time_map=None)
    video = factories.make_video(media=media)
    VideoFinding.objects.create(
        video=video, code="no_video", severity="error", message="there is no picture in it"
    )
    case, _ = factories.ensure_case(video=video, guideline=factories.make_guideline(), by=None)
    text = page(client, lead, f"/cases/{case.pk}")
    assert "there is no picture in it" in text
    assert "Excluded:" in text


def test_an_unknown_case_is_not_found(client: Client, lead: User) -> None:
    client.force_login(lead)
    assert client.get("/cases/4711").status_code == 404


def test_neighbours_keep_their_place_in_a_narrowed_list() -> None:
    first, second, third = (factories.make_case(CaseStatus.SUBMITTED) for _ in range(3))
    narrowed, user = Filters(status="submitted"), factories.make_user()
    around = neighbours(second, narrowed, user)
    assert (around.previous, around.next) == (first.pk, third.pk)
    type(second).objects.filter(pk=second.pk).update(status=CaseStatus.APPROVED)
    second.refresh_from_db()
    assert neighbours(second, narrowed, user).next == third.pk
    type(third).objects.filter(pk=third.pk).update(review_rank=1)
    assert neighbours(first, narrowed, user).previous == third.pk
