"""Hints are passed on by a thread: whoever gives one never waits, and a broker that is down costs nothing."""

import threading
from collections.abc import Callable, Iterator

import pytest
from celery import current_app

from annotations.labelstudio import hints as module
from annotations.labelstudio.hints import EXPIRES_SECONDS, POLL_TASK, Hints, wake_the_poll
from annotations.labelstudio.tasks import poll

PATIENCE_S = 10


@pytest.fixture
def made() -> Iterator[Callable[[Callable[[], None]], Hints]]:
    all_of_them: list[Hints] = []

    def make(tell: Callable[[], None]) -> Hints:
        all_of_them.append(Hints(tell, pause_s=0.0))
        return all_of_them[-1]

    yield make
    for one in all_of_them:
        one.stop()


def test_a_hint_becomes_a_message(made: Callable[[Callable[[], None]], Hints]) -> None:
    told = threading.Event()
    made(told.set).give()
    assert told.wait(PATIENCE_S)


def test_nobody_waits_for_a_broker_that_does_not_answer(made: Callable[[Callable[[], None]], Hints]) -> None:
    asked, answers = threading.Event(), threading.Event()
    count = []

    def tell() -> None:
        count.append(1)
        asked.set()
        assert answers.wait(PATIENCE_S)

    hints = made(tell)
    hints.give()
    assert asked.wait(PATIENCE_S)
    for _ in range(100):
        hints.give()  # returns although the first message is still on its way
    assert len(count) == 1
    asked.clear()
    answers.set()
    assert asked.wait(PATIENCE_S)  # all hundred are one message more
    hints.stop()
    assert len(count) == 2


def test_a_broker_that_refuses_stops_no_later_hint(
    made: Callable[[Callable[[], None]], Hints], caplog: pytest.LogCaptureFixture
) -> None:
    refused, told = threading.Event(), threading.Event()

    def tell() -> None:
        if not refused.is_set():
            refused.set()
            raise ConnectionError("nobody there")
        told.set()

    hints = made(tell)
    hints.give()
    assert refused.wait(PATIENCE_S)
    hints.give()
    assert told.wait(PATIENCE_S)
    assert "nobody there" in caplog.text


def test_the_message_names_the_poll_and_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **options: sent.append((name, options)))
    wake_the_poll()
    assert sent == [(POLL_TASK, {"queue": "sync", "expires": EXPIRES_SECONDS, "retry": False})]
    assert poll.name == POLL_TASK
    assert module.hints._thread is None  # no thread before the first hint: servers fork
