"""What is said of the single cases of a run."""

import pytest

from crashdesk.api.errors import Problem
from model_assist.predictions.run_cases import SUMMARY, jobs_in, rows_of, summary
from tests import factories

TRACEBACK = (
    'Traceback (most recent call last):\n  File "x.py", line 3, in f\n    boom()\nValueError: no such clip\n'
)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("", ""),
        (TRACEBACK, "ValueError: no such clip"),
        ("clip.mp4: no frame can be read", "clip.mp4: no frame can be read"),
        (
            f"set aside: the worker died 3 times on this job\n{TRACEBACK}",
            "set aside: the worker died 3 times on this job",
        ),
        ("x" * 1000, "x" * SUMMARY),
    ],
)
def test_one_line_of_what_went_wrong(error: str, line: str) -> None:
    assert summary(error) == line


@pytest.mark.django_db
def test_a_poison_clip_is_set_aside_and_the_run_goes_on(
    settings: object, django_assert_num_queries: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crashdesk.jobs.services.RETRY_WAIT_SECONDS", 0)
    settings.JOB_MAX_ATTEMPTS = 2  # type: ignore[attr-defined]
    run = factories.make_prediction_run(cases=3)
    poison = factories.work_on(run, error=ValueError("no such clip"))
    (waiting,) = [row for row in rows_of(list(jobs_in(run))) if row.attempts]
    assert (waiting.state, waiting.set_aside, waiting.error) == ("queued", False, "ValueError: no such clip")
    assert factories.work_on(run, error=ValueError("no such clip")) == poison
    factories.work_on(run, error=Problem("frames_unreadable", "the clip ends in the middle of a frame"))
    factories.work_on(run)
    jobs = list(jobs_in(run))
    with django_assert_num_queries(1):  # type: ignore[operator]
        rows = rows_of(jobs)
    assert [(row.state, row.set_aside, row.attempts) for row in rows] == [
        ("failed", True, 2), ("failed", False, 1), ("done", False, 1),
    ]  # fmt: skip
    assert rows[0].case == poison.case
    assert rows[0].traceback.startswith("Traceback")
    assert rows[0].error == "ValueError: no such clip"
    assert rows[1].error == "the clip ends in the middle of a frame"
    assert [row.seconds for row in rows] == [None, None, 0.5]
    assert [len(jobs_in(run, state)) for state in ("", "failed", "set_aside", "done", "queued")] == [
        3,
        2,
        1,
        1,
        0,
    ]
