"""Holding, resuming, stopping and retrying runs; and that each can be done once."""

import pytest

from annotations.cases.models import Case, CaseStatus
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import history
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import tick
from model_assist.predictions import control
from model_assist.predictions.models import PredictionRun
from model_assist.predictions.progress import counts_of, progress_of
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nobody_is_woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    woken: list[str] = []
    monkeypatch.setattr("crashdesk.jobs.services.wake", woken.append)
    monkeypatch.setattr(control, "wake", woken.append)
    monkeypatch.setattr("model_assist.predictions.services.wake", woken.append)
    return woken


def states(run: PredictionRun) -> dict[str, int]:
    return {state: n for state, n in counts_of([run])[run.pk].items() if n}


def last(run: PredictionRun) -> tuple[str, str, dict[str, object]]:
    event = history(run)[0]
    return event.verb, event.actor, event.data


def test_a_held_run_waits_through_everything_and_goes_on_where_it_was(lead: User) -> None:
    run = factories.make_prediction_run(cases=3, done=1)
    before = run.active_since
    assert control.pause_run(run=run, by=lead) == 2
    assert last(run) == ("prediction_run.paused", lead.username, {"held": 2, "reason": ""})
    assert (progress_of(run).state, states(run)) == ("paused", {"done": 1, "paused": 2})
    tick()
    assert claim_next("gpu") is None
    assert PredictionRun.objects.get(pk=run.pk).paused_at is not None
    assert control.resume_run(run=run, by=lead) == 2
    assert last(run) == ("prediction_run.resumed", lead.username, {"held": 2})
    assert run.active_since is not None
    assert before is not None
    assert run.active_since > before
    factories.work_on(run)
    assert states(run) == {"done": 2, "queued": 1}


def test_the_case_at_work_goes_on_while_the_run_is_held(lead: User) -> None:
    run = factories.make_prediction_run(cases=2)
    assert claim_next("gpu") is not None
    assert control.pause_run(run=run, by=lead) == 1
    assert states(run) == {"running": 1, "paused": 1}


def test_what_cannot_be_done_now_is_refused(lead: User) -> None:
    run = factories.make_prediction_run(cases=2)
    with pytest.raises(Problem, match="is not paused"):
        control.resume_run(run=run, by=lead)
    with pytest.raises(Problem, match="No failed or cancelled case"):
        control.retry_run(run=run, by=lead)
    control.pause_run(run=run, by=lead)
    with pytest.raises(Problem, match="paused already"):
        control.pause_run(run=run, by=lead)
    control.cancel_run(run=run, by=lead)
    for refused in (control.pause_run, control.cancel_run):
        with pytest.raises(Problem, match="has ended"):
            refused(run=run, by=lead)
    verbs = [event.verb for event in history(run)]
    assert verbs == ["prediction_run.cancelled", "prediction_run.paused", "prediction_run.started"]


def test_a_stopped_run_is_stopped_once_and_gives_its_cases_back(lead: User) -> None:
    run = factories.make_prediction_run(cases=4, done=1)
    at_work = claim_next("gpu")
    tried = factories.work_on(run, error=OSError("the clip's disk is away"))
    assert tried.case.status == CaseStatus.PREDICTING
    assert control.cancel_run(run=run, by=lead) == 3
    assert last(run) == ("prediction_run.cancelled", lead.username, {"cases": 3})
    assert (progress_of(run).state, states(run)) == ("stopping", {"done": 1, "running": 1, "cancelled": 2})
    assert at_work is not None
    assert Job.objects.get(pk=at_work.pk).cancel_requested
    assert Case.objects.get(pk=tried.case_id).status == CaseStatus.READY
    with pytest.raises(Problem, match="being stopped already"):
        control.cancel_run(run=run, by=lead)


def test_a_stopped_run_is_taken_up_again(lead: User, nobody_is_woken: list[str], settings: object) -> None:
    run = factories.make_prediction_run(cases=3, done=1, failed=1)
    control.cancel_run(run=run, by=lead)
    assert progress_of(run).state == "cancelled"
    assert control.retry_run(run=run, by=lead) == 2
    assert last(run) == ("prediction_run.retried", lead.username, {"cases": 2})
    assert (run.cancelled_at, progress_of(run).state) == (None, "running")
    assert not Job.objects.filter(group=run.group, state=JobState.QUEUED).exclude(attempts=0).exists()
    factories.work_on(run)
    factories.work_on(run)
    assert (progress_of(run).state, states(run)) == ("done", {"done": 3})


def test_taking_up_again_wakes_the_workers(
    lead: User, nobody_is_woken: list[str], django_capture_on_commit_callbacks: object
) -> None:
    run = factories.make_prediction_run(cases=1, failed=1)
    nobody_is_woken.clear()
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        control.retry_run(run=run, by=lead)
    assert nobody_is_woken == ["gpu"]


def test_one_case_gets_another_try_and_the_others_do_not(lead: User) -> None:
    run = factories.make_prediction_run(cases=2, failed=2)
    one = run.case_predictions.order_by("id").first()
    assert one is not None
    assert control.retry_run(run=run, by=lead, case_ids=[one.case_id]) == 1
    assert states(run) == {"queued": 1, "failed": 1}
    assert Job.objects.get(group=run.group, state=JobState.QUEUED).args == {"case_prediction": one.pk}


def test_a_held_run_stays_held_when_a_case_gets_another_try(lead: User) -> None:
    run = factories.make_prediction_run(cases=2, failed=1)
    control.pause_run(run=run, by=lead)
    control.retry_run(run=run, by=lead)
    assert (progress_of(run).state, states(run)) == ("paused", {"paused": 2})


def test_a_thousand_cases_are_stopped_in_few_statements(
    lead: User, django_assert_max_num_queries: object
) -> None:
    run = factories.make_prediction_run(cases=1)
    Job.objects.bulk_create(
        Job(kind="predict_case", queue="gpu", group=run.group, args={"case_prediction": 0})
        for _ in range(1000)
    )
    with django_assert_max_num_queries(15):  # type: ignore[operator]
        assert control.cancel_run(run=run, by=lead) == 1001
    with django_assert_max_num_queries(15):  # type: ignore[operator]
        assert control.retry_run(run=run, by=lead) == 1001
