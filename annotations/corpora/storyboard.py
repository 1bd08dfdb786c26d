"""A clip's storyboard as players want it: WebVTT cues that name parts of one sprite."""

from annotations.corpora.media.pictures import Board
from annotations.corpora.media.timemap import ProxyMap
from annotations.corpora.models import Media


def storyboard_vtt(media: Media, sprite_url: str) -> str:
    """The WebVTT file of a media's storyboard, whose sprite is served at `sprite_url`.

    Cue times are on the proxy's clock, because that is what a player of the proxy seeks by; source time and proxy
    time differ by less than a proxy frame in a clip of varying rate, not at all in one of constant rate (see
    `Board.webvtt`). ValueError while the media has no storyboard.
    """
    if not media.storyboard_name:
        raise ValueError(f"media {media.pk} has no storyboard: it is {media.state}")
    proxy = ProxyMap(media.times, media.proxy_fps, media.proxy_frame_count or 0)
    return Board.from_dict(media.storyboard).webvtt(proxy, sprite_url)
