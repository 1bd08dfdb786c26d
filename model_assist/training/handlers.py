"""The training job, declared."""

from crashdesk.accounts.permissions import Action
from crashdesk.jobs.registry import register

register("train", queue="gpu", run="model_assist.training.work.train", needs=Action.TRAIN)
