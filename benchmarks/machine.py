"""What a measurement was taken on."""

import os
import platform
import sys
from pathlib import Path


def facts() -> str:
    """The command, the machine and how busy it is, in one line."""
    memory = ""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        total = int(meminfo.read_text().split(maxsplit=2)[1])
        memory = f", {total / 2**20:.0f} GiB"
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    return (
        f"{command}: {os.cpu_count()} cores{memory}, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )
