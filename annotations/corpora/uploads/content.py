"""Clips that arrive over the network, in the content-addressed store: each content once, whatever it is called."""

from pathlib import PurePosixPath
from typing import Any, Final

from annotations.corpora.importers.places import CLIP_SUFFIXES
from annotations.corpora.importers.rows import MAX_RECORDING, MAX_SOURCE, VideoRow
from annotations.corpora.media_store import Stored
from annotations.corpora.models import Media, RecordingOrigin
from crashdesk.storage.files import content_name
from crashdesk.storage.incoming import Spool

OTHER_BYTES: Final = "holds other bytes than when it was imported; give the new clip a new name"
_SAID_APART: Final = ("source", "recording", "split")


def stored_name(sha256: str, name: str) -> str:
    """Where a clip of that content lies or will lie in the store; `name` is the clip's, for its suffix."""
    known = Media.objects.filter(sha256=sha256).values_list("storage_name", flat=True).first()
    suffix = PurePosixPath(name).suffix.lower()
    return known or content_name("videos", sha256, suffix if suffix in CLIP_SUFFIXES else "")


def store_spool(spool: Spool, name: str) -> Stored:
    """Put what arrived in a spool into the store, as a clip of that name. OSError when the disk refuses."""
    return Stored(spool.store_as(stored_name(spool.sha256, name)), spool.sha256, spool.size)


def row_of(name: str, metadata: dict[str, Any], *, file: str = "") -> VideoRow:
    """A clip that came by itself: what its metadata say apart, else source by its folder and recording by its stem."""
    path = PurePosixPath(name)
    said = {key: metadata[key] for key in _SAID_APART if isinstance(metadata.get(key), str) and metadata[key]}
    return VideoRow(
        file=file or name,
        row=None,
        name=name,
        source=said.get("source", path.parent.name[:MAX_SOURCE]),
        recording=said.get("recording", path.stem[:MAX_RECORDING]),
        recording_origin=RecordingOrigin.FORMAT if "recording" in said else RecordingOrigin.NAME,
        split=said.get("split", ""),
        path=None,
        metadata={key: value for key, value in metadata.items() if key not in said},
    )
