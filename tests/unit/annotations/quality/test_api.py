"""The report over the wire: who may ask, for what, and in which shape."""

import csv
import io
from dataclasses import asdict
from typing import Any

import pytest
from rest_framework.test import APIClient

from annotations.cases.kinds import Kind
from annotations.corpora.models import Corpus
from annotations.quality.agreement import report
from annotations.quality.pairs import Asked
from annotations.quality.table import COLUMNS
from crashdesk.accounts.models import User
from tests.factories import make_corpus, make_guideline, make_user
from tests.unit.annotations.quality.made import NO, YES, case_of, review

pytestmark = pytest.mark.django_db


@pytest.fixture
def corpus() -> Corpus:
    """Twelve cases of the source "=north" that two people reviewed; they differ on three."""
    made, guideline = make_corpus(), make_guideline()
    ada, bob = make_user(), make_user()
    for place in range(12):
        case = case_of(made, guideline, source="=north")
        review(case, ada, YES)
        review(case, bob, NO if place < 3 else YES)
    return made


def get(user: User, query: dict[str, Any] | None = None, path: str = "/api/agreement") -> Any:
    client = APIClient()
    client.force_authenticate(user)
    return client.get(path, query or {})


def test_leads_engineers_and_admins_read_it_and_nobody_else(
    lead: User, engineer: User, admin: User, reviewer: User, annotator: User
) -> None:
    for path in ("/api/agreement", "/api/agreement.csv"):
        assert {get(user, path=path).status_code for user in (lead, engineer, admin)} == {200}
        assert {get(user, path=path).status_code for user in (reviewer, annotator)} == {403}
        assert APIClient().get(path).status_code == 401


def test_all_of_the_report_is_in_the_answer(lead: User, corpus: Corpus) -> None:
    answer = get(lead).json()
    made = asdict(report(Asked()))
    assert answer == made
    (recognition,) = [one for one in answer["kinds"] if one["kind"] == Kind.CRASH_RECOGNITION]
    same = recognition["arms"][0]["measures"][0]
    assert same == {
        "name": "same", "unit": "share", "value": 0.75, "low": None, "high": None, "count": 12, "recordings": 12,
        "standing": "given",
    }  # fmt: skip
    assert [one["apart"] for one in answer["cases"]] == [1.0, 1.0, 1.0]


def test_it_is_narrowed_by_the_address(lead: User, corpus: Corpus) -> None:
    assert get(lead, {"corpus": make_corpus().pk}).json()["counts"]["pairs"] == 0
    assert get(lead, {"source": "=north", "corpus": corpus.pk}).json()["counts"]["pairs"] == 12
    assert get(lead, {"from": "2026-03-05"}).json()["counts"]["pairs"] == 0
    assert get(lead, {"from": "2026-03-04", "to": "2026-03-04"}).json()["counts"]["pairs"] == 12
    one = get(lead, {"kind": "crash_recognition", "period": "week"}).json()
    assert [kind["kind"] for kind in one["kinds"]] == ["crash_recognition"]
    assert [group["names"] for group in one["periods"]] == [["2026-03-02"]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"corpus": "x"}, "corpus"),
        ({"corpus": 10**30}, "corpus"),
        ({"guideline": 99}, "guideline"),
        ({"kind": "colour"}, "kind"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-03-05", "to": "2026-03-04"}, "to"),
        ({"period": "decade"}, "period"),
        ({"source": "\0"}, "source"),
    ],
)
def test_nonsense_is_named(lead: User, query: dict[str, Any], field: str) -> None:
    for path in ("/api/agreement", "/api/agreement.csv"):
        answer = get(lead, query, path)
        assert answer.status_code == 400
        assert answer.json()["error"]["fields"].keys() == {field}


def test_the_table_has_every_number_and_runs_no_formula(lead: User, corpus: Corpus) -> None:
    answer = get(lead, {"corpus": corpus.pk}, "/api/agreement.csv")
    assert answer["Content-Type"].startswith("text/csv")
    assert answer["Content-Disposition"] == 'attachment; filename="agreement.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert tuple(rows[0]) == COLUMNS
    same = [row for row in rows if (row["kind"], row["measure"]) == ("crash_recognition", "same")]
    assert {row["section"] for row in same} == {"kind", "source", "people", "period"}
    assert {row["value"] for row in same if row["arm"] == "all"} == {"0.75"}
    assert {row["group"] for row in same if row["section"] == "source"} == {"'=north"}
    assert all(row["standing"] == "too_few" for row in rows if row["count"] == "0")
