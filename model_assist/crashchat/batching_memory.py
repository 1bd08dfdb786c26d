"""Going on when memory runs out: the same work in halves, down to single items."""

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import torch

from model_assist.crashchat.errors import CrashChatError

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

SIGNS: Final = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""How torch words exhausted memory where it raises a plain RuntimeError: its CPU allocator, and CUDA libraries."""

GROWS_AFTER: Final = 20
"""Successful pieces of work after which a learnt limit is doubled: memory may have become free again."""


class OutOfMemoryError(CrashChatError):
    """One clip alone needs more memory than there is."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign.lower() in str(error).lower() for sign in SIGNS)


class MemoryRoom:
    """What has been learnt about how much fits: a limit on the size of one piece of work, None for none.

    `size_of` measures a piece in any unit that grows with its memory, such as padded tokens.
    """

    def __init__(self) -> None:
        self.limit: int | None = None
        self._since = 0

    def failed(self, size: int) -> None:
        """A piece of several items of this size did not fit."""
        self.limit = size - 1 if self.limit is None else min(self.limit, size - 1)
        self._since = 0

    def succeeded(self) -> None:
        """A piece fitted."""
        self._since += 1
        if self.limit is not None and self._since >= GROWS_AFTER:
            self.limit, self._since = self.limit * 2, 0

    def divide(self, items: Sequence[Item], size_of: Callable[[Sequence[Item]], int]) -> list[Sequence[Item]]:
        """Items in order, in as few pieces as stay within the limit (single items always pass)."""
        if self.limit is None or size_of(items) <= self.limit:
            return [items] if items else []
        pieces: list[list[Item]] = [[]]
        for item in items:
            if pieces[-1] and size_of([*pieces[-1], item]) > self.limit:
                pieces.append([])
            pieces[-1].append(item)
        return list(pieces)


def in_halves(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Result],
    *,
    room: MemoryRoom,
    size_of: Callable[[Sequence[Item]], int] = len,
    stage: str = "",
) -> Iterator[tuple[Sequence[Item], Result | OutOfMemoryError]]:
    """Do `work` on `items`, halving the piece whenever memory runs out.

    Yields every piece with its result, in order; a single item that does not fit yields an OutOfMemoryError.
    Other exceptions pass.  `work` must not leave half-done results behind: a failed piece is done again.
    """
    waiting: list[Sequence[Item]] = [items] if items else []
    while waiting:
        piece, *waiting[:0] = room.divide(waiting.pop(0), size_of)
        problem = ""
        try:
            result = work(piece)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        if not problem:
            room.succeeded()
            yield piece, result
            continue
        release()  # only here: inside the handler the traceback still holds the tensors
        log.warning("out of memory %s %d at once: %s", stage or "doing", len(piece), problem)
        if len(piece) == 1:
            yield piece, OutOfMemoryError(f"not enough memory {stage}".rstrip() + f": {problem}")
            continue
        room.failed(size_of(piece))
        middle = (len(piece) + 1) // 2
        waiting[:0] = [piece[:middle], piece[middle:]]


def release() -> None:
    """Give unreferenced memory back, Python's and the device's."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
