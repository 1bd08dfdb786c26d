"""Do both sides agree? Asked of both databases in plain SQL; none of CrashDesk's own code for pulling is used.

What an annotation says is worked out here once more, from Label Studio's rows: frame N comes on screen at
(N - 1) / fps, a span's end is the frame after its last one, an edge that stands where the draft was drawn keeps the
draft's value.
"""

import json
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import psycopg2

KINDS = {
    "description": "crash_description",
    "cause": "causal_reasoning",
    "prevention": "prevention_reasoning",
}
SENTENCES = {
    "crash_description": "no collision.",
    "causal_reasoning": "No accident, no cause.",
    "prevention_reasoning": "No accident, no prevention needed.",
}
Row = dict[str, Any]


@dataclass
class Verdict:
    """`wrong` names every disagreement; `counts` what was compared."""

    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def rows(url: str, sql: str, *values: object) -> list[Row]:
    """Rows of a query by column name, on a connection of its own."""
    with closing(psycopg2.connect(url)) as link, link, link.cursor() as cursor:
        cursor.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def compare(*, studio: str, crashdesk: str, projects: list[int], corpus: int) -> Verdict:
    """Every case of the corpus, on both sides. `studio`, `crashdesk`: addresses of the databases."""
    verdict = Verdict()
    tasks = _tasks(studio, projects)
    cases = _cases(crashdesk, corpus)
    external = Counter(task["data"].get("external_id") for task in tasks.values())
    verdict.wrong += [f"{key} has {count} tasks" for key, count in external.items() if count > 1]
    by_external = {task["data"]["external_id"]: task for task in tasks.values()}
    for case in cases.values():
        verdict.counts["cases"] += 1
        task = by_external.pop(case["key"], None)
        if task is None:
            verdict.wrong.append(f"case {case['id']} has no task")
        elif case["tasks"] != [task["id"]]:
            verdict.wrong.append(f"case {case['id']} is linked to {case['tasks']}, its task is {task['id']}")
        else:
            _one(case, task, verdict)
    verdict.wrong += [f"{key} belongs to no case" for key in by_external]
    _duplicates(crashdesk, corpus, verdict)
    return verdict


def _tasks(studio: str, projects: list[int]) -> dict[int, Row]:
    found = {
        row["id"]: row | {"annotations": [], "prediction": None}
        for row in rows(studio, "SELECT id, data FROM task WHERE project_id = ANY(%s)", projects)
    }
    for row in rows(
        studio,
        "SELECT c.id, c.task_id, c.result, c.was_cancelled, u.email FROM task_completion c "
        "JOIN htx_user u ON u.id = c.completed_by_id JOIN task t ON t.id = c.task_id "
        "WHERE t.project_id = ANY(%s) ORDER BY c.id",
        projects,
    ):
        found[row["task_id"]]["annotations"].append(row)
    for row in rows(
        studio,
        "SELECT p.task_id, p.result FROM prediction p JOIN task t ON t.id = p.task_id "
        "WHERE t.project_id = ANY(%s) ORDER BY p.id",
        projects,
    ):
        found[row["task_id"]]["prediction"] = row["result"]
    return found


def _cases(crashdesk: str, corpus: int) -> dict[int, Row]:
    found = {
        row["id"]: row | {"reviews": {}, "tasks": [], "key": "", "drafts": {}, "refused": ""}
        for row in rows(
            crashdesk,
            "SELECT c.id, c.status, c.video_id, m.proxy_fps_num, m.proxy_fps_den FROM cases_case c "
            "JOIN corpora_video v ON v.id = c.video_id JOIN corpora_media m ON m.id = v.media_id "
            "WHERE c.corpus_id = %s",
            corpus,
        )
    }
    for row in rows(
        crashdesk,
        "SELECT t.case_id, t.task_id, t.external_id FROM labelstudio_labelstudiotask t "
        "JOIN cases_case c ON c.id = t.case_id WHERE c.corpus_id = %s",
        corpus,
    ):
        found[row["case_id"]]["tasks"].append(row["task_id"])
        found[row["case_id"]]["key"] = row["external_id"]
    for row in rows(
        crashdesk,
        "SELECT r.id, r.case_id, r.outcome, r.origin, u.email FROM reviews_review r "
        "JOIN accounts_user u ON u.id = r.reviewer_id JOIN cases_case c ON c.id = r.case_id "
        "WHERE c.corpus_id = %s ORDER BY r.id",
        corpus,
    ):
        found[row["case_id"]]["reviews"][row["id"]] = row | {"answers": {}}
    for row in rows(
        crashdesk,
        "SELECT ra.review_id, a.case_id, a.kind, a.state, a.value FROM reviews_review_answers ra "
        "JOIN cases_answer a ON a.id = ra.answer_id JOIN cases_case c ON c.id = a.case_id WHERE c.corpus_id = %s",
        corpus,
    ):
        answers = found[row["case_id"]]["reviews"][row["review_id"]]["answers"]
        if row["kind"] in answers:
            answers[row["kind"]] = ("twice", None)
        else:
            answers[row["kind"]] = (row["state"], row["value"])
    for row in rows(
        crashdesk,
        "SELECT a.case_id, a.kind, a.state, a.value FROM cases_answer a JOIN cases_case c ON c.id = a.case_id "
        "WHERE c.corpus_id = %s AND a.author_kind = 'model' ORDER BY a.id",
        corpus,
    ):
        found[row["case_id"]]["drafts"][row["kind"]] = (row["state"], row["value"])
    videos = {case["video_id"]: case for case in found.values()}
    for row in rows(
        crashdesk,
        "SELECT f.video_id, f.message FROM corpora_videofinding f JOIN corpora_video v ON v.id = f.video_id "
        "WHERE v.corpus_id = %s AND f.code = 'labelstudio_annotation_refused'",
        corpus,
    ):
        videos[row["video_id"]]["refused"] = row["message"]
    return found


def _one(case: Row, task: Row, verdict: Verdict) -> None:
    where, reviews = f"case {case['id']}", case["reviews"].values()
    if float(task["data"]["fps"]) != float(Fraction(case["proxy_fps_num"], case["proxy_fps_den"])):
        verdict.wrong.append(f"{where}: Label Studio counts {task['data']['fps']} frames per second")
    answered = [one for one in task["annotations"] if not one["was_cancelled"]]
    owner = answered[0]["email"] if answered else ""
    expected: dict[int, Row] = {}
    for annotation in task["annotations"]:
        if annotation["was_cancelled"] or annotation["email"] == owner:
            expected[annotation["id"]] = annotation
        elif f"task {task['id']}" not in case["refused"] or annotation["email"] in _standing(reviews):
            verdict.wrong.append(f"{where}: annotation {annotation['id']} of a second person is not raised")
        else:
            verdict.counts["answers of a second person, raised"] += 1
    counted: Counter[int] = Counter()
    for review in reviews:
        number = int(review["origin"].split(":")[2])
        if review["outcome"] == "withdrawn":
            if number in expected:
                verdict.wrong.append(f"{where}: annotation {number} is there, its review is withdrawn")
            verdict.counts["withdrawn"] += 1
            continue
        counted[number] += 1
        annotation = expected.get(number)
        if annotation is None:
            verdict.wrong.append(f"{where}: review {review['id']} has no annotation {number}")
            continue
        _says_the_same(where, case, task, annotation, review, verdict)
    for number in expected:
        if counted[number] != 1:
            verdict.wrong.append(f"{where}: annotation {number} has {counted[number]} reviews")
    if case["refused"] and not any(one["id"] not in expected for one in task["annotations"]):
        verdict.wrong.append(f"{where}: a refusal is left over: {case['refused']}")
    wanted = "submitted" if answered else "in_review"
    if case["status"] != wanted:
        verdict.wrong.append(f"{where} is {case['status']}, not {wanted}")
    verdict.counts[f"cases {wanted}"] += 1


def _standing(reviews: Any) -> set[str]:
    return {review["email"] for review in reviews if review["outcome"] == "submitted"}


def _says_the_same(where: str, case: Row, task: Row, annotation: Row, review: Row, verdict: Verdict) -> None:
    outcome = "skipped" if annotation["was_cancelled"] else "submitted"
    verdict.counts[outcome] += 1
    if (review["outcome"], review["email"]) != (outcome, annotation["email"]):
        verdict.wrong.append(
            f"{where}: annotation {annotation['id']} is {outcome} by {annotation['email']}, its review "
            f"{review['outcome']} by {review['email']}"
        )
    if outcome == "skipped":
        return
    said = meaning(annotation["result"], task["prediction"] or [], case)
    if said != review["answers"]:
        verdict.wrong.append(
            f"{where}: annotation {annotation['id']} says {json.dumps(said)}, its review "
            f"{json.dumps(review['answers'])}"
        )


def meaning(result: list[Row], prediction: list[Row], case: Row) -> dict[str, tuple[str, Any]]:
    """By kind, state and value of what a result says."""
    said: dict[str, tuple[str, Any]] = {
        "crash_localization": ("absent", None),
        "pre_crash_localization": ("absent", None),
    }
    drawn = {_name(region): region for region in prediction}
    fps = Fraction(case["proxy_fps_num"], case["proxy_fps_den"])
    label = ""
    for region in result:
        name, value = _name(region), region["value"]
        if name == "crash":
            label = value["choices"][0].lower()
            said["crash_recognition"] = ("valued", {"label": label})
        elif name in KINDS:
            text = "\n".join(part.strip() for part in value["text"]).strip()
            said[KINDS[name]] = ("valued", {"text": text})
        else:
            kind, parts = _times(name, value["ranges"][0], fps)
            before, draft = drawn.get(name), case["drafts"].get(kind, ("", None))[1]
            if before is not None and draft is not None:
                edges = {"start_us": "start", "end_us": "end", "at_us": "start"}
                for part in parts:
                    edge = edges[part]
                    if before["value"]["ranges"][0][edge] == value["ranges"][0][edge]:
                        parts[part] = draft[part]
            said[kind] = ("valued", parts)
    if label == "no":
        for kind, sentence in SENTENCES.items():
            said.setdefault(kind, ("valued", {"text": sentence}))
    return said


def _name(region: Row) -> str:
    labels = region["value"].get("timelinelabels")
    return str(labels[0]) if labels else str(region["from_name"])


def _times(name: str, span: Row, fps: Fraction) -> tuple[str, dict[str, int]]:
    if name == "Pre-crash":
        return "pre_crash_localization", {"at_us": _starts(span["start"], fps)}
    return "crash_localization", {
        "start_us": _starts(span["start"], fps),
        "end_us": _starts(span["end"] + 1, fps),
    }


def _starts(frame: int, fps: Fraction) -> int:
    """When frame `frame`, counted from 1, comes on screen: microseconds, halves rounded up."""
    return int((frame - 1) * 1_000_000 / fps + Fraction(1, 2))


def _duplicates(crashdesk: str, corpus: int, verdict: Verdict) -> None:
    twice = rows(
        crashdesk,
        "SELECT a.case_id, a.kind, a.value, a.origin, count(*) FROM cases_answer a "
        "JOIN cases_case c ON c.id = a.case_id WHERE c.corpus_id = %s AND a.author_kind = 'person' "
        "GROUP BY 1, 2, 3, 4 HAVING count(*) > 1",
        corpus,
    )
    verdict.wrong += [
        f"case {row['case_id']} has the answer {row['origin']} {row['count']} times" for row in twice
    ]
    again = rows(
        crashdesk,
        "SELECT l.task_id, l.annotation_id, count(*) FROM labelstudio_labelstudioannotation l "
        "GROUP BY 1, 2 HAVING count(*) > 1",
    )
    verdict.wrong += [f"annotation {row['annotation_id']} is known {row['count']} times" for row in again]
    reviews: dict[str, list[int]] = defaultdict(list)
    for row in rows(crashdesk, "SELECT id, origin FROM reviews_review"):
        reviews[row["origin"]].append(row["id"])
    verdict.wrong += [f"{origin} has the reviews {ids}" for origin, ids in reviews.items() if len(ids) > 1]
