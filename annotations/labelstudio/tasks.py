"""The poll that Celery's beat wakes every few seconds, and what it leaves to a comparison of the whole."""

from celery import shared_task

from annotations.labelstudio.client import client
from annotations.labelstudio.comparing import reconcile_due
from annotations.labelstudio.locks import POLL, only_one
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.polling import poll_projects
from annotations.labelstudio.renewing import renew
from annotations.labelstudio.waking import take_again


@shared_task
def poll() -> int:
    """Take in what changed in every project; returns how many changes. Does nothing while another poll runs."""
    if not LabelStudioProject.objects.linked().exists():
        return 0
    with only_one(POLL) as alone:
        if not alone:
            return 0
        connection = client()
        return poll_projects(LabelStudioProject.objects.linked(), client=connection) + take_again(connection)


@shared_task
def check() -> int:
    """Have every project compared as a whole that is due for it; returns how many."""
    return reconcile_due(client())


@shared_task
def renew_tasks() -> int:
    """Addresses of videos that are about to end, and keys of before, some at a time; returns how many tasks."""
    return renew(client=client())
