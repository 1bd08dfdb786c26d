"""The model that is measured on a GPU, as far as it can be looked at without one."""

from pathlib import Path

import pytest
import torch
from transformers import VideoLlama3ForConditionalGeneration as Network

from benchmarks.engine_gpu import ADAPTERS, RANK, with_adapters
from model_assist.crashchat.tiny import save_tiny


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_tiny(folder)
    return folder


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_adapters_have_the_number_format_of_their_model(base: Path, dtype: torch.dtype) -> None:
    model = with_adapters(Network.from_pretrained(base, dtype=dtype))
    assert {weight.dtype for weight in model.parameters()} == {dtype}
    assert tuple(model.peft_config) == ADAPTERS
    thin = [w for name, w in model.named_parameters() if ".lora_A." in name]
    assert thin
    assert {len(weight) for weight in thin} == {RANK}


def test_a_model_of_two_number_formats_is_not_measured(base: Path) -> None:
    network = Network.from_pretrained(base, dtype=torch.bfloat16)
    network.lm_head.to(torch.float32)
    with pytest.raises(ValueError, match=r"weights are not in torch\.bfloat16"):
        with_adapters(network)
