"""A small model of the real architecture, built offline and the same for the same seed.

    python -m model_assist.crashchat.tiny OUT

It has random weights until trained (see model_assist.training.make_tiny), and every part of the real one: the
vision tower, token compression, projector, Qwen2 language model and a byte-level BPE tokenizer with Qwen2's
splitting rule and special tokens.  Demos, tests and dry runs use it where the real one takes a GPU.
"""

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2Config,
    VideoLlama3Config,
    VideoLlama3ForConditionalGeneration,
    VideoLlama3VisionConfig,
)

from model_assist.crashchat.kinds import (
    ABSENT_TEXT,
    CAUSAL_REASONING,
    CRASH_DESCRIPTION,
    CRASH_LOCALIZATION,
    CRASH_RECOGNITION,
    NEGATIVE_TEXTS,
    PRE_CRASH_LOCALIZATION,
    PREVENTION_REASONING,
)
from model_assist.crashchat.model import token_id
from model_assist.crashchat.prompts import DEFAULT_PROMPTS, TURN_END, VIDEO_PAD, time_label
from model_assist.crashchat.settings import SETTINGS_FILE, EngineSettings

SPECIAL_TOKENS: Final = ("<|endoftext|>", "<|im_start|>", TURN_END, "<|image_pad|>", VIDEO_PAD)
QWEN2_SPLIT: Final = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
VOCABULARY: Final = 1200
VISION_GAIN: Final = 8.0
"""Random vision weights start this much larger, or a short training would ignore the pictures."""

TINY_SETTINGS: Final = EngineSettings(
    fps=5.0,
    max_frames=20,
    max_tokens=20 * 48,
    max_new_tokens={
        CRASH_RECOGNITION: 4,
        CRASH_DESCRIPTION: 32,
        CAUSAL_REASONING: 48,
        PREVENTION_REASONING: 112,
        CRASH_LOCALIZATION: 20,
        PRE_CRASH_LOCALIZATION: 12,
    },
)
"""How a tiny model is run: twenty frames of 252x140 pixels, 45 visual tokens each, for a wide clip of 4 s or more."""

ROAD_USERS: Final = (
    "car", "truck", "bus", "van", "ego-car", "motorbike", "cyclist", "pedestrian", "red car", "blue car",
    "white van", "vehicle", "driver",
)  # fmt: skip
EVENTS: Final = (
    "hits", "collides with", "runs into", "brushes", "overtakes", "cuts in front of", "is hit by",
)  # fmt: skip
CAUSES: Final = (
    "did not keep enough distance", "ran the red light", "changed lanes without looking", "braked too late",
    "was driving too fast", "turned without giving way", "crossed the road suddenly",
)  # fmt: skip
MEASURES: Final = (
    "keep a safe distance", "slow down before the crossing", "check the mirrors before changing lanes",
    "give way to crossing traffic", "stop at the red light", "stay within the speed limit",
    "look both ways before crossing", "brake earlier",
)  # fmt: skip


def sentences() -> Iterator[str]:
    """A corpus in the words of the task: prompts, answers, frame labels, and a small grammar of crashes."""
    yield from DEFAULT_PROMPTS.values()
    yield from itertools.repeat(" ".join(("user", "assistant", "Yes", "No", "seconds")), 50)
    yield from (*NEGATIVE_TEXTS.values(), ABSENT_TEXT)
    for tenth in range(0, 200, 2):
        yield time_label(tenth * 100_000) + ","
        yield f"{tenth / 10:.1f} - {tenth / 10 + 1.3:.1f} seconds"
    for who, does, whom in itertools.product(ROAD_USERS, EVENTS, ROAD_USERS):
        yield f"{who} {does} {whom}"
    for who, why in itertools.product(ROAD_USERS, CAUSES):
        yield f"The {who} {why}."
    for who, measure in itertools.product(ROAD_USERS, MEASURES):
        yield f"The {who} should {measure}. Every {who} could {measure} to prevent the crash."


def make_tokenizer(extra: Iterable[str] = (), *, vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on `sentences` and `extra`; it encodes any text without loss."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(itertools.chain(sentences(), extra), trainer)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    wrap: Any = PreTrainedTokenizerFast  # untyped upstream
    wrapped: PreTrainedTokenizerFast = wrap(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token="<|endoftext|>",
        padding_side="left",
        model_max_length=32768,
        clean_up_tokenization_spaces=False,
    )
    return wrapped


@dataclass(frozen=True)
class TinyShape:
    """Sizes of a network: language model (hidden, layers) and vision tower."""

    hidden: int = 64
    layers: int = 3
    vision_hidden: int = 64
    vision_inner: int = 128
    vision_layers: int = 1


SHIPPED_SHAPE: Final = TinyShape(hidden=128, layers=4, vision_hidden=96, vision_inner=256, vision_layers=3)
"""The shape of the trained model that ships with CrashDesk."""


def make_network(
    tokenizer: PreTrainedTokenizerFast,
    *,
    seed: int = 0,
    hidden: int = 64,
    layers: int = 3,
    shape: TinyShape | None = None,
) -> VideoLlama3ForConditionalGeneration:
    """A randomly initialised network; `shape` says more of its size than `hidden` and `layers`."""
    shape = shape or TinyShape(hidden, layers)
    end, image, video = (token_id(tokenizer, t) for t in (TURN_END, "<|image_pad|>", VIDEO_PAD))
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.hidden * 3,
        num_hidden_layers=shape.layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        rms_norm_eps=1e-6,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = VideoLlama3VisionConfig(
        hidden_size=shape.vision_hidden,
        intermediate_size=shape.vision_inner,
        num_hidden_layers=shape.vision_layers,
        num_attention_heads=4,
        patch_size=14,
    )
    config = VideoLlama3Config(
        text_config=text,
        vision_config=vision,
        image_token_id=image,
        video_token_id=video,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = VideoLlama3ForConditionalGeneration(config)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim >= 2 and ("vision_model" in name or "projector" in name):
                weight.mul_(VISION_GAIN)
    network.train(False)
    return network


def start_for_training(module: torch.nn.Module, seed: int) -> None:
    """Draw all weights anew for training from scratch: matrices at 1/sqrt(inputs), embeddings at 0.5, biases 0.

    Depends on the seed and the module alone, so that parts can be drawn one by one.
    """
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.ndim >= 2:
                spread = 0.5 if "embed_tokens" in name else weight[0].numel() ** -0.5
                weight.normal_(0.0, spread, generator=draw)
            else:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)


def save_tiny(
    out: Path,
    *,
    extra: Iterable[str] = (),
    seed: int = 0,
    hidden: int = 64,
    layers: int = 3,
    shape: TinyShape | None = None,
    settings: EngineSettings = TINY_SETTINGS,
) -> None:
    """Build an untrained base and write it to `out` with its tokenizer and crashdesk.json."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(extra)
    make_network(tokenizer, seed=seed, hidden=hidden, layers=layers, shape=shape).save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_settings(out, settings)


def write_settings(out: Path, settings: EngineSettings) -> None:
    """Ship engine settings with a model folder."""
    text = json.dumps(settings.to_dict(), indent=2)
    (out / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Command line: write the untrained base to a folder."""
    parser = argparse.ArgumentParser(prog="python -m model_assist.crashchat.tiny", description=main.__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    save_tiny(options.out, seed=options.seed)
    print(f"wrote an untrained tiny model to {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
