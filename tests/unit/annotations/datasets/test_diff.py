"""What changed between two versions."""

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import CaseStatus
from annotations.cases.rules import Said
from annotations.cases.workflow import move
from annotations.datasets.diff import Change, diff, previous
from crashdesk.api.errors import Problem
from tests.factories import make_case, make_corpus, make_video
from tests.unit.annotations.datasets.conftest import Approved
from tests.unit.annotations.datasets.test_services import freeze, say_otherwise


def test_added_removed_changed_and_reapproved(approved: Approved) -> None:
    first = freeze(approved)
    say_otherwise(approved, 1, crash_description=Said("valued", {"text": "a tram hits a car."}))
    say_otherwise(approved, 2)
    move(approved.cases[4], CaseStatus.RETURNED, by=None, reason="look again")
    added = make_case(CaseStatus.APPROVED, video=make_video(approved.corpus), guideline=approved.guideline)
    second = freeze(approved)
    found = diff(first, second)
    assert found.added == [added.video.name]
    assert found.removed == [approved.cases[4].video.name]
    assert {kind: changes for kind, changes in found.changed.items() if changes} == {
        Kind.CRASH_DESCRIPTION: [
            Change(
                approved.cases[1].video.name,
                {"state": "valued", "value": {"text": "car hits a truck."}},
                {"state": "valued", "value": {"text": "a tram hits a car."}},
            )
        ]
    }
    assert (found.reapproved, found.unchanged, found.moved) == (1, 3, [])
    back = diff(second, first)
    assert (back.added, back.removed) == (found.removed, found.added)


def test_another_seed_moves_clips(approved: Approved) -> None:
    first, second = freeze(approved), freeze(approved, split_seed=11)
    before = dict(first.records.values_list("content__video", "split"))
    after = dict(second.records.values_list("content__video", "split"))
    moved = {clip.video: (clip.before, clip.after) for clip in diff(first, second).moved}
    assert moved == {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert moved


def test_the_version_before(approved: Approved) -> None:
    first, second = freeze(approved), freeze(approved, split_seed=11)
    assert (previous(second), previous(first)) == (first, None)


def test_versions_of_two_corpora_are_not_compared(approved: Approved) -> None:
    other = Approved(make_corpus(), approved.guideline, [])
    make_case(CaseStatus.APPROVED, video=make_video(other.corpus), guideline=other.guideline)
    with pytest.raises(Problem, match="two corpora"):
        diff(freeze(approved), freeze(other))
