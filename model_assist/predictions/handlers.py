"""The GPU job, declared."""

from annotations.cases.models import Case
from crashdesk.jobs.models import Job
from crashdesk.jobs.registry import register
from model_assist.predictions import services
from model_assist.predictions.models import CasePrediction


def gave_up(job: Job) -> None:
    """The job failed for good or was cancelled: the case waits again."""
    prediction = CasePrediction.objects.get(pk=job.args["case_prediction"])
    services.give_back(Case.objects.select_for_update().get(pk=prediction.case_id))


register("predict_case", queue="gpu", run="model_assist.predictions.work.predict_case", gave_up=gave_up)
