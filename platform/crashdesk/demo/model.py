"""The demo's own model: the tiny one that ships with CrashDesk, trained on clips of the same generator.

This room sits below the model's and imports nothing of it: it finds the folder and copies it.
"""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from crashdesk.demo.console import Console

PARTS = ("base", "adapters")


def run(console: Console, *argv: str) -> None:
    """Run a Python command, showing its lines as progress. Raises RuntimeError with its last lines on failure."""
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            console.progress(len(lines), None, lines[-1][:80])
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} failed:\n" + "\n".join(lines[-30:]))


def shipped_model() -> Path:
    """The folder of the tiny model inside the installed package."""
    found = find_spec("model_assist")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("CrashDesk's model room is not installed")
    return Path(next(iter(found.submodule_search_locations))) / "tiny_model"


def install_model(folder: Path) -> None:
    """Copy the shipped model to `folder`, where a fresh installation looks for one; what is there stays.

    A copy, since the folder is the user's: an update of CrashDesk must not change a registered model.
    """
    for part in PARTS:
        if not (folder / part).exists():
            shutil.copytree(shipped_model() / part, folder / part)
