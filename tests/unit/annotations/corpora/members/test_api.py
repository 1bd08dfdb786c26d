"""Members over HTTP."""

import pytest
from django.test import Client

from annotations.corpora.models import Access, Corpus
from crashdesk.accounts.models import Membership, Role, User
from tests.factories import make_corpus, make_user

pytestmark = pytest.mark.django_db
JSON = "application/json"


def test_members_are_listed_added_changed_and_removed(client: Client, lead: User) -> None:
    corpus, person = make_corpus(), make_user(Role.ANNOTATOR)
    client.force_login(lead)
    made = client.post(
        "/api/memberships", {"corpus": corpus.pk, "user": person.username, "role": "reviewer"}, JSON
    )
    assert made.status_code == 201
    address = f"/api/memberships/{made.json()['id']}"
    (row,) = client.get("/api/memberships", {"corpus": corpus.pk}).json()["results"]
    assert (row["user"], row["role"], row["created_by"]) == (person.username, "reviewer", lead.username)
    changed = client.patch(address, {"role": "lead"}, JSON)
    assert (changed.status_code, changed.json()["role"]) == (200, "lead")
    assert client.delete(address).json()["error"]["code"] == "last_lead"
    Membership.objects.create(corpus=corpus, user=lead, role=Role.LEAD)
    assert client.delete(address).status_code == 204
    assert client.delete(address).status_code == 404


def test_an_unknown_person_and_an_unknown_role_are_told(client: Client, lead: User) -> None:
    corpus = make_corpus()
    client.force_login(lead)
    told = client.post("/api/memberships", {"corpus": corpus.pk, "user": "nobody", "role": "king"}, JSON)
    assert told.status_code == 400
    assert set(told.json()["error"]["fields"]) == {"user", "role"}


def test_closing_a_corpus_hides_it_and_all_in_it(client: Client, lead: User, engineer: User) -> None:
    corpus = make_corpus()
    Membership.objects.create(corpus=corpus, user=lead, role=Role.LEAD)
    client.force_login(lead)
    closed = client.post(f"/api/corpora/{corpus.pk}/access", {"access": "members"}, JSON)
    assert closed.json() == {"id": corpus.pk, "name": corpus.name, "access": "members"}
    assert Corpus.objects.get().access == Access.MEMBERS
    client.force_login(engineer)
    assert client.get(f"/api/corpora/{corpus.pk}").status_code == 404
    assert client.get("/api/corpora").json()["results"] == []
    assert client.get("/api/memberships").json()["results"] == []
    refused = client.post("/api/audits", {"corpus": corpus.pk}, JSON)
    assert refused.json()["error"]["fields"]["corpus"][0].endswith("object does not exist.")
