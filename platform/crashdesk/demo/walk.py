"""The whole loop on a demo corpus, through the API only: import, predict, review, approve, freeze, train, promote."""

import json
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from crashdesk.demo.client import Client
from crashdesk.demo.console import Console
from crashdesk.demo.model import install_model, run
from crashdesk.demo.reviewer import LabelStudioReviewer
from crashdesk.demo.truth import corrected, read_manifest

CORPUS = "demo"
SEED = 7
REVIEW_SHARE = 0.75
TRAINING = {"steps": 12, "rank": 8, "alpha": 16, "lr": 2e-4, "projector_lr": 2e-4, "grad_accumulation": 1}
OPEN_STATES = ("new", "predicting")


class Walk:
    """The stages in order. Each is safe to repeat, and a finished one is not repeated after an interruption."""

    def __init__(
        self, *, home: Path, client: Client, reviewer: Callable[[], LabelStudioReviewer], clips: int
    ) -> None:
        self.home, self.client, self.make_reviewer, self.clips = home, client, reviewer, clips
        self.console = Console()
        self.folder = home / "incoming" / "demo"
        self._notes = home / "demo.json"
        self.notes: dict[str, Any] = json.loads(self._notes.read_text()) if self._notes.exists() else {}

    def run(self) -> None:
        """Walk what has not been walked yet."""
        model_title = "Registering the tiny model that ships with CrashDesk"
        if os.environ.get("CRASHDESK_MODEL"):
            model_title = "Registering the model that CRASHDESK_MODEL names"
        stages: list[tuple[str, Callable[[], str]]] = [
            ("Drawing the demo clips", self.draw),
            ("Importing them", self.import_clips),
            (model_title, self.model),
            ("Drafting answers with it", self.predict),
            ("Choosing what to review first", self.select),
            ("Showing the cases in Label Studio", self.push),
            ("Reviewing: a scripted reviewer corrects drafts in Label Studio", self.review),
            ("Approving what was submitted", self.approve),
            ("Freezing a dataset version and exporting it", self.freeze),
            ("Fine-tuning the model on it and evaluating", self.train),
            ("Promoting the new model", self.promote),
            ("Drafting answers with the new model", self.predict_again),
        ]
        for title, stage in stages:
            if stage.__name__ in self.notes:
                continue
            self.console.stage(title)
            result = stage()
            self.notes[stage.__name__] = result
            self._keep()
            self.console.done(result)

    def _keep(self) -> None:
        draft = self._notes.with_suffix(".new")
        draft.write_text(json.dumps(self.notes, indent=2))
        draft.replace(self._notes)

    # --- stages -------------------------------------------------------------------------------------------

    def draw(self) -> str:
        run(
            self.console,
            "manage.py",
            "demo_corpus",
            str(self.folder),
            "--clips",
            str(self.clips),
            "--seed",
            str(SEED),
        )
        return f"{len(read_manifest(self.folder))} files in {self.folder}"

    def import_clips(self) -> str:
        job = self.client.post("imports", {"corpus": CORPUS, "format": "demo", "path": str(self.folder)})
        self._wait_for(job["id"])
        corpus = self._corpus()
        self._settle("new", corpus)
        counts = self._statuses(corpus)
        report = self.client.get(f"imports/{job['args']['import_run_id']}")["report"]
        return f"{sum(counts.values())} cases: {self._words(counts)}; rejected {report['rejected']}"

    def model(self) -> str:
        if not self.client.get("model-versions")["results"]:
            configured = os.environ.get("CRASHDESK_MODEL")
            if not configured:
                install_model(self.home / "model")
            run(self.console, "manage.py", "register_model", Path(configured).name if configured else "tiny")
        return f"model in use: {self._model_in_use()['name']}"

    def predict(self) -> str:
        started = self.client.post("prediction-runs", self._room())
        return self._watch_run(started["id"])

    def select(self) -> str:
        made = self.client.post(
            "selection-rounds", {**self._room(), "size": self.clips, "random_share": 0.2, "seed": 1}
        )
        first = made["picks"][0]
        return f"{len(made['picks'])} cases ranked; first: {first['reason']}"

    def push(self) -> str:
        job = self.client.post("labelstudio/push", self._room())
        self._wait_for(job["id"])
        corpus = self._corpus()
        return self._words(self._statuses(corpus))

    def review(self) -> str:
        truth = read_manifest(self.folder)
        reviewer = self.make_reviewer()
        project = next(
            p for p in self.client.all("labelstudio/projects") if p["corpus"] == self._corpus()["id"]
        )
        tasks = reviewer.tasks(project["project_id"])
        chosen = tasks[: round(len(tasks) * REVIEW_SHARE)]
        for number, task in enumerate(chosen, 1):
            if not task["total_annotations"]:
                self._review_one(reviewer, task, truth)
            self.console.progress(number, len(chosen), "reviewed")
        wanted = len(chosen)

        def arrived() -> bool:
            counts = self._statuses(self._corpus())
            got = counts.get("submitted", 0) + counts.get("approved", 0)
            self.console.progress(got, wanted, "pulled back into CrashDesk")
            return got >= wanted

        self.client.wait_until("the corrections reach CrashDesk", arrived)
        return f"{wanted} of {len(tasks)} cases reviewed; the others are left for you"

    def _review_one(self, reviewer: LabelStudioReviewer, task: dict[str, Any], truth: dict[str, Any]) -> None:
        _, prediction_id, data = reviewer.draft(task["id"])
        fps = Fraction(data["fps"]).limit_denominator(100_000)
        known = truth[Path(data["name"]).name] if data["name"] not in truth else truth[data["name"]]
        reviewer.submit(task["id"], corrected(known["truth"], fps), prediction_id)

    def approve(self) -> str:
        cases = [
            case["id"] for case in self.client.all("cases", corpus=self._corpus()["id"], status="submitted")
        ]
        results = self.client.post("cases/approve", {"ids": cases})["results"] if cases else []
        refused = [row for row in results if not row["approved"]]
        return f"{len(results) - len(refused)} approved, {len(refused)} refused by the rules"

    def freeze(self) -> str:
        job = self.client.post(
            "dataset-versions",
            {**self._room(), "note": "demo", "val_share": 0.15, "test_share": 0.2, "split_seed": SEED},
        )
        frozen = self._wait_for(job["id"])["result"]
        version = self.client.get(f"dataset-versions/{frozen['dataset_version']}")
        self.notes["dataset_version"] = version["id"]
        for export_format in ("crashchat", "parquet"):
            job = self.client.post(f"dataset-versions/{version['id']}/export", {"format": export_format})
            self._wait_for(job["id"])
        return f"version {version['number']}, {version['record_count']} records, hash {version['content_hash'][:12]}"

    def train(self) -> str:
        started = self.client.post(
            "training-runs", {"dataset_version": self.notes["dataset_version"], "params": TRAINING}
        )
        self._wait_for(started["job"]["id"])
        finished = self.client.get(f"training-runs/{started['id']}")
        self.notes["model_version"] = finished["model_version"]
        losses = [round(point["loss"], 2) for point in finished["loss_curve"]]
        return f"loss {losses[0]} to {losses[-1]} in {len(losses)} steps"

    def promote(self) -> str:
        identity = self.notes["model_version"]
        if self._model_in_use()["id"] != identity:
            self.client.post(f"model-versions/{identity}/promote", {"reason": "the demo's retrained model"})
        return f"model in use: {self._model_in_use()['name']}"

    def predict_again(self) -> str:
        started = self.client.post("prediction-runs", self._room())
        return self._watch_run(started["id"])

    # --- helpers ------------------------------------------------------------------------------------------

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
