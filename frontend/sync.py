"""What the page about Label Studio shows of a corpus's projects."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from annotations.corpora.models import Corpus
from annotations.labelstudio.comparing import RECONCILE
from annotations.labelstudio.discrepancies import Discrepancy, Kind, last_report
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from crashdesk.jobs.models import Job, JobState

SHOWN_AT_MOST = 50


@dataclass(frozen=True)
class Group:
    """All disagreements of one kind; `more`: how many are not in `shown`."""

    kind: Kind
    open: int
    count: int
    shown: list[Discrepancy]

    @property
    def more(self) -> int:
        return self.count - len(self.shown)


@dataclass(frozen=True)
class Shown:
    """One project. `under_way`: a comparison of it waits or runs; `failed`: why the last one did not end."""

    project: LabelStudioProject
    tasks: int
    groups: list[Group]
    open: int
    repairable: bool
    under_way: bool
    failed: str


def projects(corpus: Corpus) -> list[Shown]:
    """Every project of the corpus, the newest guideline first."""
    rows = LabelStudioProject.objects.filter(corpus=corpus).select_related("guideline")
    rows = rows.order_by("-guideline", "part")
    linked = LabelStudioTask.objects.filter(project__corpus=corpus, task_id__isnull=False)
    counts = Counter(linked.values_list("project_id", flat=True))
    return [_shown(row, counts[row.pk]) for row in rows]


def _shown(project: LabelStudioProject, tasks: int) -> Shown:
    by_code: dict[str, list[Discrepancy]] = defaultdict(list)
    for one in last_report(project):
        by_code[one.code].append(one)
    groups = [
        Group(found[0].kind, sum(not one.settled for one in found), len(found), found[:SHOWN_AT_MOST])
        for found in by_code.values()
    ]
    groups.sort(key=lambda group: (-group.open, group.kind.title))
    job = Job.objects.filter(kind=RECONCILE, args__project=project.pk).order_by("-pk").first()
    return Shown(
        project=project,
        tasks=tasks,
        groups=groups,
        open=int(project.check_report.get("open", 0)),
        repairable=any(group.open and group.kind.repair for group in groups),
        under_way=job is not None and job.state in (JobState.QUEUED, JobState.RUNNING),
        failed=job.error if job is not None and job.state == JobState.FAILED else "",
    )
