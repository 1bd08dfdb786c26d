"""Is a port free, and if not, who holds it?"""

import errno
import socket
import time
from collections.abc import Mapping
from pathlib import Path

_LISTEN = "0A"


def free_port() -> int:
    """A loopback TCP port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def is_free(port: int) -> bool:
    """True when a server could listen on 127.0.0.1:port now. Raises OSError when the port is forbidden."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def taken_ports(ports: Mapping[str, int], *, wait_s: float = 0.0) -> list[str]:
    """One line of help per service whose port cannot be used; empty when all can.

    `wait_s` gives processes of an earlier, killed start that long to go away.
    """
    deadline = time.monotonic() + wait_s
    while True:
        lines = []
        for service, port in ports.items():
            try:
                if not is_free(port):
                    lines.append(
                        f"port {port}, needed by {service}, is in use by {port_holder(port)}. "
                        f"Stop that process, or choose other ports: {_another(ports)}"
                    )
            except PermissionError:
                lines.append(
                    f"port {port}, needed by {service}, may not be opened by this user. "
                    f"Choose other ports: {_another(ports)}"
                )
        if not lines or time.monotonic() >= deadline:
            return lines
        time.sleep(0.1)


def port_holder(port: int) -> str:
    """`pid 123 (command line)` of the listener on this TCP port, or `an unknown process`."""
    inodes = _listening_inodes(port)
    for descriptor in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        try:
            target = str(descriptor.readlink())
        except OSError:  # the process ended, or belongs to another user
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            pid = descriptor.parts[2]
            return f"pid {pid} ({command_line(int(pid))})"
    return "an unknown process"


def command_line(pid: int) -> str:
    """The command line of a process, cut to 80 characters; `?` when it cannot be read."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return "?"
    text = raw.replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return (text[:77] + "...") if len(text) > 80 else text or "?"


def _another(ports: Mapping[str, int]) -> str:
    suggestion = 8100 if ports.get("web", 0) < 8100 else ports["web"] + 100
    return f"make demo PORT={suggestion}"


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:  # no such table here (another system, or IPv6 switched off)
            continue
        for row in rows:
            columns = row.split()
            if columns[3] == _LISTEN and int(columns[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(columns[9])
    return inodes
