"""Giving many cases as a job: to the end, killed half way, cancelled, with one that cannot be given among them."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from annotations.cases.models import Case, CaseStatus
from annotations.corpora.models import Corpus
from annotations.gold import queue_bulk
from annotations.gold.models import Pause
from annotations.gold.queue import free_people
from annotations.reviews.assignments import assign, release
from annotations.reviews.models import Assignment, AssignmentState, Purpose, Way
from annotations.reviews.plans import current_plan
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from crashdesk.jobs import services
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.tasks import perform
from tests.assign_made import bare_cases, given, people, planned_corpus
from tests.factories import make_case, make_user, make_video

pytestmark = pytest.mark.django_db


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_bulk, "STEP", 3)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, few_at_once: None) -> Iterator[list[list[int]]]:
    """The cases of each transaction, as they are tried."""
    tried: list[list[int]] = []
    real = queue_bulk._give

    def give(corpus: Corpus, ids: Sequence[int], how: Any) -> dict[int, str]:
        tried.append(list(ids))
        return real(corpus, ids, how)

    monkeypatch.setattr(queue_bulk, "_give", give)
    return iter([tried])


def ask(cases: Sequence[Case] | None, by: User, person: User | None = None, **asked: Any) -> Job:
    values: dict[str, Any] = {"way": Way.MANUAL if person else Way.ROUND_ROBIN, "most": 500}
    if cases is not None:
        values |= {"cases": [case.pk for case in cases], "corpus": cases[0].corpus}
    return queue_bulk.ask_to_assign(by=by, people=[person] if person else [], **{**values, **asked})


def work(job: Job) -> Job:
    """As a worker does it. The job as it is afterwards."""
    claimed = services.claim_next("data")
    assert claimed is not None
    assert claimed.pk == job.pk
    perform(claimed)
    job.refresh_from_db()
    return job


def holders(cases: Sequence[Case]) -> list[int | None]:
    held = dict(Assignment.objects.filter(state="open").values_list("case", "person"))
    return [held.get(case.pk) for case in cases]


def test_all_go_to_one_person_and_the_job_says_how_far_it_is(lead: User, few_at_once: None) -> None:
    corpus, (ann, bob) = planned_corpus(), people(2)
    cases = bare_cases(corpus, 7)
    given(cases[0], bob)
    job = work(ask(cases, lead, ann, minutes=60))
    assert (job.state, job.progress_done, job.progress_total) == (JobState.DONE, 7, 7)
    assert job.result == {
        "asked": 7, "given": 6, "left": [{"case": cases[0].pk, "code": "already_assigned"}],
        "codes": {"already_assigned": 1},
    }  # fmt: skip
    made = Assignment.objects.filter(person=ann)
    assert all(one.expires_at and one.assigned_by == lead and one.job_id == job.pk for one in made)


def test_in_turn_goes_on_across_the_steps(lead: User, few_at_once: None) -> None:
    corpus, (a, b) = planned_corpus(), people(2)
    cases = bare_cases(corpus, 8)
    work(ask(cases, lead))
    assert holders(cases) == [a.pk, b.pk] * 4


def test_what_matches_is_taken_in_review_order_up_to_the_limit(lead: User, few_at_once: None) -> None:
    corpus, (ann,) = planned_corpus(), people(1)
    elsewhere = make_case(CaseStatus.PREDICTED, video=make_video(corpus, source="elsewhere"))
    cases = bare_cases(corpus, 6)
    Case.objects.filter(pk=cases[5].pk).update(review_rank=1)
    job = work(ask(None, lead, corpus=corpus, limit=4, source="made up"))
    assert (job.result["asked"], job.result["given"]) == (4, 4)
    assert holders([*cases, elsewhere]) == [ann.pk] * 3 + [None, None, ann.pk, None]


def test_a_full_house_leaves_the_rest_untried(lead: User, steps: Iterator[list[list[int]]]) -> None:
    corpus, tried = planned_corpus(), next(steps)
    people(2)
    job = work(ask(bare_cases(corpus, 9), lead, most=2))
    assert (job.result["given"], job.result["codes"]) == (4, {"no_room": 5})
    assert [len(step) for step in tried] == [3, 3]


def test_killed_half_way_it_goes_on_with_what_is_left(
    lead: User, steps: Iterator[list[list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, (a, b), tried = planned_corpus(), people(2), next(steps)
    cases = bare_cases(corpus, 7)
    job = ask(cases, lead)
    claimed = services.claim_next("data")
    assert claimed is not None

    class Killed(BaseException):
        pass

    real = queue_bulk._give

    def killed(given_in: Corpus, ids: Sequence[int], how: Any) -> dict[int, str]:
        if cases[3].pk in ids:
            raise Killed
        return real(given_in, ids, how)

    monkeypatch.setattr(queue_bulk, "_give", killed)
    with pytest.raises(Killed):
        perform(claimed)
    assert holders(cases) == [a.pk, b.pk, a.pk] + [None] * 4
    release(assignment=Assignment.objects.get(case=cases[1]), by=lead)
    monkeypatch.setattr(queue_bulk, "_give", real)
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED, token=None, lease_until=None)
    work(job)
    assert job.result == {"asked": 7, "given": 7, "left": [], "codes": {}}
    assert tried == [[case.pk for case in cases[:3]], [case.pk for case in cases[3:6]], [cases[6].pk]]
    assert holders(cases) == [a.pk, None, a.pk, b.pk, a.pk, b.pk, a.pk], "what was taken back stays so"
    assert Assignment.objects.count() == 7


def test_what_matches_is_not_given_beyond_the_limit_when_done_twice(lead: User, few_at_once: None) -> None:
    corpus = planned_corpus()
    people(1)
    bare_cases(corpus, 8)
    job = work(ask(None, lead, corpus=corpus, limit=4))
    Job.objects.filter(pk=job.pk).update(state=JobState.QUEUED)
    work(job)
    assert (job.result["asked"], job.result["given"], Assignment.objects.count()) == (4, 4, 4)


def test_a_cancelled_one_keeps_what_it_gave_and_goes_on_when_resumed(
    lead: User, few_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = planned_corpus()
    people(1)
    cases = bare_cases(corpus, 7)
    job, real = ask(cases, lead), queue_bulk._Outcome.add

    def add(self: Any, step: Sequence[int], left: dict[int, str]) -> None:
        Job.objects.filter(pk=job.pk).update(cancel_requested=True)
        real(self, step, left)

    monkeypatch.setattr(queue_bulk._Outcome, "add", add)
    assert work(job).state == JobState.CANCELLED
    assert Assignment.objects.count() == 3
    monkeypatch.setattr(queue_bulk._Outcome, "add", real)
    services.retry(job.pk, by=lead)
    assert (work(job).result["given"], Assignment.objects.count()) == (7, 7)


def test_one_that_breaks_costs_the_others_nothing(
    lead: User, few_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, (ann,) = planned_corpus(), people(1)
    cases = bare_cases(corpus, 5)

    def broken(*, case: Case, **asked: Any) -> Assignment:
        if case.pk == cases[1].pk:
            raise ZeroDivisionError
        return assign(case=case, **asked)

    monkeypatch.setattr("annotations.reviews.assignments_sharing.assign", broken)
    job = work(ask(cases, lead, ann))
    assert (job.state, job.result["given"]) == (JobState.DONE, 4)
    assert job.result["left"] == [{"case": cases[1].pk, "code": "unexpected"}]


def test_a_database_that_goes_away_is_not_a_bad_case(
    lead: User, few_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, (ann,) = planned_corpus(), people(1)
    job = ask(bare_cases(corpus, 2), lead, ann)

    def away(**asked: Any) -> Assignment:
        raise OperationalError("gone")

    monkeypatch.setattr("annotations.reviews.assignments_sharing.assign", away)
    assert work(job).state == JobState.QUEUED, "the job waits to be tried again"
    assert "gone" in job.error


def test_who_may_not_assign_any_more_by_then_gives_nothing(lead: User) -> None:
    corpus, (ann,) = planned_corpus(), people(1)
    job = ask(bare_cases(corpus, 2), lead, ann)
    User.objects.filter(pk=lead.pk).update(role=Role.ANNOTATOR)
    assert work(job).state == JobState.FAILED
    assert "does not allow" in job.error
    assert not Assignment.objects.exists()


@pytest.mark.parametrize("way", [Way.MANUAL, Way.ROUND_ROBIN])
def test_whoever_goes_on_with_it_is_who_assigns_from_then_on(
    lead: User, way: Way, few_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus, (ann,), other = planned_corpus(), people(1), make_user(Role.LEAD)
    cases = bare_cases(corpus, 5)
    job = ask(cases, lead, ann if way == Way.MANUAL else None)
    real = queue_bulk._Outcome.add

    def add(self: Any, step: Sequence[int], left: dict[int, str]) -> None:
        real(self, step, left)
        services.cancel(job.pk, by=other)

    with monkeypatch.context() as patch:
        patch.setattr(queue_bulk._Outcome, "add", add)
        assert work(job).state == JobState.CANCELLED
    User.objects.filter(pk=lead.pk).update(role=Role.ANNOTATOR)
    services.retry(job.pk, by=other)
    assert work(job).result["given"] == 5
    assert job.created_by == lead
    by = dict(Assignment.objects.values_list("case", "assigned_by"))
    assert [by[case.pk] for case in cases] == [lead.pk] * 3 + [other.pk] * 2


def test_where_nobody_is_left_of_those_who_work_there_nobody_is_asked(lead: User) -> None:
    corpus, (ann,) = planned_corpus(), people(1)
    assert free_people(corpus) == [ann]
    assert free_people(corpus, []) == []


def test_who_is_paused_by_then_is_given_nothing(lead: User) -> None:
    corpus, (ann, bob) = planned_corpus(), people(2)
    cases = bare_cases(corpus, 2)
    job = ask(cases, lead)
    Pause.objects.create(person=ann, corpus=corpus, plan=current_plan(corpus))
    work(job)
    assert holders(cases) == [bob.pk, bob.pk]


def test_where_all_who_were_named_are_gone_nobody_else_is_given_their_cases(lead: User) -> None:
    corpus, (_, bob) = planned_corpus(), people(2)
    cases = bare_cases(corpus, 2)
    job = queue_bulk.ask_to_assign(
        corpus=corpus, way=Way.ROUND_ROBIN, by=lead, people=[bob], cases=[case.pk for case in cases]
    )
    User.objects.filter(pk=bob.pk).delete()
    work(job)
    assert holders(cases) == [None, None]
    assert "Nobody can be given cases" in job.error


def test_nobody_to_give_to_is_said_at_once(lead: User) -> None:
    corpus = planned_corpus()
    with pytest.raises(Problem) as refused:
        ask(bare_cases(corpus, 1), lead)
    assert refused.value.code == "no_people"
    assert not Job.objects.exists()


def test_only_those_who_assign_there_see_the_job(
    client: Client, lead: User, annotator: User, reviewer: User, engineer: User
) -> None:
    corpus, (ann,) = planned_corpus(double_share=1.0), people(1)
    (case,) = bare_cases(corpus, 1)
    given(case, make_user(Role.ANNOTATOR))
    job = work(ask([case], lead, ann, purpose=Purpose.DOUBLE))
    assert job.result["given"] == 1
    for user, status in ((annotator, 404), (reviewer, 404), (engineer, 404), (lead, 200)):
        client.force_login(user)
        assert client.get(f"/api/jobs/{job.pk}").status_code == status, user.username
        shown = client.get("/api/jobs").json()["results"]
        assert [one["id"] for one in shown] == ([job.pk] if status == 200 else [])
        assert ("assign_cases" in client.get("/api/loop").content.decode()) is False
    client.force_login(engineer)
    assert client.post(f"/api/jobs/{job.pk}/cancel").status_code == 404


def test_the_result_names_nobody(lead: User) -> None:
    corpus, (ann, bob) = planned_corpus(double_share=1.0), people(2)
    cases = bare_cases(corpus, 2)
    given(cases[0], bob)
    held = given(cases[1], ann, Purpose.DOUBLE)
    job = work(ask(cases, lead, ann))
    assert job.result["codes"] == {"already_assigned": 1, "both_passes": 1}
    for name in (ann.username, bob.username):
        assert name not in str(job.result) + job.message
    assert held.state == AssignmentState.OPEN


def test_more_refusals_than_can_be_named_are_counted(lead: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_bulk, "NAMED", 2)
    corpus, (ann, bob) = planned_corpus(), people(2)
    cases = bare_cases(corpus, 4)
    for case in cases:
        given(case, bob)
    job = work(ask(cases, lead, ann))
    assert (len(job.result["left"]), job.result["codes"]) == (2, {"already_assigned": 4})
