"""Six answers about one clip on the command line; see `python -m model_assist.crashchat --help`."""

import argparse
import json
import sys
from pathlib import Path

from model_assist.crashchat.answers import ClipAnswers
from model_assist.crashchat.engine import Engine
from model_assist.crashchat.errors import CrashChatError
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.model import load
from model_assist.crashchat.settings import EngineSettings, find_adapters


def as_table(result: ClipAnswers) -> str:
    """The answers as aligned text."""
    rows = [("kind", "state", "conf", "adapter", "answer")]
    for a in result.answers.values():
        rows.append((a.kind, a.state, f"{a.confidence:.2f}", a.adapter or "base", a.raw_text or a.reason))
    widths = [max(len(r[i]) for r in rows) for i in range(4)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[4]]) for r in rows)


def main(arguments: list[str] | None = None) -> int:
    """Print the six answers about a clip."""
    parser = argparse.ArgumentParser(prog="python -m model_assist.crashchat", description=main.__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", required=True, help="base model: folder or hub id")
    parser.add_argument("--adapters", type=Path, help="folder with one subfolder per adapter")
    parser.add_argument("--prompts", type=Path, help="JSON object of kind to question")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds allowed for reading the clip")
    options = parser.parse_args(arguments)
    try:
        prompts = json.loads(options.prompts.read_text(encoding="utf-8")) if options.prompts else None
        loaded = load(options.model, find_adapters(options.adapters))
        settings = EngineSettings.from_dict(loaded.settings)
        with FrameReader(timeout_s=options.timeout) as reader:
            result = Engine(loaded, settings=settings, frame_reader=reader).answer(options.clip, prompts)
    except (CrashChatError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result.to_dict(), indent=2) if options.format == "json" else as_table(result))
    return 0
