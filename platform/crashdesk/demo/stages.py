"""What every stage of the walk needs: the API, the notes of what is done, and waiting."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crashdesk.demo.client import Client
from crashdesk.demo.console import Console
from crashdesk.demo.reviewer import LabelStudioReviewer

CORPUS = "demo"


class Stages:
    """`client` is the admin's; `client_of` and `reviewer` sign somebody else in, by user name."""

    def __init__(
        self,
        *,
        home: Path,
        client: Client,
        client_of: Callable[[str], Client],
        reviewer: Callable[[str], LabelStudioReviewer],
        clips: int,
    ) -> None:
        self.home, self.client, self.clips = home, client, clips
        self.client_of, self.reviewer = client_of, reviewer
        self.console = Console()
        self.folder = home / "incoming" / "demo"
        self._notes = home / "demo.json"
        self.notes: dict[str, Any] = json.loads(self._notes.read_text()) if self._notes.exists() else {}

    def _keep(self) -> None:
        draft = self._notes.with_suffix(".new")
        draft.write_text(json.dumps(self.notes, indent=2))
        draft.replace(self._notes)

    def _wait_for(self, job_id: int) -> dict[str, Any]:
        return self.client.wait_for_job(
            job_id,
            report=lambda job: self.console.progress(
                job["progress_done"], job["progress_total"], job["message"]
            ),
        )

    def _corpus(self) -> dict[str, Any]:
        return next(corpus for corpus in self.client.all("corpora") if corpus["name"] == CORPUS)

    def _statuses(self, corpus: dict[str, Any]) -> dict[str, int]:
        counts: dict[str, int] = self.client.get(f"corpora/{corpus['id']}")["case_counts"]
        return {status: number for status, number in counts.items() if number}

    def _guideline(self) -> dict[str, Any]:
        case = self.client.get("cases", corpus=self._corpus()["id"], page_size=1)["results"][0]
        found: dict[str, Any] = self.client.get(f"guidelines/{case['guideline']}")
        return found

    def _room(self) -> dict[str, int]:
        return {"corpus": self._corpus()["id"], "guideline": self._guideline()["id"]}

    def _model_in_use(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get("model-versions", in_use="true")["results"][0]
        return found

    def _settle(self, status: str, corpus: dict[str, Any]) -> None:
        total = sum(self._statuses(corpus).values())

        def settled() -> bool:
            left = self._statuses(corpus).get(status, 0)
            self.console.progress(total - left, total, "probed, with a proxy for browsers")
            return left == 0

        self.client.wait_until("every clip is probed", settled, timeout_s=600)

    def _watch_run(self, run_id: int) -> str:
        def ended() -> bool:
            counts = self.client.get(f"prediction-runs/{run_id}")["progress"]
            over = counts["total"] - counts["queued"] - counts["running"]
            self.console.progress(over, counts["total"], "cases answered")
            return bool(over == counts["total"])

        self.client.wait_until("the prediction run ends", ended, timeout_s=1800)
        counts = self.client.get(f"prediction-runs/{run_id}")["progress"]
        return f"{counts['done']} cases predicted, {counts['failed']} failed"

    @staticmethod
    def _words(counts: dict[str, int]) -> str:
        return ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
