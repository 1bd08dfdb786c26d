"""The engine on a GPU with a random model of the published 7B shape: speed, utilisation, memory, per batch size.

Utilisation: benchmarks.engine_flops over the wall time and the device's peak (989 TFLOPS: H100 SXM, dense
bfloat16, NVIDIA's data sheet; --peak-tflops for others).  Busy share: the mean of nvidia-smi's utilization.gpu,
sampled five times a second, which is the share of time in which any kernel ran, not how full the device was.
Clips are decoded from files while the model works, as in service.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.engine import ANSWER_TOKENS, write_clip
from benchmarks.engine_flops import Shape, clip_flops, utilisation
from model_assist.crashchat.answers import ClipAnswers, ClipRequest
from model_assist.crashchat.engine import Engine
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.model import LoadedModel, choose_attention
from model_assist.crashchat.prompts import DEFAULT_PROMPTS, prefix_text, suffix_text
from model_assist.crashchat.settings import LORA_TARGETS, EngineSettings
from model_assist.crashchat.sizing import PATCH
from model_assist.crashchat.tiny import make_tokenizer

RANK: Final = 64
ADAPTERS: Final = ("linguistic", "perception")
BATCHES: Final = (1, 2, 4, 8)
SAMPLE_S: Final = 0.2


def seven_billion(tokenizer: Any) -> Any:
    """The configuration of VideoLLaMA3-7B: a SigLIP tower of 27 layers under Qwen2.5-7B, 8.05 billion weights."""
    from transformers import Qwen2Config, VideoLlama3Config, VideoLlama3VisionConfig

    end, image, video = (
        tokenizer.convert_tokens_to_ids(t) for t in ("<|im_end|>", "<|image_pad|>", "<|video_pad|>")
    )
    text = Qwen2Config(
        vocab_size=152064, hidden_size=3584, intermediate_size=18944, num_hidden_layers=28,
        num_attention_heads=28, num_key_value_heads=4, max_position_embeddings=32768,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=end, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    vision = VideoLlama3VisionConfig(
        hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16, patch_size=14
    )
    return VideoLlama3Config(
        text_config=text, vision_config=vision, image_token_id=image, video_token_id=video,
        tie_word_embeddings=False,
    )  # fmt: skip


def random_model() -> LoadedModel:
    """Random bfloat16 weights of that shape on the GPU, with two adapters of CrashChat's rank."""
    from transformers import VideoLlama3ForConditionalGeneration as Network

    tokenizer = make_tokenizer()
    device, attention = torch.device("cuda"), choose_attention(torch.device("cuda"))
    build: Any = Network._from_config
    with device:
        network = build(seven_billion(tokenizer), dtype=torch.bfloat16, attn_implementation=attention)
    model = with_adapters(network).to(device).eval()
    return LoadedModel(model, tokenizer, "random 7B", ADAPTERS, device, torch.bfloat16, attention)


def with_adapters(network: Any) -> Any:
    """Two random adapters of CrashChat's rank around a model, all in the model's own number format.

    peft would keep them in float32, as training wants it; the engine loads them in the model's format, and float32
    products would be most of what is measured.  Raises ValueError if a weight is in another format all the same.
    """
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=RANK, lora_alpha=16, target_modules=LORA_TARGETS, modules_to_save=["projector"])
    first, second = ADAPTERS
    model: Any = get_peft_model(network, lora, adapter_name=first, autocast_adapter_dtype=False)
    model.add_adapter(second, lora, autocast_adapter_dtype=False)
    model.requires_grad_(False)
    others = [name for name, weight in model.named_parameters() if weight.dtype != network.dtype]
    if others:
        raise ValueError(f"{len(others)} weights are not in {network.dtype}, such as {others[0]}")
    return model


@contextmanager
def busy_share(samples: list[float]) -> Iterator[None]:
    """Collect nvidia-smi's utilization.gpu (0 to 1) while something runs."""
    every = f"-lms={int(SAMPLE_S * 1000)}"
    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i=0", every]
    with subprocess.Popen(query, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield
        finally:
            process.terminate()
            said, _ = process.communicate()
    samples += [float(line) / 100 for line in said.split() if line.strip().isdigit()]


def flops_of(loaded: LoadedModel, found: ClipAnswers) -> dict[str, int]:
    """Operations of one clip's answers as they came out (`clip_flops`)."""
    used, tokenizer = found.frames, loaded.tokenizer
    spread = [used.visual_tokens // used.count] * used.count
    spread[0] += used.visual_tokens - sum(spread)
    prefix = len(tokenizer.encode(prefix_text(used.times_us, spread), add_special_tokens=False))
    by_adapter: dict[str, list[tuple[int, int]]] = {}
    for kind, answer in found.answers.items():
        question = len(tokenizer.encode(suffix_text(DEFAULT_PROMPTS[kind]), add_special_tokens=False))
        written = answer.confidence_detail["tokens"] + answer.confidence_detail["ended"]
        by_adapter.setdefault(answer.adapter, []).append((question, written))
    return clip_flops(
        Shape.of(loaded.network.config, rank=RANK),
        frames=used.count,
        patches=(used.width // PATCH) * (used.height // PATCH),
        kept=used.visual_tokens,
        prefix=prefix,
        adapters=list(by_adapter.values()),
    )


def run(engine: Engine, clips: Sequence[Path], peak: float) -> None:
    """Answer the clips once and print what it took."""
    torch.cuda.reset_peak_memory_stats()
    samples: list[float] = []
    began = time.perf_counter()
    with busy_share(samples):
        outcomes = [outcome for _, outcome in engine.answer_many(ClipRequest(clip) for clip in clips)]
    seconds = time.perf_counter() - began
    answers = [outcome for outcome in outcomes if isinstance(outcome, ClipAnswers)]
    for outcome in outcomes:
        if not isinstance(outcome, ClipAnswers):
            print(f"  failed: {outcome}")
    if not answers:
        return
    work = [flops_of(engine.loaded, found) for found in answers]
    written = sum(a.confidence_detail["tokens"] for found in answers for a in found.answers.values())
    stages = {
        stage: sum(found.timings.get(stage, 0.0) for found in answers) / len(answers)
        for stage in ("vision", "prefill", "answers")
    }
    print(
        f"  {engine.settings.clips_per_batch} clips per batch: {60 * len(answers) / seconds:.1f} clips/min, "
        f"{written / seconds:.0f} answer tokens/s, "
        f"MFU {100 * utilisation(sum(sum(w.values()) for w in work), seconds, peak):.1f} %, "
        f"busy {100 * statistics.mean(samples or [0.0]):.0f} % of {len(samples)} samples, "
        f"peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB; seconds per clip: "
        + ", ".join(f"{stage} {spent:.2f}" for stage, spent in stages.items()),
        flush=True,
    )


def on_gpu(arguments: argparse.Namespace) -> None:
    """The measurement on the GPU, for every batch size."""
    loaded = random_model()
    print(f"{torch.cuda.get_device_name()}, attention {loaded.attention}, 7B shape, bfloat16", flush=True)
    settings = EngineSettings(max_new_tokens=ANSWER_TOKENS, gate_localisation=False)
    with tempfile.TemporaryDirectory() as place, FrameReader() as reader:
        folder = Path(place)
        sources = [write_clip(folder / f"{n}.mp4", 96, seed=n, width=1280, height=720) for n in range(4)]
        for together in BATCHES:
            chosen = replace(settings, clips_per_batch=together)
            engine = Engine(loaded, settings=chosen, frame_reader=reader)
            list(engine.answer_many(ClipRequest(clip) for clip in sources[:1]))
            run(engine, sources * max(2, together), arguments.peak_tflops * 1e12)
