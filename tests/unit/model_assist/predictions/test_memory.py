"""Memory worked out by hand from files written by hand, and against what a real engine takes."""

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from model_assist.crashchat.batching import prefill_rows
from model_assist.crashchat.model import load
from model_assist.crashchat.settings import EngineSettings
from model_assist.crashchat.tiny import save_tiny
from model_assist.predictions.memory import (
    LONGEST_LABEL,
    MemoryUnknown,
    TextShape,
    clip_tokens,
    memory,
    parameters,
    question_tokens,
    read_shape,
)

TEXT = {"num_hidden_layers": 3, "num_key_value_heads": 2, "hidden_size": 64, "num_attention_heads": 4}


def write_weights(path: Path, *shapes: list[int]) -> None:
    header = {"__metadata__": {"format": "pt"}}
    header |= {
        f"t{n}": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]} for n, shape in enumerate(shapes)
    }
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    write_weights(folder / "model-1.safetensors", [10, 20], [])
    write_weights(folder / "model-2.safetensors", [5, 2, 3])
    (folder / "config.json").write_text(json.dumps({"text_config": TEXT}))
    return folder


def test_the_cache_of_the_published_model_is_what_was_measured() -> None:
    """Qwen2.5-7B: 28 layers, 4 key-value heads of 128, two bytes each: 2 x 28 x 4 x 128 x 2 = 57,344 bytes."""
    assert TextShape(layers=28, kv_heads=4, head_size=128).kv_bytes(2) == 57_344


def test_parameters_are_counted_by_the_headers(base: Path) -> None:
    assert parameters(base / "model-1.safetensors") == 10 * 20 + 1
    assert parameters(base / "model-2.safetensors") == 30


def test_a_total_by_hand(base: Path, tmp_path: Path) -> None:
    write_weights(tmp_path / "a" / "adapter_model.safetensors", [100])
    write_weights(tmp_path / "b" / "adapter_model.safetensors", [69])
    settings = EngineSettings(
        max_frames=4,
        max_tokens=1000,
        clips_per_batch=2,
        max_new_tokens={"crash_recognition": 8, "crash_localization": 24},
    )
    questions = {"crash_recognition": "Crash?", "crash_localization": "When?"}
    found = memory(base, [tmp_path / "a", tmp_path / "b"], settings, questions, dtype="float32")
    assert found.parameters == 201 + 30 + 100 + 69
    assert found.weights == 400 * 4
    assert found.kv_per_token == 2 * 3 * 2 * (64 // 4) * 4
    # 1000 visual tokens; 4 labels of at most 13 bytes; "<|im_start|>user\n" and a newline.
    assert len("Time 999.9s:,") == LONGEST_LABEL
    assert found.prefix == 1000 + 4 * 13 + 17 + 1
    # The longer question: "When?" + "<|im_end|>\n<|im_start|>assistant\n" (5 + 33 bytes) with 24 tokens of answer.
    assert found.room == 5 + 33 + 24
    assert found.row == (1070 + 62) * 768
    assert found.caches == 2 * found.row
    assert found.total == 1600 + found.caches
    half = memory(base, [tmp_path / "a", tmp_path / "b"], settings, questions, dtype="bfloat16")
    assert (half.total, half.kv_per_token) == (found.total // 2, 384)


def test_questions_of_one_adapter_stand_together_and_so_do_samples() -> None:
    """Each question: one letter and 33 bytes of marks; answers of 8, 64 and 24 tokens."""
    questions = {"crash_recognition": "A", "crash_description": "B", "crash_localization": "C"}
    assert question_tokens(questions, EngineSettings(), routed=True) == (34 + 8) + (34 + 64)
    assert question_tokens(questions, EngineSettings(), routed=False) == (34 + 8) + (34 + 64) + (34 + 24)
    sampled = EngineSettings(agreement_samples=2)
    assert question_tokens(questions, sampled, routed=True) == 3 * 140


def test_the_floor_of_each_frame_wins_over_a_small_budget() -> None:
    assert clip_tokens(EngineSettings(max_frames=100, max_tokens=10)) == 1600 + 100 * 13 + 18


def test_a_head_size_that_is_named_counts(base: Path) -> None:
    (base / "config.json").write_text(json.dumps({"text_config": {**TEXT, "head_dim": 32}}))
    assert read_shape(base).head_size == 32


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ("{", "not valid JSON"),
        ("[]", "no text_config"),
        ('{"model_type": "llama"}', "no text_config"),
        (json.dumps({"text_config": {**TEXT, "num_hidden_layers": None}}), "does not say num_hidden_layers"),
        (json.dumps({"text_config": {**TEXT, "num_key_value_heads": 0}}), "does not say num_key_value_heads"),
    ],
)
def test_what_the_configuration_does_not_tell_is_said(base: Path, config: str, why: str) -> None:
    (base / "config.json").write_text(config)
    with pytest.raises(MemoryUnknown, match=why):
        read_shape(base)


@pytest.mark.parametrize(
    "content", [b"", b"12345678", struct.pack("<Q", 2**40), struct.pack("<Q", 2) + b"[]"]
)
def test_a_file_that_is_no_safetensors_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(MemoryUnknown, match="no usable safetensors header"):
        parameters(tmp_path / "x.safetensors")


def test_missing_files_are_said(tmp_path: Path, base: Path) -> None:
    with pytest.raises(MemoryUnknown, match="cannot be read here"):
        read_shape(tmp_path / "elsewhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MemoryUnknown, match=r"holds no \.safetensors file"):
        memory(base, [tmp_path / "empty"], EngineSettings(), {"crash_recognition": "A"}, dtype="float32")


def test_the_web_process_needs_no_torch_for_it() -> None:
    code = "import sys, model_assist.predictions.memory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_parameters_and_the_cache_are_those_of_the_loaded_model(tmp_path: Path) -> None:
    save_tiny(tmp_path / "base")
    told = memory(tmp_path / "base", [], EngineSettings(), {"crash_recognition": "Crash?"}, dtype="float32")
    loaded = load(tmp_path / "base", {}, device="cpu")
    assert told.parameters == sum(one.numel() for one in loaded.network.parameters())
    hidden = loaded.network.config.vision_config.hidden_size
    with torch.inference_mode():
        rows = prefill_rows(
            loaded.network, [([5, 6, 7], torch.zeros(0, hidden)), ([5], torch.zeros(0, hidden))], room=9
        )
    assert (
        rows.memory.nbytes == 2 * (3 + 9) * told.kv_per_token
    )  # two clips in rows of the longest prefix and the room
