"""What can go wrong in the engine, as exceptions that name the file."""

from os import PathLike


class CrashChatError(Exception):
    """Anything the engine refuses, with a sentence for the person who asked."""


class FrameReadError(CrashChatError):
    """A clip's frames could not be read."""


class NoVideoStreamError(FrameReadError):
    """The file holds no video stream (audio only, subtitles only)."""


class UndecodableError(FrameReadError):
    """The file is not a video, or too damaged to show its sampled frames."""


class FrameTimeoutError(FrameReadError):
    """Reading took longer than allowed; the child process was killed."""


class ReaderCrashedError(FrameReadError):
    """The reading child died (decoder crash, out of memory)."""


class ModelLoadError(CrashChatError):
    """A model folder cannot be used."""


class WrongArchitectureError(ModelLoadError):
    """The folder holds another kind of model."""


class AdapterError(ModelLoadError):
    """An adapter would not load, would do nothing, or would change the frozen vision tower."""


class ConversionError(CrashChatError):
    """A checkpoint that `crashdesk-convert` refuses.  The message names the file, and the key where one is to blame.

    file: path of the file or folder.  key: weight or setting, "" when the whole file is meant.
    """

    def __init__(self, file: str | PathLike[str], reason: str, *, key: str = "") -> None:
        super().__init__(f"{file}: {key}: {reason}" if key else f"{file}: {reason}")
        self.file, self.key, self.reason = str(file), key, reason
