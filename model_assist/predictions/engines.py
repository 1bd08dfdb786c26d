"""The one engine that this process holds: loaded on first use, kept, replaced when another model is asked for."""

import gc
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from django.conf import settings

from model_assist.crashchat.engine import Engine
from model_assist.crashchat.feature_cache import FeatureCache, features_key, vision_tower_hash
from model_assist.crashchat.frames import FrameReader
from model_assist.crashchat.model import LoadedModel, load
from model_assist.crashchat.settings import EngineSettings
from model_assist.registry.models import ModelVersion
from model_assist.registry.services import settings_of

_lock = threading.RLock()
_held: "HeldEngine | None" = None


@dataclass(frozen=True)
class HeldEngine:
    """An engine with what belongs to it. vision_hash is empty where features are not kept."""

    version_id: int
    engine: Engine
    reader: FrameReader
    vision_hash: str = ""

    @property
    def clips_per_batch(self) -> int:
        """How many clips are answered together."""
        return self.engine.settings.clips_per_batch

    @property
    def device(self) -> str:
        """What the model runs on, as a person would name it: "NVIDIA H100 80GB HBM3", "cpu"."""
        place = self.engine.loaded.device
        return torch.cuda.get_device_name(place) if place.type == "cuda" else str(place)

    def features_key(self, video_sha256: str) -> str | None:
        """Under which name a video's features are kept; None when they are not."""
        if not self.vision_hash:
            return None
        return features_key(video_sha256, self.vision_hash, self.engine.settings, self.engine.loaded)


def engine_for(version: ModelVersion) -> Engine:
    """The engine of this model version, see `hold`."""
    return hold(version).engine


def hold(version: ModelVersion) -> HeldEngine:
    """The engine of this model version with what belongs to it.

    One held for another version is let go first: both would not fit into the memory. Raises
    ModelLoadError and its subclasses when it cannot be loaded.
    """
    global _held
    with _lock:
        if _held is not None and _held.version_id == version.pk:
            return _held
        release()
        loaded = load(version.base, {name: Path(folder) for name, folder in version.adapters.items()})
        _held = _wrap(version.pk, loaded, configured(settings_of(version)))
        return _held


def configured(model: EngineSettings) -> EngineSettings:
    """A model's own engine settings with this machine's batch size, where one is set."""
    return replace(model, clips_per_batch=settings.CLIPS_PER_BATCH) if settings.CLIPS_PER_BATCH else model


def release() -> None:
    """Let go of the held engine, its reader process and its GPU memory."""
    global _held
    with _lock:
        if _held is not None:
            _held.reader.close()
            _held = None
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _wrap(version_id: int, loaded: LoadedModel, engine_settings: EngineSettings) -> HeldEngine:
    cache = None
    if settings.FEATURE_CACHE_BYTES:
        cache = FeatureCache(settings.FEATURE_CACHE, max_bytes=settings.FEATURE_CACHE_BYTES)
    reader = FrameReader(timeout_s=settings.FRAMES_TIMEOUT_SECONDS)
    engine = Engine(loaded, settings=engine_settings, frame_reader=reader, features=cache)
    return HeldEngine(version_id, engine, reader, vision_tower_hash(loaded) if cache else "")
