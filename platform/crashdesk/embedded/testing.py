"""Real services for tests: `services` for one test or fixture, `postgres_for_tests` for a whole session.

    python -m crashdesk.embedded.testing --owner PID --home FOLDER

keeps a PostgreSQL running until process PID ends; `postgres_for_tests` starts exactly that.
"""

import argparse
import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from crashdesk.embedded.broker import BrokerServer
from crashdesk.embedded.config import (
    EmbeddedConfig,
    embedded_broker_url,
    embedded_database_url,
    load_config,
)
from crashdesk.embedded.ports import free_port
from crashdesk.embedded.postgres import PostgresError, PostgresServer

_PACKAGE_PARENT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Services:
    """What `services` started. `broker_url` is None when no broker was asked for."""

    config: EmbeddedConfig
    database_url: str
    broker_url: str | None
    postgres: PostgresServer
    broker: BrokerServer | None


def config_for_tests(home: Path, port_base: int | None = None) -> EmbeddedConfig:
    """A configuration below `home` that ignores the environment; free ports unless `port_base` is given."""
    base = port_base or free_port()
    ports = [base + 1, base + 2, base + 3] if port_base else [free_port() for _ in range(3)]
    return load_config(
        {
            "CRASHDESK_HOME": str(home),
            "CRASHDESK_PORT": str(base),
            "CRASHDESK_LABELSTUDIO_PORT": str(ports[0]),
            "CRASHDESK_POSTGRES_PORT": str(ports[1]),
            "CRASHDESK_BROKER_PORT": str(ports[2]),
            "CRASHDESK_LABELSTUDIO_VENV": os.environ.get("CRASHDESK_LABELSTUDIO_VENV", ""),
            # there is no CrashDesk that a guard could ask; tests of the guard say otherwise
            "CRASHDESK_LABELSTUDIO_GUARD": "0",
        }
    )


@contextmanager
def services(home: Path, port_base: int | None = None, *, broker: bool = False) -> Iterator[Services]:
    """Run PostgreSQL, and a broker if wanted, below `home` until the block ends.

    Not durable against power loss. Raises PostgresError or BrokerError when one does not start.
    """
    config = config_for_tests(home, port_base)
    with ExitStack() as stack:
        postgres = PostgresServer(config.home, config.postgres_port, durable=False)
        stack.callback(postgres.stop)
        postgres.start()
        queue = None
        if broker:
            queue = BrokerServer(config.home, config.broker_port)
            stack.callback(queue.stop)
            queue.start()
        yield Services(
            config=config,
            database_url=embedded_database_url(config),
            broker_url=embedded_broker_url(config) if broker else None,
            postgres=postgres,
            broker=queue,
        )


def postgres_for_tests(timeout_s: float = 60.0) -> str:
    """URL of a PostgreSQL shared by this pytest session; started on the first call, by whichever process.

    Under pytest-xdist all workers get the same server, because they agree on the controlling process. The
    server ends, and its files go, when that process ends, however it ends. The role may create databases.
    Raises PostgresError when it does not come up.
    """
    owner = os.getppid() if os.environ.get("PYTEST_XDIST_WORKER") else os.getpid()
    home = Path(tempfile.gettempdir()) / f"crashdesk-tests-{os.geteuid()}-{owner}-{_start_time(owner)}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.stat().st_uid != os.geteuid():
        raise PostgresError(f"{home} belongs to somebody else")
    with (home / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        url_file = home / "url"
        if url_file.exists() and _answers(url_file.read_text()):
            return url_file.read_text()
        url_file.unlink(missing_ok=True)
        return _start_keeper(home, owner, timeout_s)


def _start_keeper(home: Path, owner: int, timeout_s: float) -> str:
    log = home / "keeper.log"
    with log.open("ab") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "crashdesk.embedded.testing", f"--owner={owner}", f"--home={home}"],
            env=os.environ | {"PYTHONPATH": str(_PACKAGE_PARENT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + timeout_s
    url_file = home / "url"
    while not url_file.exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            keeper.kill()
            keeper.wait()
            raise PostgresError(f"no PostgreSQL for the tests: {log.read_text(errors='replace')[-1500:]}")
        time.sleep(0.02)
    keeper.returncode = 0  # it outlives this object on purpose: no ResourceWarning, no wait
    return url_file.read_text()


def _answers(url: str) -> bool:
    try:
        psycopg2.connect(url, connect_timeout=3).close()
    except psycopg2.OperationalError:
        return False
    return True


def _start_time(pid: int) -> str:
    """Distinguishes two processes that had the same number one after the other."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:  # no /proc on this system: the number alone must do
        return "0"


def _wait_for_end(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # an old kernel or another system
        while _exists(pid):
            time.sleep(0.5)
        return
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.poll()
    finally:
        os.close(descriptor)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _keep(owner: int, home: Path) -> None:
    """Serve until the owner ends, then remove everything."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with services(home / "home") as running:
            temporary = home / "url.new"
            temporary.write_text(running.database_url)
            temporary.replace(home / "url")
            _wait_for_end(owner)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def main() -> int:
    """Command line of the keeper process."""
    parser = argparse.ArgumentParser(description="keep a PostgreSQL running while a process lives")
    parser.add_argument("--owner", type=int, required=True)
    parser.add_argument("--home", type=Path, required=True)
    arguments = parser.parse_args()
    _keep(arguments.owner, arguments.home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
