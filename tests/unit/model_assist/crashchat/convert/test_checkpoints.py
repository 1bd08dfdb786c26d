"""Checkpoints in the original layout become ones that load and compute the same, weight for weight."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from model_assist.crashchat.convert import convert_adapter, convert_base, main, verify
from model_assist.crashchat.convert.plan import base_name, original_name
from model_assist.crashchat.errors import CrashChatError
from model_assist.crashchat.model import LoadedModel, load
from model_assist.crashchat.settings import find_adapters
from tests.unit.model_assist.crashchat.convert import originals
from tests.unit.model_assist.crashchat.convert.made import Made
from tests.unit.model_assist.crashchat.convert.originals import (
    Weights,
    base_weights,
    doubled,
    merged,
    original_logits,
    write_adapter,
)

GRID = (2, 4, 6)
MANIFEST = "crashdesk-conversion.json"


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


def test_some_modules_only_are_kept_to(made: Made, tmp_path: Path) -> None:
    some = {k: v for k, v in made.lora.items() if "vision" in k or "q_proj" in k or "v_proj" in k}
    write_adapter(tmp_path / "original", some, made.projector)
    convert_adapter(tmp_path / "original", tmp_path / "ours", base=made.native)
    loaded = load(made.native, {"x": tmp_path / "ours"}, device="cpu")
    by_hand = merged(made.weights, some, made.projector, scale=4)
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
