"""How long an audit takes and how much memory it holds, at 1k, 10k and 100k cases: python -m benchmarks.audit [--quick]

The cases are CrashChat's published validation rows under new names (made-up rows where those are absent), imported by
the product's own import; each audit is `manage.py audit` in a process of its own, interpreter start included.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.desk import Database, running_desk
from benchmarks.ingest import run_import
from benchmarks.machine import facts
from benchmarks.replicas import Original

SIZES, QUICK = (1_000, 10_000, 100_000), (500, 1_000)


def audit(database: Database) -> tuple[float, float, str]:
    """(seconds, peak MiB, first line printed) of one audit."""
    began = time.perf_counter()
    ended = database.manage("audit", "bench")
    return time.perf_counter() - began, ended.peak_mib, ended.output.splitlines()[0]


def main(*, quick: bool) -> None:
    """Print one line per size."""
    print(facts(), flush=True)
    original = Original()
    with TemporaryDirectory(prefix="crashdesk-rows-") as name, running_desk() as desk:
        for cases in QUICK if quick else SIZES:
            written = original.write(Path(name) / str(cases), cases)
            database = desk.database(f"bench_audit_{cases}")
            run_import(database, written)
            began = time.perf_counter()
            database.manage("audit", "--help")
            start = time.perf_counter() - began
            first, peak, said = audit(database)
            again, again_peak, _ = audit(database)
            print(
                f"audit of {cases:,} cases, {written.rows:,} answers ({original.origin}): {first:.1f} s of which "
                f"{start:.1f} s to start, peak {peak:.0f} MiB; unchanged {again:.1f} s, {again_peak:.0f} MiB; {said}",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="measure audits; nothing is asserted")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    main(quick=parser.parse_args().quick)
