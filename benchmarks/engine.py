"""`make bench-engine`: six answers per clip the plain way and the engine's ways, alternating in one run.

python -m benchmarks engine [--rounds 2] [--lengths 24 48 96] [--clips 4] [--tokens 2400] [--adapters 1 2] [--cpu]

Ways, all answering the same questions about the same files with the same weights:
naive    one transformers generate() per question: decode, vision tower, projector and prompt every time
vision   frames and vision features once per clip; projector and prompt for every question
shared   the engine, one clip at a time
batched  the engine, all clips in one batch
Where there is a GPU, a model of the published 7B shape is measured as well (benchmarks/engine_gpu.py).
"""

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from benchmarks.machine import facts
from model_assist.crashchat import kinds as k
from model_assist.crashchat.answers import ClipAnswers, ClipRequest
from model_assist.crashchat.engine import Engine
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.model import LoadedModel, load, token_id
from model_assist.crashchat.prefix import encode_clip
from model_assist.crashchat.preprocess import ClipInputs, preprocess
from model_assist.crashchat.prompts import DEFAULT_PROMPTS, prefix_text, suffix_text
from model_assist.crashchat.settings import DEFAULT_ROUTING, LORA_TARGETS, EngineSettings
from model_assist.crashchat.tiny import make_tokenizer, write_settings

ANSWER_TOKENS = dict(zip(k.ALL, (2, 12, 20, 64, 12, 8), strict=True))
"""Random models never end an answer, so the limits are the lengths: about those of CrashChat's own answers."""

FPS = 10
SHARPEN = 1.6
"""Random weights this much larger give answers whose best token leads clearly, so ways can be compared."""

Answers = dict[str, tuple[str, int]]
"""Text and number of tokens by kind."""


@dataclass
class Measured:
    """Seconds per clip of one way in one round: on the clock, and of all cores together."""

    clock: float
    cores: float


def write_clip(path: Path, frames: int, *, seed: int, width: int = 640, height: int = 360) -> Path:
    """A clip that gives `frames` sampled frames: 20 pictures a second, moving shapes over camera noise."""
    random = np.random.default_rng(seed)
    ground = random.integers(40, 200, (height // 40, width // 40, 3), dtype=np.uint8)
    ground = ground.repeat(40, 0).repeat(40, 1)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=2 * FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "20"}
        for number in range(2 * frames):
            picture = ground.astype(np.int16) + random.integers(-12, 13, (height, width, 1), dtype=np.int16)
            left = (number * 9 + seed * 50) % (width - 80)
            picture[150:210, left : left + 80] = (200, 60, 40)
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def medium_model(folder: Path) -> LoadedModel:
    """About 30 million random weights in the real architecture, with an adapter for each group of questions."""
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen2Config, VideoLlama3Config, VideoLlama3VisionConfig
    from transformers import VideoLlama3ForConditionalGeneration as Network

    tokenizer = make_tokenizer()
    end, image, video = (token_id(tokenizer, t) for t in ("<|im_end|>", "<|image_pad|>", "<|video_pad|>"))
    text = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=512, intermediate_size=1536, num_hidden_layers=8,
        num_attention_heads=8, num_key_value_heads=2, max_position_embeddings=32768,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=end, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    vision = VideoLlama3VisionConfig(
        hidden_size=256, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=4, patch_size=14
    )
    torch.manual_seed(0)
    config = VideoLlama3Config(
        text_config=text, vision_config=vision, image_token_id=image, video_token_id=video,
        tie_word_embeddings=False,
    )  # fmt: skip
    network: Any = Network(config)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim >= 2:
                weight.mul_(SHARPEN)
    base = folder / "base"
    network.save_pretrained(base)
    tokenizer.save_pretrained(base)
    write_settings(base, EngineSettings())
    adapters = {}
    for name in ("linguistic", "perception"):
        lora = LoraConfig(r=16, lora_alpha=16, target_modules=LORA_TARGETS, modules_to_save=["projector"])
        model: Any = get_peft_model(load(base, {}, device="cpu").model, lora, adapter_name=name)
        with torch.no_grad():
            for title, weight in model.named_parameters():
                if weight.requires_grad and "lora_A" not in title:
                    weight.add_(torch.randn_like(weight) * 0.05)
        model.save_pretrained(folder, selected_adapters=[name], save_embedding_layers=False)
        adapters[name] = folder / name
    return load(base, adapters, device="cpu")


class Ways:
    """The four ways to answer some clips."""

    def __init__(
        self, loaded: LoadedModel, reader: FrameReader, settings: EngineSettings, together: int
    ) -> None:
        self.loaded, self.reader, self.settings = loaded, reader, settings
        self.engines = {
            n: Engine(loaded, settings=replace(settings, clips_per_batch=n), frame_reader=reader)
            for n in {1, together}
        }
        self.together = together

    def naive(self, clips: Sequence[Path]) -> list[Answers]:
        found: list[Answers] = []
        for clip in clips:
            answers: Answers = {}
            for kind in k.ALL:
                inputs, prefix = self._read(clip)
                answers[kind] = self._generate(
                    kind,
                    prefix,
                    pixel_values_videos=inputs.pixels,
                    video_grid_thw=inputs.grid,
                    video_merge_sizes=inputs.merge,
                    video_compression_mask=inputs.keep,
                )
            found.append(answers)
        return found

    @torch.inference_mode()
    def vision(self, clips: Sequence[Path]) -> list[Answers]:
        found: list[Answers] = []
        for clip in clips:
            inputs, prefix = self._read(clip)
            features = encode_clip(self.loaded.network, inputs)
            answers: Answers = {}
            for kind in k.ALL:
                self.loaded.use(self.settings.routing[kind])
                projected = self.loaded.network.model.projector(features)
                as_native: Any = (projected,)
                ready = {"video": BaseModelOutputWithPooling(pooler_output=as_native)}
                answers[kind] = self._generate(kind, prefix, mm_encoder_outputs=ready)
            found.append(answers)
        return found

    def shared(self, clips: Sequence[Path]) -> list[Answers]:
        return self._engine(1, clips)

    def batched(self, clips: Sequence[Path]) -> list[Answers]:
        return self._engine(self.together, clips)

    def _engine(self, together: int, clips: Sequence[Path]) -> list[Answers]:
        outcomes = dict(self.engines[together].answer_many(ClipRequest(clip) for clip in clips))
        found: list[Answers] = []
        for position in range(len(clips)):
            outcome = outcomes[position]
            if not isinstance(outcome, ClipAnswers):
                raise outcome
            found.append({x: (a.raw_text, a.confidence_detail["tokens"]) for x, a in outcome.answers.items()})
        return found

    def _read(self, clip: Path) -> tuple[ClipInputs, str]:
        limits = self.settings
        frames = self.reader.read(
            clip, fps=limits.fps, max_frames=limits.max_frames, max_tokens=limits.max_tokens
        )
        inputs = preprocess(frames, max_tokens=limits.max_tokens)
        return inputs, prefix_text(frames.times_us, inputs.token_counts)

    @torch.inference_mode()
    def _generate(self, kind: str, prefix: str, **visual: Any) -> tuple[str, int]:
        self.loaded.use(self.settings.routing[kind])
        tokenizer: Any = self.loaded.tokenizer
        ids = torch.tensor(
            [tokenizer.encode(prefix + suffix_text(DEFAULT_PROMPTS[kind]), add_special_tokens=False)]
        )
        output = self.loaded.network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=self.settings.max_new_tokens[kind],
            do_sample=False,
            **visual,
        )
        new = [t for t in output[0, ids.shape[1] :].tolist() if t != tokenizer.eos_token_id]
        return str(tokenizer.decode(new, skip_special_tokens=True)).strip(), len(new)


def cpu_seconds() -> float:
    """Processor time of this process and its children so far, finished or not."""
    used = os.times()
    total = used.user + used.system + used.children_user + used.children_system
    for child in Path("/proc/self/task").glob("*/children"):
        for pid in child.read_text().split():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


@contextmanager
def measured(results: list[Measured], clips: int) -> Iterator[None]:
    """Append the seconds per clip of what happens within."""
    clock, cores = time.perf_counter(), cpu_seconds()
    yield
    results.append(Measured((time.perf_counter() - clock) / clips, (cpu_seconds() - cores) / clips))


def compare(ways: Ways, clips: Sequence[Path], rounds: int) -> None:
    """Alternate the ways on one set of clips and print speeds, ratios within rounds, and whether answers agree.

    The naive way takes the first clip only (it would take minutes); per clip it does the same for all.
    """
    plan: list[tuple[str, Callable[[Sequence[Path]], list[Answers]], Sequence[Path]]] = [
        ("naive", ways.naive, clips[:1]),
        ("vision", ways.vision, clips[:1]),
        ("shared", ways.shared, clips),
        ("batched", ways.batched, clips),
    ]
    times: dict[str, list[Measured]] = {name: [] for name, _, _ in plan}
    said: dict[str, list[Answers]] = {}
    ways.shared(clips[:1])  # the first call pays for loading and warming up
    for number in range(rounds):
        for name, way, part in plan if number % 2 == 0 else plan[::-1]:
            with measured(times[name], len(part)):
                answers = way(part)
            if said.setdefault(name, answers) != answers:
                raise SystemExit(f"{name} gave other answers in another round")
    if not (said["naive"] == said["vision"] == said["shared"][:1] and said["shared"] == said["batched"]):
        raise SystemExit(f"the ways disagree: {said}")
    for name, _, part in plan:
        clock = statistics.median(m.clock for m in times[name])
        faster = [a.clock / b.clock for a, b in zip(times["naive"], times[name], strict=True)]
        leaner = [a.cores / b.cores for a, b in zip(times["naive"], times[name], strict=True)]
        print(
            f"  {name:8}{1 / clock:8.3f} clips/s {statistics.median(faster):7.2f} times naive "
            f"({min(faster):.2f} to {max(faster):.2f}), CPU time 1/{statistics.median(leaner):.2f} "
            f"({min(leaner):.2f} to {max(leaner):.2f}), {len(part)} clips",
            flush=True,
        )
    print(f"  answers: {len(clips)} clips x {len(k.ALL)}, the same tokens' text by every way", flush=True)


def on_cpu(arguments: argparse.Namespace) -> None:
    """The comparison on the processor."""
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as place, FrameReader() as reader:
        folder = Path(place)
        loaded = medium_model(folder)
        count = sum(p.numel() for p in loaded.network.parameters())
        print(f"{count / 1e6:.1f} M weights with adapters, float32, {arguments.threads} threads", flush=True)
        for frames, adapters in itertools.product(arguments.lengths, arguments.adapters):
            settings = EngineSettings(
                max_tokens=arguments.tokens,
                max_new_tokens=ANSWER_TOKENS,
                gate_localisation=False,
                routing=DEFAULT_ROUTING if adapters == 2 else dict.fromkeys(k.ALL, "linguistic"),
            )
            ways = Ways(loaded, reader, settings, arguments.clips)
            clips = [write_clip(folder / f"{frames}-{n}.mp4", frames, seed=n) for n in range(arguments.clips)]
            inputs, prefix = ways._read(clips[0])
            tokens = len(loaded.tokenizer.encode(prefix, add_special_tokens=False))
            print(
                f"{len(inputs.keep) // inputs.tokens_per_frame} frames, {int(inputs.keep.sum())} of "
                f"{len(inputs.keep)} visual tokens kept, prefix {tokens} tokens, "
                f"{sum(ANSWER_TOKENS.values())} answer tokens, adapters: {adapters}:",
                flush=True,
            )
            compare(ways, clips, arguments.rounds)


def main(arguments: Sequence[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks engine", description="measure the engine")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--lengths", type=int, nargs="+", default=[24, 48, 96], help="sampled frames per clip"
    )
    parser.add_argument("--clips", type=int, default=4, help="clips per batch")
    parser.add_argument("--tokens", type=int, default=2400, help="visual tokens per clip at most")
    parser.add_argument(
        "--adapters",
        type=int,
        nargs="+",
        choices=[1, 2],
        default=[1, 2],
        help="1: one adapter answers all six (as the heterogeneous checkpoint does); 2: the default routing",
    )
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--cpu", action="store_true", help="leave out the GPU where there is one")
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="of the GPU, dense bfloat16")
    chosen = parser.parse_args(arguments)
    print(facts())
    if torch.cuda.is_available() and not chosen.cpu:
        from benchmarks.engine_gpu import on_gpu

        on_gpu(chosen)
    on_cpu(chosen)
