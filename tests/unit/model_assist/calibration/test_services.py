"""Fitting on reviewed answers, as a service, a job and a command, and what confidences are worth then."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import history
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from model_assist.calibration.models import Calibration
from model_assist.calibration.services import Calibrator, calibrated, enqueue_fit, newest
from model_assist.calibration.work import fit
from model_assist.registry.models import ModelVersion
from tests.factories import make_case, make_model_version
from tests.unit.model_assist.calibration.made import reviewed

pytestmark = pytest.mark.django_db
RECOGNITION = Kind.CRASH_RECOGNITION


@pytest.fixture
def model(db: None) -> ModelVersion:
    return make_model_version("tiny")


def performed() -> Job:
    job = claim_next("data")
    assert job is not None
    perform(job)
    job.refresh_from_db()
    return job


def test_an_overconfident_model_is_shown_as_it_is(model: ModelVersion, lead: User) -> None:
    reviewed(model, 600, lead)
    assert calibrated(model, RECOGNITION, 0.9) is None
    made = fit(model_version=model, kind=RECOGNITION, by=lead)
    assert (made.method, made.pairs, made.recordings, made.evidence) == ("isotonic", 600, 600, "all")
    assert made.after["ece"] < made.before["ece"] / 2
    # the truth at .9: sigmoid(.4 * 2.197 - .8) = sigmoid(.0789) = .52
    assert calibrated(model, RECOGNITION, 0.9) == pytest.approx(0.52, abs=0.08)
    assert (made.rule, made.rouge_l, made.created_by) == ("the same label", None, lead)
    (event,) = history(model).filter(verb="model.calibrated")
    assert event.data["calibration"] == made.pk


def test_fitting_again_makes_a_new_row_and_keeps_the_old(model: ModelVersion, lead: User) -> None:
    reviewed(model, 60, lead)
    first = fit(model_version=model, kind=RECOGNITION, by=lead)
    second = fit(model_version=model, kind=RECOGNITION, by=lead)
    assert first.method == "logistic"
    assert (second.pk > first.pk, second.parameters, second.answers_hash) == (
        True,
        first.parameters,
        first.answers_hash,
    )
    assert newest(model) == {RECOGNITION: second}
    reviewed(model, 5, lead, seed=9)
    third = fit(model_version=model, kind=RECOGNITION, by=lead)
    assert third.answers_hash != first.answers_hash
    with pytest.raises(TypeError, match="is kept"):
        first.delete()


def test_too_few_and_one_sided_reviews_are_refused(model: ModelVersion, lead: User) -> None:
    reviewed(model, 29, lead)
    with pytest.raises(Problem, match="29 reviewed answers; at least 30") as refused:
        fit(model_version=model, kind=RECOGNITION, by=lead)
    assert (refused.value.code, Calibration.objects.count()) == ("too_few_pairs", 0)
    with pytest.raises(Problem, match=r"0 reviewed answers.*blind evidence"):
        fit(model_version=model, kind=RECOGNITION, evidence="blind", by=lead)
    other = make_model_version("sure")
    reviewed(other, 40, lead, intercept=99.0)
    with pytest.raises(Problem, match="all 40 reviewed answers are right"):
        fit(model_version=other, kind=RECOGNITION, by=lead)


def test_what_check_raises_leaves_nothing_behind(model: ModelVersion, lead: User) -> None:
    reviewed(model, 40, lead)

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(model_version=model, kind=RECOGNITION, by=lead, check=stop)
    assert not Calibration.objects.exists()


def test_the_job_fits_what_it_can_and_names_the_rest(model: ModelVersion, lead: User) -> None:
    reviewed(model, 40, lead)
    reviewed(model, 3, lead, kind=Kind.CRASH_DESCRIPTION)
    asked = enqueue_fit(model_version=model, by=lead)
    assert enqueue_fit(model_version=model, by=lead).pk == asked.pk
    job = performed()
    assert job.state == JobState.DONE, job.error
    made = Calibration.objects.get()
    assert job.result["fitted"] == {RECOGNITION: made.pk}
    assert len(job.result["refused"]) == 5
    assert (made.job_id, made.created_by) == (job.pk, lead)
    assert (job.progress_done, job.progress_total) == (6, 6)


def test_a_job_started_twice_fits_once(model: ModelVersion, lead: User) -> None:
    reviewed(model, 40, lead)
    job = enqueue_fit(model_version=model, kinds=[RECOGNITION], by=lead)
    first = fit(model_version=model, kind=RECOGNITION, by=lead, job_id=job.pk)
    assert fit(model_version=model, kind=RECOGNITION, by=lead, job_id=job.pk) == first
    assert performed().result == {"fitted": {RECOGNITION: first.pk}, "refused": {}}
    assert Calibration.objects.count() == 1
    first.pk = None
    with pytest.raises(IntegrityError, match="calibration_once_per_job"), transaction.atomic():
        first.save()


def test_a_job_that_can_fit_nothing_fails_with_the_reasons(model: ModelVersion, lead: User) -> None:
    reviewed(model, 3, lead)
    enqueue_fit(model_version=model, kinds=[RECOGNITION], by=lead)
    job = performed()
    assert job.state == JobState.FAILED
    assert "3 reviewed answers; at least 30 are needed" in job.error


def test_impossible_wishes_are_refused_at_once(model: ModelVersion, lead: User) -> None:
    with pytest.raises(Problem, match="No case that tiny has answered is approved"):
        enqueue_fit(model_version=model, by=lead)
    reviewed(model, 3, lead)
    with pytest.raises(Problem, match="Unknown kinds") as refused:
        enqueue_fit(model_version=model, kinds=["weather"], by=lead)
    assert refused.value.fields.keys() == {"kinds"}
    with pytest.raises(Problem, match="Unknown kinds or evidence") as refused:
        enqueue_fit(model_version=model, evidence="some", by=lead)
    assert refused.value.fields.keys() == {"evidence"}
    assert not Job.objects.exists()


def test_answers_are_worth_what_their_kind_s_newest_calibration_says(model: ModelVersion, lead: User) -> None:
    reviewed(model, 60, lead)
    fit(model_version=model, kind=RECOGNITION, by=lead)
    worth = Calibrator.of(model)
    case = make_case()

    def answer(**fields: object) -> Answer:
        values = {
            "kind": RECOGNITION,
            "state": "valued",
            "confidence": 0.9,
            "confidence_detail": {},
            **fields,
        }
        return Answer(case=case, **values)

    expected = calibrated(model, RECOGNITION, 0.9)
    assert expected is not None
    assert worth.of_answer(answer()) == expected
    assert worth.of_answer(answer(confidence=None)) is None
    assert worth.of_answer(answer(state="unparsable", confidence=0.0)) == 0.0
    assert worth.of_confidence(RECOGNITION, 0.0) == 0.0
    assert worth.of_answer(answer(kind=Kind.CRASH_LOCALIZATION)) is None
    gated = answer(kind=Kind.CRASH_LOCALIZATION, state="absent", confidence_detail={"gated": True})
    assert worth.of_answer(gated) == expected


def test_the_command_fits_and_tells(model: ModelVersion, lead: User) -> None:
    reviewed(model, 60, lead)
    out, err = StringIO(), StringIO()
    call_command("calibrate", "tiny", stdout=out, stderr=err)
    assert "fitted   crash_recognition: logistic on 60 all pairs" in out.getvalue()
    assert err.getvalue().count("refused") == 5
    with pytest.raises(CommandError, match="There is no model version 'gone'; known: tiny"):
        call_command("calibrate", "gone")
    with pytest.raises(CommandError, match="Nothing could be fitted"):
        call_command("calibrate", "tiny", "--kind", "causal_reasoning", stderr=err)
