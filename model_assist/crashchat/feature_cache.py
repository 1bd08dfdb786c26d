"""Vision features kept on disk: asking other questions, or another adapter, skips decoding and the vision tower.

One file per clip, named by a key over everything the features depend on, so that nothing ever has to be declared
stale. Files are written aside and renamed into place, checked against a SHA-256 when read, and the least recently
used go when the folder outgrows its limit. Any number of processes, on any number of machines, may share a folder.
"""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from model_assist.crashchat.answers import FramesUsed
from model_assist.crashchat.features import ClipFeatures
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.settings import EngineSettings

LAYOUT: Final = 1
"""Part of every key and file: raise it when the file's layout or the sampling of frames changes its meaning."""
SUFFIX: Final = ".features"
PART: Final = ".part"
ABANDONED_SECONDS: Final = 3600.0
"""A file still not renamed after this long was left by a process that died."""
DIGEST_BYTES: Final = 32
KEPT_SHARE: Final = 0.9
"""How full the folder is after the oldest files went."""
UNSEEN_SHARE: Final = 1 / 16
"""What a process may write, as a share of the limit, before it looks again at what the others have written."""

log = logging.getLogger(__name__)


def vision_tower_hash(loaded: LoadedModel) -> str:
    """SHA-256 (hex) over the vision tower's weights as loaded: names, shapes, dtype and bytes.

    One pass over the tower (0.8 GB for the published model in bfloat16: about a second). Adapters never change it.
    """
    digest = hashlib.sha256()
    for name, weight in sorted(loaded.network.model.vision_model.state_dict().items()):
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}\n".encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def features_key(video_sha256: str, vision_hash: str, settings: EngineSettings, loaded: LoadedModel) -> str:
    """The name (64 hex digits) under which a clip's features are kept.

    Over the video's own bytes, the vision tower's weights, how frames are sampled and sized, and how the tower
    computes (dtype, attention, kind of device): whatever changes a feature changes the key. Prompts, kinds,
    adapters and batch sizes are no part of it.
    """
    parts = {
        "layout": LAYOUT,
        "video": video_sha256,
        "vision": vision_hash,
        "fps": float(settings.fps),
        "max_frames": settings.max_frames,
        "max_tokens": settings.max_tokens,
        "decode": settings.decode,
        "dtype": str(loaded.dtype),
        "attention": loaded.attention,
        "device": loaded.device.type,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class FeatureCache:
    """A folder of clip features, at most `max_bytes` large; implements `features.FeatureStore`. Safe for threads.

    Several processes together may overshoot by a sixteenth of the limit each, until they look again. It never
    fails its caller: a file that is damaged counts as absent and goes, one that cannot be written is a warning.
    """

    def __init__(self, folder: str | Path, *, max_bytes: int) -> None:
        if max_bytes < 1:
            raise ValueError("max_bytes must be positive")
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        self.hits = self.misses = 0
        self._lock = threading.Lock()
        self._size: int | None = None
        self._unseen = 0

    def get(self, key: str) -> ClipFeatures | None:
        """The features put under `key`, on the CPU; None when absent or damaged."""
        path = self._path(key)
        try:
            blob = path.read_bytes()
            found = _unpack(blob, key)
            os.utime(path)  # used just now
        except FileNotFoundError:
            found = None
        except OSError as error:
            log.warning("cached features of %s cannot be read: %s", path, error)
            found = None
        except _DamagedError as error:
            log.warning("cached features dropped, the file is damaged: %s (%s)", path, error)
            with contextlib.suppress(OSError):
                path.unlink()
            found = None
        with self._lock:
            self.hits += found is not None
            self.misses += found is None
        return found

    def put(self, key: str, value: ClipFeatures) -> None:
        """Keep `value`, making room first; a full or broken disk is logged, not raised."""
        blob = _pack(key, value)
        if len(blob) > self.max_bytes:
            log.warning("features of %d bytes exceed the whole cache (%d bytes)", len(blob), self.max_bytes)
            return
        try:
            with self._lock:
                self._make_room(len(blob))
                self._write(self._path(key), blob)
        except OSError as error:
            log.warning("features not cached in %s: %s", self.folder, error)
            with self._lock:
                self._size = None  # look again before the next

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}{SUFFIX}"

    def _write(self, path: Path, blob: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=path.stem[:16], suffix=PART, dir=path.parent)
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(blob)
            part.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        self._size = (self._size or 0) + len(blob)
        self._unseen += len(blob)

    def _make_room(self, wanted: int) -> None:
        """Remove the least recently used until `wanted` bytes fit; called under the lock."""
        if self._size is None or self._unseen + wanted > self.max_bytes * UNSEEN_SHARE:
            self._size, self._unseen = sum(size for _, size, _ in self._files()), 0
        if self._size + wanted <= self.max_bytes:
            return
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        goal = max(0, int(self.max_bytes * KEPT_SHARE) - wanted)
        for _, size, path in files:
            if total <= goal:
                break
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                path.unlink()
            total -= size
        self._size, self._unseen = total, 0

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """(last use, bytes, path) of every file kept; what dead processes left behind is removed."""
        for folder in _entries(self.folder):
            if not folder.is_dir():
                continue
            for entry in _entries(Path(folder.path)):
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue
                if entry.name.endswith(SUFFIX):
                    yield status.st_mtime, status.st_size, Path(entry.path)
                elif entry.name.endswith(PART) and status.st_mtime < time.time() - ABANDONED_SECONDS:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(entry.path)


class _DamagedError(Exception):
    """The file is not what was written."""


def _entries(folder: Path) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _pack(key: str, value: ClipFeatures) -> bytes:
    """SHA-256 of the rest, then a safetensors file with the tensor and everything else as its metadata."""
    about: dict[str, Any] = {
        "layout": LAYOUT,
        "key": key,
        "token_counts": list(value.token_counts),
        "frames": asdict(value.frames),
        "duration_us": value.duration_us,
    }
    tensors = {"features": value.features.detach().cpu().contiguous()}
    body = save(tensors, metadata={"clip": json.dumps(about)})
    return hashlib.sha256(body).digest() + body


def _unpack(blob: bytes, key: str) -> ClipFeatures:
    digest, body = blob[:DIGEST_BYTES], blob[DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise _DamagedError("its checksum is wrong")
    try:
        length = int.from_bytes(body[:8], "little")
        about = json.loads(json.loads(body[8 : 8 + length])["__metadata__"]["clip"])
        if (about["layout"], about["key"]) != (LAYOUT, key):
            raise _DamagedError("it holds something else")
        return ClipFeatures(
            features=load(body)["features"],
            token_counts=about["token_counts"],
            frames=FramesUsed(**about["frames"]),
            duration_us=about["duration_us"],
        )
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _DamagedError(str(error)) from error
