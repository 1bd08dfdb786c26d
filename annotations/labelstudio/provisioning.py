"""Jobs around a Label Studio itself: checking it, and setting up a corpus's projects before anything is pushed."""

from typing import Any

from annotations.cases.models import Guideline
from annotations.corpora.models import Corpus
from annotations.labelstudio.check import State, as_rows, check_server
from annotations.labelstudio.client import Client
from annotations.labelstudio.client import client as default_client
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.provision import ensure_project
from annotations.labelstudio.push import newest_guideline
from crashdesk.accounts.models import User
from crashdesk.jobs.running import Running


def provision(
    *, corpus: Corpus, guideline: Guideline | None, by: User | None, client: Client
) -> list[LabelStudioProject]:
    """Every part there is of the corpus, brought in line; the first where there is none. Raises Problem."""
    guideline = guideline or newest_guideline(corpus)
    held = LabelStudioProject.objects.filter(corpus=corpus, guideline=guideline).order_by("part")
    parts = list(held.values_list("part", flat=True)) or [1]
    return [
        ensure_project(corpus=corpus, guideline=guideline, by=by, part=part, client=client) for part in parts
    ]


def run_check(running: Running) -> dict[str, Any]:
    """The findings, and whether none of them is an error."""
    findings = check_server(default_client())
    return {"ok": all(one.state != State.ERROR for one in findings), "findings": as_rows(findings)}


def run_provision(running: Running) -> dict[str, Any]:
    """args: corpus (id), guideline (id, or the newest)."""
    args = running.job.args
    corpus = Corpus.objects.get(pk=args["corpus"])
    guideline = Guideline.objects.get(pk=args["guideline"]) if args.get("guideline") else None
    made = provision(corpus=corpus, guideline=guideline, by=running.job.created_by, client=default_client())
    return {"projects": [{"id": one.pk, "project_id": one.project_id, "url": one.url} for one in made]}
