"""Frames of a clip at the times the published model was trained on: what the rest of the engine imports.

`frames_index` knows when each frame is shown and which are sampled, `frames_pyav` and `frames_decord` decode,
`frames_fit` brings pictures to the model's size, `frames_read` puts that together, `frames_child` runs it in a
child process.  Nothing of it imports torch.
"""

from model_assist.crashchat.frames_child import FrameReader, PendingFrames
from model_assist.crashchat.frames_fit import DecodeMode, Pixels
from model_assist.crashchat.frames_index import FrameIndex, index_frames, sample_indices
from model_assist.crashchat.frames_read import Frames, ReaderName, read_frames

__all__ = [
    "DecodeMode",
    "FrameIndex",
    "FrameReader",
    "Frames",
    "PendingFrames",
    "Pixels",
    "ReaderName",
    "index_frames",
    "read_frames",
    "sample_indices",
]
