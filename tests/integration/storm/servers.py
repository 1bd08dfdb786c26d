"""What the storm hits: Label Studio, CrashDesk's web server and its sync worker, each a process that can be killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.test import override_settings

from annotations.labelstudio.client import Client
from crashdesk.embedded.config import (
    LABELSTUDIO_EMAIL,
    embedded_labelstudio_url,
    labelstudio_database_url,
    secrets,
)
from crashdesk.embedded.labelstudio import LabelStudio, answers
from crashdesk.embedded.ports import free_port
from crashdesk.embedded.testing import services
from tests.integration.storm.hooks import Chaos
from tests.integration.workers import Plant, Worker, on_database, wait_until
from tests.shared_data import ROOT

START_SECONDS = 240.0
POLL_SECONDS = 2


@dataclass
class Studio:
    """A Label Studio that can be killed and started again."""

    commands: LabelStudio
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return embedded_labelstudio_url(self.commands.config)

    @property
    def token(self) -> str:
        return secrets(self.commands.config.home).labelstudio_token

    @property
    def database_url(self) -> str:
        return labelstudio_database_url(self.commands.config)

    def initialise(self) -> None:
        self.commands.prepare()
        with self.log.open("ab") as output:
            subprocess.run(
                self.commands.init_argv, env=self.commands.init_env, check=True, stdout=output, stderr=output
            )

    def start(self) -> None:
        """Start it, in a process group of its own, and wait until it answers."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.commands.argv,
                env=self.commands.env,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_until("Label Studio answers", self.commands.is_ready, timeout_s=START_SECONDS)

    def kill(self) -> None:
        """SIGKILL to all its processes at once, as when the machine loses power."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class Scene:
    """Everything that runs."""

    plant: Plant
    studio: Studio
    chaos: Chaos
    web_url: str
    client: Client

    def start_worker(self) -> Worker:
        """A sync worker, ready for work."""
        worker = self.plant.start("sync,tick")
        wait_until("the worker is ready", lambda: worker.is_ready)
        return worker


@contextmanager
def scene(home: Path, *, seed: int) -> Iterator[Scene]:
    """Real services, with the chaos proxy where Label Studio believes CrashDesk's webhook to be.

    Django in this process works on the same database. Raises LabelStudioError where Label Studio is not installed.
    """
    home.mkdir(parents=True, exist_ok=True)
    with services(home / "services", broker=True) as running:
        studio = Studio(LabelStudio(running.config), home / "labelstudio.log")
        studio.commands.require_installed()
        studio.initialise()
        studio.start()
        web = f"http://127.0.0.1:{free_port()}"
        chaos = Chaos(web, seed=seed)
        storage = running.config.media
        plant = Plant(running, home, storage)
        plant.env |= {
            "CRASHDESK_LABELSTUDIO_URL": studio.url,
            "CRASHDESK_LABELSTUDIO_TOKEN": studio.token,
            "CRASHDESK_LABELSTUDIO_EMAIL": LABELSTUDIO_EMAIL,
            "CRASHDESK_SECRET_KEY": settings.SECRET_KEY,
            "CRASHDESK_PUBLIC_URL": chaos.url,
            "CRASHDESK_POLL_SECONDS": str(POLL_SECONDS),
            "CRASHDESK_JOB_LEASE_SECONDS": "10",
        }
        used = override_settings(
            LABELSTUDIO_URL=studio.url, LABELSTUDIO_PUBLIC_URL=studio.url, LABELSTUDIO_TOKEN=studio.token,
            LABELSTUDIO_EMAIL=LABELSTUDIO_EMAIL, PUBLIC_URL=chaos.url, STORAGE_LOCATION=str(storage),
        )  # fmt: skip
        helpers: list[subprocess.Popen[bytes]] = []
        try:
            with on_database(running.database_url), used, chaos:
                call_command("migrate", verbosity=0)
                helpers += [_start(plant, "web", _web(web)), _start(plant, "beat", _beat(home))]
                wait_until(
                    "CrashDesk answers", lambda: _answers(helpers[0], plant, web), timeout_s=START_SECONDS
                )
                yield Scene(plant, studio, chaos, web, Client(studio.url, studio.token))
        finally:
            plant.end()
            for helper in helpers:
                helper.kill()
                helper.wait()
            studio.kill()


def _start(plant: Plant, name: str, command: list[str]) -> "subprocess.Popen[bytes]":
    with (plant.home / f"{name}.log").open("wb") as output:
        return subprocess.Popen(command, cwd=ROOT, env=plant.env, stdout=output, stderr=output)


def _web(url: str) -> list[str]:
    bind = url.removeprefix("http://")
    command = [sys.executable, "-m", "gunicorn", "crashdesk.wsgi:application", "--bind", bind]
    return [*command, "--workers", "1", "--threads", "4", "--no-control-socket"]


def _beat(home: Path) -> list[str]:
    command = [sys.executable, "-m", "celery", "-A", "crashdesk", "beat", "-l", "WARNING", "--pidfile="]
    return [*command, "-s", str(home / "beat-schedule")]


def _answers(server: "subprocess.Popen[bytes]", plant: Plant, url: str) -> bool:
    if server.poll() is not None:
        raise RuntimeError(f"the web server ended: {(plant.home / 'web.log').read_text()[-2000:]}")
    return answers(f"{url}/health")
