"""CrashChat's conversation files, in one zip: six files per split, a card, and the canonical records.

Every file is a JSON list of {"video": [name], "conversations": [{"from": "human", "value": "<video>\\n" + the
question}, {"from": "gpt", "value": the answer}], "source", "recording"}, the layout of the published data
plus `recording`. The two localisation files hold crash clips only: an absent answer is left out.

The bytes depend on the version alone: fixed order, fixed timestamps. (They also depend on the zlib build,
which is why the dataset's identity is the content hash and not the hash of a zip.)
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from annotations.cases.kinds import AnswerState, Kind
from annotations.datasets.exporters.card import Summary, card
from annotations.datasets.exporters.facts import Rows, Step, VersionFacts
from annotations.datasets.splits import SPLITS

SUFFIX: Final = ".zip"
CONTENT_TYPE: Final = "application/zip"
MICROSECONDS: Final = 1_000_000
TASK_NAMES: Final[Mapping[str, str]] = {
    Kind.CRASH_RECOGNITION: "crash_recognition",
    Kind.CRASH_DESCRIPTION: "crash_description",
    Kind.CAUSAL_REASONING: "cause_reasoning",
    Kind.PREVENTION_REASONING: "prevention_reasoning",
    Kind.CRASH_LOCALIZATION: "crash_localization",
    Kind.PRE_CRASH_LOCALIZATION: "pre_crash_localization",
}
"""What the published files call each kind."""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold
_UNIX: Final = 3


def seconds_text(time_us: int) -> str:
    """Microseconds as decimal seconds, exactly: one decimal for whole tenths, else as many as needed, up to six.

    Raises ValueError for anything but a whole number of microseconds, 0 or more.
    """
    if isinstance(time_us, bool) or not isinstance(time_us, int) or time_us < 0:
        raise ValueError(f"{time_us!r} is not a whole number of microseconds, 0 or more")
    whole, rest = divmod(time_us, MICROSECONDS)
    return f"{whole}." + (f"{rest:06}".rstrip("0") or "0")


def answer_text(kind: str, state: str, value: Mapping[str, Any] | None) -> str | None:
    """What the answer reads in a conversation; None for an absent one, which has no row.

    Raises ValueError for an answer that says nothing (unparsable).
    """
    if state == AnswerState.ABSENT:
        return None
    if value is None:
        raise ValueError(f"{kind}: an answer in state {state!r} cannot be written")
    if kind == Kind.CRASH_RECOGNITION:
        return "Yes" if value["label"] == "yes" else "No"
    if kind == Kind.CRASH_LOCALIZATION:
        return f"{seconds_text(value['start_us'])} - {seconds_text(value['end_us'])} seconds"
    if kind == Kind.PRE_CRASH_LOCALIZATION:
        return f"{seconds_text(value['at_us'])} seconds"
    return str(value["text"])


def conversation(record: Mapping[str, Any], kind: str, question: str) -> dict[str, Any] | None:
    """One row of one conversation file, or None when that answer is absent."""
    answer = record["answers"][kind]
    text = answer_text(kind, answer["state"], answer["value"])
    if text is None:
        return None
    return {
        "video": [record["video"]],
        "conversations": [
            {"from": "human", "value": f"<video>\n{question}"},
            {"from": "gpt", "value": text},
        ],
        "source": record["source"],
        "recording": record["recording"],
    }


def file_name(kind: str, split: str) -> str:
    """E.g. crashdesk_cause_reasoning_val.json."""
    return f"crashdesk_{TASK_NAMES[kind]}_{split}.json"


def write(target: Path, facts: VersionFacts, rows: Rows, *, step: Step = lambda done: None) -> None:
    """Write the zip. Needs the memory of a few records, and disk for the files before they are packed.

    Raises ContentChanged when the records are not those of `facts.content_hash`.
    """
    summary, digest = Summary(), facts.digest()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as open_files:
        parts = Path(folder)
        lists = {
            (split, kind): open_files.enter_context(_JsonList(parts / file_name(kind, split)))
            for split in SPLITS
            for kind in Kind.values
        }
        canonical = open_files.enter_context((parts / "records.jsonl").open("wb"))
        canonical.write(facts.header + b"\n")
        for done, (split, record) in enumerate(rows, start=1):
            canonical.write(digest.add(split, record) + b"\n")
            summary.add(split, record)
            for kind in Kind.values:
                row = conversation(record, kind, facts.prompts[kind])
                if row is not None:
                    lists[split, kind].add(row)
            step(done)
        open_files.close()
        digest.check(facts.content_hash)
        (parts / "README.md").write_text(card(facts, summary), encoding="utf-8")
        names = [file_name(kind, split) for split in SPLITS for kind in Kind.values]
        _pack(target, parts, ["README.md", "records.jsonl", *names])


class _JsonList:
    """A JSON list on disk, one row per line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._rows = 0

    def __enter__(self) -> "_JsonList":
        self._file = self._path.open("w", encoding="utf-8", newline="\n")
        self._file.write("[")
        return self

    def add(self, row: Mapping[str, Any]) -> None:
        assert self._file is not None
        self._file.write(("\n" if self._rows == 0 else ",\n") + json.dumps(row, ensure_ascii=False))
        self._rows += 1

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.write("\n]\n")
        self._file.close()


def _pack(target: Path, folder: Path, names: list[str]) -> None:
    with ZipFile(target, "w") as archive:
        for name in names:
            entry = ZipInfo(name, date_time=_EPOCH)
            entry.compress_type, entry.create_system, entry.external_attr = ZIP_DEFLATED, _UNIX, 0o644 << 16
            entry.file_size = (folder / name).stat().st_size
            with (folder / name).open("rb") as source, archive.open(entry, "w") as packed:
                shutil.copyfileobj(source, packed)
