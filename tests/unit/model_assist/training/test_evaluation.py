"""Evaluating a model on a split, with answers made up in the place of a model."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from annotations.cases.models import CaseStatus
from annotations.datasets.models import DatasetVersion
from annotations.datasets.services import freeze
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from model_assist.crashchat import kinds as k
from model_assist.crashchat.answers import ClipAnswers, ClipRequest, FramesUsed, KindAnswer
from model_assist.crashchat.errors import CrashChatError, FrameReadError
from model_assist.crashchat.parsing import parse_answer
from model_assist.training.evaluation import evaluate_with
from tests.factories import CRASH, NO_CRASH, make_case, make_corpus, make_guideline, make_video

pytestmark = pytest.mark.django_db

SAYS = {
    k.CRASH_RECOGNITION: "Yes",
    k.CRASH_DESCRIPTION: "car hits a truck.",
    k.CAUSAL_REASONING: "Nobody looked.",
    k.PREVENTION_REASONING: "Look.",
    k.CRASH_LOCALIZATION: "2.0 - 3.5 seconds",
    k.PRE_CRASH_LOCALIZATION: "whenever",
}
FRAMES = FramesUsed(10.0, 1, [0], [0], [0], 28, 28, 1, "pyav", 0)


@pytest.fixture
def version(lead: User, media_root: Path) -> DatasetVersion:
    """Two crashes and one clip without, in three recordings of two sources, all in the test split."""
    corpus, guideline = make_corpus(), make_guideline()
    for said, source in ((CRASH, "A"), (CRASH, "A"), (NO_CRASH, "B")):
        video = make_video(corpus, source=source)
        assert video.media is not None
        stored = media_root / video.media.storage_name
        stored.parent.mkdir(parents=True, exist_ok=True)
        stored.write_bytes(b"clip")
        make_case(CaseStatus.APPROVED, said=said, video=video, guideline=guideline, lead=lead)
    version = freeze(corpus=corpus, guideline=guideline, by=lead)
    version.records.update(split="test")
    return version


def clip_answers(kinds: Iterable[str]) -> ClipAnswers:
    answers = {}
    for kind in kinds:
        read = parse_answer(kind, SAYS[kind], duration_us=None)
        answers[kind] = KindAnswer(
            kind, SAYS[kind], read.state, read.value, read.reason, 0.5, {}, "", "0" * 12
        )
    return ClipAnswers(answers, FRAMES, 5_000_000, {})


class Model:
    """Answers in the reverse order, says the same of every clip, and cannot read the clips at `broken`."""

    def __init__(self, *broken: int) -> None:
        self.broken, self.asked = broken, list[ClipRequest]()

    def __call__(
        self, requests: Iterable[ClipRequest], /
    ) -> Iterator[tuple[int, ClipAnswers | CrashChatError]]:
        self.asked = list(requests)
        for place, request in reversed(list(enumerate(self.asked))):
            yield place, FrameReadError("no frames") if place in self.broken else clip_answers(request.kinds)


def test_answers_are_scored_against_the_approved_ones(version: DatasetVersion) -> None:
    model, steps = Model(), list[tuple[int, int]]()
    found = evaluate_with(model, version, "test", step=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert found["clips"] == {"asked": 3, "unreadable": []}
    assert found[k.CRASH_RECOGNITION]["accuracy"] == pytest.approx(2 / 3)
    assert found[k.CRASH_RECOGNITION]["source_alone"]["accuracy"] == 1.0
    assert found[k.CRASH_LOCALIZATION]["miou"] == 1.0
    assert found[k.PRE_CRASH_LOCALIZATION]["unparsable"] == 2
    assert [row["source"] for row in found[k.CRASH_DESCRIPTION]["by_source"]] == ["A", "B"]
    assert "1000 resamples of 3 recordings" in found[k.CRASH_RECOGNITION]["intervals"]["how"]
    json.dumps(found, allow_nan=False)


def test_localisation_is_asked_of_crashes_only(version: DatasetVersion) -> None:
    model = Model()
    evaluate_with(model, version, "test", step=lambda *_: None)
    assert sorted(len(request.kinds) for request in model.asked) == [4, 6, 6]
    assert all(Path(request.path).read_bytes() == b"clip" for request in model.asked)


def test_clips_that_cannot_be_read_are_named_and_in_no_score(version: DatasetVersion) -> None:
    rows = list(version.records.order_by("id"))
    found = evaluate_with(Model(0), version, "test", step=lambda *_: None)
    assert found["clips"] == {"asked": 2, "unreadable": [f"{rows[0].content['video']}: no frames"]}
    assert found[k.CRASH_RECOGNITION]["count"] == 2
    nothing = evaluate_with(Model(0, 1, 2), version, "test", step=lambda *_: None)
    assert nothing.keys() == {"clips"}


def test_a_split_without_clips_is_refused(version: DatasetVersion) -> None:
    with pytest.raises(Problem, match="val split has a clip"):
        evaluate_with(Model(), version, "val", step=lambda *_: None)


def test_what_step_raises_ends_the_evaluation(version: DatasetVersion) -> None:

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        evaluate_with(Model(), version, "test", step=stop)
