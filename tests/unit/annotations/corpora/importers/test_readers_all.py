"""The readers of crash datasets, fed bytes that nobody would write: rows and rejections, never an exception."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from annotations.cases.kinds import AnswerState, value_problem
from annotations.corpora.importers import a3d, cadp, ccd, dota, scad
from annotations.corpora.importers.plain_pickle import UnsafePickle, load
from annotations.corpora.importers.reading import Reading
from annotations.corpora.importers.rows import MAX_NAME, MAX_RECORDING, MAX_SOURCE, Rejection, VideoRow
from annotations.corpora.media.findings import MediaError
from annotations.corpora.media.isolate import Isolated
from annotations.corpora.models import ImportRejection, Video

DOTA_ENTRY: Final = {
    "video_start": 199, "video_end": 305, "anomaly_start": 40, "anomaly_end": 70, "anomaly_class": "ego: turning",
    "num_frames": 107, "subset": "train",
}  # fmt: skip
A3D_ENTRY: Final = {
    "video_name": "LNT8NB2Dv-E", "idx": "000001", "clip_start": "000021", "clip_end": "000024", "ego_envolve": True,
    "ego_only": False, "target": [0, 1, 1, 0],
}  # fmt: skip
KEY_FRAMES: Final = [
    {
        "id": "_a",
        "type": "Car",
        "keyframes": [{"frame": 3, "x": 1.5, "y": 0, "w": 9, "h": 9, "state": "Colliding"}],
    }
]
CCD_LINE: Final = "000001," + ", ".join("0" * 30 + "1" * 20) + ",000285,0000,Day,Normal,Yes"
VATIC_LINE: Final = '0 423 284 601 473 96 0 0 1 "Bus" "Colliding"'

GOOD: Final[list[tuple[ModuleType, str, str]]] = [
    (ccd, "Crash-1500.txt", f"{CCD_LINE}\n{CCD_LINE.replace('000001,', '000002,')}\n"),
    (dota, "metadata_train.json", json.dumps({"abcdefghijk_000199": DOTA_ENTRY})),
    (dota, "val_split.txt", "abcdefghijk_000199\n"),
    (a3d, "A3D_labels.json", json.dumps({"LNT8NB2Dv-E_000001": A3D_ENTRY})),
    (scad, "accident_train.txt", "normal/000028_1.mp4\nanomalous/v1_10.mp4\n"),
    (cadp, "000001.json", json.dumps(KEY_FRAMES)),
    (cadp, "1407.txt", f"{VATIC_LINE}\n{VATIC_LINE.replace(' 96 ', ' 97 ')}\n"),
    (cadp, "segments.json", '["4", "15"]'),
    (cadp, "split1_train.txt", "000190\n001283\n"),
]
IDS: Final = [f"{module.__name__.rsplit('.', 1)[-1]}-{name}" for module, name, _ in GOOD]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from(["", "\x00", "\ud800", 10**400]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, text: str) -> bytes:
    """The bytes of `text` with pieces replaced, cut out or doubled."""
    data = text.encode()
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 40)))
        piece = draw(
            st.binary(max_size=6)
            | st.sampled_from(
                [b"9" * 30, b"-1", b"\x00", b"\xff\xfe", b"{", b"[", b'"', b",", b"\n", b"1e9999", b"null"]
            )
            | st.just(data[start:end] * 2)
        )
        data = data[:start] + piece + data[end:]
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder whose files each example writes anew."""
    return tmp_path_factory.mktemp("files")


def read_and_check(module: ModuleType, folder: Path, name: str, data: bytes, **options: Any) -> list[Any]:
    """What the reader makes of one file holding `data`, each row fit for the database."""
    for other in folder.iterdir():
        other.unlink()
    (folder / name).write_bytes(data)
    reading = Reading(folder, options)
    found = list(module.read(reading))
    for item in found:
        check(item)
    assert reading.position() == reading.total or not reading.total
    return found


def check(item: Any) -> None:
    if isinstance(item, Rejection):
        assert item.row is None or item.row >= 1
        assert len(item.field) <= column(ImportRejection, "field")
        assert item.reason.strip()
        storable(item.file, item.field, item.reason)
        return
    assert isinstance(item, VideoRow)
    assert 0 < len(item.name) <= MAX_NAME
    assert 0 < len(item.recording) <= MAX_RECORDING
    assert 0 < len(item.source) <= MAX_SOURCE
    assert len(item.split) <= column(Video, "split")
    storable(item.file, item.name, item.recording, item.split, item.metadata, item.record)
    for answer in item.answers:
        assert value_problem(answer.kind, AnswerState.VALUED, answer.value) is None
        assert answer.raw_text
    kinds = [answer.kind for answer in item.answers]
    assert len(set(kinds)) == len(kinds)
    assert item.record is not None


def column(model: Any, name: str) -> int:
    """The longest text a column takes."""
    return int(model._meta.get_field(name).max_length)


def storable(*values: Any) -> None:
    """Fails for what PostgreSQL cannot hold."""
    text = json.dumps(values, allow_nan=False, ensure_ascii=False)
    text.encode()
    assert "\\u0000" not in text


@pytest.mark.parametrize(("module", "name", "text"), GOOD, ids=IDS)
def test_what_is_mutated_here_is_good(module: ModuleType, name: str, text: str, folder: Path) -> None:
    found = read_and_check(module, folder, name, text.encode(), fps="25")
    bad = [item.reason for item in found if isinstance(item, Rejection)]
    assert bad == (["holds no metadata_train.json or metadata_val.json"] if name == "val_split.txt" else [])
    assert len(found) >= 1


@pytest.mark.parametrize(("module", "name", "text"), GOOD, ids=IDS)
@settings(max_examples=60)
@given(data=st.data())
def test_mutated_files(module: ModuleType, name: str, text: str, folder: Path, data: st.DataObject) -> None:
    read_and_check(
        module, folder, name, data.draw(mutated(text)), fps="30000/1001", crash_until_clip_end=True
    )


@pytest.mark.parametrize(("module", "name", "text"), GOOD, ids=IDS)
@settings(max_examples=30)
@given(data=st.binary(max_size=200))
@example(b"")
@example(b"\xef\xbb\xbf")
@example(b"\n" * 100)
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'["' + b"9" * 5000)
@example(b"[" + b"9" * 5000 + b"]")
@example(b"x" * 200_000)
def test_any_bytes(module: ModuleType, name: str, text: str, folder: Path, data: bytes) -> None:
    read_and_check(module, folder, name, data)


@pytest.mark.parametrize(
    ("module", "name", "good"),
    [
        (dota, "metadata_val.json", {"abcdefghijk_000199": DOTA_ENTRY}),
        (a3d, "a3d.json", {"LNT8NB2Dv-E_000001": A3D_ENTRY}),
        (cadp, "000001.json", {"": KEY_FRAMES[0]}),
    ],
)
@settings(max_examples=80)
@given(data=st.data())
def test_any_value_in_any_field(
    module: ModuleType, name: str, good: dict[str, Any], folder: Path, data: st.DataObject
) -> None:
    ((key, record),) = good.items()
    changed = {**record, data.draw(st.sampled_from([*record, "more"])): data.draw(JSON)}
    rows: Any = [changed] if module is cadp else {data.draw(st.just(key) | st.text()): changed}
    read_and_check(module, folder, name, json.dumps(rows).encode(), fps=25)


@pytest.mark.parametrize("module", [ccd, dota, a3d, cadp, scad])
@settings(max_examples=25)
@given(options=st.dictionaries(st.sampled_from(["fps", "fold", "crash_until_clip_end"]), JSON))
def test_any_options(module: ModuleType, folder: Path, options: dict[str, Any]) -> None:
    name, text = next((name, text) for reader, name, text in GOOD if reader is module)
    read_and_check(module, folder, name, text.encode(), **options)


@pytest.mark.parametrize("module", [ccd, dota, a3d, cadp, scad])
def test_a_path_that_is_no_folder_of_the_format(module: ModuleType, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone", Path("/dev/null")):
        for item in module.read(Reading(path)):
            assert isinstance(item, Rejection)


@pytest.fixture(scope="module")
def child() -> Iterator[Isolated]:
    with Isolated(timeout_s=20, memory_bytes=1 << 30) as isolated:
        yield isolated


@settings(max_examples=80, deadline=None)
@given(data=mutated(pickle.dumps({"k": A3D_ENTRY}, 0).decode("ascii")) | st.binary(max_size=60))
@example(b"\x80\x02r\xff\xff\xff\x7f.")  # a memo of two thousand million places
@example(b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.")  # bytes of eight exabytes
def test_any_pickle_is_records_or_refused(folder: Path, child: Isolated, data: bytes) -> None:
    path = folder / "x.pkl"
    path.write_bytes(data)
    try:
        records = child.call(load, path)
    except (UnsafePickle, MediaError):
        return
    assert all(isinstance(key, str) and isinstance(record, dict) for key, record in records.items())
