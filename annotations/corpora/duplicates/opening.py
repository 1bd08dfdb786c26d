"""Who may see which clusters. A cluster may reach over corpora: it is shown to those who may look into all of them."""

from django.db.models import Exists, OuterRef, QuerySet

from annotations.corpora.models import DuplicateCluster, DuplicateMember, DuplicateVerdict
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import reach


def open_clusters(
    clusters: QuerySet[DuplicateCluster], user: User, action: Action = Action.VIEW
) -> QuerySet[DuplicateCluster]:
    """Those of the clusters all of whose videos are in corpora that are open to the person."""
    found = reach(user, action)
    if found.everywhere:
        return clusters
    hidden = DuplicateMember.objects.filter(found.outside("video__corpus"), cluster=OuterRef("pk"))
    return clusters.filter(~Exists(hidden))


def open_verdicts(
    verdicts: QuerySet[DuplicateVerdict], user: User, action: Action = Action.VIEW
) -> QuerySet[DuplicateVerdict]:
    """Those of the verdicts both of whose videos are in corpora that are open to the person."""
    found = reach(user, action)
    return verdicts.filter(found.inside("first__corpus"), found.inside("second__corpus"))
