"""What narrowing costs: the first page of lists for somebody who may see everything, and for people who may not.

python -m benchmarks.access [--cases 100000] [--requests 40]

100,000 cases in three corpora for members only: nine tenths in a large one, nearly a tenth in a second, one per
thousand in a small one. Each list is asked for in turn by an admin (nothing is narrowed), by a lead of the large one
(two corpora are left out) and by a lead of the small one (which alone is left in). Over HTTP, from the web server that
the product starts, in one run; medians, and their ratios to the admin's.
"""

import argparse
import statistics
import time
from collections.abc import Sequence

from benchmarks.desk import Database, running_desk
from benchmarks.listing import WARM_UP, Client

LISTS = (
    "/api/cases", "/api/cases?status=ready", "/api/cases?status=approved&ordering=review_rank",
    "/api/cases?ordering=-status_changed_at", "/api/cases?source=source%201", "/api/videos", "/api/videos?state=absent",
    "/api/jobs", "/api/jobs?kind=media", "/api/audit-log", "/api/audit-log?verb=case.created", "/api/loop",
)  # fmt: skip
_FILL = """
INSERT INTO corpora_corpus (name, licence, terms, column_mapping, access, created_at)
    VALUES ('large', '', '', '{{}}', 'members', now()), ('closed', '', '', '{{}}', 'members', now()),
        ('small', '', '', '{{}}', 'members', now());
INSERT INTO cases_guideline (name, version, text, created_at) VALUES ('six', 1, '', now());
INSERT INTO corpora_video (corpus_id, name, source, recording, recording_origin, split, url, metadata, created_at)
    SELECT (SELECT id FROM corpora_corpus WHERE name =
            CASE WHEN n % 1000 = 0 THEN 'small' WHEN n % 10 = 0 THEN 'closed' ELSE 'large' END),
        'clip ' || n, 'source ' || n % 7, 'recording ' || n, 'format', '', '', '{{}}', now()
    FROM generate_series(1, {cases}) AS n;
INSERT INTO cases_case (corpus_id, video_id, guideline_id, status, status_changed_at, lacks_media, excluded_reason,
        returned_reason, created_at, review_rank)
    SELECT corpus_id, id, (SELECT min(id) FROM cases_guideline),
        (ARRAY['ready','ready','predicted','predicted','in_review','submitted','returned','approved','approved','approved'])
            [1 + id % 10], now() - id * interval '1 second', false, '', '', now(),
        CASE WHEN id % 20 = 0 THEN id / 20 END
    FROM corpora_video;
INSERT INTO jobs_job (kind, queue, args, "group", corpus_id, priority, state, attempts, cancel_requested, progress_done,
        message, result, error, created_at)
    SELECT 'media', 'media', '{{}}', '', corpus_id, 0, 'done', 1, false, 0, '', '{{}}', '', now() FROM cases_case;
INSERT INTO audit_auditevent (at, actor, verb, subject_type, subject_id, corpus_id, data)
    SELECT now(), 'system', verb, 'case', id, corpus_id, '{{}}'
    FROM cases_case, unnest(ARRAY['case.created','case.ready','case.predicted']) AS verb;
"""
WHO = ("admin", "lead of the large corpus", "lead of the small one")
_PEOPLE = """
from annotations.corpora.models import Corpus
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.accounts.services import api_token
def person(role):
    return User.objects.create(username=f"bench-{role}", email=f"{role}@crashdesk.example", role=role)
people = [person(Role.ADMIN), person(Role.LEAD), person(Role.ANNOTATOR)]
for user, name in ((people[1], "large"), (people[2], "small")):
    Membership.objects.create(user=user, corpus=Corpus.objects.get(name=name), role=Role.LEAD)
print(__import__("json").dumps([api_token(user) for user in people]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=40)
    asked = parser.parse_args()
    with running_desk() as desk:
        database = desk.database("bench_access")
        fill(database, asked.cases)
        tokens = database.shell(_PEOPLE)
        with database.web() as base:
            print(f"{asked.cases:,} cases, first page, median ms: {', '.join(WHO)}")
            for address in LISTS:
                clients = [Client(base, {"Authorization": f"Token {token}"}) for token in tokens]
                print(f"  {address}: {compare(clients, address, asked.requests)}", flush=True)


def fill(database: Database, cases: int) -> None:
    """Write the corpora in a few statements."""
    for statement in _FILL.format(cases=cases).split(";\n"):
        if statement.strip():
            database.rows(statement)
    database.rows("VACUUM ANALYZE")


def compare(clients: Sequence[Client], address: str, requests: int) -> str:
    """Ask in turn; medians in ms, and how they compare with the first."""
    times: list[list[float]] = [[] for _ in clients]
    for _ in range(WARM_UP + requests):
        for client, found in zip(clients, times, strict=True):
            began = time.perf_counter()
            client.get(address)
            found.append((time.perf_counter() - began) * 1000)
    medians = [statistics.median(found[WARM_UP:]) for found in times]
    ratios = " and ".join(f"{one / medians[0]:.2f}" for one in medians[1:])
    return f"{', '.join(f'{one:.1f}' for one in medians)} ({ratios} times)"


if __name__ == "__main__":
    main()
