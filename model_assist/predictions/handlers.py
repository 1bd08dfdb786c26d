"""The GPU job, declared."""

from crashdesk.accounts.permissions import Action
from crashdesk.jobs.models import Job
from crashdesk.jobs.registry import register
from model_assist.predictions import outcome
from model_assist.predictions.models import CasePrediction


def gave_up(job: Job) -> None:
    """The job failed for good, was cancelled, or goes back to its queue unharmed: the case waits again."""
    outcome.give_back(CasePrediction.objects.get(pk=job.args["case_prediction"]))


register(
    "predict_case",
    queue="gpu",
    run="model_assist.predictions.work.predict_cases",
    needs=Action.PREDICT,
    gave_up=gave_up,
    together=True,
)
