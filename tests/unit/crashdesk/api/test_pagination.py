"""What a client of the API sees of pages."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from rest_framework.test import APIClient

from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(admin: User) -> APIClient:
    client = APIClient()
    client.force_login(admin)  # jobs of no corpus are the site's own
    Job.objects.bulk_create([Job(kind=f"k{n % 2}", queue="q") for n in range(7)])
    return client


def follow(api: APIClient, address: str) -> list[dict[str, Any]]:
    pages = [api.get(address).json()]
    while pages[-1]["next"]:
        parts = urlsplit(pages[-1]["next"])
        pages.append(api.get(f"{parts.path}?{parts.query}").json())
    return pages


def test_next_is_followed_until_it_is_null(api: APIClient) -> None:
    pages = follow(api, "/api/jobs?page_size=3&kind=k0")
    assert [len(page["results"]) for page in pages] == [3, 1]
    assert [row["id"] for page in pages for row in page["results"]] == list(
        Job.objects.filter(kind="k0").values_list("pk", flat=True)
    )
    assert [page["previous"] is None for page in pages] == [True, False]


def test_what_fits_on_one_page_is_counted_and_the_rest_when_asked(api: APIClient) -> None:
    assert api.get("/api/jobs").json()["count"] == 7
    assert api.get("/api/jobs?kind=nothing").json() == {
        "next": None,
        "previous": None,
        "count": 0,
        "results": [],
    }
    assert [page["count"] for page in follow(api, "/api/jobs?page_size=5")] == [None, None]
    assert [page["count"] for page in follow(api, "/api/jobs?page_size=5&with_count=true")] == [7, 7]


def test_page_numbers_are_refused_rather_than_answered_with_the_first_page_for_ever(api: APIClient) -> None:
    answer = api.get("/api/jobs?page=2")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "page_numbers_unsupported")


def test_a_cursor_of_another_order_is_refused(api: APIClient) -> None:
    cursor = api.get("/api/jobs?page_size=1").json()["next"].rpartition("cursor=")[2]
    answer = api.get(f"/api/cases?cursor={cursor}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_cursor")
    assert "cursor" in answer.json()["error"]["fields"]


@pytest.mark.parametrize(
    ("asked", "given"), [("0", 7), ("x", 7), ("²", 7), ("-1", 7), ("2", 2), ("9999999999999", 7)]
)
def test_nonsense_for_a_size_gives_the_usual_one(api: APIClient, asked: str, given: int) -> None:
    assert len(api.get(f"/api/jobs?page_size={asked}").json()["results"]) == given
