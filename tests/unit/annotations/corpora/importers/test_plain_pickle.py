import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotations.corpora.importers import plain_pickle
from annotations.corpora.importers.plain_pickle import UnsafePickle, load


def loaded(tmp_path: Path, value: Any, protocol: int = 4) -> dict[str, dict[str, Any]]:
    path = tmp_path / "x.pkl"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
    return load(path)


class Runs:
    """A pickle of one runs a command, where nothing stops it."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["bool", "i1", "u1", ">i2", "int32", "int64", "u8", "f4", "float64", ">f8"])
def test_arrays_and_plain_values_come_back(tmp_path: Path, protocol: int, dtype: str) -> None:
    record = {
        "target": np.array([0, 1, 1, 0], dtype), "name": "a", "n": 3, "x": 0.5, "yes": True, "none": None,
        "list": [1, "b"], "tuple": (1,), "bytes": b"caf\xe9", "one": np.array([1], dtype)[0],
        "empty": np.array([], dtype),
    }  # fmt: skip
    assert loaded(tmp_path, {"key": record}, protocol) == {
        "key": {
            "target": [0, 1, 1, 0], "name": "a", "n": 3, "x": 0.5, "yes": True, "none": None, "list": [1, "b"],
            "tuple": [1], "bytes": "café", "one": 1, "empty": [],
        }
    }  # fmt: skip


def test_names_of_numpy_1_are_read_as_those_of_numpy_2(tmp_path: Path) -> None:
    new = pickle.dumps({"k": {"a": np.array([0, 1])}}, 2)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != new
    assert loaded(tmp_path, old) == {"k": {"a": [0, 1]}}


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (os.system, ("touch hacked",)),
        (eval, ("open('hacked', 'w')",)),
        (exec, ("open('hacked', 'w')",)),
        (open, ("hacked", "w")),
        (getattr, (os, "system")),
        (np.fromfile, ("/etc/passwd",)),
        (np.load, ("x.npy",)),
        (Path, ("hacked",)),
        (bytearray, (10**12,)),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: Any, args: tuple[Any, ...], protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    module = Runs(function, *args) if function is not getattr else Runs(getattr, Runs(Path, "."), "touch")
    data = pickle.dumps({"k": {"a": module}}, protocol)
    with pytest.raises(UnsafePickle, match="which is not read"):
        loaded(tmp_path, data)
    assert not (tmp_path / "hacked").exists()


def test_dotted_names_do_not_lead_around_the_list(tmp_path: Path) -> None:
    def names(module: str, name: str) -> bytes:
        texts = b"".join(b"\x8c" + struct.pack("B", len(text)) + text.encode() for text in (module, name))
        return b"\x80\x04" + texts + b"\x93\x8c\x02id\x85R."

    for module, name in [("numpy", "ndarray.__class__"), ("numpy.core.multiarray", "_reconstruct.__globals__"),
                         ("annotations.corpora.importers.plain_pickle", "pickle.loads")]:  # fmt: skip
        with pytest.raises(UnsafePickle, match="which is not read"):
            loaded(tmp_path, names(module, name))


@pytest.mark.parametrize(
    "array",
    [np.array([[1, 2]]), np.array(["a"]), np.array([object()], object), np.array(1), np.array([1j]),
     np.array(["2020-01-01"], "M8[D]"), np.zeros(1, [("a", "i4")])],
)  # fmt: skip
def test_other_arrays_are_refused(tmp_path: Path, array: Any) -> None:
    with pytest.raises(UnsafePickle):
        loaded(tmp_path, {"k": {"a": array.astype(object) if array.dtype == object else array}})


def test_an_array_that_lies_about_its_size_is_refused(tmp_path: Path) -> None:
    data = pickle.dumps({"k": {"a": np.array([0, 1, 1], "i8")}}, 4)
    shape = b"K\x03\x85"
    assert data.count(shape) == 1
    with pytest.raises(UnsafePickle, match="more or fewer bytes than its shape says"):
        loaded(tmp_path, data.replace(shape, b"K\x04\x85"))


@pytest.mark.parametrize(
    "value",
    [[], "text", {"k": []}, {1: {}}, {"k": {1: 2}}, {"k": {"a": {"b": 1}}}, {"k": {"a": [[1]]}}, {"k": {"a": {1}}},
     {"k": {"a": 1j}}],
)  # fmt: skip
def test_other_shapes_are_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(UnsafePickle):
        loaded(tmp_path, value)


def test_a_structure_that_contains_itself_is_refused(tmp_path: Path) -> None:
    record: dict[str, Any] = {}
    record["self"] = record
    with pytest.raises(UnsafePickle):
        loaded(tmp_path, {"k": record})


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"\x80\x04", b"\x80\xff.", b"}]a.", b"P1\n.", b"cos\nsystem\n."]
)
def test_damaged_pickles_are_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UnsafePickle):
        loaded(tmp_path, data)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_pickle, "MAX_BYTES", 10)
    with pytest.raises(UnsafePickle, match="larger than"):
        loaded(tmp_path, {"k": {"a": "x" * 20}})
