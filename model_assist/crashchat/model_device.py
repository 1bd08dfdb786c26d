"""Where and how a model runs: device, number format and attention, chosen with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from transformers.utils.import_utils import is_flash_attn_2_available

from model_assist.crashchat.errors import ModelLoadError

ASKED: Final = "asked for"
FLASH: Final = "flash_attention_2"


@dataclass(frozen=True)
class Choice:
    """What a model runs with; why: {"device", "dtype", "attention"} -> a few words."""

    device: torch.device
    dtype: torch.dtype
    attention: str
    why: Mapping[str, str]


def choose(
    device: str | torch.device | None = None, dtype: torch.dtype | None = None, attn: str | None = None
) -> Choice:
    """Fill in what is not given: CUDA when there is one, half precision there, flash attention where it works.

    Raises ModelLoadError for a device that this machine does not have.
    """
    place, why_place = _device(device)
    kind, why_kind = (dtype, ASKED) if dtype else _dtype(place)
    attention, why_attention = (attn, ASKED) if attn else _attention(place, kind)
    why = {"device": why_place, "dtype": why_kind, "attention": why_attention}
    return Choice(place, kind, attention, why)


def choose_attention(device: torch.device, dtype: torch.dtype = torch.bfloat16) -> str:
    """flash_attention_2 where its package is installed and the device can run it, sdpa otherwise."""
    return _attention(device, dtype)[0]


def _device(given: str | torch.device | None) -> tuple[torch.device, str]:
    there = torch.cuda.is_available()
    if given is None:
        return (torch.device("cuda"), "there is one") if there else (torch.device("cpu"), "no CUDA device")
    try:
        place = torch.device(given)
    except RuntimeError as error:
        raise ModelLoadError(f"{given!r} is no device ({str(error).splitlines()[0]})") from error
    if place.type == "cuda" and (not there or (place.index or 0) >= torch.cuda.device_count()):
        raise ModelLoadError(f"{place} was asked for, and this machine has no such device")
    return place, ASKED


def _dtype(place: torch.device) -> tuple[torch.dtype, str]:
    if place.type != "cuda":
        return torch.float32, "exact, and a CPU gains nothing from less"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16, "trained in it, and the GPU has it"
    return torch.float16, "the GPU has no bfloat16"


def _attention(place: torch.device, dtype: torch.dtype) -> tuple[str, str]:
    if place.type != "cuda":
        return "sdpa", f"flash-attn needs CUDA, not {place.type}"
    if not is_flash_attn_2_available():  # FlashAttention 4 is a package of the same name, and no use here
        return "sdpa", "flash-attn 2 is not installed"
    if torch.cuda.get_device_capability(place) < (8, 0):
        return "sdpa", "flash-attn needs an Ampere GPU or newer"
    if dtype not in (torch.bfloat16, torch.float16):
        return "sdpa", f"flash-attn has no {str(dtype).removeprefix('torch.')}"
    return FLASH, "flash-attn 2 is installed"
