"""The agreement report over many doubly reviewed cases, on the embedded PostgreSQL: seconds and queries.

python -m benchmarks.agreement [--cases 10000]
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.desk import running_desk

ROUNDS = 3
PEOPLE = 12
ROOT = str(Path(__file__).resolve().parents[1])
_FILL = """
INSERT INTO corpora_corpus (name, licence, terms, column_mapping, created_at) VALUES ('many', '', '', '{{}}', now());
INSERT INTO corpora_video (corpus_id, name, source, recording, recording_origin, split, url, metadata, created_at)
    SELECT 1, 'clips/' || lpad(n::text, 7, '0') || '.mp4', 'source ' || n % 7, 'recording ' || n / 3, 'format', '', '',
    '{{}}', now() FROM generate_series(1, {cases}) n;
INSERT INTO cases_case (corpus_id, video_id, guideline_id, status, status_changed_at, lacks_media, excluded_reason,
    returned_reason, created_at) SELECT 1, id, {guideline}, 'submitted', now(), true, '', '', now() FROM corpora_video
"""
_WORDS = [
    "car",
    "truck",
    "bus",
    "driver",
    "hits",
    "turns",
    "left",
    "fast",
    "slow",
    "away",
    "from",
    "the",
    "road",
]


def _fill(cases: int) -> None:
    """Two reviews of six answers each on every case; every other case was begun from a model's drafts."""
    from django.db import connection

    from annotations.cases.default_prompts import DEFAULT_PROMPTS
    from annotations.cases.kinds import Kind
    from annotations.cases.models import Answer, Case
    from annotations.cases.services import ensure_guideline
    from annotations.reviews.models import Review
    from crashdesk.accounts.models import Role, User

    draw = random.Random(7)
    guideline = ensure_guideline(name="six tasks", prompts=DEFAULT_PROMPTS, by=None)
    with connection.cursor() as cursor:
        for statement in _FILL.format(cases=cases, guideline=guideline.pk).split(";\n"):
            cursor.execute(statement)
    people = [
        User.objects.create(username=f"person {n}", email=f"p{n}@crashdesk.example", role=Role.REVIEWER)
        for n in range(PEOPLE)
    ]

    def said(crash: bool, start: int) -> dict[str, tuple[str, Any]]:
        at = start + draw.randint(-400_000, 400_000)
        sentence = " ".join(draw.choices(_WORDS, k=14))
        found: dict[str, tuple[str, Any]] = {
            kind: ("valued", {"text": f"{sentence} {kind}"})
            for kind in Kind
            if kind.endswith(("description", "reasoning"))
        }
        found[Kind.CRASH_RECOGNITION] = ("valued", {"label": "yes" if crash else "no"})
        ends = {"start_us": at, "end_us": at + draw.randint(500_000, 2_000_000)}
        found[Kind.CRASH_LOCALIZATION] = ("valued", ends) if crash else ("absent", None)
        found[Kind.PRE_CRASH_LOCALIZATION] = ("valued", {"at_us": at // 2}) if crash else ("absent", None)
        return found

    first_day = datetime(2025, 1, 1, tzinfo=UTC)
    for begin in range(0, cases, 2000):
        numbers = list(Case.objects.order_by("id").values_list("pk", flat=True)[begin : begin + 2000])
        drafts, answers, reviews, owners = [], [], [], []
        for case in numbers:
            crash, start = draw.random() < 0.7, draw.randint(1_000_000, 3_000_000)
            begun = {}
            if case % 2:
                for kind, (state, value) in said(crash, start).items():
                    begun[kind] = Answer(
                        case_id=case,
                        kind=kind,
                        state=state,
                        value=value,
                        author_kind="model",
                        model_version="m",
                    )
                drafts += begun.values()
            for person in draw.sample(people, 2):
                at = first_day + timedelta(hours=draw.randint(0, 24 * 360))
                review = Review(
                    case_id=case,
                    reviewer=person,
                    outcome="submitted",
                    origin=f"{case}:{person.pk}",
                    submitted_at=at,
                )
                reviews.append(review)
                for kind, (state, value) in said(crash != (draw.random() < 0.1), start).items():
                    kept = begun.get(kind) if draw.random() < 0.5 else None
                    answer = kept or Answer(
                        case_id=case, kind=kind, state=state, value=value, author_kind="person", author=person,
                        origin=f"{case}:{person.pk}", draft=begun.get(kind),
                    )  # fmt: skip
                    if kept is None:
                        answers.append(answer)
                    owners.append((review, answer))
        Answer.objects.bulk_create(drafts)
        Answer.objects.bulk_create(answers)
        Review.objects.bulk_create(reviews)
        link: Any = Review.answers.through
        link.objects.bulk_create(link(review_id=r.pk, answer_id=a.pk) for r, a in owners)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def inside(cases: int) -> None:
    """The measurement itself, in a process with Django set up; prints lines, the last one as JSON."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from annotations.quality.agreement import report
    from annotations.quality.pairs import Asked, load
    from crashdesk.accounts.models import Role, User

    _fill(cases)
    lines: list[str] = []

    def timed(name: str, step: Callable[[], Any]) -> None:
        times, spent, queries = [], [], 0
        for _ in range(ROUNDS):
            with CaptureQueriesContext(connection) as captured:
                began, used = time.perf_counter(), time.process_time()
                step()
                times.append(time.perf_counter() - began)
                spent.append(time.process_time() - used)
            queries = len(captured)
        lines.append(
            f"{name}: {statistics.median(times):.1f} s, of which {statistics.median(spent):.1f} s this process, "
            f"{queries} queries"
        )

    lead = User.objects.create(username="bench", email="bench@crashdesk.example", role=Role.LEAD)
    client = Client(SERVER_NAME="localhost")
    client.force_login(lead)

    def get(address: str) -> None:
        answer = client.get(address)
        if answer.status_code != 200:
            raise RuntimeError(f"{address}: {answer.status_code}")
        b"".join(answer.streaming_content) if answer.streaming else answer.content

    timed("reading and comparing", lambda: load(Asked()))
    timed("the report", lambda: report(Asked()))
    timed("the report by week", lambda: report(Asked(), period="week"))
    timed("one kind", lambda: report(Asked(kind="crash_localization")))
    timed("over the API", lambda: get("/api/agreement"))
    timed("as a table", lambda: get("/api/agreement.csv"))
    timed("the page", lambda: get("/agreement"))
    print(json.dumps(lines))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000)
    cases = parser.parse_args().cases
    with running_desk() as desk:
        code = f"import sys; sys.path.insert(0, {ROOT!r}); from benchmarks.agreement import inside; inside({cases})"
        found = desk.database("bench_agreement").shell(code)
    print(f"{cases:,} cases, two reviews each, {PEOPLE} people (median of {ROUNDS})")
    for line in found:
        print(f"  {line}")


if __name__ == "__main__":
    main()
