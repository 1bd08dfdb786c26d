"""The tiny model is the real architecture, small and reproducible."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_assist.crashchat.model import LoadedModel, load
from model_assist.crashchat.settings import EngineSettings, read_settings
from model_assist.crashchat.tiny import TINY_SETTINGS, main, make_tokenizer

TOKENIZER = make_tokenizer()


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "a")]) == main([str(tmp_path / "b")]) == 0
    assert main([str(tmp_path / "c"), "--seed", "1"]) == 0
    same, other = digests(tmp_path / "a"), digests(tmp_path / "c")
    assert same == digests(tmp_path / "b")
    assert same["model.safetensors"] != other["model.safetensors"]
    assert "untrained" in capsys.readouterr().out
    assert EngineSettings.from_dict(read_settings(tmp_path / "a")) == TINY_SETTINGS
    loaded = load(tmp_path / "a", {}, device="cpu")
    assert sum(p.numel() for p in loaded.model.parameters()) < 2_000_000


def test_the_architecture_is_the_real_one(bare: LoadedModel) -> None:
    assert bare.network.config.model_type == "video_llama_3"
    assert type(bare.network).__name__ == "VideoLlama3ForConditionalGeneration"


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="|"), max_size=60))
def test_any_text_survives_the_tokenizer(text: str) -> None:
    import unicodedata

    expected = unicodedata.normalize("NFC", text)
    assert TOKENIZER.decode(TOKENIZER.encode(text, add_special_tokens=False)) == expected


def test_digits_are_tokens_of_their_own() -> None:
    assert len(TOKENIZER.encode("12.5", add_special_tokens=False)) == 4
