"""An engine that says the same about every clip, or fails as told: the real one has its own tests."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from model_assist.crashchat.answers import ClipAnswers, FramesUsed, KindAnswer
from model_assist.crashchat.engine import ClipRequest
from model_assist.crashchat.errors import CrashChatError
from model_assist.crashchat.prompts import complete_prompts, prompt_version
from tests.factories import CRASH

FRAMES = FramesUsed(
    fps=10.0, count=2, times_us=[0, 100_000], source_indices=[2, 5], source_pts_us=[66_667, 166_667], width=56,
    height=28, visual_tokens=4, reader="pyav", damaged=0,
)  # fmt: skip


@dataclass
class FakeEngine:
    """Stands for a HeldEngine and its Engine: reads requests as far ahead as the real one, answers in batches."""

    clips_per_batch: int = 2
    device: str = "a fast GPU"
    error: Exception | None = None
    outcome: Callable[[ClipRequest], CrashChatError | None] = lambda request: None
    during: Callable[[list[ClipRequest]], None] = lambda batch: None
    asked: list[ClipRequest] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    @property
    def engine(self) -> "FakeEngine":
        return self

    def features_key(self, video_sha256: str) -> str | None:
        return f"features of {video_sha256}"

    def answer_many(
        self, requests: Iterable[ClipRequest]
    ) -> Iterator[tuple[int, ClipAnswers | CrashChatError]]:
        ahead: list[tuple[int, ClipRequest]] = []
        source = enumerate(requests)
        while True:
            while len(ahead) < 2 * self.clips_per_batch and (taken := next(source, None)):
                ahead.append(taken)
            batch, ahead = ahead[: self.clips_per_batch], ahead[self.clips_per_batch :]
            if not batch:
                return
            self.during([request for _, request in batch])
            if self.error:
                raise self.error
            self.batches.append(len(batch))
            self.asked += [request for _, request in batch]
            for position, request in batch:
                yield position, self.outcome(request) or answers(request)


def answers(request: ClipRequest) -> ClipAnswers:
    """A crash, in every kind that was asked for."""
    questions = complete_prompts(request.prompts, request.kinds)
    versions = {kind: prompt_version(text) for kind, text in questions.items()}
    said = {
        kind: KindAnswer(
            kind=kind, raw_text="raw", state=CRASH[kind].state, value=CRASH[kind].value, reason="", confidence=0.7,  # type: ignore[arg-type]
            confidence_detail={"mean_prob": 0.7}, adapter="linguistic", prompt_version=versions[kind],
        )
        for kind in request.kinds
    }  # fmt: skip
    return ClipAnswers(answers=said, frames=FRAMES, duration_us=5_000_000, timings={"decode": 0.5})


def clip_of(request: ClipRequest) -> str:
    """The name of the clip that is asked about."""
    return Path(request.path).name
