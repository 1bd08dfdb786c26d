"""Pushes of one corpus that really run at the same time, each on a database connection of its own."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from annotations.cases.models import Case, CaseStatus
from annotations.labelstudio import push
from annotations.labelstudio.client import Reply
from annotations.labelstudio.external_ids import opaque_key
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.push import PushReport, push_corpus
from tests.factories import make_case, make_corpus, make_guideline, make_video
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio

PUSHES = 3


class Shared(FakeLabelStudio):
    """One call at a time, as the memory behind it demands."""

    def __init__(self) -> None:
        super().__init__()
        self._one = threading.RLock()

    def call(self, method: str, path: str, **options: Any) -> Reply:
        with self._one:
            return super().call(method, path, **options)


@pytest.mark.django_db(transaction=True)
def test_pushes_at_the_same_time_make_each_task_once(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LABELSTUDIO_PART_SIZE = 5
    monkeypatch.setattr(push, "BATCH", 3)
    monkeypatch.setattr(push, "PAUSE_SECONDS", 0.01)
    studio, corpus, guideline = Shared(), make_corpus(), make_guideline()
    cases = [
        make_case(CaseStatus.PREDICTED, video=make_video(corpus), guideline=guideline) for _ in range(12)
    ]
    together = threading.Barrier(PUSHES)

    def one() -> PushReport:
        try:
            together.wait(timeout=30)
            return push_corpus(corpus, guideline, client=studio, by=None)
        finally:
            connection.close()

    with ThreadPoolExecutor(PUSHES) as pool:
        reports = [future.result(timeout=60) for future in [pool.submit(one) for _ in range(PUSHES)]]
    shown = Counter(task["data"]["external_id"] for task in studio.all_tasks.values())
    assert shown == Counter(opaque_key(case.pk, None) for case in cases)
    assert {row.task_id for row in LabelStudioTask.objects.all()} == set(studio.all_tasks)
    assert sum(report.pushed for report in reports) == len(cases)
    assert Case.objects.exclude(status=CaseStatus.IN_REVIEW).count() == 0
    sizes = Counter(LabelStudioTask.objects.values_list("project__part", flat=True))
    assert sizes == {1: 5, 2: 5, 3: 2}
    assert len(studio.projects) == LabelStudioProject.objects.count() == 3


@pytest.mark.django_db
def test_what_another_push_brought_meanwhile_is_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    studio, corpus, guideline = FakeLabelStudio(), make_corpus(), make_guideline()
    for _ in range(4):
        make_case(CaseStatus.PREDICTED, video=make_video(corpus), guideline=guideline)
    passes, others = push.waiting_passes, list[PushReport]()

    def another_comes_first(*asked: Any) -> Any:
        monkeypatch.setattr(push, "waiting_passes", passes)
        others.append(push_corpus(corpus, guideline, client=studio, by=None))
        return passes(*asked)

    monkeypatch.setattr(push, "waiting_passes", another_comes_first)
    report = push_corpus(corpus, guideline, client=studio, by=None)
    assert (others[0].pushed, report.pushed, report.updated, report.moved_meanwhile) == (4, 0, 4, 0)
