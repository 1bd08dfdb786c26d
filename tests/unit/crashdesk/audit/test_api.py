"""The audit log over HTTP: who sees what of it, filters, and downloads."""

import csv
import json
from io import StringIO

import pytest
from django.test import Client

from crashdesk.accounts.models import Membership, Role, User
from crashdesk.audit.models import AuditEvent
from tests.factories import make_corpus, make_user

pytestmark = pytest.mark.django_db


def event(**fields: object) -> AuditEvent:
    values = {
        "actor": "ada",
        "verb": "case.approved",
        "subject_type": "case",
        "subject_id": 7,
        "corpus_id": None,
    }
    return AuditEvent.objects.create(**{**values, **fields})


def ids(client: Client, **query: str) -> list[int]:
    answer = client.get("/api/audit-log", query)
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def downloaded(client: Client, form: str, **query: str) -> str:
    answer = client.get(f"/api/audit-log.{form}", query)
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="audit-log.{form}"'
    return b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]


def test_a_lead_sees_the_corpora_they_lead_and_an_admin_the_sites_own_rows_too(
    client: Client, admin: User
) -> None:
    mine, other, person = make_corpus(), make_corpus(), make_user(Role.ANNOTATOR)
    Membership.objects.create(corpus=mine, user=person, role=Role.LEAD)
    here, there, site = event(corpus_id=mine.pk), event(corpus_id=other.pk), event(subject_type="user")
    client.force_login(person)
    assert ids(client) == [here.pk]
    assert client.get(f"/api/audit-log/{here.pk}").json()["corpus_id"] == mine.pk
    for hidden in (there, site):
        assert client.get(f"/api/audit-log/{hidden.pk}").status_code == 404
    assert [json.loads(line)["id"] for line in downloaded(client, "jsonl").splitlines()] == [here.pk]
    client.force_login(admin)
    assert ids(client) == [site.pk, there.pk, here.pk]
    assert ids(client, of_site="true") == [site.pk]


@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.REVIEWER, Role.ENGINEER])
def test_others_do_not_see_the_log(client: Client, role: Role) -> None:
    event(corpus_id=make_corpus().pk)
    client.force_login(make_user(role))
    for address in ("/api/audit-log", "/api/audit-log.csv", "/api/audit-log.jsonl"):
        assert client.get(address).status_code == 403, address


def test_the_log_is_filtered(client: Client, admin: User) -> None:
    corpus = make_corpus()
    first = event(at="2026-03-01T10:00:00Z", actor="bob", subject_id=3, corpus_id=corpus.pk)
    second = event(at="2026-03-02T10:00:00Z", verb="case.returned", corpus_id=corpus.pk)
    third = event(at="2026-03-03T10:00:00Z", verb="review.submitted", subject_type="review")
    client.force_login(admin)
    assert ids(client, actor="bob") == [first.pk]
    assert ids(client, verb="case.returned") == [second.pk]
    assert ids(client, verb="case.") == [second.pk, first.pk]
    assert ids(client, subject_type="review") == [third.pk]
    assert ids(client, subject_type="case", subject_id="3") == [first.pk]
    assert ids(client, corpus=str(corpus.pk)) == [second.pk, first.pk]
    assert ids(client, since="2026-03-02T00:00:00Z", until="2026-03-03T10:00:00Z") == [second.pk]
    refused = client.get("/api/audit-log.csv", {"subject_id": "seven"})
    assert (refused.status_code, set(refused.json()["error"]["fields"])) == (400, {"subject_id"})


def test_downloads_hold_every_column_oldest_first_and_no_formula(client: Client, admin: User) -> None:
    first = event(actor="=cmd()", data={"why": 'ü, "quoted"'}, at="2026-03-01T10:00:00Z")
    second = event(corpus_id=make_corpus().pk)
    client.force_login(admin)
    rows = list(csv.DictReader(StringIO(downloaded(client, "csv"))))
    assert [int(row["id"]) for row in rows] == [first.pk, second.pk]
    assert rows[0]["actor"] == "'=cmd()"
    assert json.loads(rows[0]["data"]) == {"why": 'ü, "quoted"'}
    assert (rows[0]["at"], rows[0]["corpus_id"]) == ("2026-03-01T10:00:00+00:00", "")
    lines = [json.loads(line) for line in downloaded(client, "jsonl").splitlines()]
    assert [line["actor"] for line in lines] == ["=cmd()", "ada"]
    assert lines[1]["corpus_id"] == second.corpus_id
