"""Checkpoints in the original layout become ones that load and compute the same, weight for weight."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from model_assist.crashchat.convert import convert_adapter, convert_base, main, verify
from model_assist.crashchat.convert.plan import base_name, original_name
from model_assist.crashchat.errors import ConversionError, CrashChatError
from model_assist.crashchat.model import LoadedModel, load
from model_assist.crashchat.settings import find_adapters
from tests.unit.model_assist.crashchat.convert import originals
from tests.unit.model_assist.crashchat.convert.originals import (
    PREFIX,
    Weights,
    adapter_weights,
    base_weights,
    doubled,
    merged,
    original_config,
    original_logits,
    projector_weights,
    write_adapter,
    write_base,
)

GRID = (2, 4, 6)
MANIFEST = "crashdesk-conversion.json"


class Made:
    """One original base, written and converted once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tokenizer = originals.tokenizer_with_marker()
        self.config = original_config(self.tokenizer)
        self.weights = base_weights(self.config)
        self.lora, self.projector = adapter_weights(self.config), projector_weights(self.config)
        self.base = write_base(root / "original", self.config, self.weights, self.tokenizer)
        self.adapter = write_adapter(root / "original-adapter", self.lora, self.projector)
        self.native = root / "native"
        convert_base(self.base, self.native)

    def variant(self, folder: Path, weights: Weights | None = None, **kwargs: Any) -> Path:
        """The base written anew, with other weights or settings."""
        layout = kwargs.pop("layout", "bin")
        config = {k: v for k, v in {**self.config, **kwargs}.items() if v != "gone"}
        return write_base(folder, config, weights or self.weights, self.tokenizer, layout=layout)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("conversion"))


def example(made: Made) -> tuple[list[int], torch.Tensor]:
    """A prompt with "<image>" per visual token, and pixels."""
    pixels = torch.randn(GRID[0] * GRID[1] * GRID[2], 3 * 14 * 14, generator=torch.Generator().manual_seed(9))
    marks = "<image>" * (GRID[1] * GRID[2] // 4)
    text = f"<|im_start|>user\nTime 0.0s:{marks},Time 0.1s:{marks}\nCrash?<|im_end|>\n<|im_start|>assistant\n"
    return made.tokenizer.encode(text, add_special_tokens=False), pixels


def native_logits(loaded: LoadedModel, made: Made) -> torch.Tensor:
    ids, pixels = example(made)
    video = loaded.network.config.video_token_id
    mark = made.config["image_token_index"]
    tokens = torch.tensor([[video if i == mark else i for i in ids]])
    with torch.inference_mode():
        out = loaded.model(
            input_ids=tokens,
            pixel_values_videos=pixels,
            video_grid_thw=torch.tensor([GRID]),
            video_merge_sizes=torch.tensor([2]),
            video_compression_mask=torch.ones(GRID[0] * GRID[1] * GRID[2] // 4, dtype=torch.bool),
        )
    logits: torch.Tensor = out.logits[0]
    return logits


def reference_logits(made: Made, weights: Weights) -> torch.Tensor:
    ids, pixels = example(made)
    return original_logits(made.config, weights, ids, pixels, GRID)


def test_a_converted_base_computes_what_the_original_does(made: Made) -> None:
    ours = native_logits(load(made.native, {}, device="cpu"), made)
    theirs = reference_logits(made, made.weights)
    assert ours.shape == theirs.shape
    assert float(theirs.std()) > 0.5  # the comparison is of something
    assert torch.allclose(ours, theirs, atol=2e-4)


def test_a_converted_adapter_computes_what_merging_by_hand_gives(made: Made, tmp_path: Path) -> None:
    convert_adapter(made.adapter, tmp_path / "heterogeneous", base=made.native)
    loaded = load(made.native, {"heterogeneous": tmp_path / "heterogeneous"}, device="cpu")
    by_hand = merged(made.weights, made.lora, made.projector, scale=16 / 4)
    theirs = reference_logits(made, by_hand)
    assert torch.allclose(native_logits(loaded, made), theirs, atol=5e-4)
    assert not torch.allclose(theirs, reference_logits(made, made.weights), atol=0.1)


def test_rank_stabilised_scaling_is_kept(made: Made, tmp_path: Path) -> None:
    config = {**originals.ADAPTER_CONFIG, "use_rslora": True}
    write_adapter(tmp_path / "original", made.lora, made.projector, config)
    convert_adapter(tmp_path / "original", tmp_path / "ours")
    loaded = load(made.native, {"x": tmp_path / "ours"}, device="cpu")
    by_hand = merged(made.weights, made.lora, made.projector, scale=16 / 4**0.5)
    assert torch.allclose(native_logits(loaded, made), reference_logits(made, by_hand), atol=5e-4)


def test_a_merged_checkpoint_computes_the_same_as_its_adapter(made: Made, tmp_path: Path) -> None:
    by_hand = merged(made.weights, made.lora, made.projector, scale=4)
    source = made.variant(
        tmp_path / "merged",
        doubled(by_hand),
        vision_encoder="DAMO-NLP-SG/SigLIP-NaViT",
        torch_dtype="bfloat16",
    )
    convert_base(source, tmp_path / "ours")
    ours = native_logits(load(tmp_path / "ours", {}, device="cpu"), made)
    assert torch.allclose(ours, reference_logits(made, by_hand), atol=5e-4)


@pytest.mark.parametrize("layout", ["bin", "safetensors", "bin parts", "safetensors parts"])
@pytest.mark.parametrize("style", ["hub", "doubled"])
def test_every_layout_gives_the_same_bytes(made: Made, tmp_path: Path, layout: str, style: str) -> None:
    weights = made.weights if style == "hub" else doubled(made.weights)
    convert_base(made.variant(tmp_path / "original", weights, layout=layout), tmp_path / "ours")
    ours, native = (json.loads((f / MANIFEST).read_text()) for f in (tmp_path / "ours", made.native))
    assert ours["output"] == native["output"]
    assert "model.safetensors" in ours["output"]["files"]


def test_no_weight_is_lost_added_or_changed(made: Made) -> None:
    found = load_file(made.native / "model.safetensors")
    assert {original_name(name) for name in found} == set(made.weights)
    assert {base_name(name) for name in made.weights} == set(found)
    assert all(torch.equal(found[str(base_name(n))], w) for n, w in made.weights.items())


def test_parts_are_written_one_after_the_other(made: Made, tmp_path: Path) -> None:
    biggest = max(w.numel() for w in made.weights.values()) * 4
    convert_base(made.base, tmp_path / "ours", part_bytes=biggest)
    parts = sorted(tmp_path.glob("ours/*.safetensors"))
    assert len(parts) > 2
    assert len({p.stat().st_mode for p in (tmp_path / "ours").iterdir()}) == 1  # whoever reads one reads all
    assert all(p.stat().st_size < biggest + 20_000 for p in parts)
    ours, whole = (load(f, {}, device="cpu").network.state_dict() for f in (tmp_path / "ours", made.native))
    assert ours.keys() == whole.keys()
    assert all(torch.equal(ours[n], whole[n]) for n in whole)
    verify(tmp_path / "ours", source=made.base)


def test_bfloat16_weights_stay_bit_for_bit(made: Made, tmp_path: Path) -> None:
    halved = {n: w.to(torch.bfloat16) for n, w in made.weights.items()}
    convert_base(made.variant(tmp_path / "original", halved), tmp_path / "ours")
    found = load_file(tmp_path / "ours" / "model.safetensors")
    assert all(torch.equal(found[str(base_name(n))], w) for n, w in halved.items())
    assert {w.dtype for w in found.values()} == {torch.bfloat16}


@pytest.mark.parametrize("head", ["absent", "equal"])
def test_tied_embeddings_are_written_once(made: Made, tmp_path: Path, head: str) -> None:
    weights = {n: w for n, w in made.weights.items() if n != "lm_head.weight"}
    if head == "equal":
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    done = convert_base(
        made.variant(tmp_path / "original", weights, tie_word_embeddings=True), tmp_path / "ours"
    )
    assert done.dropped == (head == "equal")
    ours = native_logits(load(tmp_path / "ours", {}, device="cpu"), made)
    tied = {n: w for n, w in weights.items() if n != "lm_head.weight"}
    assert torch.allclose(ours, reference_logits(made, tied), atol=2e-4)


def test_stored_rotary_angles_are_dropped_and_listed(made: Made, tmp_path: Path) -> None:
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    convert_base(made.variant(tmp_path / "original", made.weights | extra), tmp_path / "ours")
    manifest = json.loads((tmp_path / "ours" / MANIFEST).read_text())
    assert list(manifest["dropped"]) == list(extra)


def test_the_merge_tools_tokenizer_files_are_enough(made: Made, tmp_path: Path) -> None:
    """The original's tool saves the slow tokenizer: vocabulary and merges instead of tokenizer.json."""
    source = made.variant(tmp_path / "original")
    table = json.loads((source / "tokenizer.json").read_text())
    (source / "tokenizer.json").unlink()
    (source / "vocab.json").write_text(json.dumps(table["model"]["vocab"]))
    merges = [" ".join(m) if isinstance(m, list) else m for m in table["model"]["merges"]]
    (source / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    settings = json.loads((source / "tokenizer_config.json").read_text())
    added = {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in table["added_tokens"]}
    settings |= {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": added}
    (source / "tokenizer_config.json").write_text(json.dumps(settings))
    convert_base(source, tmp_path / "ours")
    ours = load(tmp_path / "ours", {}, device="cpu").tokenizer
    for text in ("<|im_start|>user\nTime 0.1s:<|video_pad|>,Time 1.9s:", "Hit at 12.5 s - a car's fault."):
        assert ours.encode(text, add_special_tokens=False) == made.tokenizer.encode(
            text, add_special_tokens=False
        )


def test_the_manifest_says_what_was_read_written_and_dropped(made: Made, tmp_path: Path) -> None:
    done = convert_adapter(made.adapter, tmp_path / "ours", base=made.native)
    manifest = json.loads((tmp_path / "ours" / MANIFEST).read_text())
    assert manifest == done.manifest
    assert set(manifest["source"]["files"]) == {
        "adapter_config.json", "adapter_model.bin", "non_lora_trainables.bin"
    }  # fmt: skip
    assert set(manifest["output"]["files"]) == {"adapter_config.json", "adapter_model.safetensors"}
    vision = [n for n in made.lora if "vision_encoder" in n]
    assert sorted(manifest["dropped"]) == sorted(vision)
    assert manifest["weights"]["written"] == len(made.lora) - len(vision) + 4
    assert manifest["details"]["r"] == 4
    assert manifest["details"]["lora_alpha"] == 16
    assert manifest["versions"]["torch"] == torch.__version__
    assert str(tmp_path) not in json.dumps(manifest)
    again = convert_adapter(made.adapter, tmp_path / "again", base=made.native)
    assert again.manifest == manifest  # no dates: the same checkpoint gives the same bytes


def test_a_dry_run_checks_and_writes_nothing(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ours"
    assert main(["adapter", str(made.adapter), str(out), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "would write 32 weights" in printed
    assert "not checked against a base model" in printed
    assert list(tmp_path.iterdir()) == []
    spoilt = dict(made.weights)
    spoilt["model.norm.weight"] = torch.full((32,), float("nan"))
    source = made.variant(tmp_path / "spoilt", spoilt)
    assert main(["base", str(source), str(out), "--dry-run"]) == 1
    assert "model.norm.weight: holds NaN" in capsys.readouterr().err


def test_verify_finds_what_has_changed(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ours"
    assert main(["base", str(made.base), str(out), "--quiet"]) == 0
    assert main(["verify", str(out), "--source", str(made.base)]) == 0
    capsys.readouterr()
    other = made.variant(tmp_path / "other", base_weights(made.config, seed=8))
    assert main(["verify", str(out), "--source", str(other)]) == 1
    assert "differs from" in capsys.readouterr().err
    (out / "config.json").write_text((out / "config.json").read_text() + " ")
    assert main(["verify", str(out)]) == 1
    assert "config.json: has changed" in capsys.readouterr().err
    assert main(["verify", str(made.base)]) == 1
    assert "was not written by crashdesk-convert" in capsys.readouterr().err


def test_progress_is_told_and_a_stop_leaves_nothing(made: Made, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    convert_base(made.base, tmp_path / "ours", progress=lambda *seen: told.append(seen))
    assert all(done <= total for _, done, total in told)
    assert {what.split()[0] for what, _, _ in told} == {"hashing", "writing"}

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("writing") and done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_base(made.base, tmp_path / "stopped", progress=stop)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ours"]


def test_a_conversion_on_its_way_is_not_taken_for_an_adapter(made: Made, tmp_path: Path) -> None:
    stages = set()

    def look(what: str, done: int, total: int) -> None:
        stages.add(what)
        with pytest.raises(CrashChatError, match="no adapters"):
            find_adapters(tmp_path)

    convert_adapter(made.adapter, tmp_path / "ours", progress=look)
    assert "hashing adapter_config.json" in stages  # looked at when everything was there
    assert list(find_adapters(tmp_path)) == ["ours"]


def test_a_killed_conversion_leaves_no_model_and_is_cleared_by_the_next(made: Made, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, pathlib\n"
        "from model_assist.crashchat.convert import convert_base\n"
        "def kill(what, done, total):\n"
        "    if what.startswith('writing') and done > total / 2:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "convert_base(*map(pathlib.Path, sys.argv[1:]), part_bytes=4096, progress=kill)\n"
    )
    out = tmp_path / "ours"
    killed = subprocess.run(
        [sys.executable, "-c", code, made.base, out], env=os.environ, cwd=Path.cwd(), check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    assert list(tmp_path.glob(".ours.converting-*/ours/*.safetensors"))
    convert_base(made.base, out)
    assert [p.name for p in tmp_path.iterdir()] == ["ours"]
    verify(out, source=made.base)


# What is refused.  Each names the file, and the key where one is to blame.

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


def test_some_modules_only_are_kept_to(made: Made, tmp_path: Path) -> None:
    some = {k: v for k, v in made.lora.items() if "vision" in k or "q_proj" in k or "v_proj" in k}
    write_adapter(tmp_path / "original", some, made.projector)
    convert_adapter(tmp_path / "original", tmp_path / "ours", base=made.native)
    loaded = load(made.native, {"x": tmp_path / "ours"}, device="cpu")
    by_hand = merged(made.weights, some, made.projector, scale=4)
    assert torch.allclose(native_logits(loaded, made), reference_logits(made, by_hand), atol=5e-4)
