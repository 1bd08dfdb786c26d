"""The page that says whether both sides are in step."""

from dataclasses import asdict
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from annotations.corpora.models import Access, Corpus
from annotations.labelstudio.comparing import ask_to_reconcile
from annotations.labelstudio.discrepancies import Discrepancy, ReconcileReport
from annotations.labelstudio.models import LabelStudioProject
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from frontend import sync
from tests.factories import make_corpus, make_guideline

pytestmark = pytest.mark.django_db


@pytest.fixture
def corpus() -> Corpus:
    return make_corpus("Ring road")


def made(corpus: Corpus, *found: Discrepancy) -> LabelStudioProject:
    report = ReconcileReport(repair=False, tasks=3, found=list(found))
    return LabelStudioProject.objects.create(
        corpus=corpus, guideline=make_guideline(), project_id=7, title="Ring road / six tasks v1",
        config_hash="", checked_at=timezone.now(), check_report=report.data(),
    )  # fmt: skip


def shown(client: Client, user: User, corpus: Corpus, status: int = 200) -> str:
    client.force_login(user)
    answer = client.get(f"/corpora/{corpus.pk}/label-studio")
    assert answer.status_code == status
    return str(answer.content.decode())


def test_nothing_is_there_yet(client: Client, lead: User, corpus: Corpus) -> None:
    assert "Nothing of this corpus is in Label Studio yet" in shown(client, lead, corpus)


def test_each_disagreement_says_what_it_means_and_what_helps(
    client: Client, lead: User, corpus: Corpus
) -> None:
    gone = Discrepancy("labelstudio_task_gone", "task 12 of case 3 is not there", task_id=12, case_id=3)
    two = Discrepancy("labelstudio_two_people", "ann has answered, and so has ben <b>", case_id=4)
    made(corpus, gone, two)
    html = shown(client, lead, corpus)
    assert "Task deleted" in html
    assert "A repair: Its case, where it is in review, waits for the next push" in html
    assert "Somebody must decide." in html
    assert "so has ben &lt;b&gt;" in html
    assert 'href="/cases/3"' in html
    assert 'name="repair" value="true"' in html


def test_what_is_settled_needs_no_repair(client: Client, lead: User, corpus: Corpus) -> None:
    made(corpus, Discrepancy("labelstudio_task_gone", "task 12 is not there", settled="let go"))
    html = shown(client, lead, corpus)
    assert "(let go)" in html
    assert 'name="repair"' not in html
    assert "Compare now" in html


def test_both_sides_agree(client: Client, lead: User, corpus: Corpus) -> None:
    made(corpus)
    assert "Both sides agree." in shown(client, lead, corpus)


def test_who_does_not_synchronise_is_not_told_who_answered(
    client: Client, annotator: User, reviewer: User, corpus: Corpus
) -> None:
    made(corpus, Discrepancy("labelstudio_two_people", "ann has answered, and so has ben", case_id=4))
    for user in (annotator, reviewer):
        assert "ben" not in shown(client, user, corpus, status=403)
        client.force_login(user)
        assert "label-studio" not in client.get(f"/corpora/{corpus.pk}").content.decode()


def test_a_comparison_under_way_and_one_that_failed(client: Client, lead: User, corpus: Corpus) -> None:
    project = made(corpus)
    job = ask_to_reconcile(project=project, repair=False, by=lead)
    html = shown(client, lead, corpus)
    assert "A comparison waits or runs." in html
    assert "Compare now" not in html
    Job.objects.filter(pk=job.pk).update(
        state=JobState.FAILED, error="Label Studio does not answer.", finished_at=timezone.now()
    )
    assert 'did not end: <span class="breaks">Label Studio does not answer.' in shown(client, lead, corpus)


def test_long_lists_are_cut_short(corpus: Corpus) -> None:
    many: list[Any] = [Discrepancy("labelstudio_task_gone", f"task {number}") for number in range(60)]
    made(corpus, *many)
    ((group,),) = [one.groups for one in sync.projects(corpus)]
    assert (len(group.shown), group.more, group.count) == (50, 10, 60)
    assert asdict(group.shown[0])["message"] == "task 0"


def test_strangers_see_no_corpus_of_members(client: Client, annotator: User, corpus: Corpus) -> None:
    Corpus.objects.filter(pk=corpus.pk).update(access=Access.MEMBERS)
    shown(client, annotator, corpus, status=404)
