"""A whole running CrashDesk for end-to-end tests: `manage.py up` in a home and on ports of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from crashdesk.demo.client import Client
from crashdesk.demo.reviewer import LabelStudioReviewer
from crashdesk.embedded.config import LABELSTUDIO_EMAIL, secrets
from crashdesk.embedded.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS, STOP_SECONDS = 300, 90


@dataclass
class Stack:
    """Starts and stops all services; knows their addresses."""

    home: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("CRASHDESK_")}
        self.env |= {
            "CRASHDESK_HOME": str(self.home),
            "CRASHDESK_PORT": str(self.port),
            "CRASHDESK_LABELSTUDIO_PORT": str(free_port()),
            "CRASHDESK_POSTGRES_PORT": str(free_port()),
            "CRASHDESK_BROKER_PORT": str(free_port()),
            "CRASHDESK_JOB_LEASE_SECONDS": "6",
            "CRASHDESK_POLL_SECONDS": "1",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
        }
        if venv := os.environ.get("CRASHDESK_LABELSTUDIO_VENV"):
            self.env["CRASHDESK_LABELSTUDIO_VENV"] = venv

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def labelstudio_url(self) -> str:
        return f"http://127.0.0.1:{self.env['CRASHDESK_LABELSTUDIO_PORT']}"

    def start(self) -> None:
        """Start everything and wait until the pages and Label Studio answer."""
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"], cwd=ROOT, env=self.env, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not (self._answers(f"{self.url}/health") and self._answers(f"{self.labelstudio_url}/health")):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"the services did not start:\n{(self.home / 'up.log').read_text()[-4000:]}"
                )
            time.sleep(0.3)

    @staticmethod
    def _answers(url: str) -> bool:
        try:
            return requests.get(url, timeout=5).ok
        except requests.RequestException:
            return False

    def stop(self) -> int:
        """Ctrl-C; returns the exit status. What is left after a while is killed."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(STOP_SECONDS)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)

    def manage(self, *argv: str) -> str:
        """Output of a management command against this home."""
        done = subprocess.run(
            [sys.executable, "manage.py", *argv],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"manage.py {' '.join(argv)}: {done.stdout}\n{done.stderr}")
        return done.stdout

    def pid_of(self, process: str) -> int:
        """Process id of a supervised process now."""
        running: dict[str, Any] = json.loads((self.home / "run.json").read_text())
        return int(running["pids"][process])

    def client(self, username: str = "admin") -> Client:
        return Client(self.url, username, secrets(self.home).admin_password)

    def reviewer(self) -> LabelStudioReviewer:
        known = secrets(self.home)
        return LabelStudioReviewer(
            self.labelstudio_url, known.labelstudio_token, desk=self.url, username="annotator",
            password=known.admin_password,
        )  # fmt: skip

    @property
    def owner_email(self) -> str:
        return LABELSTUDIO_EMAIL
