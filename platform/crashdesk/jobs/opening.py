"""Who may see which jobs."""

from django.db.models import Q, QuerySet

from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow_shared, reach
from crashdesk.jobs.models import Job
from crashdesk.jobs.registry import read_by


def open_jobs(jobs: QuerySet[Job], user: User) -> QuerySet[Job]:
    """Those that work for corpora the person may look into, and the site's own for who may cancel jobs on the site.

    Kinds that their handler keeps from some: only where the person may do what it `reads`.
    """
    found = narrow_shared(jobs, user, "corpus_id", shared=Action.CANCEL)
    for action, kinds in read_by().items():
        allowed = reach(user, action)
        if not allowed.everywhere:
            found = found.filter(~Q(kind__in=kinds) | allowed.inside("corpus_id"))
    return found
