"""Halving the work when memory runs out."""

import weakref

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_assist.crashchat import batching_memory
from model_assist.crashchat.batching_memory import (
    GROWS_AFTER,
    MemoryRoom,
    OutOfMemoryError,
    in_halves,
    is_out_of_memory,
)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_exhausted_memory_is_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("shape mismatch"), ValueError("out of memory"), KeyError("x")]
)
def test_other_errors_are_not_about_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_torch_itself_words_it_as_expected() -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collecting garbage takes a tenth of a second here; only one test is about it."""
    monkeypatch.setattr(batching_memory, "release", lambda: None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 40))
def test_every_item_is_done_once_in_order_or_named_as_too_large(
    quick: None, sizes: list[int], capacity: int
) -> None:
    def work(piece: list[int]) -> int:
        if sum(piece) > capacity:
            raise MemoryError
        return sum(piece)

    room = MemoryRoom()
    found = list(in_halves(sizes, work, room=room, size_of=sum))  # type: ignore[arg-type]
    assert [n for piece, _ in found for n in piece] == sizes
    for piece, result in found:
        if isinstance(result, OutOfMemoryError):
            assert len(piece) == 1
            assert piece[0] > capacity
        else:
            assert result == sum(piece) <= capacity


def test_what_did_not_fit_is_not_tried_again_until_it_may(quick: None) -> None:
    tried: list[int] = []

    def work(piece: list[int]) -> None:
        tried.append(len(piece))
        if len(piece) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    room = MemoryRoom()
    list(in_halves([1] * 8, work, room=room))  # type: ignore[arg-type]
    assert tried == [8, 4, 2, 2, 3, 2, 1, 1]
    tried.clear()
    list(in_halves([1] * 8, work, room=room))  # type: ignore[arg-type]
    assert tried == [2, 2, 2, 2]
    for _ in range(GROWS_AFTER):
        room.succeeded()
    tried.clear()
    list(in_halves([1] * 8, work, room=room))  # type: ignore[arg-type]
    assert tried[0] == 4


def test_other_errors_pass() -> None:
    def work(piece: list[int]) -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        list(in_halves([1, 2], work, room=MemoryRoom()))  # type: ignore[arg-type]


def test_tensors_of_a_failed_attempt_are_let_go_before_the_next() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def work(piece: list[int]) -> int:
        assert all(ref() is None for ref in held)
        big = torch.zeros(len(piece))
        held.append(weakref.ref(big))
        if len(piece) > 1:
            raise MemoryError
        return len(piece)

    assert [r for _, r in in_halves([1, 2, 3], work, room=MemoryRoom())] == [1, 1, 1]  # type: ignore[arg-type]
