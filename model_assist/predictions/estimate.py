"""A dry run: how many cases, how long, how much memory, and what to know before starting. Nothing is written."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models import Q

from annotations.cases.models import Prompt
from crashdesk.jobs.models import Job, JobState
from model_assist.crashchat.prompts import complete_prompts
from model_assist.predictions.choosing import Choice, Wish, choose
from model_assist.predictions.listening import somebody_listens
from model_assist.predictions.memory import BYTES, Memory, MemoryUnknown, memory
from model_assist.predictions.models import CasePrediction
from model_assist.predictions.pace import Pace, paces_of
from model_assist.registry.services import settings_of

TRIAL: Final = 20
"""Cases of the trial that is offered where nothing was measured."""
OPEN: Final = (JobState.QUEUED, JobState.PAUSED, JobState.RUNNING)


@dataclass(frozen=True)
class Duration:
    """How long the cases would take at an earlier pace, one job after the other as those runs did it."""

    pace: Pace
    seconds: float


@dataclass(frozen=True)
class Warning_:
    """Something to know before starting: a stable code and a sentence."""

    code: str
    message: str


@dataclass(frozen=True)
class Estimate:
    """`durations` is empty when no earlier run of this model version was measured: then `trial` says how many cases
    would tell, 0 otherwise. `memory` by dtype is empty when `memory_unknown` says why."""

    wish: Wish
    choice: Choice
    durations: list[Duration]
    trial: int
    memory: list[Memory]
    memory_unknown: str
    warnings: list[Warning_]


def estimate(wish: Wish) -> Estimate:
    """What starting this wish now would mean. Raises the Problems of `choose`."""
    choice = choose(wish)
    paces = paces_of(wish.model_version, wish.kinds)
    sizes, unknown = _memory(wish)
    return Estimate(
        wish=wish, choice=choice, durations=[Duration(pace, pace.seconds_per_clip * choice.to_do) for pace in paces],
        trial=0 if paces else min(TRIAL, choice.to_do), memory=sizes, memory_unknown=unknown,
        warnings=_warnings(wish, choice),
    )  # fmt: skip


def _memory(wish: Wish) -> tuple[list[Memory], str]:
    version = wish.model_version
    given = dict(Prompt.objects.filter(guideline=wish.guideline).values_list("kind", "text"))
    questions = complete_prompts({kind: given[kind] for kind in wish.kinds if kind in given}, wish.kinds)
    base, adapters = Path(version.base), [Path(folder) for folder in version.adapters.values()]
    if not base.is_dir():
        return [], f"the model's files are not on this machine: {version.base}"
    engine = settings_of(version)
    if settings.CLIPS_PER_BATCH:  # set for this machine, and so most likely for its workers
        engine = replace(engine, clips_per_batch=settings.CLIPS_PER_BATCH)
    try:
        return [memory(base, adapters, engine, questions, dtype=dtype) for dtype in BYTES], ""
    except MemoryUnknown as error:
        return [], str(error)


def _warnings(wish: Wish, choice: Choice) -> list[Warning_]:
    found = []
    if choice.matched == 0:
        found.append(Warning_("no_case", "No case matches."))
    elif choice.to_do == 0 and choice.answered:
        found.append(
            Warning_("all_answered", f"{wish.model_version} has answered all of these cases already.")
        )
    elif choice.to_do == 0:
        found.append(Warning_("none_usable", "None of these cases can be shown to the model."))
    if choice.without_clip:
        found.append(Warning_("without_clip", f"Left out: {choice.without_clip} without a usable clip."))
    if choice.excluded:
        found.append(Warning_("excluded", f"Left out: {choice.excluded} excluded from the work."))
    if wish.added:
        found.append(
            Warning_(
                "recognition_added",
                "Recognition is asked too: this model is asked when a crash happens only where it sees one.",
            )
        )
    if wish.again:
        found.append(
            Warning_(
                "again",
                "Cases that this model has answered are computed again, but an answer that is there stays as it is.",
            )
        )
    elsewhere = _elsewhere(wish, choice)
    if elsewhere:
        found.append(
            Warning_(
                "in_another_run", f"In another open run of this model version: {elsewhere} of these cases."
            )
        )
    if choice.to_do and not somebody_listens():
        found.append(
            Warning_(
                "no_worker", "No worker of the gpu queue answered: the run would wait until one is started."
            )
        )
    return found


def _elsewhere(wish: Wish, choice: Choice) -> int:
    """How many of the cases wait in other runs of this model version that are still open."""
    open_groups = set(
        Job.objects.filter(kind="predict_case", state__in=OPEN)
        .order_by()
        .values_list("group", flat=True)
        .distinct()
    )
    runs = [int(group.partition(":")[2]) for group in open_groups if group.startswith("prediction_run:")]
    if not runs or not choice.to_do:
        return 0
    waiting = CasePrediction.objects.filter(
        Q(run_id__in=runs),
        run__model_version=wish.model_version,
        predicted_at=None,
        case__in=choice.cases.values("pk"),
    )
    return waiting.order_by().values("case").distinct().count()
