"""Steering a prediction run of many cases: each step's time on the embedded PostgreSQL, and its number of queries.

python -m benchmarks.runs [--cases 100000]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.desk import running_desk

ROUNDS = 7
ROOT = str(Path(__file__).resolve().parents[1])
# The rows only: nothing of a clip is read, and no model is asked.
_FILL = """
INSERT INTO corpora_corpus (name, licence, terms, column_mapping, created_at) VALUES ('many', '', '', '{{}}', now());
INSERT INTO corpora_media (sha256, size, storage_name, state, container, codec, rotation, has_audio, variable_rate,
    time_map, duration_us, proxy_name, proxy_fps_num, proxy_fps_den, thumbnail_name, storyboard_name, storyboard,
    created_at)
    SELECT lpad(to_hex(n), 64, '0'), 1, n || '.mp4', 'ready', 'mp4', 'h264', 0, false, false, '', 1, 'x', 30, 1, '', '',
    '{{}}', now() FROM generate_series(1, {cases}) n;
INSERT INTO corpora_video (corpus_id, name, source, recording, recording_origin, split, url, media_id, metadata,
    created_at) SELECT 1, 'clips/' || lpad(id::text, 7, '0') || '.mp4', 'source ' || id % 7, 'recording ' || id / 4,
    'format',
    (ARRAY['train', 'train', 'val', 'test'])[1 + id % 4], '', id, '{{}}', now() FROM corpora_media;
INSERT INTO cases_case (corpus_id, video_id, guideline_id, status, status_changed_at, lacks_media, excluded_reason,
    returned_reason, created_at) SELECT 1, id, {guideline}, 'ready', now(), false, '', '', now() FROM corpora_video
"""
_ANSWERED = """
UPDATE jobs_job SET state = 'done', attempts = 1, started_at = now() - interval '2 h',
    finished_at = now() - interval '1 h' WHERE id % 10 < 5;
UPDATE jobs_job SET state = 'failed', attempts = 3, error = 'Traceback', started_at = now() - interval '2 h',
    finished_at = now() WHERE id % 10 = 5;
UPDATE predictions_caseprediction SET predicted_at = now() - id * interval '30 milliseconds', seconds = 1,
    device = 'cpu' WHERE id % 10 < 5;
INSERT INTO cases_answer (case_id, kind, state, value, reason, created_at, author_kind, origin, raw_text, confidence,
    confidence_detail, model_version, adapter, prompt_version, frames)
    SELECT p.case_id, q.kind, 'valued', '{{"text": "car hits a truck."}}', '', now(), 'model', '', 'raw', 0.5, '{{}}',
    'bench', '', q.version, '{{}}' FROM predictions_caseprediction p, (VALUES {versions}) q(kind, version)
    WHERE p.predicted_at IS NOT NULL
"""


def inside(cases: int) -> None:
    """The measurement itself, in a process with Django set up; prints lines, the last one as JSON."""
    from django.db import connection, reset_queries
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from annotations.cases.default_prompts import DEFAULT_PROMPTS
    from annotations.cases.services import ensure_guideline
    from annotations.corpora.models import Corpus
    from crashdesk.accounts.models import Role, User
    from crashdesk.jobs import services as jobs
    from model_assist.crashchat.settings import EngineSettings
    from model_assist.predictions import control, estimate, services
    from model_assist.predictions.choosing import question_versions, wish
    from model_assist.predictions.models import PredictionRun, all_kinds
    from model_assist.registry.services import register

    lines: list[str] = []
    # There is no broker, so nobody can be woken or asked.
    for place, name, answer in (
        (jobs, "wake", None), (control, "wake", None), (services, "wake", None), (estimate, "somebody_listens", True),
    ):  # fmt: skip
        setattr(place, name, lambda *_, answer=answer: answer)

    def sql(text: str) -> None:
        with connection.cursor() as cursor:
            for statement in text.split(";\n"):
                cursor.execute(statement)

    def timed(name: str, step: Callable[[], Any], rounds: int = ROUNDS) -> Any:
        times, queries, result = [], 0, None
        for _ in range(rounds):
            reset_queries()
            with CaptureQueriesContext(connection) as captured:
                began = time.perf_counter()
                result = step()
                times.append(time.perf_counter() - began)
            queries = len(captured)
        lines.append(f"{name}: {statistics.median(times) * 1000:,.0f} ms, {queries} queries")
        return result

    guideline = ensure_guideline(name="six tasks", prompts=DEFAULT_PROMPTS, by=None)
    version = register(name="bench", base="hub/none", adapters={}, engine_settings=EngineSettings(), by=None)
    sql(_FILL.format(cases=cases, guideline=guideline.pk))
    connection.ensure_connection()
    sql("ANALYZE")
    lead = User.objects.create(username="bench", email="bench@crashdesk.example", role=Role.LEAD)
    client = Client(SERVER_NAME="localhost")
    client.force_login(lead)
    corpus = Corpus.objects.get()
    asked = wish(corpus=corpus, guideline=guideline, model_version=version)
    run: PredictionRun = timed("start", lambda: services.start(asked, by=lead), 1)
    versions = ", ".join(f"('{k}', '{v}')" for k, v in question_versions(guideline, all_kinds()).items())
    sql(_ANSWERED.format(versions=versions))
    sql("ANALYZE")
    PredictionRun.objects.filter(pk=run.pk).update(active_since=run.created_at)
    run.refresh_from_db()

    def get(address: str) -> Any:
        answer = client.get(address)
        if answer.status_code != 200:
            raise RuntimeError(f"{address}: {answer.status_code}")
        return answer

    timed("dry run, half of the cases answered", lambda: estimate.estimate(asked))
    narrowed = wish(
        corpus=corpus, guideline=guideline, model_version=version, filters={"split": "val", "search": "00"}
    )
    timed("dry run of a split with a search", lambda: estimate.estimate(narrowed))
    address = f"/api/prediction-runs/{run.pk}"
    timed("progress over the API", lambda: get(f"{address}/progress"))
    timed("the moving part of the page", lambda: get(f"/runs/{run.pk}/progress"))
    timed("the run's page", lambda: get(f"/runs/{run.pk}"))
    timed("first page of failed cases", lambda: get(f"{address}/cases?state=failed"))
    page = get(f"{address}/cases?page_size=500").json()
    for _ in range(60):
        page = client.get(page["next"]).json()
    timed(
        "a page after 30,000 cases" if cases > 40_000 else "a page deep in the cases",
        lambda: get(page["next"]),
    )
    timed("list of runs", lambda: get("/runs"))
    timed("pause", lambda: control.pause_run(run=run, by=lead), 1)
    timed("resume", lambda: control.resume_run(run=run, by=lead), 1)
    timed("cancel", lambda: control.cancel_run(run=run, by=lead), 1)
    timed("take up again", lambda: control.retry_run(run=run, by=lead), 1)
    print(json.dumps(lines))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=100_000)
    cases = parser.parse_args().cases
    with running_desk() as desk:
        code = (
            f"import sys; sys.path.insert(0, {ROOT!r}); from benchmarks.runs import inside; inside({cases})"
        )
        found = desk.database("bench_runs").shell(code)
    print(
        f"A run of {cases:,} cases (median of {ROUNDS}; start, pause, resume, cancel and take up again once)"
    )
    for line in found:
        print(f"  {line}")


if __name__ == "__main__":
    main()
