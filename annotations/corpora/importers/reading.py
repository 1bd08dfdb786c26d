"""What a reader of somebody's files is given, and what it tells on the way: files, options, and how far it is."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from annotations.corpora.importers.rows import Rejection, VideoRow, shown


@dataclass
class Reading:
    """One pass over an import's files.

    Readers open files with `open`, which counts bytes for the progress shown, or set `done` and `total` themselves
    (rows of a spreadsheet, objects of a bucket). `left_aside` names files that the reader saw and does not read.
    """

    path: Path
    options: dict[str, Any] = field(default_factory=dict)
    done: int = 0
    total: int | None = None
    message: str = ""
    left_aside: list[str] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)
    _stream: BinaryIO | None = None
    _before: int = 0

    @property
    def root(self) -> Path:
        """The folder whose clips are meant: the path itself, or the one the file lies in."""
        return self.path if self.path.is_dir() else self.path.parent

    @cached_property
    def _real_root(self) -> str:
        return os.path.realpath(self.root)

    def check_inside(self, file: Path) -> None:
        """OSError when the file is a link, or lies behind one, that leads outside of the folder that is imported.

        The path that the import itself names was checked when the import was asked for.
        """
        if file == self.path:
            return
        real = os.path.realpath(file)
        if os.path.commonpath([real, self._real_root]) != self._real_root:
            raise OSError(errno.EPERM, "it is a link that leads outside of the imported folder")

    def expect(self, files: list[Path]) -> None:
        """Tell which files will be read, so that the total is known."""
        self.total = sum(file.stat().st_size for file in files)

    def name_of(self, file: Path) -> str:
        """How reports call a file: its path below the folder that is imported."""
        return shown(file.relative_to(self.root)) if file.is_relative_to(self.root) else shown(file.name)

    @contextmanager
    def open(self, file: Path) -> Iterator[BinaryIO]:
        """A file's bytes; how far the reading is follows its position. OSError as `check_inside`."""
        self.check_inside(file)
        with file.open("rb") as stream:
            self._stream, self._before = stream, self.done
            self.message = self.name_of(file)
            self.files.setdefault(self.message, 0)
            try:
                yield stream
            finally:
                self._stream = None
                self.done = self._before + file.stat().st_size

    def position(self) -> int:
        """Bytes (or rows) read so far."""
        return self.done if self._stream is None else self._before + self._stream.tell()


def files_at(path: Path, is_wanted: Callable[[Path], bool]) -> list[Path]:
    """The files to read: `path` itself, whatever it is called, or the wanted ones below the folder, sorted by name."""
    return [path] if path.is_file() else sorted(p for p in path.rglob("*") if is_wanted(p) and p.is_file())


def unreadable(file: str, error: OSError) -> Rejection:
    """The rejection of a file that the machine does not hand out."""
    return Rejection(file, None, "", f"cannot be read: {error.strerror or error}")


Read = Callable[[Reading], Iterator[VideoRow | Rejection]]


@dataclass(frozen=True)
class Format:
    """A format that can be imported: how it is read, and what of a clip it fills in, for the documentation.

    `prompts`: reads the questions that the files ask, by kind, where they hold any. `find_media`: clips may lie
    beside the files under the names of their rows, with or without a usual suffix.
    """

    title: str
    read: Read
    fills: str
    prompts: "Callable[[Reading], dict[str, str]] | None" = None
    find_media: bool = True
    folder_only: bool = False
