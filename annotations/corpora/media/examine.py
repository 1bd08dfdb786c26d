"""What a file from outside is, and everything that is shown of it: the one way from bytes to a usable clip."""

from dataclasses import dataclass
from pathlib import Path

from annotations.corpora.media.findings import Finding, MediaError
from annotations.corpora.media.isolate import Isolated
from annotations.corpora.media.play import Disagrees
from annotations.corpora.media.probe import Probe
from annotations.corpora.media.render import Rendered, render


@dataclass(frozen=True)
class Examined:
    """`made` is None for a clip that cannot be used; `findings` (of the probe and of what came after) say why."""

    clip: Probe
    made: Rendered | None
    findings: tuple[Finding, ...]


def examine(child: Isolated, path: Path, folder: Path) -> Examined:
    """Survey `path` and render it into `folder`, in `child`. Never raises for what is wrong with the file.

    The clip's packets say what it is, and decoding it for the browser confirms that, so a sound clip is decoded
    once. Where its pictures are not what its packets say, or damaged, it is decoded to be probed by its pictures.
    """
    clip = child.survey(path)
    if not clip.usable:
        return Examined(clip, None, clip.findings)
    try:
        try:
            made = child.call(render, path, folder, clip)
        except Disagrees:
            if clip.decoded:
                raise
            clip = child.probe(path)
            if not clip.usable:
                return Examined(clip, None, clip.findings)
            made = child.call(render, path, folder, clip)
    except MediaError as error:
        return Examined(clip, None, (*clip.findings, error.finding))
    return Examined(clip, made, (*clip.findings, *made.findings))
