"""Checkpoints in the original layout become ones that load, weight for weight."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model_assist.crashchat.convert import main
from model_assist.crashchat.model import LoadedModel, load


def original_name(name: str, *, doubled: bool) -> str:
    encoder = "model.vision_encoder." + ("vision_encoder." if doubled else "")
    name = name.replace("model.vision_model.", encoder, 1)
    return name.replace("model.projector.", "model.mm_projector.", 1).replace(
        "model.language_model.", "model.", 1
    )


def write_original(loaded: LoadedModel, folder: Path, *, doubled: bool) -> None:
    folder.mkdir()
    weights = {original_name(n, doubled=doubled): w for n, w in loaded.network.state_dict().items()}
    torch.save(weights, folder / "pytorch_model.bin")
    loaded.tokenizer.save_pretrained(folder)
    config = loaded.network.config
    text: dict[str, Any] = config.text_config.to_dict()
    original = {n: v for n, v in text.items() if not isinstance(v, (dict, list)) and n != "model_type"}
    original |= {"model_type": "videollama3_qwen2", "vision_encoder_config": config.vision_config.to_dict()}
    original["rope_theta"] = text["rope_parameters"]["rope_theta"]
    (folder / "config.json").write_text(json.dumps(original))


@pytest.mark.parametrize("doubled", [False, True])
def test_a_base_converts_weight_for_weight(bare: LoadedModel, tmp_path: Path, doubled: bool) -> None:
    write_original(bare, tmp_path / "original", doubled=doubled)
    assert main(["base", str(tmp_path / "original"), str(tmp_path / "ours")]) == 0
    ours = load(tmp_path / "ours", {}, device="cpu")
    expected, found = bare.network.state_dict(), ours.network.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[n], found[n]) for n in expected)
    rope = "rope_parameters"
    assert ours.network.config.text_config.to_dict()[rope] == bare.network.config.text_config.to_dict()[rope]


def write_original_adapter(adapter: Path, folder: Path, vision_b: float = 0.0) -> None:
    folder.mkdir()
    weights = load_file(adapter / "adapter_model.safetensors")
    lora = {n.replace(".language_model.", "."): w for n, w in weights.items() if "lora_" in n}
    vision = "base_model.model.model.vision_encoder.encoder.layers.0.self_attn.q_proj.lora_"
    lora |= {vision + "A.weight": torch.ones(4, 8), vision + "B.weight": torch.full((8, 4), vision_b)}
    projector = {
        n.replace(".projector.", ".mm_projector."): w for n, w in weights.items() if "projector" in n
    }
    torch.save(lora, folder / "adapter_model.bin")
    torch.save(projector, folder / "non_lora_trainables.bin")
    config = {
        "r": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.05,
        "target_modules": ["q_proj"],
        "peft_type": "LORA",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))


def test_an_adapter_converts_with_its_projector(
    base_dir: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    write_original_adapter(adapters["linguistic"], tmp_path / "original")
    assert main(["adapter", str(tmp_path / "original"), str(tmp_path / "ours")]) == 0
    expected = load_file(adapters["linguistic"] / "adapter_model.safetensors")
    found = load_file(tmp_path / "ours" / "adapter_model.safetensors")
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[n], found[n]) for n in expected)
    assert load(base_dir, {"linguistic": tmp_path / "ours"}, device="cpu").adapters == ("linguistic",)


def test_what_cannot_be_converted_is_said(
    adapters: dict[str, Path], base_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(what: str, source: Path, message: str) -> None:
        assert main([what, str(source), str(tmp_path / "out")]) == 1
        assert re.search(message, capsys.readouterr().err)

    touched = tmp_path / "touched"
    write_original_adapter(adapters["linguistic"], touched, vision_b=0.1)
    fails("adapter", touched, "vision encoder")
    (touched / "adapter_model.bin").unlink()
    fails("adapter", touched, r"adapter_model\.bin is missing")
    (touched / "non_lora_trainables.bin").unlink()
    fails("adapter", touched, "projector")
    fails("base", base_dir, "not of the original layout")
    fails("base", tmp_path / "gone", r"config\.json: cannot be read")
