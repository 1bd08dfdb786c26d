"""Who may see which jobs."""

from django.db.models import QuerySet

from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow_shared
from crashdesk.jobs.models import Job


def open_jobs(jobs: QuerySet[Job], user: User) -> QuerySet[Job]:
    """Those that work for corpora the person may look into, and the site's own for who may cancel jobs on the site."""
    return narrow_shared(jobs, user, "corpus_id", shared=Action.CANCEL)
