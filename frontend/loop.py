"""The loop in numbers: how much footage, how many cases at each step, what runs, what happened last."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypedDict

from django.apps import apps
from django.db.models import Count, Max, Q, QuerySet
from django.urls import reverse
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.corpora.models import MediaState, Video
from annotations.datasets.models import DatasetVersion, Export
from annotations.labelstudio.models import LabelStudioTask
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow, reach
from crashdesk.audit.opening import open_events
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.opening import open_jobs
from model_assist.registry.models import Evaluation, ModelVersion, Promotion
from model_assist.training.models import TrainingRun

SHOWN_JOBS = 12
SHOWN_GROUPS = 8
SHOWN_FAILURES = 5
SHOWN_EVENTS = 12
FAILURES_FOR = timedelta(hours=24)
BULK = {"prediction_run", "import"}
"""Groups that hold a job per case or clip; the jobs of any other group are shown one by one."""
OPEN = [JobState.QUEUED, JobState.PAUSED, JobState.RUNNING]
IN_REVIEW = [
    CaseStatus.IN_REVIEW, CaseStatus.SUBMITTED, CaseStatus.RETURNED, CaseStatus.DISPUTED, CaseStatus.ADJUDICATING,
]  # fmt: skip


class Step(TypedDict):
    """One number of the loop. `details` says what it hides, e.g. '2 unusable'; `url` leads to its rows."""

    key: str
    label: str
    value: str
    details: list[str]
    url: str


class Hint(TypedDict):
    """What to do next, and where."""

    text: str
    url: str
    link: str


class JobRow(TypedDict):
    id: int
    kind: str
    label: str
    state: str
    done: int
    total: int | None
    message: str
    attempts: int
    cancel_requested: bool
    error: str


class GroupRow(TypedDict):
    """Jobs that belong together, e.g. all cases of one prediction run; `cancel_url` '' when they only stop singly."""

    name: str
    label: str
    done: int
    failed: int
    total: int
    cancel_url: str


class EventRow(TypedDict):
    id: int
    at: str
    actor: str
    verb: str
    subject: str
    url: str


class Loop(TypedDict):
    """`revision` changes whenever the records below the numbers (versions, runs, models) have changed."""

    steps: list[Step]
    hint: Hint | None
    jobs: list[JobRow]
    groups: list[GroupRow]
    waiting: int
    failures: list[JobRow]
    events: list[EventRow]
    revision: str


def counts(user: User) -> dict[str, int]:
    """Numbers of videos (also lacking, unusable, pending), of cases by status, of versions, runs and models; of all
    that the person may see."""
    found: dict[str, int] = narrow(Video.objects.all(), user).aggregate(
        videos=Count("pk"),
        lacking=Count("pk", filter=Q(media__isnull=True)),
        unusable=Count("pk", filter=Q(media__state=MediaState.UNUSABLE)),
        pending=Count("pk", filter=Q(media__state=MediaState.PENDING)),
    )
    by_status = dict(narrow(Case.objects.order_by(), user).values_list("status").annotate(Count("pk")))
    found |= {status: by_status.get(status, 0) for status in CaseStatus.values}
    runs = narrow(TrainingRun.objects.all(), user, "dataset_version__corpus")
    found["dataset_versions"] = narrow(DatasetVersion.objects.all(), user).count()
    found["training_runs"] = runs.count()
    found["training"] = runs.filter(finished_at__isnull=True, job_id__isnull=False).count()
    found["models"] = ModelVersion.objects.count()
    tasks = narrow(LabelStudioTask.objects.all(), user, "project__corpus")
    found["in_labelstudio"] = tasks.filter(task_id__isnull=False).count()
    return found


def _some(number: int, words: str) -> list[str]:
    return [f"{number} {words}"] if number else []


def steps(found: Mapping[str, int], user: User) -> list[Step]:
    """The numbers in the order in which a clip travels. `found` is what `counts` gave."""
    cases, records = reverse("cases"), reverse("home")
    latest = narrow(DatasetVersion.objects.select_related("corpus"), user).first()
    in_use = ModelVersion.objects.filter(in_use=True).first()
    review = sum(found[status] for status in IN_REVIEW)
    return [
        {
            "key": "imported", "label": "Imported", "value": str(found["videos"]), "url": reverse("corpora"),
            "details": _some(found["lacking"], "lack media") + _some(found["unusable"], "unusable")
            + _some(found["pending"], "being probed"),
        },
        {
            "key": "ready", "label": "Ready", "value": str(found["ready"]), "url": f"{cases}?status=ready",
            "details": _some(found["new"], "new") + _some(found["predicting"], "predicting"),
        },
        {
            "key": "predicted", "label": "Predicted", "value": str(found["predicted"]),
            "url": f"{cases}?status=predicted", "details": [],
        },
        {
            "key": "in_review", "label": "In review", "value": str(review), "url": f"{cases}?status=review",
            "details": _some(found["submitted"], "to approve") + _some(found["returned"], "returned")
            + _some(found["disputed"] + found["adjudicating"], "disputed"),
        },
        {
            "key": "approved", "label": "Approved", "value": str(found["approved"]),
            "url": f"{cases}?status=approved", "details": _some(found["excluded"], "excluded"),
        },
        {
            "key": "dataset_versions", "label": "Dataset versions", "value": str(found["dataset_versions"]),
            "url": f"{records}#versions",
            "details": [f"latest {latest}, {latest.record_count} cases"] if latest else [],
        },
        {
            "key": "training_runs", "label": "Training runs", "value": str(found["training_runs"]),
            "url": f"{records}#training", "details": _some(found["training"], "running"),
        },
        {
            "key": "model", "label": "Model in use", "value": in_use.name if in_use else "none",
            "url": f"{records}#models", "details": _some(found["models"], "registered"),
        },
    ]  # fmt: skip


def hint(found: Mapping[str, int]) -> Hint | None:
    """The one thing that would move the loop on, nearest to the people first; None when nothing waits."""
    cases, api = reverse("cases"), reverse("api-docs")
    home = reverse("home")
    choices: list[tuple[bool, str, str, str]] = [
        (
            found["videos"] == 0,
            "Nothing is imported yet. Make a corpus, then bring clips into it.",
            reverse("corpora"), "Go to the corpora",
        ),
        (
            found["submitted"] > 0,
            f"Answers wait for an approval: {found['submitted']} cases.",
            f"{cases}?status=submitted", "Look at them",
        ),
        (
            found["models"] == 0 and found["ready"] > 0,
            "Clips are ready, but no model is registered to draft their answers.",
            api, "Register a model version",
        ),
        (
            found["ready"] > 0 and found["predicting"] == 0,
            f"Clips wait for a first draft: {found['ready']} cases. Start a prediction run.",
            reverse("run-start"), "Choose the cases",
        ),
        (
            found["predicted"] > 0,
            f"Drafts wait to be shown to people: {found['predicted']} cases. Push them to Label Studio.",
            api, "Push through the API",
        ),
        (
            found["approved"] > 0 and found["dataset_versions"] == 0,
            f"Approved: {found['approved']} cases. Freeze the first dataset version.",
            api, "Freeze through the API",
        ),
        (
            found["dataset_versions"] > 0 and found["training_runs"] == 0,
            "A dataset version is frozen. Train the model on it.",
            f"{home}#versions", "See the versions",
        ),
        (
            found["in_review"] > 0,
            f"People are reviewing: {found['in_review']} cases are open in Label Studio.",
            f"{cases}?status=in_review", "See which",
        ),
    ]  # fmt: skip
    for applies, text, url, link in choices:
        if applies:
            return {"text": text, "url": url, "link": link}
    return None


def _words(code: str) -> str:
    return code.replace("_", " ")


def _job(job: Job) -> JobRow:
    about = [
        f"{_words(k)} {v}" for k, v in job.args.items() if isinstance(v, int | str) and len(str(v)) <= 40
    ]
    return {
        "id": job.pk, "kind": job.kind, "label": " · ".join([_words(job.kind).capitalize(), *about[:2]]),
        "state": job.state, "done": job.progress_done, "total": job.progress_total, "message": job.message,
        "attempts": job.attempts, "cancel_requested": job.cancel_requested, "error": job.error.strip()[-2000:],
    }  # fmt: skip


def _tally(visible: QuerySet[Job]) -> list[GroupRow]:
    """How far each group with open jobs is, newest first, groups of one included."""
    open_groups = visible.filter(state__in=OPEN).exclude(group="").order_by()
    newest = open_groups.values("group").annotate(newest=Max("pk")).order_by("-newest")[:SHOWN_GROUPS]
    names = [row["group"] for row in newest]
    rows = visible.filter(group__in=names).order_by().values("group")
    tally = {
        row["group"]: row
        for row in rows.annotate(
            total=Count("pk"),
            done=Count("pk", filter=Q(state=JobState.DONE)),
            failed=Count("pk", filter=Q(state__in=[JobState.FAILED, JobState.CANCELLED])),
        )
    }
    return [
        {
            "name": name, "label": _words(name).replace(":", " ").capitalize(), "done": tally[name]["done"],
            "failed": tally[name]["failed"], "total": tally[name]["total"], "cancel_url": _cancel_url(name),
        }
        for name in names if name in tally
    ]  # fmt: skip


def _cancel_url(group: str) -> str:
    kind, _, number = group.partition(":")
    return f"/api/prediction-runs/{number}/cancel" if kind == "prediction_run" else ""


def work(visible: QuerySet[Job]) -> tuple[list[GroupRow], list[JobRow]]:
    """Groups of several jobs, and single jobs: all that run, and those that wait outside such a group."""
    tally = _tally(visible)
    groups = [group for group in tally if group["total"] > 1 and group["name"].partition(":")[0] in BULK]
    together = [group["name"] for group in groups]
    running = list(visible.filter(state=JobState.RUNNING).order_by("id")[:SHOWN_JOBS])
    waiting = visible.filter(state=JobState.QUEUED).exclude(group__in=together).order_by("priority", "id")
    return groups, [_job(job) for job in [*running, *waiting[: SHOWN_JOBS - len(running)]]]


def failures(visible: QuerySet[Job]) -> list[JobRow]:
    """Jobs that failed lately and were not retried since."""
    since = timezone.now() - FAILURES_FOR
    failed = visible.filter(state=JobState.FAILED, finished_at__gte=since).order_by("-finished_at")
    return [_job(job) for job in failed[:SHOWN_FAILURES]]


MEASURING = ["goldcase", "goldscore", "pause", "reviewplan"]
SUBJECTS = {model._meta.model_name: str(model._meta.verbose_name) for model in apps.get_models()}


def _happened(verb: str, subject_type: str) -> str:
    """What happened, without naming the subject twice: 'case.ready' of a case is 'ready', 'answer.written' stays."""
    about, _, what = verb.rpartition(".")
    named = subject_type.startswith(about.replace("_", ""))
    return _words(what if named else verb.replace(".", " "))


def events(user: User) -> list[EventRow]:
    """The latest rows of the audit log that the person may see.

    Who assigns no work sees nothing of how people are measured, nor of what became of their own cases: a gold case
    would be told by what does not happen to it.
    """
    found, leads = open_events(user), reach(user, Action.ASSIGN).inside("corpus_id")
    if leads:
        hidden = Q(subject_type__in=MEASURING) | Q(actor=user.username, subject_type__in=["case", "review"])
        found = found.filter(leads | ~hidden)
    rows = found.order_by("-id")[:SHOWN_EVENTS]
    return [
        {
            "id": row.pk, "at": row.at.isoformat(), "actor": row.actor, "verb": _happened(row.verb, row.subject_type),
            "subject": f"{SUBJECTS.get(row.subject_type, row.subject_type)} {row.subject_id}",
            "url": reverse("case", args=[row.subject_id]) if row.subject_type == "case" else "",
        }
        for row in rows
    ]  # fmt: skip


def revision() -> str:
    """Changes when a corpus, version, export, run, model, evaluation or promotion comes or a training run moves."""
    parts: list[Any] = [
        model._default_manager.aggregate(last=Max("pk"))["last"]
        for model in (DatasetVersion, Export, TrainingRun, ModelVersion, Evaluation, Promotion)
    ]
    moving = TrainingRun.objects.filter(finished_at__isnull=True).values_list("pk", "loss_curve")
    parts += [f"{pk}/{len(curve)}" for pk, curve in moving]
    parts.append(TrainingRun.objects.filter(finished_at__isnull=False).count())
    return "-".join(str(part) for part in parts)


def loop(user: User) -> Loop:
    """Everything that the first page shows and that moves, as far as the person may see it."""
    found = counts(user)
    visible = open_jobs(Job.objects.all(), user)
    groups, jobs = work(visible)
    return {
        "steps": steps(found, user),
        "hint": hint(found),
        "jobs": jobs,
        "groups": groups,
        "waiting": visible.filter(state=JobState.QUEUED).count(),
        "failures": failures(visible),
        "events": events(user),
        "revision": revision(),
    }
