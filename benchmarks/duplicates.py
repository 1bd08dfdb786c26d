"""How well copies of clips are found, by what is changed in them, and how long a search takes.

    python -m benchmarks.duplicates [--clips 24] [--seed 7] [--no-real] [--only-search] [--whole-search 10000]
        [--methods dhash256,phash256]

Originals: the demo corpus's clips (those of one recording are drawn before the same background: the hard
negatives) and the real clips in ../shared/data/clips, where they are there. Of each, copies are made with PyAV. A
copy is found when it and its original are the same footage; any other pair that is taken for the same footage is a
false pair, counted apart for clips of one camera. Methods other than the product's take its place as the hash of
pictures (pdqhash must be installed for pdq256); everything else stays the same.
"""

import argparse
import json
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import av
import faiss
import imagehash
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from PIL import Image, ImageDraw

from annotations.corpora.demo.corpus import generate
from annotations.corpora.duplicates import fingerprint as product
from annotations.corpora.duplicates import matching
from annotations.corpora.duplicates.fingerprint import ClipPrint, fingerprint, pack
from annotations.corpora.duplicates.matching import MAX_DISTANCE, MIN_MOTION, Alignment, align
from annotations.corpora.duplicates.sampling import sample, without_bars
from annotations.corpora.duplicates.search import candidates, key_hashes
from annotations.corpora.media.probe import probe

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "clips"
SAME_FOOTAGE = {frozenset({"cadp_1407_boxes", "cadp_1407_clean"})}
"""Real clips that are one another's copies (the manifest says so); all others are of different scenes."""
WIDEST, LONGEST_S = 480, 16.0
"""Copies of real clips are made this wide and long at most, to keep the run short."""

Picture = npt.NDArray[np.uint8]
Clip = list[tuple[float, Picture]]
"""(seconds, RGB [height, width, 3]) of every frame."""
Bits = Callable[[Image.Image], npt.NDArray[np.bool_]]


def _pdq(image: Image.Image) -> npt.NDArray[np.bool_]:
    import pdqhash  # not a dependency of the product

    bits: npt.NDArray[np.bool_] = pdqhash.compute(np.asarray(image.convert("RGB")))[0].astype(bool)
    return bits


METHODS: dict[str, Bits] = {
    "dhash256": lambda image: imagehash.dhash(image, hash_size=16).hash.ravel(),
    "phash256": lambda image: imagehash.phash(image, hash_size=16).hash.ravel(),
    "dhash64": lambda image: imagehash.dhash(image).hash.ravel(),
    "phash64": lambda image: imagehash.phash(image).hash.ravel(),
    "ahash256": lambda image: imagehash.average_hash(image, hash_size=16).hash.ravel(),
    "pdq256": _pdq,
}


def _each(change: Callable[[Picture], Picture]) -> Callable[[Clip], Clip]:
    return lambda clip: [(at, change(picture)) for at, picture in clip]


def _cut(start: float, end: float) -> Callable[[Clip], Clip]:
    return lambda clip: [(at, picture) for at, picture in clip if start <= at / clip[-1][0] <= end]


def _at_rate(fps: int) -> Callable[[Clip], Clip]:
    def change(clip: Clip) -> Clip:
        times = np.array([at for at, _ in clip])
        wanted = np.arange(0, times[-1], 1 / fps)
        shown = np.maximum(np.searchsorted(times, wanted, side="right") - 1, 0)
        return [(float(at), clip[index][1]) for at, index in zip(wanted, shown, strict=True)]

    return change


def _scaled(width: float, height: float) -> Callable[[Picture], Picture]:
    def change(picture: Picture) -> Picture:
        size = (int(picture.shape[1] * width) // 2 * 2, int(picture.shape[0] * height) // 2 * 2)
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))

    return change


def _framed(above: float, beside: float, level: int = 0) -> Callable[[Picture], Picture]:
    def change(picture: Picture) -> Picture:
        rows, columns = (
            int(side * part) // 2 * 2 for side, part in zip(picture.shape, (above, beside), strict=False)
        )
        return np.pad(picture, ((rows, rows), (columns, columns), (0, 0)), constant_values=level)

    return change


def _lit(factor: float, offset: float) -> Callable[[Picture], Picture]:
    return lambda picture: np.clip(picture * factor + offset, 0, 255).astype(np.uint8)


def _cropped(picture: Picture) -> Picture:
    rows, columns = (int(side * 0.05) // 2 * 2 for side in picture.shape[:2])
    return picture[rows : picture.shape[0] - rows, columns : picture.shape[1] - columns]


def _marked(picture: Picture) -> Picture:
    image = Image.fromarray(picture)
    draw, (height, width) = ImageDraw.Draw(image), picture.shape[:2]
    draw.rectangle((width * 0.03, height * 0.85, width * 0.35, height * 0.95), fill=(240, 240, 240))
    draw.text((width * 0.05, height * 0.87), "DASHCAM 2021-03-04 12:31", fill=(0, 0, 0))
    return np.asarray(image)


def _everything(clip: Clip) -> Clip:
    cut = _each(_framed(0.2, 0))(_each(_scaled(0.5, 0.5))(_cut(0.23, 0.81)(clip)))
    return _at_rate(15)(_each(_lit(1.2, 20))(cut))


COPIES: dict[str, tuple[Callable[[Clip], Clip], int]] = {
    "low bitrate (CRF 38)": (lambda clip: clip, 38),
    "half size": (_each(_scaled(0.5, 0.5)), 26),
    "squeezed to 3/4 width": (_each(_scaled(0.75, 1)), 26),
    "black bars above and below": (_each(_framed(0.2, 0)), 26),
    "black bars beside": (_each(_framed(0, 0.2)), 26),
    "white frame": (_each(_framed(0.15, 0.15, 255)), 26),
    "first 40 % cut": (_cut(0.4, 1), 23),
    "last 40 % cut": (_cut(0, 0.6), 23),
    "middle half": (_cut(0.25, 0.75), 23),
    "12 frames a second": (_at_rate(12), 23),
    "brighter": (_each(_lit(1.2, 25)), 23),
    "darker": (_each(_lit(0.7, 0)), 23),
    "logo": (_each(_marked), 23),
    "5 % cropped on each side": (_each(_cropped), 23),
    "cut, half size, bars, brighter, 15 fps, CRF 34": (_everything, 34),
    "mirrored (not looked for)": (_each(lambda picture: picture[:, ::-1]), 23),
}
NOT_LOOKED_FOR = "mirrored (not looked for)"


def read_clip(path: Path) -> Clip:
    """Its frames, at most WIDEST pixels wide and LONGEST_S seconds."""
    frames: Clip = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            width = min(frame.width, WIDEST) // 2 * 2
            height = round(frame.height * width / frame.width) // 2 * 2
            small = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA")
            frames.append((float((frame.pts or 0) * (frame.time_base or 0)), small.to_ndarray()))
            if frames[-1][0] - frames[0][0] > LONGEST_S:
                break
    frames.sort(key=lambda item: item[0])
    return [(at - frames[0][0], picture) for at, picture in frames]


def write_clip(path: Path, clip: Clip, crf: int) -> None:
    """H.264 in MP4, frame times kept to 1/90000 s."""
    with av.open(str(path), "w", format="mp4") as target:
        stream = target.add_stream("libx264", rate=30)
        stream.height, stream.width = clip[0][1].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 90_000)
        stream.options = {"preset": "veryfast", "crf": str(crf), "threads": "1"}
        for at, picture in clip:
            frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = round((at - clip[0][0]) * 90_000), Fraction(1, 90_000)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


@dataclass(frozen=True)
class Shown:
    """An original (copy "") or a copy, with its fingerprint by every method."""

    clip: str
    camera: str
    copy: str
    prints: dict[str, ClipPrint]


@dataclass(frozen=True)
class Trial:
    """Two clips, what is true of them ("same", "camera", "other"), and how they were aligned."""

    truth: str
    copy: str
    clips: tuple[str, str]
    found: Alignment | None


def prints_of(path: Path, methods: Sequence[str]) -> dict[str, ClipPrint]:
    """The product's fingerprint, and what it would be with other hashes."""
    time_map = probe(path).time_map
    assert time_map is not None, path
    step, pictures = sample(path, time_map)
    base = fingerprint(step, pictures)
    images = [Image.fromarray(np.ascontiguousarray(picture)) for picture in without_bars(pictures)]
    return {
        name: replace(base, hashes=pack(np.stack([METHODS[name](image) for image in images])))
        for name in methods
    }


def shown_clips(folder: Path, options: argparse.Namespace, methods: Sequence[str]) -> Iterator[Shown]:
    """Every original and its copies."""
    generate(folder / "demo", clips=options.clips, seed=options.seed)
    cameras = {}
    for line in (folder / "demo" / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        cameras[Path(row["file"]).stem] = row["recording"]
    originals = sorted((folder / "demo" / "videos").glob("demo_[0-9]*.mp4"))
    if options.real and REAL.is_dir():
        originals += sorted(path for path in REAL.iterdir() if path.suffix not in {".json", ".md"})
    for number, path in enumerate(originals, 1):
        began = time.perf_counter()
        camera = cameras.get(path.stem, path.stem)
        yield Shown(path.stem, camera, "", prints_of(path, methods))
        clip, copy = read_clip(path), folder / "copy.mp4"
        for name, (change, crf) in COPIES.items():
            write_clip(copy, change(clip), crf)
            yield Shown(path.stem, camera, name, prints_of(copy, methods))
        print(f"  {number} of {len(originals)}: {path.name}, {time.perf_counter() - began:.1f} s", flush=True)


def trials_of(shown: Sequence[Shown], method: str) -> list[Trial]:
    """Every original with every other original, and every copy with every original."""
    matching.BITS = product.BITS if "256" in method else 64  # type: ignore[misc]
    originals = [item for item in shown if not item.copy]
    trials = []
    for item in shown:
        for original in originals:
            if not item.copy and item.clip >= original.clip:
                continue
            same = item.clip == original.clip or frozenset({item.clip, original.clip}) in SAME_FOOTAGE
            truth = "same" if same else "camera" if item.camera == original.camera else "other"
            found = align(original.prints[method], item.prints[method])
            trials.append(Trial(truth, item.copy, (original.clip, item.clip), found))
    matching.BITS = product.BITS  # type: ignore[misc]
    return trials


def accepted(trial: Trial, distance: float, motion: float) -> bool:
    """`same_footage` with other thresholds (a still clip's own limit stays)."""
    found = trial.found
    if found is None or found.motion is None:
        return found is not None and found.distance <= min(distance, matching.MAX_STILL_DISTANCE)
    return found.distance <= distance and found.motion >= motion


def score(trials: Sequence[Trial], distance: float, motion: float) -> tuple[float, int, int]:
    """(share of copies found, false pairs of one camera, false pairs of other scenes)."""
    looked_for = [trial for trial in trials if trial.truth == "same" and trial.copy != NOT_LOOKED_FOR]
    recall = statistics.mean(accepted(trial, distance, motion) for trial in looked_for)
    false = [trial.truth for trial in trials if trial.truth != "same" and accepted(trial, distance, motion)]
    return recall, false.count("camera"), false.count("other")


DISTANCES = (0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40)


def print_methods(by_method: dict[str, list[Trial]]) -> None:
    """Each method where it finds most without a false pair of other scenes, with and without a look at motion."""
    print(
        "\n| hash | motion looked at | max distance | copies found | false, same camera | false, other scene |"
    )
    print("|---|---|---|---|---|---|")
    for method, trials in by_method.items():
        for motion in (-2.0, MIN_MOTION):
            scores = [(*score(trials, distance, motion), distance) for distance in DISTANCES]
            clean = [item for item in scores if item[2] == 0] or scores[:1]
            recall, camera, other, distance = max(clean, key=lambda item: (item[0], -item[3]))
            looked = "yes" if motion > -1 else "no"
            print(f"| {method} | {looked} | {distance:.2f} | {recall:.1%} | {camera} | {other} |")


def print_thresholds(trials: Sequence[Trial]) -> None:
    """The product's method at many thresholds."""
    motions = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8)
    print("\n| max distance | " + " | ".join(f"motion ≥ {motion}" for motion in motions) + " |")
    print("|---" * (len(motions) + 1) + "|")
    for distance in (0.20, 0.25, 0.30, 0.35):
        cells = []
        for motion in motions:
            recall, camera, other = score(trials, distance, motion)
            cells.append(f"{recall:.1%}, {camera} + {other}")
        print(f"| {distance:.2f} | " + " | ".join(cells) + " |")


def print_copies(trials: Sequence[Trial]) -> None:
    """Recall by what was changed, at the product's thresholds."""
    print("\n| copy | demo clips | real clips |")
    print("|---|---|---|")
    for copy in ("", *COPIES):
        cells = []
        for real in (False, True):
            these = [
                trial for trial in trials
                if trial.truth == "same" and trial.copy == copy and trial.clips[0].startswith("demo_") is not real
            ]  # fmt: skip
            found = sum(accepted(trial, MAX_DISTANCE, MIN_MOTION) for trial in these)
            cells.append(f"{found} of {len(these)}" if these else "")
        print(
            f"| {copy or 'as published: with boxes drawn in on a white page, and clean'} | {' | '.join(cells)} |"
        )
    originals = [trial for trial in trials if not trial.copy]
    for truth, name in (("camera", "of one camera"), ("other", "of other scenes")):
        for kind, group in (
            ("original and original", originals),
            ("copy and original", [t for t in trials if t.copy]),
        ):
            these = [trial for trial in group if trial.truth == truth]
            false = [trial for trial in these if accepted(trial, MAX_DISTANCE, MIN_MOTION)]
            named = ", ".join(sorted({" with ".join(sorted(trial.clips)) for trial in false})[:6])
            print(
                f"false pairs {name}, {kind}: {len(false)} of {len(these)}" + (f" ({named})" if named else "")
            )


def print_candidates(shown: Sequence[Shown], trials: Sequence[Trial]) -> None:
    """How many of the pairs that aligning accepts the search would have aligned at all."""
    keys = {number: key_hashes(item.prints["dhash256"]) for number, item in enumerate(shown)}
    numbers = {(item.clip, item.copy): number for number, item in enumerate(shown)}
    found = set(candidates(keys))
    wanted = [
        tuple(sorted((numbers[trial.clips[0], ""], numbers[trial.clips[1], trial.copy])))
        for trial in trials if trial.truth == "same" and accepted(trial, MAX_DISTANCE, MIN_MOTION)
    ]  # fmt: skip
    met = sum(pair in found for pair in wanted)
    print(f"\nof {len(wanted)} pairs that aligning accepts, the search proposes {met}")


def time_fingerprints(folder: Path) -> None:
    """Decoding, sampling and hashing one clip."""
    for path in [folder / "demo" / "videos" / "demo_0001.mp4", REAL / "cadp_1407_clean.mp4"]:
        if path.exists():  # the demo's is not there when fingerprints were kept
            found = probe(path)
            assert found.time_map is not None
            began = time.perf_counter()
            data = product.make_fingerprint(path, found.time_map)
            took = time.perf_counter() - began
            print(f"fingerprint of {path.name} ({found.width} x {found.height}, {found.duration_us / 1e6:.1f} s): "
                  f"{took:.2f} s, {len(data)} bytes")  # fmt: skip


def time_search(media: int, keys_each: int, *, cameras: int) -> None:
    """The search's first half: what grows with the square of the number of clips.

    Made-up keys: every clip's differ from its camera's in a tenth of their bits.
    """
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    scenes = rng.integers(0, 256, (cameras, keys_each, 32), dtype=np.uint8)
    flips = np.packbits(rng.random((media, keys_each, 256)) < 0.1, axis=2)
    table = (scenes[np.arange(media) % cameras] ^ flips).view(np.uint64)
    keys = {number: table[number] for number in range(media)}
    for asked, name in ((None, "all with all"), (set(range(200)), "200 new with all")):
        began = time.perf_counter()
        found = candidates(keys, asked)
        took = time.perf_counter() - began
        print(
            f"search, {media} clips of {cameras} cameras x {keys_each} keys, one core, {name}: {took:.1f} s, "
            f"{len(found)} pairs",
            flush=True,
        )


def time_whole_search(media: int) -> None:
    """`find_clusters` with its rows: one clip in ten is a cut copy of another. In a database of its own."""
    import tests.plugin  # noqa: F401 - gives Django a database before it reads its settings

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crashdesk.settings")
    import django

    django.setup()
    from django.core.management import call_command

    from annotations.corpora.duplicates import METHOD
    from annotations.corpora.duplicates.searching import find_clusters
    from annotations.corpora.media.timemap import TimeMap
    from annotations.corpora.models import Corpus, Fingerprint, Media, Video

    call_command("migrate", verbosity=0)
    faiss.omp_set_num_threads(1)
    corpora = [Corpus.objects.create(name=f"bench {number}") for number in range(2)]
    time_map = TimeMap.constant(300, Fraction(30)).encode()
    rng = np.random.default_rng(0)
    held: list[ClipPrint] = []
    for start in range(0, media, 500):
        rows, prints = [], []
        for number in range(start, min(start + 500, media)):
            rows.append(
                Media(
                    sha256=f"{number:064x}", size=1, storage_name="x", state="ready", time_map=time_map,
                    duration_us=10_000_000, proxy_fps_num=30, proxy_fps_den=1, proxy_name="x",
                )
            )  # fmt: skip
            if number % 10 == 9:
                source = held[int(rng.integers(0, len(held)))]
                prints.append(
                    replace(
                        source, hashes=source.hashes[8:], greys=source.greys[8:], telling=source.telling[8:]
                    )
                )
                continue
            scene = rng.random(256) < 0.5
            bits = scene ^ np.logical_xor.accumulate(rng.random((40, 256)) < 0.03, axis=0)
            greys = rng.integers(0, 256, (40, 16, 16), dtype=np.uint8)
            prints.append(ClipPrint(250_000, pack(bits), greys, np.ones(40, np.bool_)))
            held.append(prints[-1])
        made = Media.objects.bulk_create(rows)
        Fingerprint.objects.bulk_create(
            [
                Fingerprint(media=one, method=METHOD, data=found.encode())
                for one, found in zip(made, prints, strict=True)
            ]
        )
        Video.objects.bulk_create(
            [
                Video(
                    corpus=corpora[one.pk % 2], name=one.sha256, recording=one.sha256, recording_origin="name",
                    media=one,
                )
                for one in made
            ]
        )  # fmt: skip
    for round_ in ("first", "again"):
        began = time.perf_counter()
        outcome = find_clusters(corpus_id=None, by=None, progress=lambda done, total, message: None)
        took = time.perf_counter() - began
        print(
            f"find_clusters, {media} clips of 10 s, {round_}: {took:.1f} s, {outcome.as_dict()}", flush=True
        )


def time_aligning(prints: Sequence[ClipPrint]) -> None:
    """Aligning two clips, the search's second half: grows with the number of candidate pairs."""
    pairs = [(one, other) for one in prints[:20] for other in prints[:20]]
    began = time.perf_counter()
    for one, other in pairs:
        align(one, other)
    took = (time.perf_counter() - began) / len(pairs)
    mean = statistics.mean(len(item) for item in prints[:20])
    print(f"aligning two clips of {mean:.0f} pictures: {took * 1000:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=24, help="demo clips")
    parser.add_argument("--seed", type=int, default=7, help="of the demo clips")
    parser.add_argument("--no-real", dest="real", action="store_false", help="demo clips only")
    parser.add_argument("--only-search", action="store_true", help="no copies: time the search and stop")
    parser.add_argument(
        "--methods", default="", help="hashes to compare, with commas (default: all there are)"
    )
    parser.add_argument(
        "--kept", type=Path, help="file that fingerprints are read from, or kept in for the next run"
    )
    parser.add_argument("--whole-search", type=int, default=0, help="time a whole search over so many clips")
    options = parser.parse_args()
    if not options.only_search and not options.whole_search:
        usable = [name for name in METHODS if name != "pdq256" or find_spec("pdqhash")]
        methods = [name for name in usable if not options.methods or name in options.methods.split(",")]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if options.kept and options.kept.exists():
                shown = pickle.loads(options.kept.read_bytes())
            else:
                shown = list(shown_clips(folder, options, list(dict.fromkeys(["dhash256", *methods]))))
            if options.kept:
                options.kept.write_bytes(pickle.dumps(shown))
            by_method = {method: trials_of(shown, method) for method in methods}
            print_methods(by_method)
            print_thresholds(by_method["dhash256"])
            print_copies(by_method["dhash256"])
            print_candidates(shown, by_method["dhash256"])
            time_fingerprints(folder)
            time_aligning([item.prints["dhash256"] for item in shown if not item.copy])
    if options.whole_search:
        time_whole_search(options.whole_search)
        return
    for media, cameras in ((1_000, 1_000), (10_000, 10_000), (10_000, 500)):
        time_search(media, 20, cameras=cameras)


if __name__ == "__main__":
    main()
