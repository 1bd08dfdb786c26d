"""Six answers about one clip: frames, features, prefixes, gated questions, answers with their evidence."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import torch

from model_assist.crashchat import kinds as k
from model_assist.crashchat.answers import ClipAnswers, FramesUsed, KindAnswer
from model_assist.crashchat.confidence import confidence
from model_assist.crashchat.errors import AdapterError, CrashChatError, FrameReadError
from model_assist.crashchat.features import FeatureStore
from model_assist.crashchat.frames import Frames
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.parsing import parse_answer
from model_assist.crashchat.prefix import Prefix, Trace, Watch, answer_batch, encode_clip, prefill
from model_assist.crashchat.preprocess import preprocess
from model_assist.crashchat.prompts import complete_prompts, prefix_text, prompt_version, suffix_text
from model_assist.crashchat.settings import EngineSettings
from model_assist.crashchat.sizing import PATCH

CUT_OFF: Final = "the answer was cut off at the token limit"


@dataclass(frozen=True)
class ClipRequest:
    """One clip to answer.  features_key: under which the feature store knows it, None to leave it out."""

    path: str | Path
    prompts: Mapping[str, str] | None = None
    kinds: Sequence[str] = k.ALL
    features_key: str | None = None


class ClipReader(Protocol):
    """What the engine needs of a frame reader; `frames.FrameReader` is one."""

    def read(self, path: str | Path, *, fps: float, max_frames: int, max_tokens: int | None) -> Frames: ...


class Engine:
    """Answers clips with one loaded model.  Not thread-safe: adapters are switched while answering.

    Without adapters the base model answers everything.  With adapters, every routed adapter must be loaded:
    AdapterError otherwise.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        settings: EngineSettings,
        frame_reader: ClipReader,
        features: FeatureStore | None = None,
    ) -> None:
        self.loaded = loaded
        self.feature_store = features
        self.settings = settings
        self.frame_reader = frame_reader
        self.watch = Watch.of(loaded.tokenizer)
        if loaded.adapters:
            missing = sorted({settings.routing[kind] for kind in k.ALL} - set(loaded.adapters))
            if missing:
                raise AdapterError(f"routed to but not loaded: {', '.join(missing)}")

    def answer_many(
        self, requests: Iterable[ClipRequest]
    ) -> Iterator[tuple[int, ClipAnswers | CrashChatError]]:
        """Yield (position, answers or the reason why there are none) of every request, as clips get done.

        `requests` is read lazily, never more than two batches ahead; positions count from 0 in its order.
        """
        for position, request in enumerate(requests):
            try:
                yield position, self.answer(request.path, request.prompts, request.kinds)
            except CrashChatError as error:
                yield position, error
            except (OSError, ValueError) as error:
                yield position, FrameReadError(f"{request.path}: {error}")

    @torch.inference_mode()
    def answer(
        self, path: str | Path, prompts: Mapping[str, str] | None = None, kinds: Sequence[str] = k.ALL
    ) -> ClipAnswers:
        """Answer `kinds` about the clip at `path`; questions not in `prompts` use the default wording.

        When localisation is gated and asked without recognition, recognition is asked too (and returned),
        since the gate needs it.  Raises FrameReadError and its subclasses for clips that cannot be read.
        """
        for kind in kinds:
            k.check_kind(kind)
        gated = self.settings.gate_localisation and any(kind in k.PERCEPTION for kind in kinds)
        asked = tuple(x for x in k.ALL if x in kinds or (gated and x == k.CRASH_RECOGNITION))
        questions = complete_prompts(prompts, asked)
        clip = _Clip(self, path, questions)
        answers: dict[str, KindAnswer] = {}
        if k.CRASH_RECOGNITION in asked:
            answers |= clip.ask((k.CRASH_RECOGNITION,))
        rest = [x for x in asked if x != k.CRASH_RECOGNITION]
        if gated and answers[k.CRASH_RECOGNITION].value != {"label": "yes"}:
            closed = [x for x in rest if x in k.PERCEPTION]
            rest = [x for x in rest if x not in k.PERCEPTION]
            answers |= {x: self._closed(x, answers[k.CRASH_RECOGNITION], questions[x]) for x in closed}
        answers |= clip.ask(rest)
        return clip.finish({x: answers[x] for x in asked})

    def adapter_of(self, kind: str) -> str:
        """The adapter that answers `kind`; "" for the bare base model."""
        return self.settings.routing[kind] if self.loaded.adapters else ""

    def _closed(self, kind: str, recognition: KindAnswer, question: str) -> KindAnswer:
        """The answer to a localisation question that recognition made pointless."""
        return KindAnswer(
            kind=kind,
            raw_text="",
            state="absent",
            value=None,
            reason="not asked: recognition did not say yes",
            confidence=recognition.confidence,
            confidence_detail={"gated": True, "recognition_state": recognition.state},
            adapter=self.adapter_of(kind),
            prompt_version=prompt_version(question),
        )


class _Clip:
    """One clip being answered: features once, a prefix per adapter on first need."""

    def __init__(self, engine: Engine, path: str | Path, questions: Mapping[str, str]) -> None:
        self.engine, self.questions = engine, questions
        self.timings: dict[str, float] = {}
        self.prefixes: dict[str, Prefix] = {}
        loaded, settings = engine.loaded, engine.settings
        began = time.perf_counter()
        self.frames = engine.frame_reader.read(
            path, fps=settings.fps, max_frames=settings.max_frames, max_tokens=settings.max_tokens
        )
        began = self._lap("frames", began)
        self.inputs = preprocess(self.frames, max_tokens=settings.max_tokens, mask_dtype=loaded.dtype)
        began = self._lap("preprocess", began)
        self.features = encode_clip(loaded.network, self.inputs)
        text = prefix_text(self.frames.times_us, self.inputs.token_counts)
        ids = loaded.tokenizer.encode(text, add_special_tokens=False)
        self.prefix_ids = torch.tensor([ids], device=loaded.device)
        self._lap("vision", began)

    def ask(self, kinds: Sequence[str]) -> dict[str, KindAnswer]:
        """Answers to `kinds`, one batch per adapter."""
        answers: dict[str, KindAnswer] = {}
        groups: dict[str, list[str]] = {}
        for kind in kinds:
            groups.setdefault(self.engine.adapter_of(kind), []).append(kind)
        for adapter, group in groups.items():
            prefix = self._prefix(adapter)
            began = time.perf_counter()
            tokenizer = self.engine.loaded.tokenizer
            suffixes = [
                tokenizer.encode(suffix_text(self.questions[x]), add_special_tokens=False) for x in group
            ]
            limits = [self.engine.settings.max_new_tokens[x] for x in group]
            traces = answer_batch(self.engine.loaded, prefix, suffixes, limits, self.engine.watch)
            for kind, trace in zip(group, traces, strict=True):
                answers[kind] = self._read(kind, trace, adapter)
            self._lap("answers", began)
        return answers

    def finish(self, answers: dict[str, KindAnswer]) -> ClipAnswers:
        """The result object."""
        frames, grid = self.frames, self.inputs.grid[0].tolist()
        used = FramesUsed(
            fps=frames.fps,
            count=len(frames.times_us),
            times_us=frames.times_us,
            source_indices=frames.source_indices,
            source_pts_us=frames.source_pts_us,
            width=grid[2] * PATCH,
            height=grid[1] * PATCH,
            visual_tokens=int(self.inputs.keep.sum()),
            reader=frames.reader,
            damaged=frames.damaged,
        )
        return ClipAnswers(answers, used, frames.duration_us, self.timings)

    def _prefix(self, adapter: str) -> Prefix:
        """The prefix under `adapter`, which is active afterwards: caches and adapters belong together."""
        loaded = self.engine.loaded
        if adapter:
            loaded.use(adapter)
        if adapter not in self.prefixes:
            began = time.perf_counter()
            self.prefixes[adapter] = prefill(
                loaded.network, self.prefix_ids, self.features, chunk=self.engine.settings.prefill_chunk
            )
            self._lap("prefill", began)
        return self.prefixes[adapter]

    def _read(self, kind: str, trace: Trace, adapter: str) -> KindAnswer:
        text = str(self.engine.loaded.tokenizer.decode(trace.tokens, skip_special_tokens=True)).strip()
        parsed = parse_answer(kind, text, duration_us=self.frames.duration_us)
        state, value, reason = parsed.state, parsed.value, parsed.reason
        if not trace.ended and kind not in k.TEXT_KINDS:
            state, value, reason = "unparsable", None, CUT_OFF
        elif not trace.ended:
            reason = CUT_OFF
        score, detail = confidence(kind, state, value, trace)
        return KindAnswer(
            kind=kind,
            raw_text=text,
            state=state,
            value=value,
            reason=reason,
            confidence=score,
            confidence_detail=detail,
            adapter=adapter,
            prompt_version=prompt_version(self.questions[kind]),
        )

    def _lap(self, name: str, began: float) -> float:
        now = time.perf_counter()
        self.timings[name] = self.timings.get(name, 0.0) + now - began
        return now
