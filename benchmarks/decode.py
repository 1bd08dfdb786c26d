"""What sampling a clip's frames costs, beside the ffmpeg command line doing the same sampling and scaling.

python -m benchmarks.decode [--rounds 5] [--clips 4] [--reads 500] [--seconds 10] [--no-real]
    [--answers MODEL --about CLIPS]

All ways take the same clips in turn, round after round, in one run: wall and CPU time (parent, child and ffmpeg
together) per clip, and the ratio to ffmpeg's in the same round (above 1: we are faster).  ffmpeg's frames are read
from its pipe; ours come from the reading child as the engine gets them.  Then the child's memory over many reads,
and what fast decoding changes.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from benchmarks.machine import facts
from model_assist.crashchat.errors import FrameReadError
from model_assist.crashchat.frames import FrameReader, Pixels, read_frames
from model_assist.crashchat.preprocess import preprocess
from model_assist.crashchat.sizing import target_size
from tests.shared_data import SHARED

CLIPS = SHARED / "data" / "clips"
TOKENS = 10240
FRAMES = 96
TICK = os.sysconf("SC_CLK_TCK")


def write_clip(path: Path, seed: int, *, seconds: int, b_frames: int) -> Path:
    """A 1280x720 clip at 30 frames per second, about 1 Mbit/s: texture under a pan, things crossing it."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (53, 120, 3), dtype=np.uint8))
    scene = np.asarray(coarse.resize((1600, 784), Image.Resampling.BICUBIC), np.int16)
    textured: Pixels = np.clip(scene + rng.normal(0, 6, scene.shape), 0, 255).astype(np.uint8)
    things = [
        (rng.integers(0, (1120, 600)), rng.integers(-6, 7, 2), rng.integers(0, 255, 3)) for _ in range(8)
    ]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        stream.options = {"crf": "26", "g": "250", "bf": str(b_frames), "preset": "veryfast"}
        for number in range(seconds * 30):
            left = int(160 + 150 * np.sin(number / 90))
            picture: Pixels = textured[:720, left : left + 1280].copy()
            for corner, speed, colour in things:
                x, y = (corner + speed * number) % (1120, 600)
                picture[y : y + 120, x : x + 160] = colour
                picture[y + 20 : y + 40, x + 20 : x + 140] = 255 - colour
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def find_ffmpeg() -> str:
    """The system's ffmpeg, or imageio-ffmpeg's."""
    found = shutil.which("ffmpeg")
    if found is None:
        try:
            import imageio_ffmpeg  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            sys.exit("no ffmpeg: install the system's, or imageio-ffmpeg")
        found = imageio_ffmpeg.get_ffmpeg_exe()
    return str(found)


@dataclass(frozen=True)
class Cost:
    """Seconds for a pass over all clips."""

    wall: float
    cpu: float


def cpu_seconds() -> float:
    """Of this process, its living children and those waited for."""
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + waited.ru_utime + waited.ru_stime
    for pid in children():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / TICK
    return total


def children() -> list[int]:
    """Child processes that live now."""
    lists = (p.read_text().split() for p in Path("/proc/self/task").glob("*/children"))
    return [int(pid) for pids in lists for pid in pids]


def through_pipe(ffmpeg: str, clip: Path, shape: tuple[int, int], *, scale: bool) -> Pixels:
    """ffmpeg's own sampling as raw RGB, scaled by it or at full size, thinned as the rule says."""
    rows, columns = shape
    filters = "fps=10:round=down" + (f",scale={columns}:{rows}" if scale else "")
    command = [ffmpeg, "-v", "error", "-i", str(clip), "-vf", filters]
    raw = subprocess.run(
        [*command, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], capture_output=True, check=True
    )
    frames = np.frombuffer(raw.stdout, np.uint8).reshape(-1, rows, columns, 3)
    kept: Pixels = frames[np.linspace(0, len(frames) - 1, min(len(frames), FRAMES), dtype=int)]
    return kept


def original(ffmpeg: str, clip: Path, size: tuple[int, int]) -> Pixels:
    """As the published code: full-size frames through the pipe, then PIL one by one."""
    with av.open(str(clip)) as container:
        video = container.streams.video[0]
        shape = video.height, video.width
    rows, columns = size
    whole = through_pipe(ffmpeg, clip, shape, scale=False)
    return np.stack(
        [np.asarray(Image.fromarray(f).resize((columns, rows), Image.Resampling.BICUBIC)) for f in whole]
    )


Way = Callable[[Sequence[Path]], object]


def compare(ways: dict[str, Way], clips: Sequence[Path], rounds: int) -> None:
    """Run all ways in turn, the first being what the others are measured against."""
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            began, cpu = time.perf_counter(), cpu_seconds()
            way(clips)
            if turn:  # the first round starts children and fills caches
                costs[name].append(Cost(time.perf_counter() - began, cpu_seconds() - cpu))
    against = costs[next(iter(ways))]
    print(f"{'':34} clips/s   wall ms  CPU ms   wall ratio (least..most)   CPU ratio")
    for name, mine in costs.items():
        wall, cpu = (
            statistics.median(getattr(c, what) for c in mine) / len(clips) for what in ("wall", "cpu")
        )
        ratios = [theirs.wall / ours.wall for theirs, ours in zip(against, mine, strict=True)]
        cpu_ratio = statistics.median(
            theirs.cpu / ours.cpu for theirs, ours in zip(against, mine, strict=True)
        )
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
        print(f"{name:34} {1 / wall:7.2f} {wall * 1e3:9.0f} {cpu * 1e3:7.0f}   {spread:26} {cpu_ratio:.2f}")


def ways_for(
    stack: ExitStack, ffmpeg: str, sizes: dict[Path, tuple[int, int]], *, decord: bool
) -> dict[str, Way]:
    """What is compared; each reader keeps its child through all rounds."""
    one = stack.enter_context(FrameReader())
    two = stack.enter_context(FrameReader(workers=2))

    def each(read: Callable[[Path], object]) -> Way:
        return lambda clips: [read(clip) for clip in clips]

    def ahead(reader: FrameReader, decode: str) -> Way:
        def way(clips: Sequence[Path]) -> None:
            pending = [reader.begin(c, max_tokens=TOKENS, decode=decode) for c in clips]  # type: ignore[arg-type]
            for clip in pending:
                clip.result()

        return way

    ways: dict[str, Way] = {
        "ffmpeg, scaled, through a pipe": each(lambda c: through_pipe(ffmpeg, c, sizes[c], scale=True)),
        "ffmpeg, full size, then PIL": each(lambda c: original(ffmpeg, c, sizes[c])),
        "exact": each(lambda c: one.read(c, max_tokens=TOKENS)),
        "exact, 2 children": ahead(two, "exact"),
        "fast": each(lambda c: one.read(c, max_tokens=TOKENS, decode="fast")),
        "fast, 2 children": ahead(two, "fast"),
    }
    if decord:
        second = stack.enter_context(FrameReader(reader="decord"))
        ways["decord (exact)"] = each(lambda c: second.read(c, max_tokens=TOKENS))
    return ways


def memory(clips: Sequence[Path], reads: int) -> None:
    """The child's memory while it reads the same clips again and again."""
    with FrameReader() as reader:
        reader.read(clips[0], max_tokens=TOKENS)
        child = max(children(), key=_memory_kib)
        print(f"memory of the reading child over {reads} clips (MiB now, most so far):")
        for number in range(1, reads + 1):
            decode = "fast" if number % 2 else "exact"
            reader.read(clips[number % len(clips)], max_tokens=TOKENS, decode=decode)  # type: ignore[arg-type]
            if number % 50 == 0 or number == reads:
                now, most = _memory_kib(child), _memory_kib(child, "VmHWM")
                print(f"  after {number:4}: {now / 1024:.0f}, {most / 1024:.0f}", flush=True)


def _memory_kib(pid: int, what: str = "VmRSS") -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(what)), 0)


def effect(clips: Sequence[Path]) -> None:
    """What fast decoding changes in the pixels and in the token compression."""
    print("fast against exact: mean and 99.9 % pixel difference (of 255), tokens kept, mask bits that differ")
    for clip in clips:
        try:
            exact, fast = (read_frames(clip, max_tokens=TOKENS, decode=d) for d in ("exact", "fast"))
        except FrameReadError as error:
            print(f"  {clip.name}: {error}")
            continue
        apart = np.abs(exact.pixels.astype(np.int16) - fast.pixels)
        one, other = (preprocess(f, max_tokens=TOKENS).keep for f in (exact, fast))
        bits = int((one != other).sum())
        print(
            f"  {clip.name}: {apart.mean():.2f}, {np.quantile(apart, 0.999):.0f}; tokens {int(one.sum())} and "
            f"{int(other.sum())} of {len(one)}, {bits} bits differ ({100 * bits / len(one):.2f} %)",
            flush=True,
        )


def answers(model: Path, clips: Sequence[Path]) -> None:
    """How many greedy answers of a model stay the same."""
    from dataclasses import replace

    from model_assist.crashchat.engine import Engine
    from model_assist.crashchat.model import load
    from model_assist.crashchat.settings import EngineSettings, find_adapters, read_settings

    base = model / "base" if (model / "base").is_dir() else model
    adapters = find_adapters(model / "adapters") if (model / "adapters").is_dir() else {}
    settings = replace(EngineSettings.from_dict(read_settings(base)), gate_localisation=False)
    same: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    loaded = load(base, adapters)
    with FrameReader() as reader:
        engines = [
            Engine(loaded, settings=replace(settings, decode=d), frame_reader=reader)
            for d in ("exact", "fast")
        ]
        for clip in clips:
            try:
                exact, fast = (engine.answer(clip).answers for engine in engines)
            except FrameReadError as error:
                print(f"  left out: {error}")
                continue
            for kind, answer in exact.items():
                asked[kind] += 1
                same[kind] += answer.raw_text == fast[kind].raw_text
    print(f"greedy answers that fast decoding leaves as they are ({model}, {len(clips)} clips):")
    print(f"  all: {same.total()} of {asked.total()} ({100 * same.total() / asked.total():.1f} %)")
    for kind in asked:
        print(f"  {kind}: {same[kind]} of {asked[kind]}")


def real_clips() -> list[Path]:
    """The sample clips beside the checkout, or none."""
    return sorted(p for p in CLIPS.glob("*") if p.suffix in {".mp4", ".avi", ".gif"})


def sizes_of(clips: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """Rows and columns that the model takes of each clip."""
    sizes = {}
    for clip in clips:
        frames = read_frames(clip, max_tokens=TOKENS, decode="fast")
        sizes[clip] = target_size(frames.height, frames.width, len(frames.pixels), max_tokens=TOKENS)
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description="measure; nothing is asserted")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=4, help="clips to generate")
    parser.add_argument("--seconds", type=int, default=10, help="their length")
    parser.add_argument("--reads", type=int, default=500, help="reads in the memory test, 0 for none")
    parser.add_argument("--no-real", dest="real", action="store_false", help="generated clips only")
    parser.add_argument(
        "--answers", type=Path, help="a model folder (base, adapters), to compare its answers"
    )
    parser.add_argument("--about", type=Path, help="folder of the clips asked about")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ffmpeg = find_ffmpeg()
    version = subprocess.run([ffmpeg, "-version"], capture_output=True, text=True, check=True).stdout
    print(
        facts(),
        f"\n{ffmpeg}: {version.splitlines()[0]}\nPyAV {av.__version__}, {FRAMES} frames, {TOKENS} tokens",
    )
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for b_frames in (0, 2):
            made = [
                write_clip(
                    Path(folder) / f"{b_frames}-{i}.mp4", i, seconds=arguments.seconds, b_frames=b_frames
                )
                for i in range(arguments.clips)
            ]
            print(f"\n{len(made)} clips of {arguments.seconds} s, 1280x720 H.264, B-frames {b_frames}")
            compare(ways_for(stack, ffmpeg, sizes_of(made), decord=not b_frames), made, arguments.rounds)
        if real := real_clips() if arguments.real else []:
            print(f"\n{len(real)} real clips ({SHARED.name})")
            compare(ways_for(stack, ffmpeg, sizes_of(real), decord=False), real, arguments.rounds)
        print()
        effect([*made, *real])
        if arguments.answers:
            answers(arguments.answers, sorted(arguments.about.glob("*.mp4")) if arguments.about else made)
        if arguments.reads:
            memory([*made, *real], arguments.reads)


if __name__ == "__main__":
    main()
