"""Which function does which kind of job, on which queue."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string

from crashdesk.accounts.permissions import Action

if TYPE_CHECKING:
    from crashdesk.jobs.models import Job
    from crashdesk.jobs.running import Running

Work = Callable[["Running"], dict[str, Any] | None]


@dataclass(frozen=True)
class Handler:
    """`run` does the work and returns the result to store; `gave_up` undoes its claims when the job ends undone.

    `run` must be safe to start twice: a killed worker's job is started again. `gave_up` runs in the
    transaction that marks the job failed or cancelled.

    `needs` is what a person must be allowed to do to start such a job, or to start it again.

    `run` may be a dotted name: then its module is imported by the worker that first runs it, and the web
    processes need not load what only one worker needs (torch takes seconds and hundreds of megabytes).
    """

    kind: str
    queue: str
    run: Work | str
    gave_up: Callable[["Job"], None] | None = None
    needs: Action = Action.CANCEL

    def work(self) -> Work:
        """The function that does the work. Raises ImportError when its dotted name leads nowhere."""
        if isinstance(self.run, str):
            found: Work = import_string(self.run)
            return found
        return self.run


_HANDLERS: dict[str, Handler] = {}


def register(
    kind: str,
    *,
    queue: str,
    run: Work | str,
    needs: Action = Action.CANCEL,
    gave_up: Callable[["Job"], None] | None = None,
) -> None:
    """Declare a kind of job, once. Raises ValueError when two places claim one kind."""
    if kind in _HANDLERS:
        raise ValueError(f"job kind {kind!r} is declared twice")
    _HANDLERS[kind] = Handler(kind=kind, queue=queue, run=run, needs=needs, gave_up=gave_up)


def handler_for(kind: str) -> Handler:
    return _HANDLERS[kind]
