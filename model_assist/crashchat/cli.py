"""Six answers about clips on the command line, without Django; see `python -m model_assist.crashchat --help`.

    python -m model_assist.crashchat clip.mp4 --model MODEL
    python -m model_assist.crashchat clips/ --format jsonl > answers.jsonl

Answers go to standard output, everything else to standard error.  A clip that cannot be answered is reported in its
place and the others go on.  Exit code: 0 all answered, 1 some clip was not, 2 nothing could be begun, 130 interrupted.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from model_assist.crashchat import kinds as k
from model_assist.crashchat.answers import ClipAnswers, ClipRequest
from model_assist.crashchat.engine import Engine
from model_assist.crashchat.errors import CrashChatError
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.model import LoadedModel, load
from model_assist.crashchat.prompts import complete_prompts, read_prompts
from model_assist.crashchat.settings import EngineSettings, find_adapters

MODEL_SETTING: Final = "CRASHDESK_MODEL"
ADAPTERS_SETTING: Final = "CRASHDESK_ADAPTERS"
VIDEO_SUFFIXES: Final = frozenset(
    (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".wmv", ".flv",
     ".3gp", ".ogv", ".gif")
)  # fmt: skip
"""What is taken from a folder; a file named by itself may be called anything."""

EXIT_ALL, EXIT_SOME_FAILED, EXIT_NOT_BEGUN, EXIT_INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True)
class Outcome:
    """What came of one clip: its answers, or why there are none."""

    clip: Path
    answers: ClipAnswers | None
    error: CrashChatError | None = None

    def to_dict(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """One JSON object; `run` says what answered, the same for every clip."""
        if self.answers is None:
            error = {"type": type(self.error).__name__, "message": str(self.error)}
            return {"clip": str(self.clip), "error": error, **run}
        said = self.answers.to_dict()
        for answer in said["answers"].values():
            answer["off_format"] = answer["confidence_detail"].get("off_format", False)
        return {"clip": str(self.clip), **said, **run}


def as_table(result: ClipAnswers) -> str:
    """The answers as aligned text."""
    rows = [("kind", "state", "conf", "adapter", "answer")]
    for a in result.answers.values():
        rows.append((a.kind, a.state, f"{a.confidence:.2f}", a.adapter or "base", a.raw_text or a.reason))
    widths = [max(len(r[i]) for r in rows) for i in range(4)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[4]]) for r in rows)


def find_clips(places: Iterable[Path]) -> list[Path]:
    """The clips named, and those anywhere below the folders named, sorted.  ValueError for an empty folder."""
    clips: list[Path] = []
    for place in places:
        if not place.is_dir():
            clips.append(place)
            continue
        found = sorted(p for p in place.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
        if not found:
            raise ValueError(f"{place}: no clips in this folder ({', '.join(sorted(VIDEO_SUFFIXES))})")
        clips += found
    return clips


def answer_clips(
    engine: Engine, clips: Sequence[Path], prompts: Mapping[str, str] | None, kinds: Sequence[str]
) -> Iterator[Outcome]:
    """Outcomes as they come; one clip's failure is its own."""
    requests = (ClipRequest(clip, prompts, kinds) for clip in clips)
    for position, said in engine.answer_many(requests):
        if isinstance(said, CrashChatError):
            yield Outcome(clips[position], None, said)
        else:
            yield Outcome(clips[position], said)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer the six questions about clips, with no server and no database."""
    options = _parser().parse_intermixed_args(arguments)
    try:
        clips = find_clips(options.clips)
        prompts = read_prompts(options.prompts) if options.prompts else None
        complete_prompts(prompts, options.kinds)
        loaded = load(options.model, find_adapters(options.adapters), device=options.device)
        settings = _settings(loaded, options)
        _tell(options, _loaded_line(loaded))
        with FrameReader(timeout_s=options.timeout) as reader:
            engine = Engine(loaded, settings=settings, frame_reader=reader)
            outcomes = answer_clips(engine, clips, prompts, options.kinds)
            failed = _print_all(outcomes, len(clips), _run(loaded, settings), options)
    except (CrashChatError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_NOT_BEGUN
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if failed else EXIT_ALL


def _print_all(
    outcomes: Iterable[Outcome], total: int, run: Mapping[str, Any], options: argparse.Namespace
) -> int:
    """Print every outcome as it comes; how many clips failed."""
    failed, records = 0, []
    began = time.monotonic()
    for number, outcome in enumerate(outcomes, 1):
        failed += outcome.answers is None
        if options.format == "jsonl":
            print(json.dumps(outcome.to_dict(run)), flush=True)
        elif options.format == "json":
            records.append(outcome.to_dict(run))
        elif outcome.answers is not None:
            title = f"{outcome.clip}\n" if total > 1 else ""
            print(title + as_table(outcome.answers), flush=True)
        if outcome.error is not None:
            print(f"error: {outcome.clip}: {outcome.error}", file=sys.stderr, flush=True)
        took = time.monotonic() - began
        _tell(options, f"{number} of {total} clips, {failed} failed, {60 * number / took:.1f} a minute")
    if options.format == "json":
        print(json.dumps(records[0] if total == 1 else records, indent=2))
    return failed


def _tell(options: argparse.Namespace, line: str) -> None:
    if not options.quiet:
        print(line, file=sys.stderr, flush=True)


def _loaded_line(loaded: LoadedModel) -> str:
    said = loaded.summary()
    chosen = ", ".join(f"{name} {said[name]} ({why})" for name, why in loaded.why.items())
    return f"{said['base']}, adapters: {', '.join(loaded.adapters) or 'none'}; {chosen}"


def _run(loaded: LoadedModel, settings: EngineSettings) -> dict[str, Any]:
    """What answered and how: everything that an answer depends on besides clip and question."""
    return {"model": loaded.summary(), "settings": settings.to_dict()}


def _settings(loaded: LoadedModel, options: argparse.Namespace) -> EngineSettings:
    """The model's own settings with what the command line says otherwise.  ValueError for what makes no sense."""
    settings = EngineSettings.from_dict(loaded.settings)
    changes = {name: getattr(options, name) for name in ("max_tokens", "decode", "clips_per_batch")}
    changes = {name: value for name, value in changes.items() if value is not None}
    return replace(settings, routing={**settings.routing, **dict(options.route)}, **changes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m model_assist.crashchat",
        description=main.__doc__,
        epilog="Exit code: 0 all clips answered, 1 some were not, 2 nothing could be begun, 130 interrupted.",
    )
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP", help="clips, or folders of clips")
    model = os.environ.get(MODEL_SETTING) or None
    parser.add_argument(
        "--model",
        default=model,
        required=model is None,
        help=f"base model: folder or hub id ({MODEL_SETTING})",
    )
    adapters = os.environ.get(ADAPTERS_SETTING)
    parser.add_argument(
        "--adapters", type=Path, default=Path(adapters) if adapters else None,
        help=f"folder with one subfolder per adapter ({ADAPTERS_SETTING})",
    )  # fmt: skip
    parser.add_argument("--prompts", type=Path, help="JSON object of kind to question")
    parser.add_argument("--kinds", type=_kinds, default=k.ALL, help=f"comma-separated, of {', '.join(k.ALL)}")
    parser.add_argument(
        "--route", type=_route, action="append", default=[], metavar="KIND=ADAPTER", help="may be repeated"
    )
    parser.add_argument("--format", choices=("table", "json", "jsonl"), default="table")
    parser.add_argument(
        "--max-tokens", type=_positive, help="visual tokens of a whole clip (10240; 16384 published)"
    )
    parser.add_argument("--decode", choices=("exact", "fast"), help="fast scales while decoding")
    parser.add_argument("--clips-per-batch", type=_positive, help="clips answered together")
    parser.add_argument("--device", help="cuda, cuda:1, cpu; chosen when not given")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds allowed for reading a clip")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    return parser


def _kinds(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    try:
        for name in names:
            k.check_kind(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not names:
        raise argparse.ArgumentTypeError("name at least one kind")
    return tuple(kind for kind in k.ALL if kind in names)


def _route(text: str) -> tuple[str, str]:
    kind, equals, adapter = text.partition("=")
    if not equals or not adapter or kind not in k.ALL:
        raise argparse.ArgumentTypeError(f"{text!r} is not KIND=ADAPTER with a kind of {', '.join(k.ALL)}")
    return kind, adapter


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be positive")
    return value
