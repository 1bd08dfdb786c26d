"""CrashDesk's push and pull beside a real Label Studio on PostgreSQL.

python -m benchmarks.sync [--cases 10000] [--rounds 3] [--changes 10]

Push: the whole of a push of so many predicted cases (drafts read, checked, rows, projects, tasks, cases in review),
beside Label Studio's own bulk import of the same JSON in one request, alternating within one run.
Pull: one poll of all projects after so many annotations among so many cases, and the same among a tenth of the cases.
"""

import argparse
import json
import statistics
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks.desk import Database, Desk, running_desk
from benchmarks.machine import facts
from benchmarks.studio import Studio, running_studio
from crashdesk.embedded.config import embedded_labelstudio_url, secrets

ROOT = str(Path(__file__).resolve().parents[1])
# Rows only; no clip is read. 300 frames at 30 per second: one time map serves all.
_FILL = """
INSERT INTO corpora_corpus (name, licence, terms, column_mapping, created_at)
    VALUES ('bench ' || {number}, '', '', '{{}}', now());
INSERT INTO corpora_media (sha256, size, storage_name, state, container, codec, rotation, has_audio, variable_rate,
    time_map, duration_us, frame_count, fps_num, fps_den, proxy_name, proxy_fps_num, proxy_fps_den, proxy_frame_count,
    thumbnail_name, storyboard_name, storyboard, created_at)
    SELECT encode(sha256(('{number}:' || n)::bytea), 'hex'), 1, n || '.mp4', 'ready', 'mp4', 'h264', 0, false, false,
    decode('{time_map}', 'hex'), 10000000, 300, 30, 1,
    'proxies/ab/' || encode(sha256(('{number}:' || n)::bytea), 'hex') || '.mp4', 30, 1, 300, '', '', '{{}}', now()
    FROM generate_series(1, {cases}) n;
INSERT INTO corpora_video (corpus_id, name, source, recording, recording_origin, split, url, media_id, metadata,
    created_at) SELECT (SELECT max(id) FROM corpora_corpus), 'clips/' || lpad(id::text, 7, '0') || '.mp4', 'source',
    'recording ' || id, 'format', '', '', id, '{{}}', now()
    FROM (SELECT id FROM corpora_media ORDER BY id DESC LIMIT {cases}) m ORDER BY id;
INSERT INTO cases_case (corpus_id, video_id, guideline_id, status, status_changed_at, lacks_media, excluded_reason,
    returned_reason, created_at) SELECT corpus_id, id, {guideline}, 'predicted', now(), false, '', '', now()
    FROM corpora_video WHERE corpus_id = (SELECT max(id) FROM corpora_corpus) ORDER BY id;
INSERT INTO cases_answer (case_id, kind, state, value, reason, created_at, author_kind, origin, raw_text, confidence,
    confidence_detail, model_version, adapter, prompt_version, frames)
    SELECT c.id, q.kind, 'valued', q.value::jsonb, '', now(), 'model', '', 'raw', 0.8, '{{}}', 'bench', 'linguistic',
    'abcdef012345', '{{}}' FROM cases_case c, (VALUES {answers}) q(kind, value)
    WHERE c.corpus_id = (SELECT max(id) FROM corpora_corpus);
ANALYZE
"""


def fill(number: int, cases: int) -> Any:
    """A new corpus of predicted cases; returns it and its guideline. Inside a process with Django set up."""
    from django.db import connection

    from annotations.cases.default_prompts import DEFAULT_PROMPTS
    from annotations.cases.services import ensure_guideline
    from annotations.corpora.media.timemap import TimeMap
    from annotations.corpora.models import Corpus
    from tests.factories import CRASH

    guideline = ensure_guideline(name="six tasks", prompts=DEFAULT_PROMPTS, by=None)
    time_map = TimeMap.constant(300, Fraction(30)).encode().hex()
    answers = ", ".join(f"('{kind}', '{json.dumps(said.value)}')" for kind, said in CRASH.items())
    with connection.cursor() as cursor:
        for statement in _FILL.format(
            number=number, cases=cases, guideline=guideline.pk, time_map=time_map, answers=answers
        ).split(";\n"):
            cursor.execute(statement)
    return Corpus.objects.get(name=f"bench {number}"), guideline


def inside(cases: int, rounds: int, changes: int) -> None:
    """The measurement, in a process with Django set up; prints lines, the last one as JSON."""
    from annotations.labelstudio.client import Client, client
    from annotations.labelstudio.forms import ensure_form
    from annotations.labelstudio.items import gather
    from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
    from annotations.labelstudio.polling import poll_projects
    from annotations.labelstudio.push import push_corpus

    lines: list[str] = []
    studio = client()
    waited: list[float] = []
    real = studio.call

    def timed(*given: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return real(*given, **options)
        finally:
            waited.append(time.perf_counter() - began)

    studio.call = timed  # type: ignore[method-assign]

    def pushed(number: int, size: int) -> tuple[Any, float]:
        corpus, guideline = fill(number, size)
        began = time.perf_counter()
        report = push_corpus(corpus, guideline, client=studio, by=None)
        seconds = time.perf_counter() - began
        if report.pushed != size or report.refused:
            raise RuntimeError(f"pushed {report.pushed} of {size}: {report.refused[:3]}")
        return corpus, seconds

    def imported(corpus: Any, number: int) -> float:
        """Label Studio's own way: the same tasks in one request."""
        guideline = LabelStudioProject.objects.filter(corpus=corpus).first().guideline  # type: ignore[union-attr]
        form = ensure_form(corpus=corpus, guideline=guideline, by=None)
        keys = [(pk, None) for pk in corpus.cases.order_by("id").values_list("pk", flat=True)]
        body = [item.whole for item in gather(keys, form, rows={})[0]]
        made = studio.post("/api/projects", {"title": f"import {number}", "label_config": form.xml})
        began = time.perf_counter()
        studio.post(f"/api/projects/{made['id']}/import", body)
        seconds = time.perf_counter() - began
        there = studio.get(f"/api/projects/{made['id']}/")["task_number"]
        if there != len(body):
            raise RuntimeError(f"Label Studio has {there} of {len(body)} tasks")
        megabytes = len(json.dumps(body)) / 1e6
        lines.append(f"  import of {len(body):,} tasks ({megabytes:.1f} MB) in one request: {seconds:.1f} s")
        studio.delete(f"/api/projects/{made['id']}/")
        return seconds

    def polled(corpus: Any) -> float:
        """One poll of every project of the corpus after `changes` submissions; seconds."""
        from annotations.labelstudio.pull import OVERLAP

        projects = list(LabelStudioProject.objects.filter(corpus=corpus).order_by("part"))
        poll_projects(projects, client=studio)  # what the push itself has touched
        time.sleep(OVERLAP.total_seconds() + 2)
        poll_projects(projects, client=studio)
        rows = list(LabelStudioTask.objects.filter(project__in=projects).order_by("?")[:changes])
        for row in rows:
            task = studio.get(f"/api/tasks/{row.task_id}/")
            body = {"result": task["predictions"][0]["result"], "lead_time": 9.0}
            studio.post(f"/api/tasks/{row.task_id}/annotations", body)
        waited.clear()
        began = time.perf_counter()
        found = poll_projects(projects, client=studio)
        seconds = time.perf_counter() - began
        if found != len(rows):
            raise RuntimeError(f"the poll found {found} of {len(rows)} submissions")
        return seconds

    assert isinstance(studio, Client)
    warm, _ = pushed(0, 200)
    imported(warm, 0)
    lines.clear()
    ours, theirs, corpora = [], [], []
    for number in range(1, rounds + 1):
        corpus, seconds = pushed(number, cases)
        corpora.append(corpus)
        ours.append(seconds)
        parts = LabelStudioProject.objects.filter(corpus=corpus).count()
        lines.append(f"  push of {cases:,} cases into {parts} projects: {seconds:.1f} s")
        theirs.append(imported(corpus, number))
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    lines.append(
        f"push {statistics.median(ratios):.2f} times the import (median of {rounds} pairs, "
        f"{min(ratios):.2f} to {max(ratios):.2f}); goal: at most 1.25"
    )
    few, _ = pushed(99, cases // 10)
    for name, corpus, size in (("few", few, cases // 10), ("many", corpora[-1], cases)):
        times, asked = [], []
        for _ in range(3):
            times.append(polled(corpus))
            asked.append(sum(waited))
        lines.append(
            f"pull after {changes} changes among {size:,} cases ({name}): {statistics.median(times):.2f} s "
            f"(median of 3, {min(times):.2f} to {max(times):.2f}), of which Label Studio took "
            f"{statistics.median(asked):.2f} s for {len(waited)} requests; goal: at most 1 s"
        )
    print(json.dumps(lines))


def environment(database: Database, desk: Desk) -> None:
    """Let the database's processes talk to this Label Studio."""
    database.env["CRASHDESK_LABELSTUDIO_URL"] = embedded_labelstudio_url(desk.config)
    database.env["CRASHDESK_LABELSTUDIO_TOKEN"] = secrets(desk.config.home).labelstudio_token
    database.env["CRASHDESK_LABELSTUDIO_MEDIA"] = "storage"


def measure(studio: Studio, desk: Desk, cases: int, rounds: int, changes: int) -> None:
    database = desk.database("bench_sync")
    environment(database, desk)
    print(f"Label Studio {studio.version} on PostgreSQL, gunicorn with 2 workers")
    code = (
        f"import sys; sys.path.insert(0, {ROOT!r}); from benchmarks.sync import inside; "
        f"inside({cases}, {rounds}, {changes})"
    )
    for text in database.shell(code):
        print(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--changes", type=int, default=10)
    given = parser.parse_args()
    print(facts(), flush=True)
    with running_desk() as desk, running_studio(desk) as studio:
        measure(studio, desk, given.cases, given.rounds, given.changes)


if __name__ == "__main__":
    main()
