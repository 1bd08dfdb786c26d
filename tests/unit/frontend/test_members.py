"""The page of a corpus's members, the page of the audit log, and pages of corpora that are closed to somebody."""

import html
import re

import pytest
from django.test import Client

from annotations.cases.models import CaseStatus
from annotations.corpora.models import Access, Corpus
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.audit.models import AuditEvent
from tests import factories
from tests.access_made import OBJECTS, World

pytestmark = pytest.mark.django_db


def page(client: Client, user: User, address: str, status: int = 200) -> str:
    client.force_login(user)
    answer = client.get(address)
    assert answer.status_code == status, address
    return " ".join(answer.content.decode().split())


def test_a_lead_manages_the_members_of_a_corpus(client: Client, lead: User) -> None:
    corpus = factories.make_corpus()
    text = page(client, lead, f"/corpora/{corpus.pk}/members")
    assert "Nobody is a member yet" in text
    assert "Close it to all but members" in text
    member = Membership.objects.create(corpus=corpus, user=factories.make_user(), role=Role.REVIEWER)
    Corpus.objects.filter(pk=corpus.pk).update(access=Access.MEMBERS)
    Membership.objects.create(corpus=corpus, user=lead, role=Role.LEAD)
    text = page(client, lead, f"/corpora/{corpus.pk}/members")
    assert "Members only." in text
    assert f'data-post="/api/memberships/{member.pk}" data-method="PATCH"' in text
    assert f'data-post="/api/memberships/{member.pk}" data-method="DELETE"' in text
    assert '<option value="admin">' not in text
    assert f'href="/corpora/{corpus.pk}/members"' in page(client, lead, f"/corpora/{corpus.pk}")


def test_who_does_not_manage_members_does_not_see_the_page(client: Client, reviewer: User) -> None:
    corpus = factories.make_corpus()
    page(client, reviewer, f"/corpora/{corpus.pk}/members", status=403)
    assert "/members" not in page(client, reviewer, f"/corpora/{corpus.pk}")


def test_the_role_in_the_corpus_decides_what_its_pages_offer(client: Client) -> None:
    corpus, person = factories.make_corpus(), factories.make_user(Role.LEAD)
    assert "Import files" in page(client, person, f"/corpora/{corpus.pk}")
    Membership.objects.create(corpus=corpus, user=person, role=Role.ANNOTATOR)
    assert "Import files" not in page(client, person, f"/corpora/{corpus.pk}")
    page(client, person, f"/corpora/{corpus.pk}/import", status=403)
    case = factories.make_case(CaseStatus.SUBMITTED, video=factories.make_video(corpus))
    assert f'data-post="/api/cases/{case.pk}/approve"' not in page(client, person, f"/cases/{case.pk}")


def test_pages_show_nothing_of_a_corpus_that_is_closed_to_the_person(client: Client, lead: User) -> None:
    hidden = World("hidden-omega")
    made = {name: make(hidden) for name, make in OBJECTS.items()}
    lists = [
        "/", "/cases", "/corpora", "/runs", "/runs/new", "/duplicates", "/duplicates/said", "/agreement",
        "/audit-log", "/effort", "/suspects",
    ]  # fmt: skip
    for address in lists:
        assert hidden.mark not in page(client, lead, address), address
    rows = {
        "cases": ["/cases/{}"], "videos": ["/videos/{}"], "imports": ["/imports/{}", "/imports/{}/progress"],
        "prediction-runs": ["/runs/{}", "/runs/{}/progress"], "duplicate-clusters": ["/duplicates/{}"],
        "corpora": [
            "/corpora/{}", "/corpora/{}/videos", "/corpora/{}/imports", "/corpora/{}/import", "/corpora/{}/audit",
            "/corpora/{}/audit/clips", "/corpora/{}/members", "/corpora/{}/import/mapping", "/corpora/{}/import/trial",
        ],
    }  # fmt: skip
    for name, addresses in rows.items():
        for address in addresses:
            page(client, lead, address.format(made[name]), status=404)
    page(client, lead, f"/imports/{made['imports']}/rejections.csv", status=404)
    admin = factories.make_user(Role.ADMIN)
    for address in ("/", "/cases", "/corpora", "/runs", "/audit-log"):
        assert hidden.mark in page(client, admin, address), address


def test_the_audit_log_is_read_filtered_and_downloaded(client: Client, admin: User, lead: User) -> None:
    corpus = factories.make_corpus()
    case = factories.make_case(CaseStatus.SUBMITTED, video=factories.make_video(corpus))
    AuditEvent.objects.create(actor="<b>eve</b>", verb="site.shaken", subject_type="user", subject_id=1)
    text = page(client, admin, f"/audit-log?corpus={corpus.pk}&verb=case.")
    assert f'href="/cases/{case.pk}"' in text
    assert "site.shaken" not in text
    download = re.search(r'href="(/api/audit-log\.csv\?[^"]+)"', text)
    assert download
    assert client.get(html.unescape(download[1])).status_code == 200
    whole = page(client, admin, "/audit-log")
    assert "&lt;b&gt;eve" in whole
    assert "the site" in whole
    assert "site.shaken" not in page(client, lead, "/audit-log")
    told = page(client, admin, "/audit-log?subject_id=seven&verb=case.")
    assert "The filter “subject_id” is not used" in told
    assert f'href="/cases/{case.pk}"' in told
    assert "Nothing was done" in page(client, admin, "/audit-log?actor=nobody")


def test_who_leads_nothing_does_not_see_the_log(client: Client, engineer: User) -> None:
    page(client, engineer, "/audit-log", status=403)
    assert "/audit-log" not in page(client, engineer, "/corpora")
