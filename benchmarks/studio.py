"""A real Label Studio beside the desk, in the same PostgreSQL, and the same cases as its tasks."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import requests

from annotations.cases.rules import Said
from annotations.corpora.importers.crashchat import kind_of, parse_answer
from annotations.corpora.media.timemap import ProxyMap, TimeMap
from annotations.labelstudio.config import labelling_config
from annotations.labelstudio.conversion import Draft, to_regions
from benchmarks.desk import Desk, wait_for
from benchmarks.replicas import Original, renamed
from crashdesk.embedded import labelstudio as ls
from crashdesk.embedded.config import embedded_labelstudio_url, secrets

FPS = Fraction(30)


class Studio:
    """A running Label Studio."""

    def __init__(self, desk: Desk, version: str) -> None:
        self.version = version
        self.base = embedded_labelstudio_url(desk.config)
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Token {secrets(desk.config.home).labelstudio_token}"

    def post(self, path: str, body: Any) -> Any:
        """The JSON answer. Raises requests.HTTPError with what Label Studio says."""
        response = self.session.post(self.base + path, json=body, timeout=600)
        if not response.ok:
            raise requests.HTTPError(
                f"{response.status_code} {path}: {response.text[:500]}", response=response
            )
        return response.json()

    def get(self, path: str) -> Any:
        response = self.session.get(self.base + path, timeout=600)
        response.raise_for_status()
        return response.json()

    def project(self, title: str) -> int:
        """A new project with CrashDesk's own labelling form."""
        made = self.post("/api/projects", {"title": title, "label_config": labelling_config()})
        return int(made["id"])


@contextmanager
def running_studio(desk: Desk) -> Iterator[Studio]:
    """Label Studio as the product starts it (gunicorn, two workers of four threads). LabelStudioError when absent."""
    studio = ls.LabelStudio(desk.config)
    version = studio.require_installed()
    studio.prepare()
    with studio.init_log.open("wb") as output:
        subprocess.run(studio.init_argv, env=studio.init_env, stdout=output, stderr=output, check=True)
    log = desk.config.logs / "labelstudio.log"
    with log.open("wb") as output:
        server = subprocess.Popen(studio.argv, env=studio.env, stdout=output, stderr=output)
    try:
        wait_for(studio.is_ready, server, log)
        yield Studio(desk, version)
    finally:
        server.terminate()
        server.wait()


def tasks(original: Original, cases: int) -> list[dict[str, Any]]:
    """The cases that Original.write writes, as Label Studio tasks with one prediction of all their answers each."""
    length = TimeMap.constant(int(120 * FPS), FPS)
    frames = ProxyMap(length, FPS, len(length))
    made = []
    for number in range(cases):
        copy, place = divmod(number, len(original.clips))
        clip = original.clips[place]
        drafts = {}
        for file, raw in original.answers[clip].items():
            kind = kind_of(file)
            assert kind is not None
            drafts[kind] = Draft(Said("valued", parse_answer(kind, raw)))
        name = renamed(clip, copy)
        made.append({
            "data": {"video": f"/data/local-files/?d=proxies/{name}", "fps": float(FPS), "case_id": number + 1,
                     "name": name, "note": "", "review_rank": "2147483647"},
            "predictions": [{"model_version": "imported", "result": to_regions(drafts, frames)}],
        })  # fmt: skip
    return made


def size_of(made: list[dict[str, Any]]) -> float:
    """Megabytes of the tasks as JSON."""
    return len(json.dumps(made)) / 1e6


def installed(folder: Path) -> bool:
    return (folder / "bin" / "python").exists()
