"""Whether a worker of the gpu queue is alive, by what it says or by what it does."""

from typing import Any

import pytest
from django.core.cache import cache
from kombu.exceptions import OperationalError

from crashdesk.jobs.services import claim_next
from model_assist.predictions import listening
from tests import factories

pytestmark = pytest.mark.django_db


class Control:
    """Stands for Celery's remote control, which needs a broker with workers."""

    def __init__(self, replies: Any) -> None:
        self.replies = replies
        self.asked = 0

    def inspect(self, timeout: float) -> "Control":
        assert timeout == listening.ANSWER_SECONDS
        return self

    def active_queues(self) -> Any:
        self.asked += 1
        if isinstance(self.replies, Exception):
            raise self.replies
        return self.replies


@pytest.fixture(autouse=True)
def forget() -> None:
    cache.clear()


def ask(monkeypatch: pytest.MonkeyPatch, replies: Any) -> Control:
    control = Control(replies)
    monkeypatch.setattr(listening, "current_app", type("App", (), {"control": control}))
    return control


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ({"gpu@a": [{"name": "gpu"}]}, True),
        ({"media@a": [{"name": "media"}, {"name": "tick"}]}, False),
        ({}, False),
        (None, False),
        (OperationalError("no broker"), False),
        (ConnectionRefusedError(), False),
    ],
)
def test_what_workers_say(monkeypatch: pytest.MonkeyPatch, replies: Any, expected: bool) -> None:
    control = ask(monkeypatch, replies)
    assert listening.somebody_listens() is expected
    assert listening.somebody_listens() is expected
    assert control.asked == 1  # kept for a while


def test_a_job_at_work_speaks_for_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    control = ask(monkeypatch, None)
    factories.make_prediction_run(cases=1)
    assert not listening.somebody_listens()
    claim_next("gpu")
    assert listening.somebody_listens()
    assert control.asked == 1
