"""A CrashDesk of its own for measurements: the embedded PostgreSQL as the product starts it, in a temporary home."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions

from crashdesk.embedded.config import EmbeddedConfig, embedded_database_url
from crashdesk.embedded.labelstudio import answers
from crashdesk.embedded.postgres import PostgresServer
from crashdesk.embedded.processes import child_environment, process_table, web_url
from crashdesk.embedded.testing import config_for_tests

TEMPLATE = "bench_template"


@dataclass(frozen=True)
class Ended:
    """A child process that went through: what it printed, the processor's seconds it took, and the most memory it
    held at a time, in MiB."""

    output: str
    cpu_s: float
    peak_mib: float


class Database:
    """One database of the desk, migrated and empty at first."""

    def __init__(self, config: EmbeddedConfig, name: str) -> None:
        self.config, self.name = config, name
        self.url = embedded_database_url(config).rpartition("/")[0] + f"/{name}"
        self.env = child_environment(config) | {
            "CRASHDESK_DATABASE_URL": self.url,
            "CRASHDESK_BROKER_URL": "memory://",
            "CRASHDESK_LOG_LEVEL": "WARNING",
            "OMP_NUM_THREADS": "1",
        }

    @contextmanager
    def connection(self) -> Iterator[psycopg2.extensions.connection]:
        """A connection that commits each statement by itself."""
        connection = psycopg2.connect(self.url)
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a statement returns; [] when it returns nothing."""
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def manage(self, *arguments: str) -> Ended:
        """Run manage.py in a process of its own. Raises CalledProcessError, with the end of its output."""
        command = [sys.executable, "-m", "django", *arguments]
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as noise:
            child = subprocess.Popen(command, env=self.env, stdout=output, stderr=noise, cwd=self.config.home)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read()
            if child.returncode:
                noise.seek(0)
                raise subprocess.CalledProcessError(
                    child.returncode, command, text[-2000:], noise.read()[-4000:]
                )
        return Ended(text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def shell(self, code: str) -> Any:
        """What a piece of Python with Django set up prints last, as JSON."""
        return json.loads(self.manage("shell", "--no-imports", "-c", code).output.strip().splitlines()[-1])

    @contextmanager
    def web(self) -> Iterator[str]:
        """The web server as the product starts it (gunicorn, two workers of four threads); its base address."""
        (spec,) = [spec for spec in process_table(self.config, with_labelstudio=False) if spec.name == "web"]
        argv = spec.argv() if callable(spec.argv) else spec.argv
        env = dict(spec.env or {}) | self.env
        log = self.config.logs / f"web-{self.name}.log"
        with log.open("wb") as output:
            server = subprocess.Popen(argv, env=env, stdout=output, stderr=output, cwd=self.config.home)
        try:
            wait_for(lambda: answers(web_url(self.config) + "/health"), server, log)
            yield web_url(self.config)
        finally:
            server.terminate()
            server.wait()


def wait_for(ready: Any, server: "subprocess.Popen[bytes]", log: Path, timeout_s: float = 180) -> None:
    """Wait until `ready()`. RuntimeError with the end of the log when the server ends or takes too long."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not come up: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


class Desk:
    """A running PostgreSQL and the databases in it."""

    def __init__(self, config: EmbeddedConfig) -> None:
        self.config = config
        self.main = Database(config, "crashdesk")

    def database(self, name: str) -> Database:
        """A new database with all tables, made from the template."""
        if not self.main.rows("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]):
            self.main.rows(f"CREATE DATABASE {TEMPLATE}")
            Database(self.config, TEMPLATE).manage("migrate", "--noinput", "--skip-checks")
        self.main.rows(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return Database(self.config, name)

    def drop(self, database: Database) -> None:
        """Remove a database, to give its space back."""
        self.main.rows(f"DROP DATABASE {database.name} WITH (FORCE)")


@contextmanager
def running_desk() -> Iterator[Desk]:
    """PostgreSQL with the product's own settings, durable, in a home that is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="crashdesk-bench-") as home:
        config = config_for_tests(Path(home))
        (config.home / "static").mkdir(parents=True)
        config.logs.mkdir(exist_ok=True)
        server = PostgresServer(config.home, config.postgres_port)
        server.start()
        try:
            yield Desk(config)
        finally:
            server.stop()
