"""Where the clips of an annotation file lie: found by the names that its rows give them."""

import os
from pathlib import Path, PurePosixPath
from typing import Final

CLIP_SUFFIXES: Final = frozenset(
    {
        ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".flv", ".wmv",
        ".asf", ".ogv", ".gif", ".3gp", ".mxf", ".h264", ".h265",
    }
)  # fmt: skip


class Places:
    """The clips below a folder, looked up once.

    A row's name is, in this order: a path below the folder, or beside the file that names it; a file name that
    occurs once; a file name without its suffix that occurs once. Two candidates are none. A name with folders is
    looked for without them only where all clips lie in one folder, and never when it is a mere number: clip 001 of
    one class is not clip 001 of another.
    """

    def __init__(self, root: Path) -> None:
        self._paths: dict[str, str] = {}
        self._by_name: dict[str, str | None] = {}
        self._by_stem: dict[str, str | None] = {}
        self._folders: set[str] = set()
        self._root = root
        for folder, below, names in os.walk(root):
            below.sort()
            for name in names:
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in CLIP_SUFFIXES and not name.startswith("."):
                    path = os.path.relpath(os.path.join(folder, name), root)
                    self._paths[path] = path
                    self._folders.add(folder)
                    self._by_name[name] = None if name in self._by_name else path
                    self._by_stem[stem] = None if stem in self._by_stem else path

    def __len__(self) -> int:
        return len(self._paths)

    def find(self, name: str, *, beside: str = "") -> Path | None:
        """The clip that a row calls `name`, in a file whose folder below the root is `beside`."""
        if not self._paths and os.path.splitext(name)[1].lower() in CLIP_SUFFIXES:
            return None
        pure = PurePosixPath(name)
        if (
            pure.suffix.lower() not in CLIP_SUFFIXES
        ):  # an unusual name counts when it is a path, and only then
            for path in (self._root / beside / name, self._root / name):
                if path.is_file():
                    return path
        found = self._paths.get(str(PurePosixPath(beside) / pure)) or self._paths.get(str(pure))
        if found is None and not pure.stem.isdigit() and (len(pure.parts) == 1 or len(self._folders) == 1):
            found = (
                self._by_name.get(pure.name) or self._by_stem.get(pure.name) or self._by_stem.get(pure.stem)
            )
        if found is None and len(pure.parts) == 1:
            found = self._by_name.get(pure.name) or self._by_stem.get(pure.name)
        return self._root / found if found else None
