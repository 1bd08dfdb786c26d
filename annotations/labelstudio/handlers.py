"""Jobs on the queue `sync`: bring cases into Label Studio, bring answers home."""

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from annotations.cases.models import Guideline
from annotations.corpora.models import Corpus
from annotations.labelstudio.client import Client, LabelStudioDown, client
from annotations.labelstudio.comparing import RECONCILE, compare
from annotations.labelstudio.locks import only_one
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.provision import project_row
from annotations.labelstudio.provisioning import run_check, run_provision
from annotations.labelstudio.pull import pull_project
from annotations.labelstudio.push import newest_guideline, push_corpus
from crashdesk.accounts.permissions import Action
from crashdesk.jobs.registry import register
from crashdesk.jobs.running import Running

PUSH: Final = "labelstudio_push"
PULL: Final = "labelstudio_pull"
CHECK: Final = "labelstudio_check"
PROVISION: Final = "labelstudio_provision"
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 1.0


def push(running: Running) -> dict[str, Any]:
    """args: corpus (id), guideline (id, or the newest), unpredicted (also take cases without drafts)."""
    args, by = running.job.args, running.job.created_by
    corpus = Corpus.objects.get(pk=args["corpus"])
    guideline = (
        Guideline.objects.get(pk=args["guideline"]) if args.get("guideline") else newest_guideline(corpus)
    )
    connection = client()

    def attempt() -> dict[str, Any]:
        with only_one(project_row(corpus, guideline).pk) as alone:
            if not alone:
                return {}
            unpredicted = bool(args.get("unpredicted"))
            report = push_corpus(
                corpus, guideline, client=connection, by=by, running=running, unpredicted=unpredicted
            )
        parts = LabelStudioProject.objects.linked().filter(corpus=corpus, guideline=guideline)
        projects = list(parts.order_by("part").values_list("project_id", flat=True))
        return {"project": projects[0], "projects": projects, **asdict(report)}

    return _patiently(running, attempt, waiting_for="another push of this corpus")


def pull(running: Running) -> dict[str, Any]:
    """args: project (our id; all when absent). Looks at every task, whatever the last poll has seen."""
    wanted = running.job.args.get("project")
    projects = LabelStudioProject.objects.linked()
    connection = client()
    results = {}
    for project in projects.filter(pk=wanted) if wanted else projects:
        whole = partial(_pull_whole, project, connection, running)
        results[str(project.pk)] = _patiently(running, whole, waiting_for="Label Studio")
    return {"projects": results}


def _pull_whole(project: LabelStudioProject, connection: Client, running: Running) -> dict[str, Any]:
    report = pull_project(project, client=connection, running=running, full=True)
    # Everybody who may look into the corpus reads a job's result; why is said where it is for those who may know.
    return {**asdict(report), "refused": [{"task": refused["task"]} for refused in report.refused]}


def _patiently(
    running: Running, attempt: Callable[[], dict[str, Any]], *, waiting_for: str
) -> dict[str, Any]:
    """Try until it works (an empty result means: not our turn yet); give up on a Label Studio that stays away."""
    down_since: float | None = None
    while True:
        try:
            if result := attempt():
                return result
            message, down_since = f"waiting for {waiting_for}", None
        except LabelStudioDown as down:
            down_since = down_since or time.monotonic()
            if time.monotonic() - down_since > PATIENCE_SECONDS:
                raise
            message = f"{down.message} Trying again."
        running.progress(0, 0, message)
        time.sleep(PAUSE_SECONDS)


register(PUSH, queue="sync", run=push)
register(PULL, queue="sync", run=pull)
register(RECONCILE, queue="sync", run=partial(compare, patiently=_patiently), needs=Action.SYNC)
register(CHECK, queue="sync", run=run_check, needs=Action.SYNC)
register(PROVISION, queue="sync", run=run_provision, needs=Action.SYNC)
