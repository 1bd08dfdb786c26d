"""Everything that is shown of a clip, made while it is decoded once."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from annotations.corpora.media.findings import Code, Finding, Severity
from annotations.corpora.media.pictures import Board, Storyboard, Thumbnail
from annotations.corpora.media.play import Taker, play
from annotations.corpora.media.probe import Probe
from annotations.corpora.media.proxy import ProxyInfo, ProxyWriter, needs_proxy

PROXY, THUMBNAIL, STORYBOARD = "proxy.mp4", "thumbnail.jpg", "storyboard.jpg"


@dataclass(frozen=True)
class Rendered:
    """What `render` made. `proxy`: None when the clip is its own proxy. `findings`: what was met on the way."""

    proxy: ProxyInfo | None
    board: Board
    findings: tuple[Finding, ...] = ()


def render(path: Path, folder: Path, clip: Probe) -> Rendered:
    """Write PROXY (where the clip needs one), THUMBNAIL and STORYBOARD of `path` into `folder`.

    `clip` is what `survey` or `probe` said of it. Disagrees when the clip shows other pictures than its time map
    tells of, or when `clip` was not decoded yet and anything in it is damaged: ask `probe`. MediaError absurd_size
    as `ProxyWriter`. ValueError for a clip without time map.
    """
    if clip.time_map is None:
        raise ValueError("a clip without a time map cannot be shown")
    storyboard = Storyboard(clip.time_map)
    takers: list[Taker] = [Thumbnail(clip.time_map, folder / THUMBNAIL), storyboard]
    writer: ProxyWriter | None = None
    with ExitStack() as stack:
        if needs_proxy(clip):
            writer = ProxyWriter(path, folder / PROXY, clip.time_map, declared_fps=clip.declared_fps)
            takers.append(stack.enter_context(writer))
        play(path, clip.time_map, takers, flawless=not clip.decoded)
        board = storyboard.save(folder / STORYBOARD)
    if writer is None:
        return Rendered(None, board)
    if writer.info.sound_damage:
        message = (
            f"the sound of {path.name} is damaged ({writer.info.sound_damage}); its proxy is silent there"
        )
        return Rendered(writer.info, board, (Finding(Code.AUDIO_DAMAGED, Severity.WARNING, message),))
    return Rendered(writer.info, board)
