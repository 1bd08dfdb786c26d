"""Published VideoLLaMA3 and CrashChat checkpoints to the layout that this engine loads.

    crashdesk-convert base ORIGINAL OUT        a base model, or one with an adapter merged in
    crashdesk-convert adapter ORIGINAL OUT     LoRA and the projector that was trained with it
    crashdesk-convert verify OUT               is the folder still what was written?

The originals come in their authors' own class layout.  Only names change, no weight does.  Whatever is not understood
is refused with the file and the key.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model_assist.crashchat.convert.adapter_plan import plan_adapter
from model_assist.crashchat.convert.output import (
    PART_BYTES,
    Conversion,
    check_target,
    check_values,
    compare,
    conversion_of,
    manifest_text,
    verify_files,
    write,
)
from model_assist.crashchat.convert.plan import Plan, plan_base
from model_assist.crashchat.convert.sources import OpenFiles, Progress, nothing, opened
from model_assist.crashchat.errors import CrashChatError

GIB = 1 << 30


def convert_base(
    source: Path,
    out: Path,
    *,
    dry_run: bool = False,
    part_bytes: int = PART_BYTES,
    progress: Progress = nothing,
) -> Conversion:
    """Convert a base or merged checkpoint in `source` to the new folder `out`.

    source: config.json, tokenizer, and model*.safetensors or pytorch_model*.bin, whole or in parts.  dry_run: check
    everything, weights included, and write nothing.  part_bytes: the size of the files written, and what is held in
    memory at once.  Raises ConversionError, OSError.
    """
    with opened() as files:
        return _carry_out(plan_base(source, files), out, files, dry_run, part_bytes, progress)


def convert_adapter(
    source: Path,
    out: Path,
    *,
    base: Path | None = None,
    dry_run: bool = False,
    progress: Progress = nothing,
) -> Conversion:
    """Convert an adapter in `source` to the new folder `out`.

    source: adapter_config.json, adapter_model.safetensors or .bin, and non_lora_trainables.bin (the projector).
    base: a native base model to check the shapes against.  Raises ConversionError, OSError.
    """
    with opened() as files:
        plan = plan_adapter(source, files, base=base)
        return _carry_out(plan, out, files, dry_run, PART_BYTES, progress)


def verify(folder: Path, *, source: Path | None = None, progress: Progress = nothing) -> dict[str, Any]:
    """Check that a converted folder is as written, and with `source` that every weight equals its original.

    Returns the manifest.  Raises ConversionError naming the file that differs.
    """
    manifest = verify_files(folder, progress)
    if source is not None:
        with opened() as files:
            plan = (plan_base if manifest["kind"] == "base" else plan_adapter)(source, files)
            compare(plan, folder, files, progress)
    return manifest


def _carry_out(
    plan: Plan, out: Path, files: OpenFiles, dry_run: bool, part_bytes: int, progress: Progress
) -> Conversion:
    if not dry_run:
        return write(plan, out, files, part_bytes=part_bytes, progress=progress)
    check_target(out)
    check_values(plan, files, progress)
    return conversion_of(plan, out, {})


class _Lines:
    """Progress on standard error, at most one line a second."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        if (now := time.monotonic()) - self.last >= 1:
            self.last = now
            print(f"{what}: {100 * done / max(total, 1):.0f} %", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert published checkpoints to the layout that CrashDesk loads, or check a converted folder."""
    options = _parser().parse_args(arguments)
    progress = nothing if options.quiet else _Lines()
    try:
        if options.what == "verify":
            manifest = verify(options.folder, source=options.source, progress=progress)
            print(manifest_text(manifest) if options.manifest else f"{options.folder}: as written")
            return 0
        if options.what == "base":
            part = int(options.part_gb * GIB)
            done = convert_base(
                options.original, options.out, dry_run=options.dry_run, part_bytes=part, progress=progress
            )
        else:
            done = convert_adapter(
                options.original,
                options.out,
                base=options.base,
                dry_run=options.dry_run,
                progress=progress,
            )
    except (CrashChatError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        return 130
    verb = "would write" if options.dry_run else "wrote"
    print(
        f"{verb} {done.weights} weights ({done.parameters:,} numbers) to {done.out}, dropped {done.dropped}"
    )
    for note in done.notes:
        print(f"note: {note}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="crashdesk-convert", description=main.__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    for name, about in (
        ("base", "a base model, or a merged checkpoint"),
        ("adapter", "LoRA with its non_lora_trainables.bin"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("original", type=Path, help="folder of the published checkpoint")
        command.add_argument("out", type=Path, help="new folder")
        command.add_argument("--dry-run", action="store_true", help="check everything, write nothing")
        command.add_argument("--quiet", action="store_true", help="no progress on standard error")
        if name == "base":
            command.add_argument(
                "--part-gb", type=_size, default=PART_BYTES / GIB, help="size of a written file"
            )
        else:
            command.add_argument("--base", type=Path, help="converted base model to check the shapes against")
    check = commands.add_parser("verify", help="compare a converted folder with its manifest")
    check.add_argument("folder", type=Path)
    check.add_argument("--source", type=Path, help="the published checkpoint, to compare every weight with")
    check.add_argument("--manifest", action="store_true", help="print the manifest")
    check.add_argument("--quiet", action="store_true", help="no progress on standard error")
    return parser


def _size(text: str) -> float:
    value = float(text)
    if not 0.001 <= value <= 1000:
        raise argparse.ArgumentTypeError("must be between 0.001 and 1000 GB")
    return value
