"""A proxy's sound lies where the clip's sound lies, and ends with the pictures."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from av.video.frame import VideoFrame

from annotations.corpora.media.probe import probe, survey
from annotations.corpora.media.proxy import needs_proxy
from annotations.corpora.media.render import PROXY, Rendered, render
from annotations.corpora.media.sound import RATE
from tests.unit.annotations.corpora.media.clips import constant_clip, picture


def loud_clip(
    path: Path, tones: list[tuple[float, float]], *, start: float = 0.0, layout: str = "mono"
) -> Path:
    """A Matroska clip of 1.2 s at 25 pictures per second from `start`, with sound from .. to .. of `tones`
    (seconds on the file's clock), 16-bit PCM at 16 kHz; each tone is its own run of packets."""
    with av.open(str(path), "w", format="matroska") as target:
        video = target.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 160, 128, "yuv420p"
        video.options = {"preset": "ultrafast"}
        audio = target.add_stream("pcm_s16le", rate=16_000, layout=layout)
        channels = 2 if layout == "stereo" else 1
        for first, last in tones:
            samples = np.tile([9000, -9000], int((last - first) * 16_000) * channels // 2)
            for index in range(0, samples.size, 1600 * channels):
                piece = samples[index : index + 1600 * channels].astype(np.int16)[None]
                frame = av.AudioFrame.from_ndarray(piece, format="s16", layout=layout)
                frame.sample_rate, frame.time_base = 16_000, Fraction(1, 16_000)
                frame.pts = round(first * 16_000) + index // channels
                target.mux(audio.encode(frame))
        for number in range(30):
            shown = VideoFrame.from_ndarray(picture(number), format="rgb24").reformat(format="yuv420p")
            shown.pts, shown.time_base = round(start * 25) + number, Fraction(1, 25)
            target.mux(video.encode(shown))
        target.mux(video.encode(None))
    return path


def rendered(path: Path, folder: Path) -> Rendered:
    return render(path, folder, survey(path))


def heard(path: Path) -> npt.NDArray[np.bool_]:
    """Whether there is sound in each 1/20 s of a file, from time 0."""
    loud = np.zeros(RATE * 4)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            at = round(frame.pts * frame.time_base * RATE)
            samples = np.abs(frame.to_ndarray()[0])
            loud[max(at, 0) : at + samples.size] = samples[max(-at, 0) :]
    return loud.reshape(-1, RATE // 20).max(axis=1) > 0.02


@pytest.mark.parametrize(
    ("tones", "start", "expected"),
    [
        ([(0.0, 1.2)], 0.0, (0.0, 1.2)),
        ([(0.0, 3.0)], 0.0, (0.0, 1.2)),
        ([(0.4, 0.8)], 0.0, (0.4, 0.8)),
        ([(0.0, 3.0)], 1.0, (0.0, 1.2)),
        ([(0.2, 1.4)], 1.0, (0.0, 0.4)),
        ([(1.4, 5.0)], 1.0, (0.4, 1.2)),
    ],
    ids=["fits", "too long", "starts late", "starts before the pictures", "ends early", "is late"],
)
def test_sound_stays_with_its_pictures(
    tmp_path: Path, tones: list[tuple[float, float]], start: float, expected: tuple[float, float]
) -> None:
    made = rendered(loud_clip(tmp_path / "a.mkv", tones, start=start), tmp_path)
    assert made.findings == ()
    out = tmp_path / PROXY
    clip = probe(out)
    assert not needs_proxy(clip)
    assert (clip.has_audio, clip.audio_codec, clip.start_us, clip.duration_us) == (True, "aac", 0, 1_200_000)
    assert 0 < clip.audio_end_us <= 1_200_000
    times = np.arange(80) / 20
    inside = (times >= expected[0] + 0.05) & (times < expected[1] - 0.1)
    outside = (times < expected[0] - 0.1) | (times >= expected[1] + 0.05)  # AAC blurs 1/50 s
    sound = heard(out)
    assert sound[inside].all()
    assert not sound[outside].any()


def test_a_hole_is_silence(tmp_path: Path) -> None:
    rendered(loud_clip(tmp_path / "a.mkv", [(0.0, 0.3), (0.8, 1.2)], layout="stereo"), tmp_path)
    sound = heard(tmp_path / PROXY)
    assert sound[:5].all()
    assert not sound[8:14].any()
    assert sound[17:22].all()


@pytest.mark.parametrize("tones", [[(5.0, 6.0)], []])
def test_without_sound_beside_the_pictures_there_is_no_track(
    tmp_path: Path, tones: list[tuple[float, float]]
) -> None:
    rendered(loud_clip(tmp_path / "a.mkv", tones), tmp_path)
    assert not probe(tmp_path / PROXY).has_audio


def test_damaged_sound_is_named_and_the_pictures_are_kept(tmp_path: Path) -> None:
    path = constant_clip(tmp_path / "a.mp4", 40, audio_s=3.0, faststart=True)
    sizes: list[Any] = []
    with av.open(str(path)) as container:
        sizes += [(packet.pos, packet.size) for packet in container.demux(audio=0) if packet.size]
    data = bytearray(path.read_bytes())
    for place, size in sizes[5:]:
        data[place : place + size] = b"\xff" * size
    path.write_bytes(bytes(data))
    made = rendered(path, tmp_path)
    assert [finding.code.value for finding in made.findings] == ["audio_damaged"]
    assert made.proxy is not None
    assert made.proxy.frame_count == 40
