"""The one engine that this process holds: loaded on first use, kept, replaced when another model is asked for."""

import gc
import threading
from pathlib import Path

import torch
from django.conf import settings

from model_assist.crashchat.engine import Engine
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.model import load
from model_assist.registry.models import ModelVersion
from model_assist.registry.services import settings_of

_lock = threading.RLock()
_held: tuple[int, Engine, FrameReader] | None = None


def engine_for(version: ModelVersion) -> Engine:
    """The engine of this model version. Raises ModelLoadError and its subclasses when it cannot be loaded."""
    global _held
    with _lock:
        if _held is not None and _held[0] == version.pk:
            return _held[1]
        release()
        loaded = load(version.base, {name: Path(folder) for name, folder in version.adapters.items()})
        reader = FrameReader(timeout_s=settings.MEDIA_TIMEOUT_SECONDS)
        engine = Engine(loaded, settings=settings_of(version), frame_reader=reader)
        _held = (version.pk, engine, reader)
        return engine


def release() -> None:
    """Let go of the held engine, its reader process and its GPU memory."""
    global _held
    with _lock:
        if _held is not None:
            _held[2].close()
            _held = None
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
