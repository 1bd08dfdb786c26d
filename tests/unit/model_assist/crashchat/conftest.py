"""A tiny model of the real architecture with two adapters, built once per session."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from model_assist.crashchat.model import LoadedModel, load, load_base
from model_assist.crashchat.settings import LORA_TARGETS, EngineSettings
from model_assist.crashchat.tiny import save_tiny
from model_assist.training.finetune import save_model
from tests.unit.model_assist.crashchat.clips import steady_clip


@pytest.fixture(scope="session")
def base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained tiny base model."""
    folder = tmp_path_factory.mktemp("tiny") / "base"
    save_tiny(folder, seed=3, hidden=32, layers=2)
    return folder


def write_adapter(
    base: Path, folder: Path, *, seed: int, noise: float = 0.3, targets: str = LORA_TARGETS
) -> Path:
    """A LoRA adapter with random weights (all zero B matrices and the base's projector with noise 0)."""
    torch.manual_seed(seed)
    network, tokenizer = load_base(base, dtype=torch.float32, attn="sdpa")
    config = LoraConfig(r=4, lora_alpha=8, target_modules=targets, modules_to_save=["projector"])
    model = get_peft_model(network, config, adapter_name=folder.name)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad and noise and "lora_A" not in name:
                weight.add_(torch.randn_like(weight) * noise)
    folder.mkdir(parents=True)
    save_model(model, tokenizer, folder, name=folder.name, full=False, settings=EngineSettings())
    return folder


@pytest.fixture(scope="session")
def adapters(base_dir: Path) -> dict[str, Path]:
    """Two different adapters on the tiny base."""
    root = base_dir.parent / "adapters"
    return {
        name: write_adapter(base_dir, root / name, seed=i)
        for i, name in enumerate(("linguistic", "perception"))
    }


@pytest.fixture(scope="session")
def bare(base_dir: Path) -> LoadedModel:
    """The base without adapters."""
    return load(base_dir, {}, device="cpu")


@pytest.fixture(scope="session")
def loaded(base_dir: Path, adapters: dict[str, Path]) -> LoadedModel:
    """The base with both adapters."""
    return load(base_dir, adapters, device="cpu")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of numbered frames."""
    return steady_clip(tmp_path_factory.mktemp("clips") / "a.mp4")
