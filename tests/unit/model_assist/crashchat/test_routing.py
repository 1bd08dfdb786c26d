"""Which adapter answers which kind: a setting, with a default, written down with every answer."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from model_assist.crashchat import kinds as k
from model_assist.crashchat.answers import ClipAnswers
from model_assist.crashchat.engine import Engine
from model_assist.crashchat.errors import AdapterError
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.settings import DEFAULT_ROUTING, EngineSettings, read_settings

EVERYWHERE = dict.fromkeys(k.ALL, "perception")


def ask(loaded: LoadedModel, clip: Path, routing: Mapping[str, str]) -> ClipAnswers:
    settings = EngineSettings.from_dict(
        {**loaded.settings, "routing": dict(routing), "gate_localisation": False}
    )
    with FrameReader() as reader:
        return Engine(loaded, settings=settings, frame_reader=reader).answer(clip)


def test_the_default_sends_each_group_to_its_adapter() -> None:
    linguistic = ("crash_recognition", "crash_description", "causal_reasoning", "prevention_reasoning")
    assert {kind for kind, name in DEFAULT_ROUTING.items() if name == "linguistic"} == set(linguistic)
    assert {kind for kind, name in DEFAULT_ROUTING.items() if name == "perception"} == set(k.PERCEPTION)
    assert EngineSettings().routing == dict(DEFAULT_ROUTING)


def test_the_adapter_is_written_down_with_each_answer(loaded: LoadedModel, clip: Path) -> None:
    said = ask(loaded, clip, {})
    assert {kind: a.adapter for kind, a in said.answers.items()} == dict(DEFAULT_ROUTING)


def test_routing_is_a_setting_and_changes_who_answers(loaded: LoadedModel, clip: Path) -> None:
    usual, changed = ask(loaded, clip, {}), ask(loaded, clip, EVERYWHERE)
    assert {a.adapter for a in changed.answers.values()} == {"perception"}
    assert {kind for kind in k.ALL if usual.answers[kind].raw_text != changed.answers[kind].raw_text} <= set(
        k.LINGUISTIC
    )
    assert usual.answers[k.CRASH_DESCRIPTION].raw_text != changed.answers[k.CRASH_DESCRIPTION].raw_text


def test_a_partial_table_is_completed_with_the_default(tmp_path: Path) -> None:
    (tmp_path / "crashdesk.json").write_text(json.dumps({"routing": {k.CRASH_RECOGNITION: "heterogeneous"}}))
    settings = EngineSettings.from_dict(read_settings(tmp_path))
    assert settings.routing[k.CRASH_RECOGNITION] == "heterogeneous"
    assert settings.routing[k.CRASH_LOCALIZATION] == "perception"


def test_routes_to_nowhere_are_errors(loaded: LoadedModel) -> None:
    with pytest.raises(ValueError, match="unknown kind 'weather'"):
        EngineSettings.from_dict({"routing": {"weather": "linguistic"}})
    settings = EngineSettings.from_dict({"routing": {k.CRASH_RECOGNITION: "heterogeneous"}})
    with FrameReader() as reader, pytest.raises(AdapterError, match="not loaded: heterogeneous"):
        Engine(loaded, settings=settings, frame_reader=reader)


def test_a_kind_may_be_left_to_the_bare_base(loaded: LoadedModel, bare: LoadedModel, clip: Path) -> None:
    mixed = ask(loaded, clip, {**DEFAULT_ROUTING, k.CRASH_DESCRIPTION: ""})
    usual, base = ask(loaded, clip, {}), ask(bare, clip, {})
    assert mixed.answers[k.CRASH_DESCRIPTION].adapter == ""
    assert mixed.answers[k.CRASH_DESCRIPTION].raw_text == base.answers[k.CRASH_DESCRIPTION].raw_text
    assert usual.answers[k.CRASH_DESCRIPTION].raw_text != base.answers[k.CRASH_DESCRIPTION].raw_text
    for kind in (k.CAUSAL_REASONING, k.CRASH_LOCALIZATION):
        assert mixed.answers[kind].raw_text == usual.answers[kind].raw_text


def test_a_bare_base_answers_everything_itself(bare: LoadedModel, clip: Path) -> None:
    assert {a.adapter for a in ask(bare, clip, EVERYWHERE).answers.values()} == {""}
