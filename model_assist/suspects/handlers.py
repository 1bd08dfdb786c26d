"""The search as a job."""

from crashdesk.accounts.permissions import Action
from crashdesk.jobs.registry import register
from model_assist.suspects.services import JOB

register(JOB, queue="data", run="model_assist.suspects.searching.run", needs=Action.APPROVE)
