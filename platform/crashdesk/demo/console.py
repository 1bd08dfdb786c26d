"""What the demo says while it works: one line per stage, with progress that overwrites itself on a terminal."""

import sys
import time


class Console:
    """Prints stages and their progress. Off a terminal, progress is a line every few seconds."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._began = self._last = time.monotonic()
        self._last_text = ""

    def stage(self, title: str) -> None:
        self._began, self._last, self._last_text = time.monotonic(), 0.0, ""
        print(f"== {title}", flush=True)

    def progress(self, done: int, total: int | None, note: str = "") -> None:
        """`done` of `total` steps; with a remaining time once there is something to judge by."""
        now = time.monotonic()
        if now - self._last < (0.2 if self._live else 5.0) and done != total:
            return
        share = f"{done}/{total}" if total else str(done)
        left = ""
        if total and 0 < done < total:
            left = f", about {(now - self._began) / done * (total - done):.0f} s left"
        text = f"   {share} {note}{left}"
        if text == self._last_text:
            return
        self._last, self._last_text = now, text
        if self._live:
            print(f"\r{text:<100}", end="", flush=True)
        else:
            print(text, flush=True)

    def done(self, result: str) -> None:
        clear = "\r" + " " * 100 + "\r" if self._live else ""
        print(f"{clear}   {result} ({time.monotonic() - self._began:.1f} s)", flush=True)
