"""A pickle of plain values and flat numpy arrays, read without running anything that the file names.

No class or function of numpy is called on the file's word: the few names that numpy's own pickles use stand for small
classes of this module, which take the arrays' bytes and check their shape and type. Every other name is refused.
Call `load` in a child process with a limit on memory (annotations.corpora.media.isolate): pickles may also ask for
much memory or nest deep enough to end the process. Source of the rules: docs.python.org/3/library/pickle.html
(Restricting Globals) and numpy's ndarray.__reduce__.
"""

import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

MAX_BYTES: Final = 64 * 1024 * 1024

_ITEM: Final = {
    "b1": "?", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q",
    "f4": "f", "f8": "d",
}  # fmt: skip
"""numpy's name of a type to that of struct."""
_ORDER: Final = {"<": "<", ">": ">", "|": "<", "=": "="}


class UnsafePickle(ValueError):
    """The pickle holds something else than plain values and flat arrays of numbers, or is damaged."""


class _DType:
    """Stands for numpy.dtype: a name of a type, and its byte order."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.format = _ITEM.get(name.lstrip("<>|=")) if isinstance(name, str) else None
        if self.format is None:
            raise UnsafePickle(f"arrays of {str(name)[:20]!r} are not read, only of numbers")
        self.order = _ORDER.get(name[0], "=")

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in _ORDER:
            raise UnsafePickle("a numpy type is damaged")
        self.order = _ORDER[state[1]]

    def values(self, data: Any, count: int) -> list[Any]:
        """The `count` numbers in `data`."""
        form = f"{self.order}{count}{self.format}"
        if not isinstance(data, bytes | bytearray) or struct.calcsize(form) != len(data):
            raise UnsafePickle("an array holds more or fewer bytes than its shape says")
        return list(struct.unpack(form, data))


class _Array:
    """Stands for numpy.ndarray: its numbers, in one dimension."""

    def __init__(self) -> None:
        self.values: list[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise UnsafePickle("a numpy array is damaged")
        _, shape, dtype, _, data = state
        self.fill(data, dtype, shape)

    def fill(self, data: Any, dtype: Any, shape: Any) -> None:
        """Take the numbers from their bytes."""
        if not isinstance(dtype, _DType):
            raise UnsafePickle("a numpy array is damaged")
        flat = isinstance(shape, tuple) and len(shape) == 1 and type(shape[0]) is int
        if not flat or not 0 <= shape[0] <= MAX_BYTES:
            raise UnsafePickle("only arrays of one dimension are read")
        self.values = dtype.values(data, shape[0])


def _reconstruct(kind: Any, *_: Any) -> _Array:
    if kind is not _Array:
        raise UnsafePickle("a kind of array that is not read")
    return _Array()


def _frombuffer(data: Any, dtype: Any, shape: Any, *_: Any) -> _Array:
    """How pickles of protocol 5 write arrays."""
    array = _Array()
    array.fill(data, dtype, shape)
    return array


def _scalar(dtype: Any, data: Any = None) -> Any:
    if not isinstance(dtype, _DType):
        raise UnsafePickle("a numpy number is damaged")
    return dtype.values(data, 1)[0]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How pickles of protocol 2 write bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise UnsafePickle("bytes in an encoding that is not read")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """How pickles of protocol 2 write no bytes at all."""
    return b""


_ALLOWED: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("numpy", "dtype"): _DType,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("builtins", "bytes"): _no_bytes,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """A stand-in of this module, or UnsafePickle."""
        if (module, name) not in _ALLOWED:
            raise UnsafePickle(f"it names {module[:60]}.{name[:60]}, which is not read")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> NoReturn:
        """Refused: nothing outside the file is read."""
        raise UnsafePickle("it names a value outside the file")


def load(path: Path) -> dict[str, dict[str, Any]]:
    """The records of a pickled dict of dicts by key, arrays as lists. UnsafePickle when it is anything else.

    Fields are None, bool, int, float, text, or lists of these: so small that no reference inside the file can
    make them large. Bytes (text of Python 2) are read as Latin-1.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UnsafePickle(f"it is larger than {MAX_BYTES >> 20} MiB")
    try:
        with path.open("rb") as stream:
            value = _Unpickler(stream, encoding="latin1").load()
    except UnsafePickle:
        raise
    except MemoryError as error:
        raise UnsafePickle("it asks for too much memory") from error
    except Exception as error:  # a damaged pickle may make the loader raise anything
        raise UnsafePickle(f"it is damaged: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise UnsafePickle(f"it holds no dict but {type(value).__name__}")
    return {_key(key): _record(record) for key, record in value.items()}


def _key(key: Any) -> str:
    if isinstance(key, bytes):
        key = key.decode("latin1")
    if not isinstance(key, str):
        raise UnsafePickle("a key is no text")
    return key


def _record(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise UnsafePickle(f"a record is no dict but {type(record).__name__}")
    return {_key(key): _field(value) for key, value in record.items()}


def _field(value: Any) -> Any:
    if isinstance(value, _Array):
        value = value.values
    if isinstance(value, bytes):
        return value.decode("latin1")
    if isinstance(value, list | tuple):
        return [_atom(item) for item in value]
    return _atom(value)


def _atom(value: Any) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise UnsafePickle(f"a field holds {type(value).__name__}")
