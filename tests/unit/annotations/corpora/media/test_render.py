"""One pass over a clip makes its proxy, thumbnail and storyboard, and confirms what its packets said."""

from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from annotations.corpora.media.findings import Code
from annotations.corpora.media.play import Disagrees
from annotations.corpora.media.probe import Probe, probe, survey
from annotations.corpora.media.proxy import needs_proxy
from annotations.corpora.media.render import PROXY, STORYBOARD, THUMBNAIL, Rendered, render
from tests.unit.annotations.corpora.media.clips import (
    BAR,
    BITS,
    constant_clip,
    numbers_shown,
    rotate_tag,
    write_clip,
)


def made(path: Path, folder: Path) -> tuple[Probe, Rendered]:
    clip = survey(path)
    return clip, render(path, folder, clip)


def gray(path: Path, size: tuple[int, int]) -> Image.Image:
    with Image.open(path) as image:
        assert (image.format, image.size) == ("JPEG", size)
        return image.convert("L")


def number_at(sprite: Image.Image, left: int, top: int, width: int) -> int:
    """The number that the test clip's picture in that corner of the sprite shows."""
    bar = width // BITS
    middles = [sprite.getpixel((left + bit * bar + bar // 2, top + 20)) for bit in range(BITS)]
    return sum(1 << bit for bit, light in enumerate(middles) if isinstance(light, int) and light > 127)


def test_every_storyboard_picture_shows_the_frame_of_its_time(tmp_path: Path) -> None:
    ticks = [0, 300, 301, 700, 1000, 1001, 1002, 2400, 2600, 3100, 3200]
    clip, rendered = made(write_clip(tmp_path / "v.mp4", ticks, Fraction(1, 1000)), tmp_path / "out")
    board = rendered.board
    assert clip.time_map is not None
    frames = [clip.time_map.times_us.tolist().index(time) for time in board.times_us]
    assert frames == sorted({clip.time_map.frame_at(t) for t in range(0, clip.time_map.duration_us, 250_000)})
    assert (board.columns, board.rows, board.tile_width, board.tile_height) == (len(frames), 1, 160, 128)
    sprite = gray(tmp_path / "out" / STORYBOARD, (160 * len(frames), 128))
    assert [number_at(sprite, *board.place(k), 10 * BAR) for k in range(len(frames))] == frames


def test_a_long_clip_has_a_bounded_sprite(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "v.mp4", range(0, 400, 2), Fraction(1), size=(32, 320))
    board = made(path, tmp_path)[1].board
    assert len(board.times_us) == 60
    assert (board.columns, board.rows, board.tile_width, board.tile_height) == (10, 6, 24, 240)
    gray(tmp_path / STORYBOARD, (240, 1440))


def test_the_thumbnail_shows_the_middle_frame(tmp_path: Path) -> None:
    made(constant_clip(tmp_path / "a.mp4", 9), tmp_path)
    assert number_at(gray(tmp_path / THUMBNAIL, (320, 256)), 0, 0, 320) == 4


def test_a_turned_clip_is_shown_upright(tmp_path: Path) -> None:
    path = constant_clip(tmp_path / "a.mp4", 9)
    rotate_tag(path, 90)
    rendered = made(path, tmp_path)[1]
    assert rendered.proxy is not None
    assert (rendered.proxy.width, rendered.proxy.height) == (128, 160)
    assert (rendered.board.tile_width, rendered.board.tile_height) == (160, 200)
    thumbnail = gray(tmp_path / THUMBNAIL, (320, 400)).resize((128, 160))
    # Bars of frame 4 (bit 2) run across; turned clockwise the left side is on top.
    light, dark = thumbnail.getpixel((64, 2 * 16 + 8)), thumbnail.getpixel((64, 6 * 16 + 8))
    assert isinstance(light, int)
    assert isinstance(dark, int)
    assert light > 200
    assert dark < 60


def test_a_browser_ready_clip_gets_pictures_and_no_proxy(tmp_path: Path) -> None:
    _, rendered = made(constant_clip(tmp_path / "a.mp4", 30, faststart=True), tmp_path / "out")
    assert rendered.proxy is None
    assert {path.name for path in (tmp_path / "out").iterdir()} == {THUMBNAIL, STORYBOARD}
    assert rendered.board.times_us == (0, 233_333, 500_000, 733_333)


@pytest.mark.parametrize("b_frames", [0, 2])
def test_the_packets_of_a_sound_clip_tell_what_its_pictures_do(tmp_path: Path, b_frames: int) -> None:
    path = constant_clip(tmp_path / "a.mp4", 40, Fraction(60000, 1001), b_frames=b_frames, gop=250)
    clip, rendered = made(path, tmp_path)
    assert not clip.decoded
    assert clip.time_map == probe(path).time_map
    assert rendered.proxy is not None
    assert numbers_shown(tmp_path / PROXY) == list(range(40))
    assert not needs_proxy(probe(tmp_path / PROXY))


def test_damage_that_packets_do_not_show_is_found_when_decoding(tmp_path: Path) -> None:
    path = constant_clip(tmp_path / "a.mp4", 60, gop=250, faststart=True)
    data = bytearray(path.read_bytes())
    first = data.index(b"mdat") + 4
    for place in range((first + len(data)) // 2, len(data), 40):
        data[place] ^= 0x55
    path.write_bytes(bytes(data))
    clip = survey(path)
    assert clip.usable
    assert not clip.decoded
    with pytest.raises(Disagrees) as caught:
        render(path, tmp_path / "out", clip)
    assert caught.value.finding.code is Code.CORRUPT
    assert not (tmp_path / "out" / PROXY).exists()
    assert Code.CORRUPT in probe(path).codes


def test_a_clip_without_times_is_refused(tmp_path: Path) -> None:
    (tmp_path / "z.mp4").touch()
    with pytest.raises(ValueError, match="time map"):
        render(tmp_path / "z.mp4", tmp_path, survey(tmp_path / "z.mp4"))
