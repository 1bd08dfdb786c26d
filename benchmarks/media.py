"""What examining a clip costs, beside FFmpeg's own commands on the same file: part of `make bench-ingest`.

python -m benchmarks.media [--quick]

Ours run as a worker runs them, in the isolated child; FFmpeg's commands run as processes of their own, whose start
is measured apart. Both sides may use two threads. Wall time, alternating; the CPU time of both is printed, too.
"""

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.frame import VideoFrame

from annotations.corpora.media import proxy as proxies
from annotations.corpora.media import sound
from annotations.corpora.media.isolate import Isolated
from annotations.corpora.media.play import proxy_size
from annotations.corpora.media.probe import Probe, probe, survey
from annotations.corpora.media.render import render
from annotations.corpora.media.timemap import ProxyMap
from benchmarks.machine import facts
from tests.shared_data import SHARED

THREADS = 2
CLIPS = SHARED / "data" / "clips"
# Container, streams, and of every packet what a time map is made of. Frames: the same after decoding everything.
ABOUT = ["-v", "error", "-select_streams", "v:0", "-show_format", "-show_streams", "-of", "json"]
PACKETS = ["ffprobe", *ABOUT, "-show_entries", "packet=pts,dts,duration,flags,size"]
FRAMES = [
    "ffprobe",
    "-threads",
    str(THREADS),
    *ABOUT,
    "-show_entries",
    "frame=pts,duration,key_frame,width,height",
]


@dataclass(frozen=True)
class Run:
    """Seconds that something took."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Pair:
    """Ours and FFmpeg's, in one round."""

    ours: Run
    theirs: Run

    @property
    def ratio(self) -> float:
        """How many times FFmpeg's wall time ours is."""
        return self.ours.wall / self.theirs.wall


def _in_child(function: Callable[..., object], *args: object, **kwargs: object) -> float:
    began = time.process_time()
    function(*args, **kwargs)
    return time.process_time() - began


def ours(child: Isolated, function: Callable[..., object], *args: object, **kwargs: object) -> Run:
    """The child's call, its result's way back apart (a time map of 10 s is 3 KB)."""
    began = time.perf_counter()
    cpu = child.call(_in_child, function, *args, **kwargs)
    return Run(time.perf_counter() - began, cpu)


def theirs(command: Sequence[str | Path]) -> Run:
    """The command, its output thrown away. CalledProcessError when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def rounds_of(ways: Sequence[Callable[[], Run]], rounds: int) -> list[list[Run]]:
    """What each way took in each round; the order moves on by one each round, after one that does not count."""
    for way in ways:
        way()
    taken = []
    for number in range(rounds):
        order = [(number + k) % len(ways) for k in range(len(ways))]
        runs = {k: ways[k]() for k in order}
        taken.append([runs[k] for k in range(len(ways))])
    return taken


def paired(one: Callable[[], Run], other: Callable[[], Run], rounds: int) -> list[Pair]:
    """Rounds of ours and theirs."""
    return [Pair(*runs) for runs in rounds_of([one, other], rounds)]


def report(name: str, pairs: list[Pair]) -> float:
    """Print medians; returns the median ratio."""

    def middle(values: Sequence[float]) -> float:
        return statistics.median(values)

    ratio = middle([pair.ratio for pair in pairs])
    cpu = middle([pair.ours.cpu / max(pair.theirs.cpu, 1e-3) for pair in pairs])
    print(
        f"  {name:<36} {middle([p.ours.wall for p in pairs]) * 1e3:8.1f} ms  "
        f"{middle([p.theirs.wall for p in pairs]) * 1e3:8.1f} ms  {ratio:5.2f}  "
        f"({min(p.ratio for p in pairs):.2f} to {max(p.ratio for p in pairs):.2f})  CPU {cpu:5.2f}",
        flush=True,
    )
    return ratio


def summary(title: str, ratios: Sequence[float], goal: float) -> None:
    """The line that a goal is read from."""
    within = sum(ratio <= goal for ratio in ratios)
    print(
        f"{title}: median {statistics.median(ratios):.2f}, worst {max(ratios):.2f} times; "
        f"{within} of {len(ratios)} clips within {goal:g}",
        flush=True,
    )


def ffmpeg_proxy(path: Path, out: Path, clip: Probe) -> list[str | Path]:
    """The command that makes what `make_proxy` makes, with the same settings of the same encoders."""
    assert clip.time_map is not None
    plan = ProxyMap.plan(clip.time_map, declared=clip.declared_fps)
    width, height = proxy_size(clip.width, clip.height)
    rate = ["-fps_mode", "passthrough"] if plan.one_to_one else ["-fps_mode", "cfr", "-r", str(plan.fps)]
    tracks = ["-map", "0:v:0"]
    if clip.has_audio:
        tracks += ["-map", "0:a:0", "-c:a", "aac", "-aac_coder", sound.ENCODER["aac_coder"], "-b:a", "96k"]
        tracks += ["-ar", str(sound.RATE)]
    return [
        "ffmpeg", "-v", "error", "-nostdin", "-y", "-threads", str(THREADS), "-i", path, *tracks,
        "-vf", f"scale={width}:{height}:flags=area,format=yuv420p", *rate,
        "-c:v", "libx264", "-preset", proxies.ENCODER["preset"], "-crf", proxies.ENCODER["crf"],
        "-threads", proxies.ENCODER["threads"], "-g", str(proxies.KEY_FRAME_EVERY), "-bf", "0",
        "-t", f"{float(plan.frame_count / plan.fps):.6f}", "-movflags", "+faststart", out,
    ]  # fmt: skip


def made_up(folder: Path, *, seconds: int) -> list[Path]:
    """Clips of moving noise: 720p at 30 with B-frames, and 360p at a varying rate."""
    random = np.random.default_rng(3)
    paths = []
    for name, size, gaps in (
        ("made_720p_b.mp4", (1280, 720), [3000]),
        ("made_360p_vfr.mp4", (640, 360), [3000, 3000, 6000, 4500]),
    ):
        field = random.integers(0, 256, (size[1] // 8, size[0] // 4, 3), dtype=np.uint8)
        path = folder / name
        with av.open(str(path), "w") as target:
            stream = target.add_stream("libx264", rate=30, options={"preset": "veryfast", "threads": "2"})
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 90_000)
            tick = 0
            for number in range(seconds * 30):
                picture = (
                    np.roll(field, number, axis=1)[:, : size[0] // 8].repeat(8, axis=0).repeat(8, axis=1)
                )
                frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame.pts, frame.time_base = tick, Fraction(1, 90_000)
                target.mux(stream.encode(frame.reformat(format="yuv420p")))
                tick += gaps[number % len(gaps)]
            target.mux(stream.encode(None))
        paths.append(path)
    return paths


def long_clip(path: Path, folder: Path, *, times: int) -> Path:
    """The packets of `path` over and over: so long that a command's start does not matter."""
    out = folder / "made_long.mp4"
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [(p.pts, p.dts, p.is_keyframe, bytes(p)) for p in source.demux(stream) if p.dts is not None]
        length = max(pts for pts, *_ in packets if pts is not None) + 4500
        for turn in range(times):
            for pts, dts, key, content in packets:
                packet = av.Packet(content)
                packet.stream, packet.is_keyframe, packet.time_base = copy, key, stream.time_base
                packet.duration = 3000
                packet.pts, packet.dts = (pts or 0) + turn * length, (dts or 0) + turn * length
                target.mux(packet)
    return out


def clips(folder: Path, *, quick: bool) -> list[Path]:
    """The real clips where they lie beside the checkout, and two made up."""
    manifest = CLIPS / "manifest.json"
    real = (
        [CLIPS / item["file"] for item in json.loads(manifest.read_text())["items"]]
        if manifest.exists()
        else []
    )
    if not real:
        print("the real sample clips are not beside the checkout: made-up clips alone")
    return [*(real[:2] if quick else real), *made_up(folder, seconds=1 if quick else 10)]


def main(*, quick: bool = False) -> None:
    """All of it; a line says so where FFmpeg's commands are not installed."""
    print(facts())
    absent = [name for name in ("ffprobe", "ffmpeg") if shutil.which(name) is None]
    if absent:
        print(
            f"not measured: {' and '.join(absent)} absent (Debian: apt-get install ffmpeg); CrashDesk needs neither"
        )
        return
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout
    print(f"{version.splitlines()[0]}; PyAV {av.__version__}, libavcodec {av.library_versions['libavcodec']}")
    rounds = 2 if quick else 3
    with tempfile.TemporaryDirectory(prefix="crashdesk-media-") as name, Isolated(timeout_s=600) as child:
        folder = Path(name)
        paths = clips(folder, quick=quick)
        start = statistics.median(theirs(["ffprobe", "-version"]).wall for _ in range(5))
        print(f"ffprobe's start alone, within each of its times: {start * 1e3:.0f} ms")
        readings(child, [*paths, long_clip(paths[-1], folder, times=10 if quick else 60)], rounds)
        makings(child, paths, folder, rounds)


def readings(child: Isolated, paths: Sequence[Path], rounds: int) -> None:
    """Survey beside ffprobe's packets (its frames where packets lack the facts), full probe beside its frames."""
    print(f"probe and time map (survey), against `{' '.join(PACKETS)} CLIP`: ours, ffprobe's, ratio")
    ratios = []
    for path in paths:
        decoded = child.call(survey, path).decoded
        command = [*(FRAMES if decoded else PACKETS), path]
        pairs = paired(partial(ours, child, survey, path), partial(theirs, command), rounds)
        ratios.append(report(path.name + (" *" if decoded else ""), pairs))
    print(
        "  * packets do not tell the times: survey decodes all of it, and ffprobe shows its frames, as below"
    )
    summary("probe and time map", ratios, 1.5)
    print(f"decoding everything (probe), against `{' '.join(FRAMES)} CLIP`: ours, ffprobe's, ratio")
    ratios = []
    for path in paths:
        pairs = paired(partial(ours, child, probe, path), partial(theirs, [*FRAMES, path]), rounds)
        ratios.append(report(path.name, pairs))
    summary("decoding everything", ratios, 1.5)


def makings(child: Isolated, paths: Sequence[Path], folder: Path, rounds: int) -> None:
    """The proxy beside ffmpeg's, and the whole rendering beside ffmpeg's proxy alone."""
    out = folder / "out"
    out.mkdir()
    known: dict[Path, Probe] = {path: child.call(survey, path) for path in paths}
    example = " ".join(str(part) for part in ffmpeg_proxy(Path("CLIP"), Path("OUT"), known[paths[0]]))
    print(f"making proxies, against `{example}` (size and rate per clip): ours, ffmpeg's, ratio")
    print("  second lines: proxy, thumbnail, storyboard and check (render) against ffmpeg's proxy alone")
    proxy_ratios, render_ratios = [], []
    for path in paths:
        clip = known[path]
        make = partial(proxies.make_proxy, declared_fps=clip.declared_fps)
        taken = rounds_of(
            [
                partial(ours, child, make, path, out / "o.mp4", clip.time_map),
                partial(ours, child, render, path, out / "r", clip),
                partial(theirs, ffmpeg_proxy(path, out / "f.mp4", clip)),
            ],
            rounds,
        )
        proxy_ratios.append(report(path.name, [Pair(proxy, theirs_) for proxy, _, theirs_ in taken]))
        render_ratios.append(report("  all of it", [Pair(all_, theirs_) for _, all_, theirs_ in taken]))
    summary("proxy", proxy_ratios, 1.15)
    summary("proxy, thumbnail, storyboard and check", render_ratios, 1.15)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="measure; nothing is asserted")
    parser.add_argument("--quick", action="store_true", help="few clips, few rounds: to see that it runs")
    main(quick=parser.parse_args().quick)
