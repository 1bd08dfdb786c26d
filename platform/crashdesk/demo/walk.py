"""The whole loop on a demo corpus, through the API only: import, predict, review, approve, freeze, train, promote."""

import os
from collections.abc import Callable
from pathlib import Path

from crashdesk.demo.model import install_model, run
from crashdesk.demo.reviewing import SEED, Reviewing
from crashdesk.demo.stages import CORPUS
from crashdesk.demo.truth import read_manifest

TRAINING = {"steps": 12, "rank": 8, "alpha": 16, "lr": 2e-4, "projector_lr": 2e-4, "grad_accumulation": 1}
OPEN_STATES = ("new", "predicting")


class Walk(Reviewing):
    """The stages in order. Each is safe to repeat, and a finished one is not repeated after an interruption."""

    def run(self) -> None:
        """Walk what has not been walked yet."""
        model_title = "Registering the tiny model that ships with CrashDesk"
        if os.environ.get("CRASHDESK_MODEL"):
            model_title = "Registering the model that CRASHDESK_MODEL names"
        stages: list[tuple[str, Callable[[], str]]] = [
            ("Drawing the demo clips", self.draw),
            ("Importing them", self.import_clips),
            ("Planning the review: who works here, and what chance decides", self.plan),
            (model_title, self.model),
            ("Drafting answers with it", self.predict),
            ("Choosing what to review first", self.select),
            ("Showing the cases in Label Studio", self.push),
            ("Reviewing: two simulated reviewers answer cases in Label Studio", self.review),
            ("Second answers, blind: each is given cases of the other's", self.second_pass),
            ("Settling one of the disputes", self.settle),
            ("Approving what was submitted", self.approve),
            ("Measuring a newcomer by gold cases", self.gold),
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
