"""The demo's own model: a tiny one of the real architecture, made and trained here, because no weights ship.

The commands run as processes of their own: this room sits below the model's and imports nothing of it.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from crashdesk.demo.console import Console

CLIPS, SEED = 24, 4711
FILE_WORDS = {"causal_reasoning": "cause_reasoning"}
"""Where the conversation files call a kind by another name, as CrashChat's do."""


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


def make_model(console: Console, folder: Path, prompts: Mapping[str, str]) -> None:
    """Generate clips of their own to learn from, then build and train the tiny model below `folder`."""
    clips = folder / "clips"
    run(console, "manage.py", "demo_corpus", str(clips), "--clips", str(CLIPS), "--seed", str(SEED))
    examples = folder / "examples.jsonl"
    write_examples(clips, examples, prompts)
    run(console, "-m", "model_assist.training.make_tiny", "--examples", str(examples), "--out", str(folder))


def write_examples(clips: Path, out: Path, prompts: Mapping[str, str]) -> int:
    """The generator's conversation files as training examples, asked in the guideline's own words."""
    lines = []
    for kind, prompt in prompts.items():
        for row in json.loads((clips / f"demo_{FILE_WORDS.get(kind, kind)}.json").read_text()):
            video, answer = row["video"][0], row["conversations"][1]["value"]
            lines.append(
                json.dumps({"video": str(clips / video), "kind": kind, "prompt": prompt, "answer": answer})
            )
    out.write_text("\n".join(lines) + "\n")
    return len(lines)
