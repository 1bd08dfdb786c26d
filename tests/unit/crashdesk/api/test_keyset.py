"""Pages by keyset: every row once and in order, forwards and backwards, whatever ties, comes or goes."""

import base64
import json
from itertools import chain
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crashdesk.api.keyset import InvalidCursor, page_of
from crashdesk.jobs.models import Job

pytestmark = pytest.mark.django_db


def make_jobs(priorities: list[int | None]) -> list[Job]:
    """Jobs with these attempts; None means no not_before (a column that may be NULL)."""
    now = timezone.now()
    return [
        Job.objects.create(
            kind=f"k{(value or 0) % 2}",
            queue="q",
            priority=value or 0,
            not_before=None if value is None else now,
        )
        for value in priorities
    ]


def walk(queryset: QuerySet[Job], size: int, **more: Any) -> list[list[int]]:
    pages, cursor = [], ""
    while True:
        page = page_of(queryset, size=size, cursor=cursor, **more)
        pages.append([job.pk for job in page.rows])
        if page.next is None:
            return pages
        cursor = page.next


ORDERS = [
    ("id",), ("-id",), ("priority",), ("-priority",), ("priority", "-id"), ("-priority", "kind"),
    ("kind", "-created_at"),
]  # fmt: skip


@given(
    values=st.lists(st.integers(-3, 3), max_size=12), size=st.integers(1, 5), order=st.sampled_from(ORDERS)
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_comes_once_and_in_order(values: list[int], size: int, order: tuple[str, ...]) -> None:
    Job.objects.all().delete()
    make_jobs([*values])
    last = "-id" if order[-1].startswith("-") else "id"
    expected = list(Job.objects.order_by(*order, last).values_list("pk", flat=True))
    forwards = walk(Job.objects.order_by(*order), size)
    assert [pk for page in forwards for pk in page] == expected
    assert all(len(page) == size for page in forwards[:-1])
    assert walk(Job.objects.order_by(*order), size, rows=Job.objects.all()) == forwards


@pytest.mark.parametrize("order", ORDERS)
def test_previous_leads_back(order: tuple[str, ...]) -> None:
    make_jobs([1, 1, 2, 0, 2, 1, 0])
    jobs = Job.objects.order_by(*order)
    first = page_of(jobs, size=3)
    assert first.previous is None
    assert first.next is not None
    second = page_of(jobs, size=3, cursor=first.next)
    assert second.previous is not None
    back = page_of(jobs, size=3, cursor=second.previous)
    assert (back.rows, back.previous) == (first.rows, None)
    assert back.next is not None
    assert page_of(jobs, size=3, cursor=back.next).rows == second.rows


def test_rows_that_come_or_go_neither_repeat_nor_hide_others() -> None:
    jobs = make_jobs([0] * 6)
    newest_first = Job.objects.order_by("-id")
    page = page_of(newest_first, size=2)
    assert page.next is not None
    Job.objects.filter(pk=page.rows[-1].pk).delete()
    make_jobs([0])
    rest = page_of(newest_first, size=10, cursor=page.next)
    assert [job.pk for job in rest.rows] == [job.pk for job in reversed(jobs[:4])]


def test_filters_hold_on_every_page_and_joined_rows_come_whole() -> None:
    make_jobs([0, 1, 2, 3, 4, 5])
    odd = Job.objects.filter(kind="k1")
    assert list(chain.from_iterable(walk(odd, 2))) == list(odd.values_list("pk", flat=True))
    page = page_of(odd, size=2, rows=Job.objects.annotate(seven=Value(7)))
    assert [vars(job)["seven"] for job in page.rows] == [7, 7]


def test_an_annotation_can_be_the_order_of_a_column_that_may_be_empty() -> None:
    jobs = make_jobs([1, None, 2, None])
    ordered = Job.objects.annotate(when=Coalesce("not_before", "created_at")).order_by("when")
    assert sorted(chain.from_iterable(walk(ordered, 1))) == [job.pk for job in jobs]
    with pytest.raises(ImproperlyConfigured, match="NULL"):
        page_of(Job.objects.order_by("not_before"), size=1)


def test_an_order_by_what_is_no_column_is_a_mistake_of_the_program() -> None:
    with pytest.raises(ImproperlyConfigured, match="no column"):
        page_of(Job.objects.order_by("created_by__username"), size=1)


def cursor_of(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "nonsense", "ä", "====", "e30", cursor_of(), cursor_of(0, "-id"), cursor_of(0, "id", 1), cursor_of(2, "-id", 1),
        cursor_of(0, "-id", "x"), cursor_of(0, "-id", None), cursor_of(0, "-id", [1]), cursor_of(0, "-id", 2**63),
        cursor_of(0, "-id", 1e400), cursor_of(0, "-id", 1, 1), "W" * 100_000,
    ],
)  # fmt: skip
def test_a_text_that_is_no_cursor_of_this_list_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        page_of(Job.objects.order_by("-id"), size=1, cursor=cursor)


@pytest.mark.parametrize("value", ["yesterday", "2026-01-01T00:00:00", "2026-13-01", 5, "a\0b", "\ud800"])
def test_values_that_the_column_cannot_hold_are_refused(value: Any) -> None:
    order = "kind" if isinstance(value, str) and not value.isprintable() else "created_at"
    with pytest.raises(InvalidCursor):
        page_of(Job.objects.order_by(order), size=1, cursor=cursor_of(0, f"{order},id", value, 1))
