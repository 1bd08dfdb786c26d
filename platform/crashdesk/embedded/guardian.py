"""Run as a script by `children.Guardian`: reads `+pid`, `-pid` and `done` lines on standard input.

When the input ends without `done`, the supervisor was killed: every group still listed gets SIGTERM, and
SIGKILL after GRACE_S. Imports nothing but the standard library, so it starts fast and stays small.
"""

import os
import signal
import sys
import time

GRACE_S = 4.0


def _signal_group(pid: int, number: int) -> bool:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main() -> int:
    """Follow the supervisor until its end; returns the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        word = line.strip()
        if word == "done":
            return 0
        if word.startswith("+"):
            groups.add(int(word[1:]))
        elif word.startswith("-"):
            groups.discard(int(word[1:]))
    deadline = time.monotonic() + GRACE_S
    groups = {pid for pid in groups if _signal_group(pid, signal.SIGTERM)}
    while groups and time.monotonic() < deadline:
        time.sleep(0.1)
        groups = {pid for pid in groups if _signal_group(pid, 0)}
    for pid in groups:
        _signal_group(pid, signal.SIGKILL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
