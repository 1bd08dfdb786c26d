"""The whole loop with every real service; the reviewer works through Label Studio's own API."""

import io
import json
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from crashdesk.demo.client import ApiError, JobEndedError
from crashdesk.demo.reviewer import LabelStudioReviewer, Region
from crashdesk.demo.truth import corrected, read_manifest
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

CLIPS = 14
KINDS = {
    "crash_recognition", "crash_description", "causal_reasoning", "prevention_reasoning", "crash_localization",
    "pre_crash_localization",
}  # fmt: skip
FEW_STEPS = {"steps": 3, "rank": 4, "alpha": 8, "lr": 1e-3, "projector_lr": 1e-3, "grad_accumulation": 1}


class Loop:
    """What the walk needs again and again."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.client = stack, stack.client("admin")

    def corpus(self, name: str) -> dict[str, Any]:
        return next(corpus for corpus in self.client.all("corpora") if corpus["name"] == name)

    def room(self, name: str) -> dict[str, int]:
        corpus = self.corpus(name)
        case = self.client.get("cases", corpus=corpus["id"], page_size=1)["results"][0]
        return {"corpus": corpus["id"], "guideline": case["guideline"]}

    def cases(self, name: str, **filters: Any) -> list[dict[str, Any]]:
        return list(self.client.all("cases", corpus=self.corpus(name)["id"], **filters))

    def case(self, case_id: int) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"cases/{case_id}")
        return found

    def import_folder(self, name: str, import_format: str, folder: Path) -> dict[str, Any]:
        job = self.client.post("imports", {"corpus": name, "format": import_format, "path": str(folder)})
        self.client.wait_for_job(job["id"])
        self.client.wait_until("clips are probed", lambda: not self.waiting_for_media(name), timeout_s=300)
        found: dict[str, Any] = self.client.get(f"imports/{job['args']['import_run_id']}")
        return found

    def waiting_for_media(self, name: str) -> bool:
        return any(not case["lacks_media"] for case in self.cases(name, status="new"))

    def predict(self, name: str) -> dict[str, Any]:
        started = self.client.post("prediction-runs", self.room(name))

        def ended() -> bool:
            counts = self.client.get(f"prediction-runs/{started['id']}")["progress"]
            return bool(counts["queued"] + counts["running"] == 0)

        self.client.wait_until("the run ends", ended, timeout_s=600)
        found: dict[str, Any] = self.client.get(f"prediction-runs/{started['id']}")
        return found


def said_by_people(case: dict[str, Any]) -> list[dict[str, Any]]:
    return [answer for answer in case["answers"] if answer["author_kind"] == "person"]


def region(regions: list[Region], name: str, label: str = "") -> Region:
    return next(
        r
        for r in regions
        if r["from_name"] == name and (not label or r["value"].get("timelinelabels") == [label])
    )


@pytest.fixture(scope="module")
def loop(stack: Stack) -> Loop:
    return Loop(stack)


@pytest.fixture(scope="module")
def folder(stack: Stack) -> Path:
    folder = stack.home / "incoming" / "demo"
    stack.manage("demo_corpus", str(folder), "--clips", str(CLIPS), "--seed", "11")
    return folder


def test_import_takes_the_clips_and_names_what_is_bad(loop: Loop, folder: Path) -> None:
    report = loop.import_folder("walk", "demo", folder)["report"]
    bad = {row["bad"] for row in read_manifest(folder).values() if row["bad"]}
    statuses = {case["status"] for case in loop.cases("walk")}
    assert statuses == {"ready", "excluded"}
    assert len(loop.cases("walk", status="ready")) >= CLIPS
    assert {"corrupt", "zero_byte"} <= bad
    again = loop.import_folder("walk", "demo", folder)["report"]
    assert again["videos"]["new"] == 0
    assert again["cases"]["new"] == 0
    assert report["videos"]["new"] == len(loop.cases("walk"))


def test_the_model_drafts_six_answers_per_case(loop: Loop) -> None:
    ready = len(loop.cases("walk", status="ready"))
    run = loop.predict("walk")
    assert run["progress"]["done"] == run["progress"]["total"] == ready
    for case in loop.cases("walk", status="predicted"):
        answers = loop.case(case["id"])["answers"]
        assert {answer["kind"] for answer in answers} == KINDS
        for answer in answers:
            assert answer["model_version"] == "tiny"
            assert answer["adapter"] in {"linguistic", "perception"}
            assert answer["prompt_version"]
            assert answer["frames"]["times_us"]
            assert 0 <= answer["confidence"] <= 1


def test_selection_orders_the_review(loop: Loop) -> None:
    made = loop.client.post(
        "selection-rounds", {**loop.room("walk"), "size": CLIPS, "random_share": 0.25, "seed": 5}
    )
    assert [pick["rank"] for pick in made["picks"]] == list(range(1, CLIPS + 1))
    assert all(pick["reason"] for pick in made["picks"])
    job = loop.client.post("labelstudio/push", loop.room("walk"))
    loop.client.wait_for_job(job["id"])
    assert not loop.cases("walk", status="predicted")
    project = next(
        p for p in loop.client.all("labelstudio/projects") if p["corpus"] == loop.corpus("walk")["id"]
    )
    order = [task["data"]["case_id"] for task in loop.stack.reviewer().tasks(project["project_id"])]
    assert order[:CLIPS] == [pick["case"] for pick in made["picks"]]


def truth_regions(data: dict[str, Any], manifest: dict[str, Any]) -> list[Region]:
    return corrected(manifest[data["name"]]["truth"], Fraction(data["fps"]).limit_denominator(100_000))


def proxy_rate(task: dict[str, Any]) -> Fraction:
    return Fraction(task["data"]["fps"]).limit_denominator(100_000)


def test_exactly_the_reviewers_changes_come_back(loop: Loop, folder: Path) -> None:
    manifest = read_manifest(folder)
    reviewer: LabelStudioReviewer = loop.stack.reviewer()
    project = next(
        p for p in loop.client.all("labelstudio/projects") if p["corpus"] == loop.corpus("walk")["id"]
    )
    tasks = reviewer.tasks(project["project_id"])
    crash = [task for task in tasks if manifest[task["data"]["name"]]["truth"]["crash_localization"]["value"]]
    # Two frames of the proxy are as long in the clip where both have the same constant rate.
    even = [
        task for task in crash if Fraction(manifest[task["data"]["name"]]["fps"] or 0) == proxy_rate(task)
    ]
    edited = even[0]
    deleted, *confirmed = (task for task in crash if task is not edited)
    fps = proxy_rate(edited)
    skipped = next(task for task in tasks if task not in crash)
    before = {
        task["id"]: loop.case(task["data"]["case_id"])["answers"] for task in (edited, deleted, skipped)
    }

    # First the truth, so that there is a span to move; then two changes on top of it. Its end keeps off the draft's
    # frame: there the draft's exact time, which may lie between two frames, would be kept.
    regions = truth_regions(edited["data"], manifest)
    drafted, prediction, _ = reviewer.draft(edited["id"])
    ends = {r["value"]["ranges"][0]["end"] for r in drafted if r["from_name"] == "segments"}
    moved = region(regions, "segments", "Crash")["value"]["ranges"][0]
    while ends & {moved["end"], moved["end"] - 2}:
        moved["end"] -= 1
    annotation = reviewer.submit(edited["id"], regions, prediction)
    case_id = edited["data"]["case_id"]
    loop.client.wait_until(
        "the first submission", lambda: loop.case(case_id)["status"] == "submitted", timeout_s=60
    )
    first = said_by_people(loop.case(case_id))
    moved["end"] -= 2
    region(regions, "description")["value"]["text"] = ["car hits the kerb."]
    reviewer.update(annotation, regions)

    withdrawn = reviewer.submit(deleted["id"], truth_regions(deleted["data"], manifest), None)
    other = deleted["data"]["case_id"]
    loop.client.wait_until(
        "the second submission", lambda: loop.case(other)["status"] == "submitted", timeout_s=60
    )
    reviewer.delete(withdrawn)
    reviewer.skip(skipped["id"])

    def all_seen() -> bool:
        return (
            len(said_by_people(loop.case(case_id))) == len(first) + 2
            and loop.case(other)["status"] == "in_review"
            and any(
                r["outcome"] == "skipped"
                for r in loop.client.get("reviews", case=skipped["data"]["case_id"])["results"]
            )
        )

    loop.client.wait_until("the changes", all_seen, timeout_s=60)
    fresh = [a for a in said_by_people(loop.case(case_id)) if a["id"] not in {old["id"] for old in first}]
    assert {answer["kind"] for answer in fresh} == {"crash_localization", "crash_description"}
    span = next(answer for answer in fresh if answer["kind"] == "crash_localization")["value"]
    old_span = next(answer for answer in first if answer["kind"] == "crash_localization")["value"]
    assert span["start_us"] == old_span["start_us"]
    assert old_span["end_us"] - span["end_us"] == pytest.approx(2_000_000 / fps, abs=1.5)
    assert next(a for a in fresh if a["kind"] == "crash_description")["value"] == {
        "text": "car hits the kerb."
    }
    for task_id, answers in before.items():
        case = loop.case(next(t for t in tasks if t["id"] == task_id)["data"]["case_id"])
        kept = {answer["id"]: answer["value"] for answer in case["answers"]}
        assert all(kept[answer["id"]] == answer["value"] for answer in answers)
    assert said_by_people(loop.case(skipped["data"]["case_id"])) == []
    assert loop.case(skipped["data"]["case_id"])["status"] == "in_review"

    for task in [*confirmed, *(t for t in tasks if t not in crash and t is not skipped)]:
        reviewer.submit(task["id"], truth_regions(task["data"], manifest), reviewer.draft(task["id"])[1])
    wanted = len(tasks) - 2
    loop.client.wait_until(
        "all reviews", lambda: len(loop.cases("walk", status="submitted")) == wanted, timeout_s=120
    )


def test_approval_by_the_rules_and_by_role(loop: Loop) -> None:
    ids = [case["id"] for case in loop.cases("walk", status="submitted")]
    with pytest.raises(ApiError, match="role"):
        loop.stack.client("annotator").post(f"cases/{ids[0]}/approve")
    results = loop.stack.client("lead").post("cases/approve", {"ids": ids})["results"]
    assert [row for row in results if not row["approved"]] == []
    assert {len(loop.case(case_id)["approved"]) for case_id in ids} == {6}


def test_freeze_export_and_reimport_give_the_same_answers(loop: Loop, tmp_path: Path) -> None:
    shares = {"val_share": 0.2, "test_share": 0.2, "split_seed": 3}
    job = loop.client.post("dataset-versions", {**loop.room("walk"), **shares})
    frozen = loop.client.wait_for_job(job["id"])["result"]
    version = loop.client.get(f"dataset-versions/{frozen['dataset_version']}")
    job = loop.client.post("dataset-versions", {**loop.room("walk"), **shares})
    with pytest.raises(JobEndedError, match="already holds exactly these answers"):
        loop.client.wait_for_job(job["id"])
    archive = b""
    for export_format in ("crashchat", "parquet"):
        job = loop.client.post(f"dataset-versions/{version['id']}/export", {"format": export_format})
        loop.client.wait_for_job(job["id"])
    exports = loop.client.get(f"dataset-versions/{version['id']}/exports")
    made = next(e for e in exports.get("results", exports) if e["format"] == "crashchat")
    archive = loop.client.download(f"exports/{made['id']}/download")

    back = loop.stack.home / "incoming" / "back"
    zipfile.ZipFile(io.BytesIO(archive)).extractall(back)
    loop.import_folder("back", "crashchat", back)
    records = {}
    page = loop.client.all(f"dataset-versions/{version['id']}/records")
    for row in page:
        content = row["content"]
        records[content["video"]] = {
            kind: (answer["state"], json.dumps(answer["value"], sort_keys=True))
            for kind, answer in content["answers"].items()
        }
    imported = {}
    for case in loop.cases("back"):
        detail = loop.case(case["id"])
        imported[detail["video"]["name"]] = {
            answer["kind"]: (answer["state"], json.dumps(answer["value"], sort_keys=True))
            for answer in detail["answers"]
        }
    assert imported == records


def test_train_evaluate_promote_and_predict_again(loop: Loop) -> None:
    version = loop.client.get("dataset-versions", corpus=loop.corpus("walk")["id"])["results"][0]
    started = loop.client.post("training-runs", {"dataset_version": version["id"], "params": FEW_STEPS})
    loop.client.wait_for_job(started["job"]["id"], timeout_s=600)
    finished = loop.client.get(f"training-runs/{started['id']}")
    assert {point["adapter"] for point in finished["loss_curve"]} == {"linguistic", "perception"}
    assert len(finished["loss_curve"]) == 2 * FEW_STEPS["steps"]
    new = loop.client.get(f"model-versions/{finished['model_version']}")
    assert not new["in_use"]
    metrics = new["evaluations"][0]["metrics"]
    assert set(metrics) >= {"crash_recognition", "crash_description", "clips"}
    loop.stack.client("engineer").post(
        f"model-versions/{new['id']}/promote", {"reason": "the end-to-end test"}
    )
    approved = len(loop.cases("walk", status="approved"))
    run = loop.predict("walk")
    assert run["model_version"] == new["id"]
    assert run["progress"]["failed"] == 0
    assert len(loop.cases("walk", status="approved")) == approved
    some = loop.case(loop.cases("walk", status="approved")[0]["id"])
    assert {a["model_version"] for a in some["answers"] if a["author_kind"] == "model"} == {
        "tiny",
        new["name"],
    }
