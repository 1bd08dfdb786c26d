"""`make bench`, `make bench-engine` and `make bench-ingest`: paired measurements in one run, the ratio printed.

python -m benchmarks [--rounds 5]
python -m benchmarks engine [--rounds 3] [--lengths 24 48 96] [--clips 4] [--tokens 2400]
python -m benchmarks ingest [--quick] [--no-labelstudio]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path


def paired(name: str, one: Callable[[], object], other: Callable[[], object], rounds: int) -> None:
    """Time two ways of doing the same, alternating, and print medians and the ratio of each pair."""
    one()
    other()
    pairs = []
    for _ in range(rounds):
        times = []
        for way in (one, other):
            began = time.perf_counter()
            way()
            times.append(time.perf_counter() - began)
        pairs.append((times[0], times[1]))
    ratios = [b / a for a, b in pairs]
    first, second = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
    print(
        f"{name}: {first:.3f} s against {second:.3f} s, {statistics.median(ratios):.2f} times as fast "
        f"(pairs from {min(ratios):.2f} to {max(ratios):.2f}, {rounds} rounds)",
        flush=True,
    )


def shared_prefix(rounds: int) -> None:
    """Six answers from one reading, one vision pass and shared prefixes, against six separate questions."""
    from annotations.corpora.demo.corpus import generate
    from model_assist.crashchat.engine import Engine
    from model_assist.crashchat.frames import FrameReader
    from model_assist.crashchat.kinds import ALL
    from model_assist.crashchat.model import load
    from model_assist.crashchat.settings import EngineSettings
    from model_assist.crashchat.tiny import save_tiny

    with tempfile.TemporaryDirectory() as folder, FrameReader() as reader:
        clips = Path(folder) / "clips"
        generate(clips, clips=6, seed=3)
        clip = sorted(clips.glob("videos/*.mp4"))[0]
        save_tiny(Path(folder) / "base")
        limits = dict.fromkeys(ALL, 16)
        settings = EngineSettings(
            max_frames=48, max_tokens=2400, max_new_tokens=limits, gate_localisation=False
        )
        engine = Engine(load(Path(folder) / "base", {}), settings=settings, frame_reader=reader)
        paired(
            "six answers about a clip, together against one by one",
            lambda: engine.answer(clip),
            lambda: [engine.answer(clip, kinds=(kind,)) for kind in ALL],
            rounds,
        )


def job_throughput(rounds: int) -> None:
    """Queueing, claiming and finishing jobs that do nothing: what the lease costs."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crashdesk.settings")
    django.setup()
    from django.core.management import call_command

    from crashdesk.jobs import registry, services
    from crashdesk.jobs.tasks import perform

    call_command("migrate", verbosity=0)
    registry.register("nothing", queue="bench", run=lambda running: None)
    count = 200
    times = []
    for _ in range(rounds):
        services.enqueue_many("nothing", [{}] * count, by=None)
        began = time.perf_counter()
        while job := services.claim_next("bench"):
            perform(job)
        times.append(time.perf_counter() - began)
    print(f"jobs claimed, run and finished by one worker: {count / statistics.median(times):.0f} per second")


def main() -> None:
    if sys.argv[1:2] == ["engine"]:
        from benchmarks.engine import main as engine

        engine(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description="measure; nothing is asserted")
    parser.add_argument("what", nargs="?", choices=["core", "engine", "ingest"], default="core")
    parser.add_argument("--rounds", type=int, default=5, help="of the pairs")
    parser.add_argument("--quick", action="store_true", help="ingest: small sizes, to see that it runs")
    parser.add_argument(
        "--no-labelstudio", dest="labelstudio", action="store_false", help="ingest: without the comparison"
    )
    arguments = parser.parse_args()
    if arguments.what == "ingest":
        from benchmarks.ingest import main as ingest

        ingest(arguments)
        return
    import tests.plugin  # noqa: F401 - gives Django a database before it reads its settings

    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    shared_prefix(arguments.rounds)
    job_throughput(arguments.rounds)


if __name__ == "__main__":
    main()
