"""Whether bytes from outside are a video at all, by what they hold. Runs in a child process: no Django here."""

from pathlib import Path

from annotations.corpora.media.decode import open_video


def sniff(path: Path) -> str:
    """The container's name. MediaError with a finding when the file is none that holds a moving picture."""
    with open_video(path) as (container, _):
        return str(container.format.name)
