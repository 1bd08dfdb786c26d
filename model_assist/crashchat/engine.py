"""Six answers about each of many clips: read ahead, seen once, asked in batches, gated, with their evidence.

The order of work in a batch, see docs/engine.md: features of every clip (vision tower, or the feature store);
then, adapter by adapter, one prefill of all clips' prefixes and one decode of all their questions.  The adapter
that answers recognition goes first, because its answers decide which clips are asked about localisation.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import torch

from model_assist.crashchat import kinds as k
from model_assist.crashchat.answers import ClipAnswers, ClipRequest, FramesUsed, KindAnswer
from model_assist.crashchat.batching import StackedPrefixes, prefill_rows
from model_assist.crashchat.batching_ahead import FrameSource, Read, ReadAhead, ReadClip
from model_assist.crashchat.batching_decode import Question, Sampling, decode, room_for
from model_assist.crashchat.batching_memory import MemoryRoom, OutOfMemoryError, in_halves, is_out_of_memory
from model_assist.crashchat.errors import AdapterError, CrashChatError
from model_assist.crashchat.features import ClipFeatures, FeatureStore
from model_assist.crashchat.frames import Frames
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.prefix import Watch, encode_frames
from model_assist.crashchat.preprocess import ClipInputs
from model_assist.crashchat.prompts import complete_prompts, prefix_text, suffix_text
from model_assist.crashchat.reading import CUT_OFF, closed_answer, read_answer, says_yes, with_agreement
from model_assist.crashchat.settings import EngineSettings

__all__ = ["CUT_OFF", "ClipAnswers", "ClipReader", "ClipRequest", "Engine", "FramesUsed", "KindAnswer"]

BARE_BASE: Final = ""
"""Where kinds are routed that no adapter answers."""

Outcome = tuple[int, ClipAnswers | CrashChatError]


class ClipReader(Protocol):
    """A reader that waits for the frames; `frames.FrameReader` is one."""

    def read(self, path: str | Path, *, fps: float, max_frames: int, max_tokens: int | None) -> Frames: ...


class Engine:
    """Answers clips with one loaded model.  Not thread-safe: adapters are switched while answering.

    Without adapters the base model answers everything.  With adapters, every routed adapter must be loaded
    ("" is the bare base): AdapterError otherwise.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        settings: EngineSettings,
        frame_reader: FrameSource,
        features: FeatureStore | None = None,
    ) -> None:
        self.loaded = loaded
        self.settings = settings
        self.frame_reader = frame_reader
        self.feature_store = features
        self.watch = Watch.of(loaded.tokenizer)
        self.vision_room, self.prefix_room = MemoryRoom(), MemoryRoom()
        if loaded.adapters:
            missing = sorted({settings.routing[kind] for kind in k.ALL} - {BARE_BASE, *loaded.adapters})
            if missing:
                raise AdapterError(f"routed to but not loaded: {', '.join(missing)}")

    def answer(
        self, path: str | Path, prompts: Mapping[str, str] | None = None, kinds: Sequence[str] = k.ALL
    ) -> ClipAnswers:
        """Answer `kinds` about the clip at `path`; questions not in `prompts` use the default wording.

        When localisation is gated and asked without recognition, recognition is asked too (and returned),
        since the gate needs it.  Raises FrameReadError and its subclasses for clips that cannot be read,
        OutOfMemoryError for one that is too large, and ValueError for unknown kinds and unusable questions.
        """
        self._questions(prompts, kinds)
        [(_, outcome)] = self.answer_many([ClipRequest(path, prompts, kinds)])
        if isinstance(outcome, CrashChatError):
            raise outcome
        return outcome

    def answer_many(self, requests: Iterable[ClipRequest]) -> Iterator[Outcome]:
        """Yield (position, answers or the reason why there are none) of every request, as batches get done.

        `requests` is read lazily, never more than two batches ahead; positions count from 0 in its order.  The
        next clips are decoded while the model works.  A clip that cannot be read or does not fit into memory,
        and a request that makes no sense, is that request's outcome and disturbs no other.
        """
        place = self.loaded.device
        with ReadAhead(
            requests,
            reader=self.frame_reader,
            settings=self.settings,
            dtype=self.loaded.dtype,
            pin=place.type == "cuda",
            store=self.feature_store,
        ) as ahead:
            for batch in ahead.batches():
                yield from self._answer_batch(batch, ahead)

    def adapter_of(self, kind: str) -> str:
        """The adapter that answers `kind`; "" for the bare base model."""
        return self.settings.routing[kind] if self.loaded.adapters else BARE_BASE

    def _questions(self, prompts: Mapping[str, str] | None, kinds: Sequence[str]) -> dict[str, str]:
        """The questions to ask, in the order of the kinds; recognition is among them when the gate needs it."""
        for kind in kinds:
            k.check_kind(kind)
        gated = self.settings.gate_localisation and any(kind in k.PERCEPTION for kind in kinds)
        asked = tuple(x for x in k.ALL if x in kinds or (gated and x == k.CRASH_RECOGNITION))
        return complete_prompts(prompts, asked)

    @torch.inference_mode()
    def _answer_batch(self, batch: Sequence[Read], ahead: ReadAhead) -> list[Outcome]:
        """The outcomes of one batch, in its order."""
        clips: list[_Clip] = []
        errors: dict[int, CrashChatError] = {}
        for read in batch:
            clip = self._try_to_see(read, ahead)
            if isinstance(clip, _Clip):
                clips.append(clip)
            else:
                errors[read.position] = clip
        for adapter in self._adapters():
            asked = [clip for clip in clips if clip.error is None and self._due(clip, adapter)]
            for part, result in in_halves(
                asked,
                partial(self._ask, adapter=adapter),
                room=self.prefix_room,
                size_of=_padded_tokens,
                stage="answering clips",
            ):
                for index, clip in enumerate(part):
                    if isinstance(result, OutOfMemoryError):
                        clip.error = OutOfMemoryError(f"{clip.path}: {result}")
                    else:
                        self._take(clip, result[index])
        errors |= {clip.position: clip.error for clip in clips if clip.error is not None}
        done = {clip.position: clip.finish() for clip in clips if clip.error is None}
        return [(read.position, errors.get(read.position) or done[read.position]) for read in batch]

    def _adapters(self) -> list[str]:
        """The adapters in the order of work: recognition's first."""
        order = (k.CRASH_RECOGNITION, *(kind for kind in k.ALL if kind != k.CRASH_RECOGNITION))
        return list(dict.fromkeys(self.adapter_of(kind) for kind in order))

    def _try_to_see(self, read: Read, ahead: ReadAhead) -> "_Clip | CrashChatError":
        """A clip with its features and the tokens of its prefix, or why there is none."""
        if isinstance(read.clip, CrashChatError):
            return read.clip
        try:
            questions = self._questions(read.request.prompts, read.request.kinds)
        except ValueError as error:
            return CrashChatError(f"{read.request.path}: {error}")
        try:
            return self._see(read, read.clip, questions, ahead)
        except OutOfMemoryError as error:
            return error
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return OutOfMemoryError(f"{read.request.path}: not enough memory for its features ({error})")

    def _see(self, read: Read, clip: ReadClip, questions: dict[str, str], ahead: ReadAhead) -> "_Clip":
        """Raises OutOfMemoryError when not even a single frame fits."""
        began = time.perf_counter()
        timings = clip.timings
        if clip.stored is not None:
            seen = clip.stored
            features = seen.features.to(self.loaded.device, self.loaded.dtype)
        else:
            assert clip.inputs is not None
            features = self._encode(str(read.request.path), clip.inputs)
            seen = ClipFeatures(features, clip.inputs.token_counts, clip.used, clip.duration_us)
            clip.inputs = None  # the pixels are not needed again
            if self.feature_store is not None and read.request.features_key is not None:
                ahead.keep(read.request.features_key, replace(seen, features=features.cpu()))
        text = prefix_text(seen.frames.times_us, seen.token_counts)
        ids = self.loaded.tokenizer.encode(text, add_special_tokens=False)
        self._synchronize()
        timings["vision"] = time.perf_counter() - began
        return _Clip(
            position=read.position,
            path=str(read.request.path),
            questions=questions,
            features=features,
            ids=ids,
            frames=seen.frames,
            duration_us=seen.duration_us,
            timings=timings,
            open=True if not self.settings.gate_localisation else None,
        )

    def _encode(self, path: str, inputs: ClipInputs) -> torch.Tensor:
        """Vision features of a clip, in as many parts as memory asks for."""
        parts = []
        for _, features in in_halves(
            range(int(inputs.grid[0, 0])),
            lambda frames: encode_frames(self.loaded.network, inputs, frames[0], frames[-1] + 1),
            room=self.vision_room,
            size_of=lambda frames: len(frames) * inputs.tokens_per_frame,
            stage="seeing frames",
        ):
            if isinstance(features, OutOfMemoryError):
                raise OutOfMemoryError(f"{path}: {features}")
            parts.append(features)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _due(self, clip: "_Clip", adapter: str) -> list[str]:
        """Kinds to ask a clip now: this adapter's, without those whose gate is closed or not decided yet."""
        return [
            kind
            for kind in clip.questions
            if self.adapter_of(kind) == adapter
            and kind not in clip.answers
            and (clip.open or kind not in k.PERCEPTION)
        ]

    def _ask(self, clips: Sequence["_Clip"], adapter: str) -> list["_Asked"]:
        """Prefill the clips' prefixes under one adapter and ask them all that is due; nothing of it is kept.

        When this adapter answers recognition and gated questions both, the latter follow from the same
        prefixes as soon as recognition has spoken.
        """
        self.loaded.use(adapter)
        began = time.perf_counter()
        results = [_Asked() for _ in clips]
        first = [(i, kind) for i, clip in enumerate(clips) for kind in self._due(clip, adapter)]
        after = [
            (i, kind)
            for i, clip in enumerate(clips)
            for kind in clip.questions
            if clip.open is None and kind in k.PERCEPTION and self.adapter_of(kind) == adapter
        ]
        prefixes = prefill_rows(
            self.loaded.network,
            [(clip.ids, clip.features) for clip in clips],
            room=max(room_for(self._rows(clips, asked)) for asked in (first, after)),
            chunk=self.settings.prefill_chunk,
        )
        self._synchronize()
        prefilled = time.perf_counter()
        self._decode(clips, adapter, prefixes, first, results)
        after = [(i, kind) for i, kind in after if says_yes(results[i].answers[k.CRASH_RECOGNITION])]
        self._decode(clips, adapter, prefixes, after, results)
        decoded = time.perf_counter()
        for result in results:
            result.timings["prefill"] = (prefilled - began) / len(clips)
            result.timings["answers"] = (decoded - prefilled) / len(clips)
        return results

    def _decode(
        self,
        clips: Sequence["_Clip"],
        adapter: str,
        prefixes: StackedPrefixes,
        asked: Sequence[tuple[int, str]],
        results: Sequence["_Asked"],
    ) -> None:
        """Ask (clip, kind) pairs in one batch and write the answers into the clips' results."""
        rows = self._rows(clips, asked)
        traces = iter(decode(self.loaded, prefixes, rows, self.watch))
        samples = self.settings.agreement_samples
        for i, kind in asked:
            answer, *drawn = (
                read_answer(
                    kind,
                    next(traces),
                    tokenizer=self.loaded.tokenizer,
                    question=clips[i].questions[kind],
                    adapter=adapter,
                    duration_us=clips[i].duration_us,
                )
                for _ in range(1 + samples)
            )
            if drawn:
                answer = with_agreement(
                    answer,
                    drawn,
                    temperature=self.settings.agreement_temperature,
                    seed=self.settings.agreement_seed,
                )
            results[i].answers[kind] = answer

    def _rows(self, clips: Sequence["_Clip"], asked: Sequence[tuple[int, str]]) -> list[Question]:
        """What to decode for (clip, kind) pairs: each question greedily, then its samples."""
        settings, rows = self.settings, []
        for i, kind in asked:
            question = clips[i].questions[kind]
            suffix = self.loaded.tokenizer.encode(suffix_text(question), add_special_tokens=False)
            rows.append(Question(i, suffix, settings.max_new_tokens[kind]))
            for number in range(settings.agreement_samples):
                drawn = Sampling.of(
                    settings.agreement_temperature, settings.agreement_seed, kind, question, number
                )
                rows.append(Question(i, suffix, settings.max_new_tokens[kind], drawn))
        return rows

    def _take(self, clip: "_Clip", asked: "_Asked") -> None:
        """Add an adapter's answers to a clip; recognition's decides about the gate."""
        clip.answers |= asked.answers
        for stage, seconds in asked.timings.items():
            clip.timings[stage] = clip.timings.get(stage, 0.0) + seconds
        recognition = clip.answers.get(k.CRASH_RECOGNITION)
        if clip.open is not None or recognition is None:
            return
        clip.open = says_yes(recognition)
        if not clip.open:
            clip.answers |= {
                kind: closed_answer(kind, recognition, question=question, adapter=self.adapter_of(kind))
                for kind, question in clip.questions.items()
                if kind in k.PERCEPTION
            }

    def _synchronize(self) -> None:
        """Wait for the device, so that stages are timed where they are spent."""
        if self.loaded.device.type == "cuda":
            torch.cuda.synchronize(self.loaded.device)


@dataclass
class _Asked:
    """What one adapter said about one clip, and its share of the time."""

    answers: dict[str, KindAnswer] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


@dataclass
class _Clip:
    """One clip being answered.  open: whether localisation may be asked, None until recognition has spoken."""

    position: int
    path: str
    questions: dict[str, str]
    features: torch.Tensor
    ids: list[int]
    frames: FramesUsed
    duration_us: int
    timings: dict[str, float]
    open: bool | None
    answers: dict[str, KindAnswer] = field(default_factory=dict)
    error: CrashChatError | None = None

    def finish(self) -> ClipAnswers:
        """The result object."""
        answers = {kind: self.answers[kind] for kind in self.questions}
        return ClipAnswers(answers, self.frames, self.duration_us, self.timings)


def _padded_tokens(clips: Sequence[_Clip]) -> int:
    """Tokens that the clips' prefixes take in one cache."""
    return len(clips) * max((len(clip.ids) for clip in clips), default=0)
