"""Nothing is lost, doubled or mistaken when webhooks go astray and everything that can be killed is killed.

This is the storm at a size for every day; `python -m tests.integration.storm --cases 2000` is the whole of it.
"""

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

from crashdesk.embedded.labelstudio import LabelStudio, LabelStudioError
from crashdesk.embedded.testing import config_for_tests
from tests.integration.storm.storm import Report, run

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]

CASES = 160


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, django_db_blocker: DjangoDbBlocker) -> Iterator[Report]:
    folder = tmp_path_factory.mktemp("storm")
    try:
        LabelStudio(config_for_tests(folder)).require_installed()
    except LabelStudioError as missing:
        pytest.skip(str(missing))
    with django_db_blocker.unblock():
        yield run(folder / "home", cases=CASES)


def test_both_sides_agree_on_every_case(report: Report) -> None:
    print("\n".join(report.lines()))
    assert report.verdict.wrong == []
    assert report.verdict.counts["cases"] == CASES


def test_it_was_a_storm(report: Report) -> None:
    assert report.retries > 0  # Label Studio was away while people worked
    assert report.hooks["lost"] > 0
    assert report.hooks["doubled"] > 0
    assert report.hooks["late"] > 0
    assert report.verdict.counts["withdrawn"] > 0
    assert report.comparisons > 0  # CrashDesk noticed that Label Studio had been away


def test_every_webhook_that_arrived_was_answered(report: Report) -> None:
    refused = {name for name in report.hooks if name.startswith("answered") and name != "answered 204"}
    assert refused == set()
    assert report.hook_ms_without_broker
