"""What the first page lists below the numbers: corpora, dataset versions, training runs, model versions."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from annotations.cases.models import ApprovedAnswer, Case, CaseStatus
from annotations.corpora.access import open_to
from annotations.corpora.models import Corpus, Video
from annotations.datasets.models import DatasetVersion, ExportFormat, Split
from crashdesk.accounts.models import User
from crashdesk.accounts.scope import narrow
from crashdesk.jobs.models import Job
from frontend.access import mark
from model_assist.registry.models import Evaluation, ModelVersion
from model_assist.training.models import TrainingRun

SHOWN = 6
FORMATS = {ExportFormat.CRASHCHAT: "CrashChat", ExportFormat.PARQUET: "Parquet"}
WIDTH, HEIGHT, MARGIN = 160, 36, 2


@dataclass(frozen=True)
class Curve:
    """One adapter's loss as an SVG polyline of WIDTH x HEIGHT user units, with its first and last value."""

    adapter: str
    points: str
    first: float
    last: float
    steps: int


@dataclass(frozen=True)
class Measure:
    """One number of an evaluation, named by the path to it."""

    name: str
    value: float


@dataclass(frozen=True)
class EvaluationRow:
    evaluation: Evaluation
    measures: list[Measure]


@dataclass(frozen=True)
class TrainingRow:
    run: TrainingRun
    job: Job | None
    curves: list[Curve]
    evaluations: list[EvaluationRow]


@dataclass(frozen=True)
class ModelRow:
    """`trained_on`: None, too, where the person may not see that dataset."""

    model: ModelVersion
    trained_on: DatasetVersion | None
    evaluations: list[EvaluationRow]


def curves(loss_curve: list[dict[str, Any]]) -> list[Curve]:
    """One line per adapter over a common scale. `loss_curve` holds {adapter, step, loss}; y grows downwards."""
    by_adapter: dict[str, list[tuple[float, float]]] = {}
    for point in loss_curve:
        by_adapter.setdefault(str(point["adapter"]), []).append((float(point["step"]), float(point["loss"])))
    every = [point for points in by_adapter.values() for point in points]
    if not every:
        return []
    left, right = min(x for x, _ in every), max(x for x, _ in every)
    low, high = min(y for _, y in every), max(y for _, y in every)
    wide, tall = (right - left) or 1.0, (high - low) or 1.0
    drawn = []
    for adapter, points in by_adapter.items():
        line = " ".join(
            f"{MARGIN + (x - left) / wide * (WIDTH - 2 * MARGIN):.1f},"
            f"{MARGIN + (high - y) / tall * (HEIGHT - 2 * MARGIN):.1f}"
            for x, y in points
        )
        drawn.append(Curve(adapter, line, points[0][1], points[-1][1], len(points)))
    return drawn


def measures(metrics: Mapping[str, Any], *, prefix: str = "") -> Iterator[Measure]:
    """Every number in nested metrics, depth first, named like 'crash localization miou'; not the published variants."""
    for name, value in metrics.items():
        if name == "published":
            continue
        path = f"{prefix} {name}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            yield from measures(value, prefix=path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield Measure(path, float(value))


def corpora(user: User) -> list[Corpus]:
    """All corpora that the person may see, what is `allowed` there, their number of videos, of those lacking media, of
    cases, of approved cases, and of those that a policy approved unseen, and the id of the newest `guideline` of its
    cases."""
    unseen = ApprovedAnswer.objects.exclude(policy="")

    def many(rows: QuerySet[Any]) -> Coalesce:
        counted = (
            rows.filter(corpus=OuterRef("pk")).order_by().values("corpus").annotate(n=Count("pk")).values("n")
        )
        return Coalesce(Subquery(counted), 0)

    found = open_to(user).annotate(
        video_count=many(Video.objects.all()),
        lacking_count=many(Video.objects.filter(media__isnull=True)),
        case_count=many(Case.objects.exclude(status=CaseStatus.EXCLUDED)),
        approved_count=many(Case.objects.filter(status=CaseStatus.APPROVED)),
        unseen_count=many(Case.objects.filter(status=CaseStatus.APPROVED, pk__in=unseen.values("case"))),
        guideline=Subquery(
            Case.objects.filter(corpus=OuterRef("pk")).order_by("-guideline").values("guideline")[:1]
        ),
    )
    rows: list[Corpus] = [*found]
    mark(user, rows)
    return rows


def dataset_versions(user: User) -> list[DatasetVersion]:
    """The newest versions with the sizes of their splits (`train_count` …), `files`: (name of the format, export),
    and `formats_left`: (value, name) of every format they have not been written in."""
    sizes = {f"{split}_count": Count("records", filter=Q(records__split=split)) for split in Split.values}
    found = DatasetVersion.objects.select_related("corpus", "guideline", "created_by")
    newest = narrow(found.prefetch_related("exports"), user)
    versions = list(newest.annotate(**sizes)[:SHOWN])
    mark(user, [version.corpus for version in versions])
    for version in versions:
        made = {export.format: export for export in version.exports.all()}
        vars(version)["files"] = [(name, made[value]) for value, name in FORMATS.items() if value in made]
        vars(version)["formats_left"] = [
            (value.value, name) for value, name in FORMATS.items() if value not in made
        ]
    return versions


def _evaluations(models: list[int], user: User) -> dict[int, list[EvaluationRow]]:
    found: dict[int, list[EvaluationRow]] = {}
    every = Evaluation.objects.filter(model_version_id__in=models).select_related("dataset_version__corpus")
    for evaluation in narrow(every, user, "dataset_version__corpus"):
        row = EvaluationRow(evaluation, list(measures(evaluation.metrics)))
        found.setdefault(evaluation.model_version_id, []).append(row)
    return found


def training_runs(user: User) -> list[TrainingRow]:
    """The newest training runs with their job, loss curves, and the evaluations of what came out."""
    found = TrainingRun.objects.select_related(
        "dataset_version__corpus", "start_from", "model_version", "created_by"
    )
    runs = list(narrow(found, user, "dataset_version__corpus")[:SHOWN])
    jobs = Job.objects.in_bulk([run.job_id for run in runs if run.job_id])
    evaluations = _evaluations([run.model_version_id for run in runs if run.model_version_id], user)
    return [
        TrainingRow(
            run=run,
            job=jobs.get(run.job_id) if run.job_id else None,
            curves=curves(run.loss_curve),
            evaluations=evaluations.get(run.model_version_id, []) if run.model_version_id else [],
        )
        for run in runs
    ]


def model_versions(user: User) -> list[ModelRow]:
    """The model in use and the newest other versions, with their evaluations and last promotion."""
    newest = ModelVersion.objects.select_related("parent").prefetch_related("promotions__promoted_by")
    shown = list(newest.order_by("-in_use", "-id")[:SHOWN])
    evaluations = _evaluations([model.pk for model in shown], user)
    datasets = narrow(DatasetVersion.objects.select_related("corpus"), user).in_bulk(
        [model.trained_on_id for model in shown if model.trained_on_id]
    )
    return [
        ModelRow(model, datasets.get(model.trained_on_id or 0), evaluations.get(model.pk, []))
        for model in shown
    ]
