"""Calibration as a job."""

from crashdesk.accounts.permissions import Action
from crashdesk.jobs.registry import register
from model_assist.calibration.services import JOB

register(JOB, queue="data", run="model_assist.calibration.work.run", needs=Action.PREDICT)
