"""The GPU jobs: the cases of a prediction run, several at once. Imported by the GPU worker alone: it loads torch."""

import logging
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from django.conf import settings

from annotations.cases.models import Answer, AuthorKind, Case, Prompt
from annotations.corpora.models import Severity, VideoFinding
from crashdesk.api.errors import Problem
from crashdesk.jobs.running import Running
from crashdesk.jobs.services import worker_name
from crashdesk.jobs.together import Together
from crashdesk.storage.files import local_path
from model_assist.crashchat.answers import ClipAnswers
from model_assist.crashchat.engine import ClipRequest
from model_assist.crashchat.errors import (
    CrashChatError,
    FrameTimeoutError,
    NoVideoStreamError,
    ReaderCrashedError,
    UndecodableError,
)
from model_assist.predictions import outcome
from model_assist.predictions.choosing import question_versions
from model_assist.predictions.control import pause_run
from model_assist.predictions.engines import HeldEngine, hold
from model_assist.predictions.models import CasePrediction, PredictionRun

logger = logging.getLogger(__name__)
Outcome = tuple[int, ClipAnswers | CrashChatError]

TO_BLAME = (NoVideoStreamError, UndecodableError)
"""The clip itself cannot be read, now or later. Any other failure may be the machine's, and is tried again, alone."""

MAY_HANG = (FrameTimeoutError, ReaderCrashedError)
"""The clip's doing if it happens in every attempt."""


@dataclass(frozen=True)
class CaseTask:
    """A case being answered. `files` holds the local copy of its clip; no request: there is nothing left to ask."""

    running: Running
    prediction: CasePrediction
    request: ClipRequest | None
    files: ExitStack


class _Hurried(Exception):
    """Somebody waits for another job, or the worker is to stop: the clips read ahead are left for later."""


def predict_cases(together: Together) -> None:
    """Answer the cases of a run as they come, each written as soon as its batch is done.

    Started twice, a case finds its answers written and adds nothing.
    """
    run = PredictionRun.objects.select_related("model_version").get(
        case_predictions=together.first.args["case_prediction"]
    )
    held = _hold(run)
    if held is None:
        return
    shift = _Shift(together, run, held)
    try:
        shift.work()
    except _Hurried:
        logger.info("%s: the clips read ahead are left for later", run.group)
    except torch.AcceleratorError:
        leave_process()
        raise
    finally:
        for task in shift.tasks.values():
            task.files.close()


def _hold(run: PredictionRun) -> HeldEngine | None:
    """The run's engine. None where it cannot be loaded: the run is held then, for no case of it could fare better.

    No case is to blame, so none is charged an attempt.
    """
    try:
        return hold(run.model_version)
    except Exception as error:  # the boundary of loading: files, memory, settings, the GPU
        logger.exception("%s cannot be loaded", run.model_version)
        with suppress(Problem):  # it is held, or stopped, already
            pause_run(run=run, by=None, reason=f"{worker_name()}: {error}"[:300])
        if isinstance(error, torch.AcceleratorError):
            leave_process()
        return None


class _Shift:
    """One worker's turn at a run."""

    def __init__(self, together: Together, run: PredictionRun, held: HeldEngine) -> None:
        self.together, self.run, self.held = together, run, held
        self.tasks: dict[int, CaseTask] = {}
        self.prompts = dict(Prompt.objects.filter(guideline=run.guideline_id).values_list("kind", "text"))
        self.versions = question_versions(run.guideline, run.kinds)

    def work(self) -> None:
        """Hand the engine one case after the other, and write what it says."""
        answers = cast("Generator[Outcome, None, None]", self.held.engine.answer_many(self._requests()))
        with closing(answers):
            for position, said in answers:
                self._end(self.tasks.pop(position), said)
                if self.together.is_over:
                    return

    def _requests(self) -> Iterator[ClipRequest]:
        """What to ask about the next cases. The engine asks for more only between two batches."""
        position = 0
        for running in self.together.jobs(self.held.clips_per_batch):
            task = self.together.attempt(running, partial(self._begin, running))
            if task is None:
                continue
            if task.request is None:
                self.together.conclude(running, partial(dict, new_answers=0))
                continue
            self.tasks[position] = task
            position += 1
            yield task.request
        if self.together.hurried:
            raise _Hurried

    def _begin(self, running: Running) -> CaseTask:
        """Claim the case for the model and fetch its clip. Raises Problem when there is none."""
        prediction = CasePrediction.objects.select_related("run__model_version", "case__video__media").get(
            pk=running.job.args["case_prediction"]
        )
        case, media, files = prediction.case, prediction.case.video.media, ExitStack()
        if prediction.predicted_at is not None or self._is_answered(case):
            return CaseTask(running, prediction, None, files)
        if media is None:
            raise Problem("lacks_media", f"Case {case.pk} has no clip to watch.")
        outcome.begin(case.pk)
        path = files.enter_context(local_path(media.storage_name))
        key = self.held.features_key(media.sha256)
        request = ClipRequest(path, self.prompts, kinds=self.run.kinds, features_key=key)
        return CaseTask(running, prediction, request, files)

    def _is_answered(self, case: Case) -> bool:
        """Whether this model has answered everything meanwhile, in another run. A run `again` does not ask."""
        if self.run.filters.get("again"):
            return False
        rows = Answer.objects.filter(
            case=case, author_kind=AuthorKind.MODEL, model_version=self.run.model_version.name
        )
        return set(self.versions.items()) <= set(rows.values_list("kind", "prompt_version"))

    def _end(self, task: CaseTask, said: ClipAnswers | CrashChatError) -> None:
        """Write the answers and mark the job done in one transaction, or record why there are none."""
        with task.files:
            if isinstance(said, CrashChatError):
                self.together.attempt(task.running, partial(_refuse, task, said))
            else:
                self.together.conclude(task.running, partial(self._write, task.prediction, said))

    def _write(self, prediction: CasePrediction, said: ClipAnswers) -> dict[str, Any]:
        new = outcome.write(prediction=prediction, said=said, device=self.held.device)
        return {"new_answers": new}


def _refuse(task: CaseTask, error: CrashChatError) -> None:
    """Raise what the engine said: at once for good where the clip is to blame, else to be tried again."""
    video = task.prediction.case.video
    last = task.running.job.attempts >= settings.JOB_MAX_ATTEMPTS
    if isinstance(error, TO_BLAME) or (isinstance(error, MAY_HANG) and last):
        VideoFinding.objects.update_or_create(
            video=video,
            code=outcome.UNREADABLE,
            defaults={"severity": Severity.ERROR, "message": str(error)[:500]},
        )
    if isinstance(error, TO_BLAME):
        raise Problem(outcome.UNREADABLE, f"{video.name}: {error}") from error
    raise error  # with its traceback, in the last attempt too


def leave_process() -> None:
    """End this worker: after such an error its GPU context answers nothing any more, but a new process can.

    A warm stop, so that what is held is recorded first; whoever supervises the worker starts the next one.
    """
    logger.critical("the GPU failed beyond repair in this process; it ends, to be started again")
    os.kill(os.getpid(), signal.SIGTERM)
