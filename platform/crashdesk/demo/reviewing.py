"""The demo's review: a plan, two simulated reviewers, second answers, a dispute, gold cases. Nothing goes past the API.

Reviewers sign in to CrashDesk and answer in Label Studio like people. They are simulated, which their names say: their
answers are the generator's truth with planted carelessness, their times what `simulated.toil_of` makes up.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from crashdesk.demo.people import ADJUDICATOR, BEGINNER, FIRST, OTHER, PEOPLE, SIMULATED
from crashdesk.demo.reviewer import LabelStudioReviewer
from crashdesk.demo.simulated import Clock, Pass, nearer, prepare
from crashdesk.demo.stages import Stages
from crashdesk.demo.truth import read_manifest

SEED: Final = 7
REVIEW_SHARE: Final = 0.75
PLAN: Final = {
    "blind_share": 0.25, "blind_seed": SEED, "double_share": 0.5, "double_seed": SEED, "gold_share": 0.1,
    "gold_seed": SEED, "gold_limit": 0.5, "gold_window": 2,
}  # fmt: skip
GOLD_CASES: Final = 3
ENTRANCE: Final = 2
HOUR: Final = 3600
ANSWERERS: Final = (FIRST, OTHER)


class Reviewing(Stages):
    """The stages of the review workflow, each safe to repeat."""

    def plan(self) -> str:
        corpus = self._corpus()["id"]
        members = {row["user"] for row in self.client.all("memberships", corpus=corpus)}
        wanted = {name: role for name, role in {**PEOPLE, **SIMULATED}.items() if name != "admin"}
        for name, role in wanted.items():
            if name not in members:
                self.client.post("memberships", {"corpus": corpus, "user": name, "role": role.value})
        plan = self.client.post("review-plans", {"corpus": corpus, **PLAN})
        return (
            f"{len(wanted)} members; plan {plan['version']}: {PLAN['blind_share']:.0%} of cases without a draft, "
            f"{PLAN['double_share']:.0%} answered by two people, each drawn by a recorded seed"
        )

    def review(self) -> str:
        reviewers = {name: self.reviewer(name) for name in ANSWERERS}
        tasks = [
            task
            for project in self.client.all("labelstudio/projects")
            if project["corpus"] == self._corpus()["id"]
            for task in reviewers[FIRST].tasks(project["project_id"])
        ]
        chosen = tasks[: round(len(tasks) * REVIEW_SHARE)]
        for number, (name, reviewer) in enumerate(reviewers.items()):
            mine = [task for task in chosen[number :: len(reviewers)] if not task["total_annotations"]]
            self._answer(name, reviewer, [task["id"] for task in mine], ago_s=HOUR)
        self._wait_for_reviews(len(chosen))
        return f"{len(chosen)} of {len(tasks)} cases answered; the others are left for you"

    def second_pass(self) -> str:
        """A lead gives every second answer that is due to the one of the two who did not give the first."""
        corpus = self._corpus()["id"]
        asked = {"corpus": corpus, "purpose": "double", "way": "manual"}
        before = self._count("reviews", case__corpus=corpus, outcome="submitted")
        answered = 0
        for name in ANSWERERS:
            self._wait_for(self.client.post("assignments", {**asked, "people": [name]})["id"])
            mine = {"case__corpus": corpus, "person__username": name, "purpose": "double", "state": "open"}
            given = list(self.client.all("assignments", **mine))
            reviewer = self.reviewer(name)
            self._answer(name, reviewer, [reviewer.open_case(one["case"]) for one in given], second=True)
            answered += len(given)
        self._wait_for_reviews(before + answered)
        disputes = self._count("disputes", case__corpus=corpus)
        return f"{answered} cases answered twice; {disputes} of them too far apart: disputes"

    def settle(self) -> str:
        """The adjudicator, who knows no names, decides the first dispute; the others wait for you."""
        corpus, decider = self._corpus()["id"], self.client_of(ADJUDICATOR)
        disputes = list(decider.all("disputes", case__corpus=corpus, state__in="open,claimed"))
        if not disputes:
            return "nobody disagrees: nothing to settle"
        pk = disputes[0]["id"]
        dispute = decider.post(f"disputes/{pk}/claim")
        truth = self._row(self.client.get(f"cases/{dispute['case']}")["video"]["name"])["truth"]
        for kind in dispute["disputed"]:
            sides = dispute["compared"][kind]
            choice = nearer(truth[kind], sides["first"], sides["second"])
            decider.post(f"disputes/{pk}/rule", {"kind": kind, "choice": choice})
        decider.post(f"disputes/{pk}/approve")
        return f"case {dispute['case']}: {', '.join(dispute['disputed'])}; {len(disputes) - 1} left for you"

    def gold(self) -> str:
        """Three approved cases become gold; a newcomer answers two before anything else, the second with less care."""
        corpus = self._corpus()["id"]
        marked = {
            one["case"]
            for one in self.client.all("gold-cases", case__corpus=corpus)
            if one["unmarked_at"] is None
        }
        approved = [case["id"] for case in self.client.all("cases", corpus=corpus, status="approved")]
        for case in [pk for pk in approved if pk not in marked][: max(0, GOLD_CASES - len(marked))]:
            self.client.post("gold-cases", {"case": case})
        self.client.post("review-plans", {"corpus": corpus, "gold_entrance": ENTRANCE})
        newcomer, reviewer = self.client_of(BEGINNER), self.reviewer(BEGINNER)
        for number in range(self._count("gold-scores", person__username=BEGINNER), ENTRANCE):
            given = newcomer.post("work/next", {"corpus": corpus})["item"]
            task = reviewer.open_case(given["case"])
            self._answer(BEGINNER, reviewer, [task], careless=number == 1, ago_s=HOUR * (ENTRANCE - number))
            self.client.wait_until("a gold case is scored", partial(self._scored, number + 1))
        self.client.post("review-plans", {"corpus": corpus, "gold_entrance": 0})
        told = self.client.all("gold-scores", person__username=BEGINNER)
        scores = [one["score"] for one in sorted(told, key=lambda one: one["answered_at"])]
        return f"{BEGINNER} scores {', '.join(f'{score:.2f}' for score in scores)}; gold cases come hidden from now on"

    def pages(self) -> list[tuple[str, str]]:
        """The pages of the review that are worth a look now: what they show, and their path."""
        corpus = self._corpus()["id"]
        return [
            ("Your queue", "/work"),
            ("Who has what", f"/board?corpus={corpus}"),
            ("The review plan", f"/corpora/{corpus}/plan"),
            ("Disputes, one settled", "/disputes"),
            ("Gold cases and scores", f"/gold?corpus={corpus}"),
            ("Agreement of two people", f"/agreement?corpus={corpus}"),
            ("Effort, drafts and blind", f"/effort?corpus={corpus}"),
            ("Audit log", "/audit-log"),
        ]

    # --- helpers ------------------------------------------------------------------------------------------

    def _answer(
        self,
        name: str,
        reviewer: LabelStudioReviewer,
        tasks: Sequence[int],
        *,
        second: bool = False,
        careless: bool = False,
        ago_s: int = 0,
    ) -> None:
        """Answer tasks as that person, and tell of the simulated work. Of second answers every other is careless."""
        passes: list[Pass] = []
        crashes = 0
        for task in tasks:
            draft = reviewer.draft(task)
            row = self._row(draft[2]["name"])
            crash = row["truth"]["crash_localization"]["value"] is not None
            slips = careless or (second and crash and crashes % 2 == 0)
            crashes += crash
            passes.append(prepare(task=task, draft=draft, row=row, careless=slips))
        clock = Clock(self.client_of(name), passes, ago_s=ago_s)
        for number, one in enumerate(passes, 1):
            reviewer.submit(one.task, one.regions, one.prediction, seconds=round(one.toil.seconds, 1))
            clock.tell(one)
            self.console.progress(number, len(passes), f"answered by {name}")

    def _row(self, name: str) -> dict[str, Any]:
        known = read_manifest(self.folder)
        return known[name] if name in known else known[Path(name).name]

    def _count(self, path: str, **filters: Any) -> int:
        return sum(1 for _ in self.client.all(path, **filters))

    def _scored(self, wanted: int) -> bool:
        return self._count("gold-scores", person__username=BEGINNER) >= wanted

    def _wait_for_reviews(self, wanted: int) -> None:
        corpus = self._corpus()["id"]

        def arrived() -> bool:
            got = self._count("reviews", case__corpus=corpus, outcome="submitted")
            self.console.progress(got, wanted, "pulled back into CrashDesk")
            return got >= wanted

        self.client.wait_until("the answers reach CrashDesk", arrived)
