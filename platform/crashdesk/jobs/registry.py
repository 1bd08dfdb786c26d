"""Which function does which kind of job, on which queue."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.utils.module_loading import import_string

from crashdesk.accounts.permissions import Action

if TYPE_CHECKING:
    from crashdesk.jobs.models import Job
    from crashdesk.jobs.running import Running
    from crashdesk.jobs.together import Together

Work = Callable[["Running"], dict[str, Any] | None]
WorkTogether = Callable[["Together"], None]


@dataclass(frozen=True)
class Handler:
    """`run` does the work and returns the result to store; `gave_up` undoes its claims when the job ends undone.

    `run` must be safe to start twice: a killed worker's job is started again. `gave_up` runs in the
    transaction that marks the job failed or cancelled.

    `needs` is what a person must be allowed to do to start such a job, or to start it again; `reads`, to see its jobs
    at all: args and results of some say what not everybody who may look into the corpus is to know.

    `run` may be a dotted name: then its module is imported by the worker that first runs it, and the web
    processes need not load what only one worker needs (torch takes seconds and hundreds of megabytes).

    With `together`, `run` takes several waiting jobs of one group at once: see crashdesk.jobs.together.
    """

    kind: str
    queue: str
    run: Work | WorkTogether | str
    gave_up: Callable[["Job"], None] | None = None
    needs: Action = Action.CANCEL
    together: bool = False
    reads: Action = Action.VIEW

    def work(self) -> Work:
        """The function that does one job. Raises ImportError when its dotted name leads nowhere."""
        if self.together:
            raise TypeError(f"jobs of kind {self.kind!r} are done together")
        return cast(Work, self._found())

    def work_together(self) -> WorkTogether:
        """The function that does several jobs. Raises ImportError when its dotted name leads nowhere."""
        if not self.together:
            raise TypeError(f"jobs of kind {self.kind!r} are done one by one")
        return cast(WorkTogether, self._found())

    def _found(self) -> object:
        return import_string(self.run) if isinstance(self.run, str) else self.run


_HANDLERS: dict[str, Handler] = {}


def register(
    kind: str,
    *,
    queue: str,
    run: Work | WorkTogether | str,
    needs: Action = Action.CANCEL,
    gave_up: Callable[["Job"], None] | None = None,
    together: bool = False,
    reads: Action = Action.VIEW,
) -> None:
    """Declare a kind of job, once. Raises ValueError when two places claim one kind."""
    if kind in _HANDLERS:
        raise ValueError(f"job kind {kind!r} is declared twice")
    _HANDLERS[kind] = Handler(kind, queue, run, gave_up, needs, together, reads)


def handler_for(kind: str) -> Handler:
    return _HANDLERS[kind]


def read_by() -> dict[Action, list[str]]:
    """The kinds of job that not everybody sees who may look into their corpus, by what one must be allowed to do."""
    found: dict[Action, list[str]] = {}
    for handler in _HANDLERS.values():
        if handler.reads != Action.VIEW:
            found.setdefault(handler.reads, []).append(handler.kind)
    return found


def queues() -> list[str]:
    """Every queue that some kind of job waits in, by name."""
    return sorted({handler.queue for handler in _HANDLERS.values()})
