"""Writing a conversion: part by part, into a folder that takes its name only when it is complete.

The folder holds crashdesk-conversion.json, a manifest of what was read, written and dropped, with hashes.  It holds no
date and no path, so that the same checkpoint always becomes the same bytes.
"""

import fcntl
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from model_assist.crashchat.convert.plan import Plan, write_json
from model_assist.crashchat.convert.sources import OpenFiles, Progress, nothing, read_json, sha256_of
from model_assist.crashchat.errors import ConversionError

MANIFEST: Final = "crashdesk-conversion.json"
MANIFEST_FORMAT: Final = 1
PART_BYTES: Final = 2 << 30
"""Weights held in memory at once, and the largest file written; a single larger weight gets a file of its own."""

_PARTIAL: Final = ".converting-"


@dataclass(frozen=True)
class Conversion:
    """A finished (or, for a dry run, an only checked) conversion."""

    out: Path
    weights: int
    parameters: int
    dropped: int
    notes: tuple[str, ...]
    manifest: dict[str, Any]


def check_values(plan: Plan, files: OpenFiles, progress: Progress = nothing) -> None:
    """Read every weight without writing any: what a dry run does.  Raises ConversionError."""
    done = 0
    for name, weight in plan.weights.items():
        done += weight.read(files).numel()
        progress(f"checking {name}", done, plan.parameters)


def write(
    plan: Plan, out: Path, files: OpenFiles, *, part_bytes: int = PART_BYTES, progress: Progress = nothing
) -> Conversion:
    """Carry out `plan`.  `out` must not exist, or be empty; it appears complete or not at all.

    Raises ConversionError, OSError (disk full), and whatever `progress` raises; then nothing stays behind.
    """
    check_target(out)
    source_hashes = sha256_of(plan.read_files, progress)
    with _partial(out) as folder:
        written = _write_weights(plan, folder, files, part_bytes, progress)
        plan.write_rest(folder)
        for name in written:  # safetensors lets only their owner read
            shutil.copymode(next(folder.glob("*.json")), folder / name)
        others = sorted(p for p in folder.iterdir() if p.is_file() and p.name not in written)
        manifest = {
            "format": MANIFEST_FORMAT,
            "kind": plan.kind,
            "source": {"name": plan.source.resolve().name, "files": source_hashes},
            "output": {"files": sha256_of([*(folder / name for name in written), *others], progress)},
            "versions": _versions(),
            "weights": {"read": len(plan.weights) + len(plan.dropped), "written": len(plan.weights),
                        "parameters": plan.parameters},
            "dropped": plan.dropped,
            "names": {weight.key: name for name, weight in plan.weights.items()},
            "details": plan.details,
            "notes": plan.notes,
        }  # fmt: skip
        write_json(folder / MANIFEST, manifest)
        _settle(folder)
        if out.is_dir():
            out.rmdir()  # empty, by check_target
        folder.rename(out)
    return conversion_of(plan, out, manifest)


def conversion_of(plan: Plan, out: Path, manifest: dict[str, Any]) -> Conversion:
    """The result object of a plan."""
    return Conversion(out, len(plan.weights), plan.parameters, len(plan.dropped), tuple(plan.notes), manifest)


def check_target(out: Path) -> None:
    """ConversionError when something is in the way of `out`."""
    if out.is_file():
        raise ConversionError(out, "is a file; name a new folder")
    if out.is_dir() and any(out.iterdir()):
        raise ConversionError(out, "exists and is not empty; name a new folder, or remove it")


def _write_weights(
    plan: Plan, folder: Path, files: OpenFiles, part_bytes: int, progress: Progress
) -> list[str]:
    parts = [list(plan.weights)] if plan.single_file else _parts(plan, files, part_bytes)
    index: dict[str, str] = {}
    total_bytes = done = 0
    for number, names in enumerate(parts, 1):
        file = plan.single_file or (
            "model.safetensors" if len(parts) == 1 else f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        )
        part = {}
        for name in names:
            part[name] = plan.weights[name].read(files)
            total_bytes += part[name].numel() * part[name].element_size()
            done += part[name].numel()
            progress(f"writing {file}", done, plan.parameters)
        save_file(part, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(names, file)
    if len(parts) > 1:
        table = {"metadata": {"total_size": total_bytes}, "weight_map": index}
        write_json(folder / "model.safetensors.index.json", table)
    return sorted(set(index.values()))


def _parts(plan: Plan, files: OpenFiles, part_bytes: int) -> list[list[str]]:
    """Names in order, cut so that each part stays below `part_bytes` where its weights allow it."""
    parts: list[list[str]] = [[]]
    filled = 0
    for name, weight in plan.weights.items():
        tensor = files.tensor(weight.file, weight.key)  # mapped, not read
        size = tensor.numel() * tensor.element_size()
        if parts[-1] and filled + size > part_bytes:
            parts.append([])
            filled = 0
        parts[-1].append(name)
        filled += size
    return parts


@contextmanager
def _partial(out: Path) -> Iterator[Path]:
    """A folder beside `out` to fill; what killed conversions left there is removed first, one process at a time."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with _locked(out.parent / f".{out.name}{_PARTIAL}lock"):
        for left in out.parent.glob(f".{out.name}{_PARTIAL}[0-9]*"):
            shutil.rmtree(left)
        around = out.parent / f".{out.name}{_PARTIAL}{os.getpid()}"
        folder = around / out.name  # one level down, where nobody looks for adapters
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(around, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file for the length of a block.  ConversionError when another process holds it."""
    lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConversionError(path, "another conversion to this place is running") from None
        try:
            yield
        finally:  # before the lock goes: afterwards the file may be another process's
            path.unlink(missing_ok=True)
    finally:
        os.close(lock)


def _settle(folder: Path) -> None:
    """Have the disk keep everything before the folder gets its name."""
    for path in (*sorted(p for p in folder.iterdir() if p.is_file()), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _versions() -> dict[str, str]:
    names = ("crashdesk", "torch", "transformers", "peft", "safetensors")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed as a package"
    return found


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a converted folder.  ConversionError when there is none that we understand."""
    if not (folder / MANIFEST).is_file():
        raise ConversionError(
            folder / MANIFEST, "is missing: this folder was not written by crashdesk-convert"
        )
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != MANIFEST_FORMAT:
        raise ConversionError(folder / MANIFEST, f"is {manifest.get('format')!r}, not 1", key="format")
    return manifest


def verify_files(folder: Path, progress: Progress = nothing) -> dict[str, Any]:
    """Compare a converted folder with its manifest, byte for byte; the manifest.  Raises ConversionError."""
    manifest = read_manifest(folder)
    expected: dict[str, Any] = manifest["output"]["files"]
    for name in expected:
        if not (folder / name).is_file():
            raise ConversionError(folder / name, "is missing")
    strangers = sorted(p.name for p in folder.glob("*.safetensors") if p.name not in expected)
    if strangers:
        raise ConversionError(folder / strangers[0], "was not written by the conversion")
    for name, found in sha256_of([folder / name for name in expected], progress).items():
        if found != expected[name]:
            raise ConversionError(folder / name, "has changed since the conversion (another SHA-256)")
    return manifest


def compare(plan: Plan, folder: Path, files: OpenFiles, progress: Progress = nothing) -> None:
    """Every weight of `folder` against the original it came from, bit for bit.  Raises ConversionError."""
    table = folder / "model.safetensors.index.json"
    index = read_json(table)["weight_map"] if table.is_file() else {}
    done = 0
    for name, weight in plan.weights.items():
        file = folder / index.get(name, plan.single_file or "model.safetensors")
        original = weight.read(files)
        if not torch.equal(files.tensor(file, name), original):
            raise ConversionError(file, f"differs from {weight.key} of {weight.file}", key=name)
        done += original.numel()
        progress(f"comparing {name}", done, plan.parameters)


def manifest_text(manifest: dict[str, Any]) -> str:
    """The manifest as the command prints it."""
    return json.dumps(manifest, indent=2)
