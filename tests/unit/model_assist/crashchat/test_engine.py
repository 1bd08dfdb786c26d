"""Six answers about a clip: routing, gating, evidence."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from model_assist.crashchat import engine as engine_module
from model_assist.crashchat import kinds as k
from model_assist.crashchat.batching_decode import Question
from model_assist.crashchat.engine import CUT_OFF, Engine
from model_assist.crashchat.errors import AdapterError, UndecodableError
from model_assist.crashchat.frames import Frames, read_frames
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.prefix import Trace
from model_assist.crashchat.prompts import DEFAULT_PROMPTS, prompt_version
from model_assist.crashchat.settings import EngineSettings

SETTINGS = EngineSettings.from_dict({"max_tokens": 320, "max_new_tokens": dict.fromkeys(k.ALL, 12)})
ANSWERS = {
    k.CRASH_RECOGNITION: "Yes",
    k.CRASH_DESCRIPTION: "car hits truck",
    k.CAUSAL_REASONING: "The car braked too late.",
    k.PREVENTION_REASONING: "Brake earlier.",
    k.CRASH_LOCALIZATION: "0.5 - 1.2 seconds",
    k.PRE_CRASH_LOCALIZATION: "0.3 seconds",
}


class PlainReader:
    """Reads in this process, when the frames are asked for."""

    def __init__(self) -> None:
        self.reads = 0

    def begin(self, path: str | Path, **options: Any) -> "PlainPending":
        self.reads += 1
        return PlainPending(path, options)


class PlainPending:
    def __init__(self, path: str | Path, options: dict[str, Any]) -> None:
        self.path, self.options = path, options

    def result(self) -> Frames:
        return read_frames(self.path, **self.options)

    def cancel(self) -> None:
        pass


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the decoder will say to the default questions; the network still sees every clip."""
    words = dict(ANSWERS)
    kind_of = {text: kind for kind, text in DEFAULT_PROMPTS.items()}

    def speak(loaded: LoadedModel, prefixes: Any, questions: list[Question], watch: Any) -> list[Trace]:
        traces = []
        for asked in questions:
            question = loaded.tokenizer.decode(list(asked.suffix)).split("<|im_end|>")[0]
            tokens = loaded.tokenizer.encode(words[kind_of[question]], add_special_tokens=False)
            traces.append(Trace(tokens, [-0.1] * len(tokens), p_yes=0.9, p_no=0.05, ended=True))
        return traces

    monkeypatch.setattr(engine_module, "decode", speak)
    return words


def engine_of(loaded: LoadedModel, **changes: Any) -> Engine:
    return Engine(loaded, settings=dataclasses.replace(SETTINGS, **changes), frame_reader=PlainReader())


def test_six_answers_with_their_evidence(loaded: LoadedModel, clip: Path, said: dict[str, str]) -> None:
    result = engine_of(loaded).answer(clip)
    assert {x: a.raw_text for x, a in result.answers.items()} == said
    assert tuple(result.answers) == k.ALL
    assert {a.state for a in result.answers.values()} == {"valued"}
    assert result.answers[k.CRASH_LOCALIZATION].value == {"start_us": 500_000, "end_us": 1_200_000}
    assert [result.answers[x].adapter for x in (k.CRASH_RECOGNITION, k.CRASH_LOCALIZATION)] == [
        "linguistic",
        "perception",
    ]
    recognition = result.answers[k.CRASH_RECOGNITION]
    assert recognition.confidence == pytest.approx(0.9)
    assert recognition.prompt_version == prompt_version(DEFAULT_PROMPTS[k.CRASH_RECOGNITION])
    assert result.duration_us == 2_000_000
    assert (result.frames.count, result.frames.fps) == (20, 10)
    assert result.frames.reader in ("pyav", "decord")
    assert result.frames.times_us[-1] == 1_900_000
    assert (result.frames.width % 28, result.frames.height % 28) == (0, 0)
    assert {"frames", "preprocess", "vision", "prefill", "answers"} == set(result.timings)
    assert json.loads(json.dumps(result.to_dict()))["answers"][k.CRASH_RECOGNITION]["value"] == {
        "label": "yes"
    }


@pytest.mark.parametrize("word", ["No", "perhaps"])
def test_localisation_waits_for_a_yes(
    loaded: LoadedModel, clip: Path, said: dict[str, str], word: str
) -> None:
    said[k.CRASH_RECOGNITION] = word
    result = engine_of(loaded).answer(clip)
    for kind in k.PERCEPTION:
        answer = result.answers[kind]
        assert (answer.raw_text, answer.state, answer.value) == ("", "absent", None)
        assert answer.confidence == result.answers[k.CRASH_RECOGNITION].confidence
        assert answer.confidence_detail["gated"] is True
        assert answer.reason
    ungated = engine_of(loaded, gate_localisation=False).answer(clip)
    assert ungated.answers[k.CRASH_LOCALIZATION].raw_text == said[k.CRASH_LOCALIZATION]


def test_the_gate_asks_recognition_when_it_was_not_asked_for(
    loaded: LoadedModel, clip: Path, said: dict[str, str]
) -> None:
    assert tuple(engine_of(loaded).answer(clip, kinds=[k.CRASH_LOCALIZATION]).answers) == (
        k.CRASH_RECOGNITION,
        k.CRASH_LOCALIZATION,
    )
    ungated = engine_of(loaded, gate_localisation=False)
    assert tuple(ungated.answer(clip, kinds=[k.CRASH_LOCALIZATION]).answers) == (k.CRASH_LOCALIZATION,)


def test_routing_is_a_setting(loaded: LoadedModel, clip: Path, said: dict[str, str]) -> None:
    swapped = dict.fromkeys(k.ALL, "perception")
    result = engine_of(loaded, routing=swapped).answer(clip)
    assert {a.adapter for a in result.answers.values()} == {"perception"}
    with pytest.raises(AdapterError, match="heterogeneous"):
        engine_of(loaded, routing=swapped | {k.CRASH_RECOGNITION: "heterogeneous"})


def test_the_real_decoder_end_to_end(loaded: LoadedModel, bare: LoadedModel, clip: Path) -> None:
    engine = engine_of(loaded, gate_localisation=False)
    first, second = engine.answer(clip), engine.answer(clip)
    assert first.answers == second.answers
    for answer in first.answers.values():
        assert 0 <= answer.confidence <= 1
        if not answer.confidence_detail["ended"]:
            assert answer.reason == CUT_OFF
            assert answer.state == ("valued" if answer.kind in k.TEXT_KINDS else "unparsable")
    assert {a.adapter for a in engine_of(bare).answer(clip).answers.values()} == {""}
    assert engine.frame_reader.reads == 2  # type: ignore[attr-defined]


def test_one_kind_alone_equals_the_same_kind_among_six(loaded: LoadedModel, clip: Path) -> None:
    engine = engine_of(loaded, gate_localisation=False)
    together = engine.answer(clip).answers
    for kind in k.ALL:
        alone = engine.answer(clip, kinds=[kind]).answers[kind]
        assert alone.raw_text == together[kind].raw_text
        assert alone.confidence == pytest.approx(together[kind].confidence, abs=1e-5)


def test_bad_clips_and_kinds_are_named(loaded: LoadedModel, tmp_path: Path, clip: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"bad")
    with pytest.raises(UndecodableError, match=r"bad\.mp4"):
        engine_of(loaded).answer(tmp_path / "bad.mp4")
    with pytest.raises(ValueError, match="'weather'"):
        engine_of(loaded).answer(clip, kinds=["weather"])


def test_settings_survive_json_and_complain() -> None:
    assert EngineSettings.from_dict(json.loads(json.dumps(SETTINGS.to_dict()))) == SETTINGS
    partial = EngineSettings.from_dict({"routing": {k.CRASH_RECOGNITION: "heterogeneous"}})
    assert partial.routing[k.CRASH_RECOGNITION] == "heterogeneous"
    assert partial.routing[k.CRASH_LOCALIZATION] == "perception"
    with pytest.raises(ValueError, match="colour"):
        EngineSettings.from_dict({"colour": 1})
    with pytest.raises(ValueError, match="positive"):
        EngineSettings(fps=0)
    with pytest.raises(ValueError, match="'weather'"):
        EngineSettings(routing={"weather": "a"})
    with pytest.raises(ValueError, match="max_new_tokens"):
        EngineSettings(max_new_tokens={k.CRASH_RECOGNITION: 0})
