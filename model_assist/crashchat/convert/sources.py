"""Reading published checkpoints: which files hold the weights, and each weight only when it is wanted.

Files are mapped into memory, never read whole, so that a 16 GB checkpoint needs the memory of the weights at hand.
Pickles are opened with `weights_only`: a file that would run code is refused.
"""

import hashlib
import json
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open

from model_assist.crashchat.errors import ConversionError

Progress = Callable[[str, int, int], None]
"""Called with what is being done, and how many bytes of how many are done."""

DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)
CHUNK: Final = 1 << 22
_NUMBERED: Final = re.compile(r"-(\d{5})-of-(\d{5})\.(?:safetensors|bin)$")
_LEGACY: Final = "mmap can only be used"


def nothing(what: str, done: int, total: int) -> None:
    """A Progress that tells nobody."""


@dataclass(frozen=True)
class Weight:
    """One weight of a file, not read yet."""

    file: Path
    key: str
    shape: tuple[int, ...]

    def read(self, files: "OpenFiles") -> torch.Tensor:
        """The numbers, contiguous.  ConversionError for numbers that no model can have."""
        tensor = files.tensor(self.file, self.key)
        if tensor.dtype not in DTYPES:
            raise ConversionError(self.file, f"has the unexpected type {tensor.dtype}", key=self.key)
        tensor = tensor.contiguous()
        for piece in torch.split(
            tensor.view(-1), CHUNK
        ):  # the check of a whole embedding table takes as much again
            if not bool(torch.isfinite(piece).all()):
                raise ConversionError(self.file, "holds NaN or infinite numbers", key=self.key)
        return tensor


class OpenFiles:
    """Weight files held open, each opened once."""

    def __init__(self) -> None:
        self._safetensors: dict[Path, Any] = {}
        self._pickles: dict[Path, Mapping[str, torch.Tensor]] = {}

    def weights(self, file: Path) -> Iterator[Weight]:
        """What `file` holds, in its order.  ConversionError when it is no file of weights."""
        if file.suffix == ".safetensors":
            handle = self._open_safetensors(file)
            for key in handle.keys():  # noqa: SIM118 - the handle is no mapping
                yield Weight(file, key, tuple(handle.get_slice(key).get_shape()))
            return
        for key, tensor in self._open_pickle(file).items():
            yield Weight(file, key, tuple(tensor.shape))

    def tensor(self, file: Path, key: str) -> torch.Tensor:
        """One weight of a file."""
        if file.suffix == ".safetensors":
            found: torch.Tensor = self._open_safetensors(file).get_tensor(key)
            return found
        return self._open_pickle(file)[key]

    def close(self) -> None:
        """Let go of the files; weights read from them live on."""
        self._safetensors.clear()
        self._pickles.clear()

    def _open_safetensors(self, file: Path) -> Any:
        if file not in self._safetensors:
            try:
                self._safetensors[file] = safe_open(str(file), "pt")
            except (SafetensorError, OSError) as error:
                raise ConversionError(file, f"is no whole safetensors file ({error})") from error
        return self._safetensors[file]

    def _open_pickle(self, file: Path) -> Mapping[str, torch.Tensor]:
        if file not in self._pickles:
            loaded = _load_pickle(file)
            if not isinstance(loaded, dict):
                raise ConversionError(file, f"holds no table of weights but a {type(loaded).__name__}")
            for key, value in loaded.items():
                if not isinstance(key, str) or not isinstance(value, torch.Tensor):
                    raise ConversionError(file, f"is no weight but a {type(value).__name__}", key=repr(key))
            self._pickles[file] = loaded
        return self._pickles[file]


def _load_pickle(file: Path) -> Any:
    try:
        try:
            return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError as error:
            if _LEGACY not in str(error):
                raise
            return torch.load(file, map_location="cpu", weights_only=True)  # written by an old torch
    except pickle.UnpicklingError as error:
        raise ConversionError(
            file, "holds more than weights, and reading it could run code; refused"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise ConversionError(file, f"cannot be read ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def weight_files(folder: Path) -> list[Path]:
    """The files of a whole model in `folder`: those of its index, else one file or one complete numbered set.

    Raises ConversionError when there are none, or some are missing.
    """
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        index = folder / f"{stem}.{suffix}.index.json"
        if index.is_file():
            return _indexed(index)
        whole = folder / f"{stem}.{suffix}"
        numbered = sorted(folder.glob(f"{stem}-*-of-*.{suffix}"))
        if numbered:
            _check_complete(folder, numbered)
            if whole.is_file():
                raise ConversionError(folder, f"holds both {whole.name} and {numbered[0].name}; which is it?")
            return numbered
        if whole.is_file():
            return [whole]
    raise ConversionError(folder, "no weights (model*.safetensors or pytorch_model*.bin)")


def _indexed(index: Path) -> list[Path]:
    table = read_json(index).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise ConversionError(index, "holds no weight_map")
    names = sorted(set(map(str, table.values())))
    for name in names:
        if Path(name).name != name:
            raise ConversionError(index, "leads out of the folder", key=name)
        if not (index.parent / name).is_file():
            raise ConversionError(index.parent / name, f"is missing (named by {index.name})")
    return [index.parent / name for name in names]


def check_index(folder: Path, found: Mapping[str, Weight]) -> None:
    """Refuse files that disagree with their index: a shard of another download, or a half of one."""
    for name in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        index = folder / name
        if not index.is_file():
            continue
        table = read_json(index)["weight_map"]
        for key, file in table.items():
            if key not in found:
                raise ConversionError(folder / file, f"lacks this weight, which {name} promises", key=key)
            if found[key].file.name != file:
                raise ConversionError(found[key].file, f"should lie in {file} by {name}", key=key)
        for key in found:
            if key not in table:
                raise ConversionError(found[key].file, f"is not in {name}", key=key)
        return


def _check_complete(folder: Path, files: list[Path]) -> None:
    marks = [_NUMBERED.search(file.name) for file in files]
    totals = {mark[2] for mark in marks if mark}
    if len(totals) != 1 or not all(marks):
        raise ConversionError(folder, f"files of several numberings: {files[0].name}, {files[-1].name}")
    there = {int(mark[1]) for mark in marks if mark}
    missing = sorted(set(range(1, int(totals.pop()) + 1)) - there)
    if missing:
        raise ConversionError(folder, f"part {missing[0]} of {files[0].name}'s set is missing")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.  ConversionError when the file is missing or holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConversionError(path, f"cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise ConversionError(path, "must hold a JSON object")
    return content


def sha256_of(files: list[Path], progress: Progress = nothing) -> dict[str, dict[str, Any]]:
    """{file name: {"bytes", "sha256"}} of files in one folder."""
    total = sum(file.stat().st_size for file in files)
    done, found = 0, {}
    for file in files:
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
                done += len(chunk)
                progress(f"hashing {file.name}", done, total)
        found[file.name] = {"bytes": file.stat().st_size, "sha256": digest.hexdigest()}
    return found


@contextmanager
def opened() -> Iterator[OpenFiles]:
    """Weight files for the length of a block."""
    files = OpenFiles()
    try:
        yield files
    finally:
        files.close()
