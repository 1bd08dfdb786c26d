"""Which corpus a job works for, and who sees it."""

from importlib import import_module

import pytest
from django.apps import apps
from django.test import Client

from crashdesk.accounts.models import Membership, Role
from crashdesk.jobs.models import Job
from crashdesk.jobs.opening import open_jobs
from crashdesk.jobs.services import enqueue
from tests.access_made import World
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def test_a_job_knows_its_corpus_by_what_it_is_told_or_by_its_args() -> None:
    world = World("here")
    told = enqueue("train", {}, by=None, corpus_id=world.corpus.pk)
    by_args = [enqueue("audit", {key: world.corpus.pk}, by=None) for key in ("corpus", "corpus_id")]
    assert {job.corpus_id for job in (told, *by_args)} == {world.corpus.pk}
    assert enqueue("calibrate", {}, by=None).corpus_id is None


def test_jobs_are_seen_with_their_corpus_and_the_sites_own_by_who_may_cancel_them() -> None:
    own, other, person = World("own"), World("other"), make_user(Role.ANNOTATOR)
    Membership.objects.create(user=person, corpus=own.corpus, role=Role.ENGINEER)
    here, there, site = (
        enqueue("audit", {"corpus_id": pk}, by=None) for pk in (own.corpus.pk, other.corpus.pk, None)
    )
    assert list(open_jobs(Job.objects.order_by("id"), person)) == [here]
    assert list(open_jobs(Job.objects.order_by("id"), make_user(Role.LEAD))) == [site]
    assert list(open_jobs(Job.objects.order_by("id"), make_user(Role.ADMIN))) == [here, there, site]


def test_a_job_is_tried_again_by_who_may_start_it_in_its_corpus(client: Client) -> None:
    world, person = World("own"), make_user(Role.ANNOTATOR)
    Membership.objects.create(user=person, corpus=world.corpus, role=Role.LEAD)
    job = enqueue("train", {}, by=None, corpus_id=world.corpus.pk)
    Job.objects.filter(pk=job.pk).update(state="failed")
    client.force_login(person)
    refused = client.post(f"/api/jobs/{job.pk}/retry")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")
    Membership.objects.update(role=Role.ENGINEER)
    assert client.post(f"/api/jobs/{job.pk}/retry").status_code == 200


def test_jobs_of_before_the_column_are_told_their_corpus_by_the_migration() -> None:
    world = World("here")
    grouped = enqueue("predict_case", {}, by=None, group=f"prediction_run:{world.run.pk}")
    named = enqueue("audit", {"corpus_id": world.corpus.pk}, by=None)
    of_site = enqueue("cluster", {"corpus_id": None}, by=None)
    Job.objects.update(corpus_id=None)
    import_module("crashdesk.jobs.migrations.0006_corpora").find_corpora(apps, None)
    told = dict(Job.objects.values_list("pk", "corpus_id"))
    assert told == {grouped.pk: world.corpus.pk, named.pk: world.corpus.pk, of_site.pk: None}
