"""Writes the whole demo corpus: clips, deliberately bad files, manifest, CrashChat conversations."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from annotations.corpora.demo.dashcam import Dashcam
from annotations.corpora.demo.encode import Timing, write_mp4
from annotations.corpora.demo.grammar import (
    KINDS,
    NEGATIVE_TEXTS,
    QUESTIONS,
    cause,
    description,
    prevention,
    seconds,
)
from annotations.corpora.demo.palette import DAY, NIGHT
from annotations.corpora.demo.scenarios import (
    CRASH,
    DASHCAM_ROLES,
    NEAR_MISS,
    UNEVENTFUL,
    WITNESSED_ROLES,
    Role,
    Scene,
    simulate,
)
from annotations.corpora.demo.topdown import TopDown

SIZE = (320, 180)
SOURCES = ("demo-dashcam", "demo-junction", "demo-road")
RATES = (Fraction(30), Fraction(25), Fraction(30000, 1001), Fraction(10))
MANIFEST = "manifest.jsonl"
CONVERSATIONS = {
    "crash_recognition": "demo_crash_recognition.json",
    "crash_description": "demo_crash_description.json",
    "causal_reasoning": "demo_cause_reasoning.json",
    "prevention_reasoning": "demo_prevention_reasoning.json",
    "crash_localization": "demo_crash_localization.json",
    "pre_crash_localization": "demo_pre_crash_localization.json",
}
"""File name of each kind's conversations, CrashChat's words for the kinds."""

_OUTCOMES = (CRASH, NEAR_MISS, CRASH, UNEVENTFUL, UNEVENTFUL, CRASH, NEAR_MISS, CRASH)
_FIRST_OUTCOME = dict(zip(SOURCES, (0, 1, 6), strict=True))  # a crash among the first two of each
_LENGTHS_S = (4, 5, 6, 8)

Json = dict[str, object]


@dataclass(frozen=True)
class DemoReport:
    """What `generate` wrote. `files` counts every file in videos/, the bad ones included."""

    out_dir: Path
    manifest: Path
    clips: int
    files: int
    outcomes: dict[str, int] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    """Bad code by file name."""


@dataclass(frozen=True)
class DemoClip:
    """One sound clip with all that its generator knows: its manifest row, and the scene that it shows."""

    path: Path
    row: Json
    scene: Scene
    timing: Timing
    view: Dashcam | TopDown


@dataclass(frozen=True)
class _Spec:
    """One clip before it is drawn."""

    role: Role
    name: str
    source: str
    recording: str
    recording_seed: str
    rate: Fraction
    night: bool
    outcome: str
    seed: str
    variable: bool
    browser_ready: bool


def generate(
    out_dir: Path,
    *,
    clips: int = 40,
    seed: int = 7,
    progress: Callable[[int, int], None] | None = None,
) -> DemoReport:
    """Write the corpus into `out_dir`: `clips` sound clips and five bad files, the same bytes for the same
    arguments.

    videos/*.mp4; manifest.jsonl, one row per file: file, source, recording, sha256, bytes, fps
    ("30000/1001"; null for a variable rate), frame_count, duration_us, tags, bad (null or why it is bad),
    duplicate_of, truth (kind -> {state, value}; null for unreadable files); and six demo_*.json files of
    CrashChat conversations about the sound clips. The manifest is written last. `progress(done, total)` is
    called after each clip and may raise to stop. ValueError for clips < 1.

    Six clips or more give every source clips with and without a crash. One crash clip has a variable frame
    rate.
    """
    if clips < 1:
        raise ValueError(f"a corpus needs at least one clip, not {clips}")
    videos = out_dir / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    rows: list[Json] = []
    outcomes = {CRASH: 0, NEAR_MISS: 0, UNEVENTFUL: 0}
    for spec in _plan(clips, seed):
        rows.append(_write_clip(videos, spec).row)
        outcomes[spec.outcome] += 1
        if progress is not None:
            progress(len(rows), clips)
    bad_rows = _write_bad_files(videos, rows, seed)
    for kind, name in CONVERSATIONS.items():
        (out_dir / name).write_text(_dump(list(_conversations(kind, rows)), indent=1))
    manifest = out_dir / MANIFEST
    manifest.write_text("".join(_dump(row) + "\n" for row in [*rows, *bad_rows]))
    bad = {str(row["file"]): str(row["bad"]) for row in bad_rows}
    return DemoReport(out_dir, manifest, clips, clips + len(bad_rows), outcomes, bad)


def draw_clips(videos: Path, *, clips: int, seed: int) -> Iterator[DemoClip]:
    """Write the sound clips of `generate(clips=clips, seed=seed)` into an existing folder, one at a time."""
    for spec in _plan(clips, seed):
        yield _write_clip(videos, spec)


def _plan(clips: int, seed: int) -> list[_Spec]:
    """Who is recorded where: sources in turn, two or three neighbouring clips of a source from one
    recording."""
    specs: list[_Spec] = []
    rng = random.Random(f"{seed}/plan")
    taken = dict.fromkeys(SOURCES, 0)
    left_in_recording = dict.fromkeys(SOURCES, 0)
    recordings = dict.fromkeys(SOURCES, 0)
    settings: dict[str, tuple[Fraction, bool]] = {}
    roles = {source: (_shuffled(source, rng), _shuffled(source, rng)) for source in SOURCES}
    told = {source: [0, 0] for source in SOURCES}
    for index in range(clips):
        source = SOURCES[index % len(SOURCES)]
        if left_in_recording[source] == 0:
            recordings[source] += 1
            left_in_recording[source] = rng.choice([2, 3])
            rate = RATES[(sum(recordings.values()) - 1) % len(RATES)]
            settings[source] = rate, rng.random() < 0.35
        left_in_recording[source] -= 1
        recording = f"{source}-r{recordings[source]:02d}"
        rate, night = settings[source]
        outcome = _OUTCOMES[(taken[source] + _FIRST_OUTCOME[source]) % len(_OUTCOMES)]
        taken[source] += 1
        calm = int(outcome != CRASH)
        deck = roles[source][calm]
        role = deck[told[source][calm] % len(deck)]
        told[source][calm] += 1
        specs.append(
            _Spec(
                role=role,
                name=f"demo_{index + 1:04d}.mp4",
                source=source,
                recording=recording,
                recording_seed=f"{seed}/{recording}",
                rate=rate,
                night=night,
                outcome=outcome,
                seed=f"{seed}/clip/{index}",
                variable=False,
                browser_ready=index % 5 != 4,
            )
        )
    crashes = [index for index, spec in enumerate(specs) if spec.outcome == CRASH]
    if crashes:
        last = crashes[-1]
        specs[last] = replace(specs[last], variable=True, rate=Fraction(30))
    return specs


def _shuffled(source: str, rng: random.Random) -> list[Role]:
    """The source's roles in an order of its own, so that a corpus shows all of them before one comes
    again."""
    roles = list(DASHCAM_ROLES if source == "demo-dashcam" else WITNESSED_ROLES)
    rng.shuffle(roles)
    return roles


def _timing(spec: _Spec, rng: random.Random) -> Timing:
    length = rng.choice(_LENGTHS_S)
    if not spec.variable:
        return Timing.at_rate(spec.rate, int(length * spec.rate))
    gaps: list[int] = []
    while sum(gaps) < length * spec.rate:
        gaps.append(rng.choice([1, 1, 1, 2, 2, 3]))
    return Timing.from_gaps(gaps, spec.rate)


def _write_clip(videos: Path, spec: _Spec) -> DemoClip:
    rng = random.Random(spec.seed)
    timing = _timing(spec, rng)
    dashcam = spec.source == "demo-dashcam"
    scene = simulate(spec.role, spec.outcome, timing.seconds, rng, witness=dashcam)
    path = videos / spec.name
    view = _view(spec)
    frames = (view.frame(scene.tracks, index) for index in range(len(timing.ticks)))
    write_mp4(path, frames, timing, size=SIZE, browser_ready=spec.browser_ready)
    tags = [
        "dashcam" if dashcam else "top-down",
        "night" if spec.night else "day",
        spec.outcome,
        spec.role.manoeuvre,
    ]
    if spec.variable:
        tags.append("variable_rate")
    row: Json = {
        "file": f"videos/{spec.name}",
        "source": spec.source,
        "recording": spec.recording,
        **_digest(path),
        "fps": f"{spec.rate.numerator}/{spec.rate.denominator}" if timing.constant else None,
        "frame_count": len(timing.ticks),
        "duration_us": timing.duration_us,
        "tags": tags,
        "bad": None,
        "duplicate_of": None,
        "truth": _truth(scene, timing, rng),
    }
    return DemoClip(path, row, scene, timing, view)


def _view(spec: _Spec) -> Dashcam | TopDown:
    look = random.Random(spec.recording_seed)
    palette = NIGHT if spec.night else DAY
    if spec.source == "demo-dashcam":
        return Dashcam(SIZE, palette, look)
    return TopDown(SIZE, palette, look, junction=spec.source == "demo-junction")


def _truth(scene: Scene, timing: Timing, rng: random.Random) -> dict[str, Json]:
    onset, start, end = scene.truth.onset, scene.truth.start, scene.truth.end
    if onset is None or start is None or end is None:
        values: dict[str, Json | None] = {"crash_recognition": {"label": "no"}}
        values |= {kind: {"text": text} for kind, text in NEGATIVE_TEXTS.items()}
    else:
        role = scene.role
        times = timing.times_us
        values = {
            "crash_recognition": {"label": "yes"},
            "crash_description": {"text": description(role)},
            "causal_reasoning": {"text": cause(role, rng)},
            "prevention_reasoning": {"text": prevention(role, rng)},
            "crash_localization": {"start_us": times[start], "end_us": times[end]},
            "pre_crash_localization": {"at_us": times[onset]},
        }
    return {
        kind: {"state": "valued" if values.get(kind) else "absent", "value": values.get(kind)}
        for kind in KINDS
    }


def _write_bad_files(videos: Path, rows: list[Json], seed: int) -> list[Json]:
    """Files as they turn up in real collections: damaged, empty, cut off, mislabelled, copied under another
    name."""
    rng = random.Random(f"{seed}/bad")
    whole = (videos / str(rows[0]["file"]).split("/")[-1]).read_bytes()
    payload = whole.index(b"mdat") + 4
    damaged = bytearray(whole)
    for place in range(payload + (len(whole) - payload) // 5, len(whole), 23):
        damaged[place] = rng.randrange(256)
    contents = {
        "corrupt": bytes(damaged),
        "zero_byte": b"",
        "truncated": whole[: payload + (len(whole) - payload) // 2],
        "not_a_video": b"Camera 4, Tuesday: memory card full, no recording. Please replace the card.\n" * 12,
    }
    written: list[Json] = []
    for code, content in contents.items():
        path = videos / f"demo_bad_{code}.mp4"
        path.write_bytes(content)
        written.append(_bad_row(path, code, rows[0]))
    original = rows[len(rows) // 2]
    copy = videos / "demo_copy.mp4"
    copy.write_bytes((videos / str(original["file"]).split("/")[-1]).read_bytes())
    twin = {**original, "file": f"videos/{copy.name}", "bad": "duplicate", "duplicate_of": original["file"]}
    return [*written, twin]


def _bad_row(path: Path, code: str, like: Json) -> Json:
    return {
        "file": f"videos/{path.name}",
        "source": like["source"],
        "recording": f"{like['source']}-bad",
        **_digest(path),
        "fps": None,
        "frame_count": None,
        "duration_us": None,
        "tags": ["bad"],
        "bad": code,
        "duplicate_of": None,
        "truth": None,
    }


def _conversations(kind: str, rows: list[Json]) -> Iterator[Json]:
    for row in rows:
        truth = row["truth"]
        assert isinstance(truth, dict)
        value = truth[kind]["value"]
        if value is not None:
            yield {
                "video": [row["file"]],
                "conversations": [
                    {"from": "human", "value": f"<video>\n{QUESTIONS[kind]}"},
                    {"from": "gpt", "value": _answer_text(kind, value)},
                ],
                "source": row["source"],
                "recording": row["recording"],
            }


def _answer_text(kind: str, value: dict[str, str | int]) -> str:
    if kind == "crash_recognition":
        return str(value["label"]).capitalize()
    if kind == "crash_localization":
        return f"{seconds(int(value['start_us']))} - {seconds(int(value['end_us']))} seconds"
    if kind == "pre_crash_localization":
        return f"{seconds(int(value['at_us']))} seconds"
    return str(value["text"])


def _digest(path: Path) -> Json:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _dump(value: object, *, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
