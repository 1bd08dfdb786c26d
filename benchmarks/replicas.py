"""CrashChat conversation files of any size: the published validation rows, or made-up ones, under new clip names."""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT.parent / "shared" / "data" / "crashchat"
KINDS = (
    "crash_recognition", "crash_description", "cause_reasoning", "prevention_reasoning", "crash_localization",
    "pre_crash_localization",
)  # fmt: skip
_HOLE = "videos/\x1a"


@dataclass(frozen=True)
class Rows:
    """The rows of one file with a hole for the clip's name: (clip, text before the name, text after it)."""

    file: str
    rows: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Written:
    folder: Path
    cases: int
    rows: int
    megabytes: float


class Original:
    """Rows to replicate. `origin` says where they are from; `clips` in the order of their first row."""

    def __init__(self) -> None:
        published = sorted(PUBLISHED.glob("*.json")) if PUBLISHED.is_dir() else []
        files = [(path.name, json.loads(path.read_text())) for path in published] or list(_made_up())
        self.origin = "published validation rows" if published else "made-up rows"
        self.files = [Rows(name, [_cut(row) for row in rows]) for name, rows in files]
        self.clips = list(dict.fromkeys(clip for file in self.files for clip, _, _ in file.rows))
        self.answers: dict[str, dict[str, str]] = {clip: {} for clip in self.clips}
        for name, rows in files:
            for row in rows:
                self.answers[_clip(row)][name] = row["conversations"][1]["value"]

    def write(self, folder: Path, cases: int) -> Written:
        """Files of the rows of `cases` clips: copies of the original clips, the last copy cut off."""
        folder.mkdir(parents=True)
        place = {clip: number for number, clip in enumerate(self.clips)}
        rows = size = 0
        for file in self.files:
            with (folder / file.file).open("w") as stream:
                stream.write("[")
                first = True
                for copy in range(-(-cases // len(self.clips))):
                    left = cases - copy * len(self.clips)
                    for clip, before, after in file.rows:
                        if place[clip] < left:
                            stream.write("\n" if first else ",\n")
                            stream.write(before + renamed(clip, copy) + after)
                            first, rows = False, rows + 1
                stream.write("\n]\n")
                size += stream.tell()
        return Written(folder, cases, rows, size / 1e6)


def renamed(clip: str, copy: int) -> str:
    """The name of a clip's copy, by the naming of its source: digits are added to its last number."""
    if not copy:
        return clip
    path = PurePosixPath(clip)
    stem = (
        re.sub(r"(\d+)$", rf"\g<1>{copy:04d}", path.stem)
        if path.stem[-1:].isdigit()
        else f"{path.stem}{copy}"
    )
    return str(path.with_name(stem + path.suffix))


def _clip(row: dict[str, Any]) -> str:
    video = row["video"]
    return video[0] if isinstance(video, list) else video


def _cut(row: dict[str, Any]) -> tuple[str, str, str]:
    clip = _clip(row)
    hole = [_HOLE] if isinstance(row["video"], list) else _HOLE
    before, _, after = json.dumps(row | {"video": hole}).partition(json.dumps(_HOLE)[1:-1])
    return clip, before, after


def _made_up(clips: int = 1800) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Files like the published ones: a third without a crash, free texts from a small vocabulary."""
    chance = random.Random(5)
    texts = [f"vehicle {n % 9} strikes vehicle {n % 7} at the crossing after {n} metres." for n in range(60)]
    for kind in KINDS:
        rows = []
        for number in range(clips):
            crash = number % 3 > 0
            start = chance.randrange(20, 60) / 10
            answer = {
                "crash_recognition": "Yes" if crash else "No",
                "crash_localization": f"{start} - {start + 1.5} seconds",
                "pre_crash_localization": f"{start - 1.5:.1f} seconds",
            }.get(kind, chance.choice(texts) if crash else "No crash occurs.")
            if not crash and kind.endswith("localization"):
                continue
            name = f"videos/cap_{number % 60}_{number:05d}.mp4" if crash else f"videos/nexar_{number:05d}.mp4"
            question = (
                f"<video>\nThe question on {kind.replace('_', ' ')}, as long as the published ones are. " * 3
            )
            rows.append({
                "video": [name], "source": "MM-AU-CAP" if crash else "Nexar",
                "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}],
            })  # fmt: skip
        yield f"made_up_{kind}.json", rows
