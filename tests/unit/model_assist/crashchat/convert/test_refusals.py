"""What a conversion refuses: each refusal names the file, and the key where one is to blame."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model_assist.crashchat.convert import convert_adapter, convert_base
from model_assist.crashchat.errors import ConversionError
from tests.unit.model_assist.crashchat.convert import originals
from tests.unit.model_assist.crashchat.convert.made import Made
from tests.unit.model_assist.crashchat.convert.originals import (
    PREFIX,
    Weights,
    adapter_weights,
    doubled,
    write_adapter,
)

MANIFEST = "crashdesk-conversion.json"


Change = Callable[[Made, Path], Path]


def base_with(weights: Callable[[Weights], Weights] | None = None, **settings: Any) -> Change:
    def write(made: Made, tmp_path: Path) -> Path:
        changed = weights(dict(made.weights)) if weights else None
        return made.variant(tmp_path / "original", changed, **settings)

    return write


def without_file(name: str, **settings: Any) -> Change:
    def write(made: Made, tmp_path: Path) -> Path:
        folder = made.variant(tmp_path / "original", **settings)
        (folder / name).unlink()
        return folder

    return write


def tokenizer_of(edit: Callable[[Any], None]) -> Change:
    def write(made: Made, tmp_path: Path) -> Path:
        folder = made.variant(tmp_path / "original")
        table = json.loads((folder / "tokenizer.json").read_text())
        edit(table)
        (folder / "tokenizer.json").write_text(json.dumps(table))
        return folder

    return write


def no_video_pad(table: Any) -> None:
    table["added_tokens"] = [t for t in table["added_tokens"] if t["content"] != "<|video_pad|>"]
    table["model"]["vocab"].pop("<|video_pad|>", None)


def torn(made: Made, tmp_path: Path) -> Path:
    folder = made.variant(tmp_path / "original")
    file = folder / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:5000])
    return folder


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/tmp/should-never-appear",)


def pickled_code(made: Made, tmp_path: Path) -> Path:
    folder = made.variant(tmp_path / "original")
    torch.save({"model.norm.weight": Evil()}, folder / "pytorch_model.bin")
    return folder


def renamed(old: str, new: str) -> Callable[[Weights], Weights]:
    return lambda w: {k.replace(old, new): v for k, v in w.items()}


EMBED = "model.embed_tokens.weight"
BASES: dict[str, tuple[Change, str]] = {
    "unknown key": (base_with(lambda w: w | {"model.extra.weight": w[EMBED]}), r"\.bin: model\.extra\.weight: is no"),
    "missing key": (
        base_with(lambda w: {k: v for k, v in w.items() if k != "model.layers.1.mlp.up_proj.weight"}),
        r"original: model\.layers\.1\.mlp\.up_proj\.weight: 1 weights are missing",
    ),
    "wrong shape": (
        base_with(lambda w: w | {"model.norm.weight": torch.ones(31)}),
        r"model\.norm\.weight: has shape \[31\], config\.json asks for \[32\]",
    ),
    "another size": (base_with(intermediate_size=64), r"mlp\.gate_proj\.weight: has shape \[48, 32\]"),
    "more layers than said": (base_with(num_hidden_layers=1), r"model\.layers\.1\..*has no place"),
    "both spellings": (
        base_with(lambda w: w | doubled({k: v for k, v in w.items() if k.endswith("post_layernorm.bias")})),
        r"would both become model\.vision_model\.post_layernorm\.bias",
    ),
    "unmerged LoRA": (
        base_with(lambda w: w | {"model.layers.0.mlp.up_proj.lora_A.weight": torch.ones(4, 32)}),
        r"lora_A\.weight: is an unmerged LoRA",
    ),
    "integers": (
        base_with(lambda w: w | {"model.norm.weight": torch.ones(32, dtype=torch.int8)}),
        r"model\.norm\.weight: has the unexpected type torch\.int8",
    ),
    "infinite": (
        base_with(lambda w: w | {"model.norm.weight": torch.full((32,), float("inf"))}),
        r"model\.norm\.weight: holds NaN or infinite",
    ),
    "ZeRO-3 placeholders": (
        base_with(lambda w: w | {EMBED: torch.empty(0)}),
        r"embed_tokens\.weight: has shape \[0\]",
    ),
    "another model": (base_with(model_type="llava_qwen"), r"model_type: must be 'videollama3_qwen2', not 'llava_qwen'"),
    "native already": (base_with(model_type="video_llama_3"), r"model_type: is video_llama_3 already"),
    "no vision size": (base_with(vision_encoder_config=None), r"config\.json: vision_encoder_config: is missing"),
    "vision without a field": (
        base_with(vision_encoder_config={**originals.VISION, "patch_size": None}),
        r"vision_encoder_config\.patch_size: must be a positive number, not None",
    ),
    "no rope_theta": (base_with(rope_theta="gone"), r"config\.json: rope_theta: must be"),
    "scaled positions": (base_with(rope_scaling={"type": "yarn"}), r"rope_scaling: is \{'type': 'yarn'\}"),
    "another projector": (base_with(mm_projector_type="stc_connector"), r"mm_projector_type: is 'stc_connector'"),
    "sliding window": (base_with(use_sliding_window=True), r"use_sliding_window: is True"),
    "quantised": (base_with(quantization_config={"bits": 4}), r"quantization_config: is \{'bits': 4\}"),
    "tied but different": (
        base_with(tie_word_embeddings=True),
        r"lm_head\.weight: differs from the embeddings",
    ),
    "another model's tokenizer": (base_with(image_token_index=7), r"image_token_index: is 7, but the tokenizer's"),
    "token outside the model": (
        base_with(vocab_size=100), r"tokenizer\.json: <\|\w+\|>: has id \d+, but the model knows 100 tokens"
    ),
    "no video token": (tokenizer_of(no_video_pad), r"tokenizer\.json: <\|video_pad\|>: is not one token"),
    "no tokenizer": (without_file("tokenizer.json"), r"original: no tokenizer"),
    "no weights": (without_file("pytorch_model.bin"), r"original: no weights"),
    "no configuration": (without_file("config.json"), r"config\.json: cannot be read"),
    "a part missing": (
        without_file("model-00002-of-00003.safetensors", layout="safetensors parts"),
        r"model-00002-of-00003\.safetensors: is missing",
    ),
    "a torn file": (torn, r"pytorch_model\.bin: cannot be read"),
    "code in a pickle": (pickled_code, r"pytorch_model\.bin: holds more than weights"),
    "an adapter": (lambda made, _: made.adapter, r"crashdesk-convert adapter"),
    "no folder": (lambda _, tmp_path: tmp_path / "gone", r"gone: no such folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", BASES)
def test_a_base_that_is_not_understood_is_refused(made: Made, tmp_path: Path, case: str) -> None:
    change, message = BASES[case]
    source = change(made, tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConversionError, match=message):
        convert_base(source, tmp_path / "ours")
    assert sorted(tmp_path.iterdir()) == before


def adapter_with(
    lora: Callable[[Weights], Weights] = dict,
    projector: Callable[[Weights], Weights] | None = dict,
    **settings: Any,
) -> Change:
    def write(made: Made, tmp_path: Path) -> Path:
        beside = projector(made.projector) if projector else None
        return write_adapter(
            tmp_path / "original", lora(made.lora), beside, {**originals.ADAPTER_CONFIG, **settings}
        )

    return write


def first(weights: Weights, *words: str) -> str:
    return next(k for k in weights if all(w in k for w in words))


def one_replaced(*words: str, by: torch.Tensor) -> Callable[[Weights], Weights]:
    return lambda w: w | {first(w, *words): by}


def one_gone(*words: str) -> Callable[[Weights], Weights]:
    return lambda w: {k: v for k, v in w.items() if k != first(w, *words)}


UP = "layers.1.mlp.up_proj."
ADAPTERS: dict[str, tuple[Change, str]] = {
    "vision tower trained": (
        adapter_with(one_replaced("vision_encoder", "lora_B", by=torch.full((24, 4), 1e-6))),
        r"vision_encoder.*lora_B\.weight: is not zero",
    ),
    "vision B missing": (
        adapter_with(one_gone("vision_encoder", "lora_B")),
        r"vision_encoder.*lora_A\.weight: has no lora_B beside it",
    ),
    "DoRA": (adapter_with(use_dora=True), r"adapter_config\.json: use_dora: is True"),
    "DoRA's magnitudes": (
        adapter_with(lambda w: w | {f"{PREFIX}{UP}lora_magnitude_vector": torch.ones(48)}),
        r"adapter_model\.bin: .*lora_magnitude_vector: is no weight of a CrashChat adapter",
    ),
    "bias": (adapter_with(bias="all"), r"adapter_config\.json: bias: is 'all'"),
    "alpha per layer": (adapter_with(alpha_pattern={"q_proj": 32}), r"alpha_pattern: is \{'q_proj': 32\}"),
    "transposed": (adapter_with(fan_in_fan_out=True), r"fan_in_fan_out: is True"),
    "base changed by its start": (adapter_with(init_lora_weights="pissa"), r"init_lora_weights: is 'pissa'"),
    "not LoRA": (adapter_with(peft_type="PREFIX_TUNING"), r"peft_type: must be 'LORA', not 'PREFIX_TUNING'"),
    "no rank": (adapter_with(r=0), r"adapter_config\.json: r: must be a positive whole number, not 0"),
    "no alpha": (adapter_with(lora_alpha=None), r"lora_alpha: must be a positive number, not None"),
    "another rank": (adapter_with(r=8), r"lora_A\.weight: has shape \[4, 48\], but .* says r = 8"),
    "a layer incomplete": (
        adapter_with(lambda w: {k: v for k, v in w.items() if UP not in k}),
        r"layers\.1\.mlp\.up_proj\.lora_A\.weight: is missing",
    ),
    "B missing": (adapter_with(one_gone(UP, "lora_B")), r"up_proj\.lora_A\.weight: has no lora_B"),
    "shapes differ between layers": (
        adapter_with(one_replaced(UP, "lora_A", by=torch.ones(4, 31))),
        r"up_proj\.lora_A\.weight: has another shape than in layer 0",
    ),
    "head adapted": (
        adapter_with(lambda w: w | {"base_model.model.lm_head.lora_A.weight": torch.ones(4, 32)}),
        r"lm_head\.lora_A\.weight: is no weight of a CrashChat adapter",
    ),
    "converted already": (
        adapter_with(renamed(".model.layers.", ".model.language_model.layers.")),
        r"has our name already: nothing to convert",
    ),
    "only the vision tower": (
        adapter_with(lambda w: {k: v for k, v in w.items() if "vision_encoder" in k}),
        r"adapter_model\.bin: holds no LoRA weights of the language model",
    ),
    "NaN": (
        adapter_with(one_replaced(UP, "lora_A", by=torch.full((4, 32), float("nan")))),
        r"up_proj\.lora_A\.weight: holds NaN",
    ),
    "no projector": (adapter_with(projector=None), r"non_lora_trainables\.bin: is missing"),
    "half a projector": (
        adapter_with(projector=one_gone("readout.2.bias")),
        r"non_lora_trainables\.bin: .*readout\.2\.bias: is missing",
    ),
    "more than the projector": (
        adapter_with(projector=lambda w: w | {f"{PREFIX}embed_tokens.weight": torch.ones(2)}),
        r"embed_tokens\.weight: is trained beside the LoRA",
    ),
    "projector of odd shape": (
        adapter_with(projector=one_replaced("readout.2.weight", by=torch.ones(32, 31))),
        r"readout\.0\.weight: and readout\.2\.weight have shapes",
    ),
    "another base": (
        lambda made, tmp_path: write_adapter(
            tmp_path / "original",
            adapter_weights({**made.config, "intermediate_size": 56}),
            made.projector,
        ),
        r"mlp\.down_proj\.lora_A\.weight: has shape \[4, 56\], which does not fit \[32, 48\]",
    ),
    "a base with more layers": (
        adapter_with(lambda w: {k: v for k, v in w.items() if "vision" in k or ".layers.0." in k}),
        r"native: has 2 layers, the adapter 1",
    ),
    "no folder": (lambda _, tmp_path: tmp_path / "gone", r"gone: no such folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", ADAPTERS)
def test_an_adapter_that_is_not_understood_is_refused(made: Made, tmp_path: Path, case: str) -> None:
    change, message = ADAPTERS[case]
    source = change(made, tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ConversionError, match=message):
        convert_adapter(source, tmp_path / "ours", base=made.native)
    assert sorted(tmp_path.iterdir()) == before


def test_what_lies_in_the_way_is_never_overwritten(made: Made, tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "mine.txt").touch()
    with pytest.raises(ConversionError, match="exists and is not empty"):
        convert_base(made.base, tmp_path / "ours")
    with pytest.raises(ConversionError, match="is a file; name a new folder"):
        convert_base(made.base, tmp_path / "ours" / "mine.txt")
    (tmp_path / "ours" / "mine.txt").unlink()
    convert_base(made.base, tmp_path / "ours")
    assert (tmp_path / "ours" / MANIFEST).is_file()


def test_the_base_for_an_adapters_check_must_be_converted(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"model_type: must be 'video_llama_3' \(a converted base\)"):
        convert_adapter(made.adapter, tmp_path / "ours", base=made.base)
