"""What a reader of somebody's files is given, and what it tells on the way: files, options, and how far it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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

    def expect(self, files: list[Path]) -> None:
        """Tell which files will be read, so that the total is known."""
        self.total = sum(file.stat().st_size for file in files)

    def name_of(self, file: Path) -> str:
        """How reports call a file: its path below the folder that is imported."""
        return shown(file.relative_to(self.root)) if file.is_relative_to(self.root) else shown(file.name)

    @contextmanager
    def open(self, file: Path) -> Iterator[BinaryIO]:
        """A file's bytes; how far the reading is follows its position."""
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
