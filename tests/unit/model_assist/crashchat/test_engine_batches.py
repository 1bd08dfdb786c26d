"""The engine over many clips: exhausted memory, stored features, gates, bad clips, agreement, less work."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from model_assist.crashchat import batching_memory
from model_assist.crashchat import engine as engine_module
from model_assist.crashchat import kinds as k
from model_assist.crashchat.answers import ClipAnswers, ClipRequest
from model_assist.crashchat.batching import prefill_rows
from model_assist.crashchat.batching_decode import Question, decode
from model_assist.crashchat.batching_memory import OutOfMemoryError
from model_assist.crashchat.engine import Engine
from model_assist.crashchat.errors import CrashChatError, UndecodableError
from model_assist.crashchat.features import ClipFeatures
from model_assist.crashchat.frames import Frames
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.prefix import Trace, encode_frames
from model_assist.crashchat.preprocess import ClipInputs
from model_assist.crashchat.prompts import DEFAULT_PROMPTS
from model_assist.crashchat.settings import EngineSettings
from tests.unit.model_assist.crashchat.naive import PictureReader, picture_frames

LIMITS = dict.fromkeys(k.ALL, 5)
SETTINGS = EngineSettings(max_tokens=320, max_new_tokens=LIMITS, gate_localisation=False)
FRAMES: dict[str, Frames | Exception] = {f"clip-{n}": picture_frames(n, seed=n) for n in (1, 3, 4, 6, 2)}
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB")
CPU_FULL = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"
)


def engine_of(loaded: LoadedModel, reader: Any = None, store: Any = None, **changes: Any) -> Engine:
    chosen = dataclasses.replace(SETTINGS, **changes)
    return Engine(loaded, settings=chosen, frame_reader=reader or PictureReader(FRAMES), features=store)


def texts(engine: Engine, names: Sequence[str], **options: Any) -> dict[str, Any]:
    """Raw texts by clip and kind, or the error."""
    found: dict[str, Any] = {}
    for position, outcome in engine.answer_many(ClipRequest(name, **options) for name in names):
        said = outcome
        if isinstance(outcome, ClipAnswers):
            found[names[position]] = {kind: a.raw_text for kind, a in outcome.answers.items()}
        else:
            found[names[position]] = said
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collecting garbage takes a tenth of a second here; test_batching_memory shows that it is done."""
    monkeypatch.setattr(batching_memory, "release", lambda: None)


@pytest.fixture(scope="module")
def expected(loaded: LoadedModel) -> dict[str, Any]:
    return texts(engine_of(loaded, clips_per_batch=1), list(FRAMES))


class Scarce:
    """A stage that runs out of memory when it is given more than `most`; keeps how much it was given."""

    def __init__(
        self, real: Callable[..., Any], size: Callable[..., int], most: int, error: Exception
    ) -> None:
        self.real, self.size, self.most, self.error = real, size, most, error
        self.tried: list[int] = []

    def __call__(self, *given: Any, **options: Any) -> Any:
        self.tried.append(self.size(*given))
        if self.tried[-1] > self.most:
            raise self.error
        return self.real(*given, **options)


def clips_prefilled(network: Any, prefixes: Sequence[Any]) -> int:
    return len(prefixes)


def clips_decoded(loaded: Any, prefixes: Any, questions: Sequence[Question], watch: Any) -> int:
    return len(prefixes.lengths)


def frames_seen(network: Any, clip: ClipInputs, first: int, last: int) -> int:
    return last - first


STAGES: dict[str, tuple[Callable[..., Any], Callable[..., int]]] = {
    "prefill_rows": (prefill_rows, clips_prefilled),
    "decode": (decode, clips_decoded),
    "encode_frames": (encode_frames, frames_seen),
}


@pytest.mark.parametrize("error", [FULL, CPU_FULL, MemoryError()], ids=["cuda", "cpu", "python"])
@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("stage", STAGES)
def test_work_that_does_not_fit_is_done_in_halves(
    loaded: LoadedModel,
    expected: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    most: int,
    error: Exception,
) -> None:
    scarce = Scarce(*STAGES[stage], most, error)
    monkeypatch.setattr(engine_module, stage, scarce)
    assert texts(engine_of(loaded, clips_per_batch=5), list(FRAMES)) == expected
    assert max(scarce.tried) > most
    assert min(scarce.tried) <= most


def test_the_next_batch_knows_what_fits(
    loaded: LoadedModel, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["clip-6"] * 4
    scarce = Scarce(*STAGES["prefill_rows"], 2, FULL)
    monkeypatch.setattr(engine_module, "prefill_rows", scarce)
    engine = engine_of(loaded, clips_per_batch=4)
    assert texts(engine, names)["clip-6"] == expected["clip-6"]
    assert scarce.tried[:3] == [4, 2, 2]
    scarce.tried.clear()
    texts(engine, names)
    assert max(scarce.tried) <= 3
    scarce.tried.clear()
    texts(engine, names)
    assert max(scarce.tried) == 2


@pytest.mark.parametrize("stage", STAGES)
def test_a_clip_that_does_not_fit_alone_is_its_own_error(
    loaded: LoadedModel, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    real, _ = STAGES[stage]
    large = {"prefill_rows": "clip-6", "decode": "clip-6", "encode_frames": "clip-6"}[stage]

    def size(first: Any, second: Any, *rest: Any) -> int:
        if stage == "prefill_rows":
            return max(len(ids) for ids, _ in second)
        if stage == "decode":
            return int(second.width)
        return int(second.grid[0, 0])

    lengths = {name: len(f.times_us) for name, f in FRAMES.items() if isinstance(f, Frames)}
    sizes: list[int] = []
    monkeypatch.setattr(engine_module, stage, lambda *g, **o: (sizes.append(size(*g)), real(*g, **o))[1])
    texts(engine_of(loaded, clips_per_batch=1), list(FRAMES))
    assert max(lengths, key=lambda name: lengths[name]) == large
    monkeypatch.setattr(engine_module, stage, Scarce(real, size, max(sizes) - 1, FULL))
    found = texts(engine_of(loaded, clips_per_batch=3), list(FRAMES))
    assert isinstance(found.pop(large), OutOfMemoryError)
    assert found == {name: answers for name, answers in expected.items() if name != large}


def test_other_errors_of_the_model_are_not_taken_for_memory(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        engine_module, "prefill_rows", Scarce(*STAGES["prefill_rows"], 0, RuntimeError("device-side assert"))
    )
    with pytest.raises(RuntimeError, match="device-side"):
        texts(engine_of(loaded), list(FRAMES))


def test_bad_clips_and_bad_questions_disturb_no_other(loaded: LoadedModel, expected: dict[str, Any]) -> None:
    reader = PictureReader(FRAMES | {"broken": UndecodableError("broken: not a video")})
    engine = engine_of(loaded, reader, clips_per_batch=3)
    requests = [
        ClipRequest("clip-3"),
        ClipRequest("broken"),
        ClipRequest("clip-4", prompts={k.CRASH_RECOGNITION: " "}),
        ClipRequest("clip-6", kinds=["weather"]),
        ClipRequest("clip-1"),
    ]
    found = dict(engine.answer_many(requests))
    assert [type(found[i]) for i in range(5)] == [
        ClipAnswers, UndecodableError, CrashChatError, CrashChatError, ClipAnswers,
    ]  # fmt: skip
    for position, name in ((0, "clip-3"), (4, "clip-1")):
        outcome = found[position]
        assert isinstance(outcome, ClipAnswers)
        assert {kind: a.raw_text for kind, a in outcome.answers.items()} == expected[name]
    assert "clip-4: crash_recognition: the prompt is empty" in str(found[2])


class Shelf:
    def __init__(self) -> None:
        self.held: dict[str, ClipFeatures] = {}

    def get(self, key: str) -> ClipFeatures | None:
        return self.held.get(key)

    def put(self, key: str, value: ClipFeatures) -> None:
        self.held[key] = value


def test_stored_features_give_the_same_answers_without_the_vision_tower(
    loaded: LoadedModel, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf, reader = Shelf(), PictureReader(FRAMES)
    seen = Scarce(*STAGES["encode_frames"], 1000, FULL)
    monkeypatch.setattr(engine_module, "encode_frames", seen)
    engine = engine_of(loaded, reader, store=shelf, clips_per_batch=2)
    requests = [ClipRequest(name, features_key=f"key {name}") for name in FRAMES]
    first, second = dict(engine.answer_many(requests)), dict(engine.answer_many(requests))
    assert len(seen.tried) == len(reader.begun) == len(FRAMES)
    assert sorted(shelf.held) == sorted(f"key {name}" for name in FRAMES)
    for position, name in enumerate(FRAMES):
        for outcome in (first[position], second[position]):
            assert isinstance(outcome, ClipAnswers)
            assert {kind: a.raw_text for kind, a in outcome.answers.items()} == expected[name]
        one, other = first[position], second[position]
        assert isinstance(one, ClipAnswers)
        assert isinstance(other, ClipAnswers)
        assert (one.frames, one.duration_us, one.answers) == (other.frames, other.duration_us, other.answers)
        kept = shelf.held[f"key {name}"]
        assert kept.features.shape[0] == sum(kept.token_counts) == one.frames.visual_tokens


def test_each_thing_is_done_once(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, prefilled, decoded = (
        Scarce(real, size, 1000, FULL)
        for real, size in (STAGES[s] for s in ("encode_frames", "prefill_rows", "decode"))
    )
    monkeypatch.setattr(engine_module, "encode_frames", seen)
    monkeypatch.setattr(engine_module, "prefill_rows", prefilled)
    monkeypatch.setattr(engine_module, "decode", decoded)
    projected: list[int] = []
    hook = loaded.network.model.projector.register_forward_hook(lambda *_: projected.append(1))
    try:
        texts(engine_of(loaded, clips_per_batch=5), list(FRAMES))
    finally:
        hook.remove()
    assert len(seen.tried) == 5  # the vision tower once per clip
    assert prefilled.tried == [5, 5]  # once per adapter, all clips together
    assert len(projected) == 2 * 5
    assert len([n for n in decoded.tried if n]) in (2, 4)


def gate_by_name(monkeypatch: pytest.MonkeyPatch, loaded: LoadedModel, yes: set[int]) -> list[int]:
    """Make recognition say yes in the given rows; keep how many questions each decode was asked."""
    asked: list[int] = []
    recognition = loaded.tokenizer.encode(DEFAULT_PROMPTS[k.CRASH_RECOGNITION], add_special_tokens=False)

    def speak(given: Any, prefixes: Any, questions: Sequence[Question], watch: Any) -> list[Trace]:
        asked.append(len(questions))
        found = decode(given, prefixes, questions, watch)
        for index, question in enumerate(questions):
            if list(question.suffix)[: len(recognition)] == recognition:
                word = "Yes" if question.prefix in yes else "No"
                found[index] = Trace(loaded.tokenizer.encode(word), [-0.1], p_yes=0.5, p_no=0.4, ended=True)
        return found

    monkeypatch.setattr(engine_module, "decode", speak)
    return asked


@pytest.mark.parametrize("together", [True, False], ids=["one adapter", "two adapters"])
def test_only_clips_with_a_crash_are_asked_when(
    loaded: LoadedModel, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    routing = dict.fromkeys(k.ALL, "linguistic") if together else SETTINGS.routing
    asked = gate_by_name(monkeypatch, loaded, {1, 3})
    prefilled = Scarce(*STAGES["prefill_rows"], 1000, FULL)
    monkeypatch.setattr(engine_module, "prefill_rows", prefilled)
    engine = engine_of(loaded, gate_localisation=True, clips_per_batch=5, routing=routing)
    found = dict(engine.answer_many(ClipRequest(name) for name in FRAMES))
    for position, outcome in found.items():
        assert isinstance(outcome, ClipAnswers)
        assert tuple(outcome.answers) == k.ALL
        states = {outcome.answers[kind].confidence_detail.get("gated", False) for kind in k.PERCEPTION}
        assert states == {position not in {1, 3}}
    assert [n for n in asked if n] == [20, 4]
    assert prefilled.tried == ([5] if together else [5, 2])


def test_samples_are_recorded_and_reproducible(loaded: LoadedModel, expected: dict[str, Any]) -> None:
    changes: dict[str, Any] = {"agreement_samples": 3, "agreement_temperature": 0.12, "clips_per_batch": 5}
    first = dict(engine_of(loaded, **changes).answer_many(ClipRequest(n) for n in FRAMES))
    alone = dict(
        engine_of(loaded, **changes | {"clips_per_batch": 1}).answer_many(ClipRequest(n) for n in FRAMES)
    )
    other = dict(engine_of(loaded, **changes, agreement_seed=1).answer_many(ClipRequest(n) for n in FRAMES))
    shares = []
    for position, name in enumerate(FRAMES):
        one, two = first[position], alone[position]
        assert isinstance(one, ClipAnswers)
        assert isinstance(two, ClipAnswers)
        for kind, answer in one.answers.items():
            record = answer.confidence_detail["agreement"]
            assert record == two.answers[kind].confidence_detail["agreement"]
            assert (record["samples"], record["temperature"], record["seed"]) == (3, 0.12, 0)
            assert 0 <= record["share"] <= 1
            assert answer.raw_text == expected[name][kind]
            shares.append(record["share"])
    assert len(set(shares)) > 1
    assert shares != [
        answer.confidence_detail["agreement"]["share"]
        for outcome in other.values()
        if isinstance(outcome, ClipAnswers)
        for answer in outcome.answers.values()
    ]
    plain = engine_of(loaded).answer("clip-3").answers
    assert all("agreement" not in a.confidence_detail for a in plain.values())
