"""What narrowing costs: the first page of lists for somebody who may see everything, and for people who may not.

python -m benchmarks.access [--cases 100000] [--requests 40]

100,000 cases in three corpora: nine tenths in one for everyone, a tenth in one for members only, one per thousand in
another for members only. Each list is asked for in turn by an admin (nothing is narrowed), by a lead of the site (two
corpora are left out) and by a member of the smallest corpus whom the largest does not know (only one is left in). Over
HTTP, from the web server that the product starts, in one run; medians, and their ratio to the admin's.
"""

import argparse
import statistics
import time

from benchmarks.desk import Database, running_desk
from benchmarks.listing import WARM_UP, Client

LISTS = (
    "/api/cases", "/api/cases?status=ready", "/api/cases?status=approved&ordering=rank",
    "/api/cases?ordering=-status_changed_at", "/api/cases?source=source%201", "/api/videos", "/api/videos?state=absent",
    "/api/jobs", "/api/jobs?kind=media", "/api/audit-log", "/api/audit-log?verb=case.created", "/api/loop",
)  # fmt: skip
_FILL = """
INSERT INTO corpora_corpus (name, licence, terms, column_mapping, access, created_at)
    VALUES ('open', '', '', '{{}}', 'everyone', now()), ('closed', '', '', '{{}}', 'members', now()),
        ('small', '', '', '{{}}', 'members', now());
INSERT INTO cases_guideline (name, version, content_hash, created_at) VALUES ('six', 1, 'x', now());
INSERT INTO corpora_video (corpus_id, name, source, recording, recording_origin, split, url, metadata, created_at)
    SELECT (SELECT id FROM corpora_corpus WHERE name =
            CASE WHEN n % 1000 = 0 THEN 'small' WHEN n % 10 = 0 THEN 'closed' ELSE 'open' END),
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
_PEOPLE = """
from annotations.corpora.models import Corpus
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.accounts.services import api_token
def person(role):
    return User.objects.create(username=f"bench-{role}", email=f"{role}@crashdesk.example", role=role)
people = [person(Role.ADMIN), person(Role.LEAD), person(Role.ANNOTATOR)]
for name in ("open", "closed"):
    pass
small, everyones = Corpus.objects.get(name="small"), Corpus.objects.get(name="open")
Membership.objects.create(user=people[2], corpus=small, role=Role.LEAD)
Corpus.objects.filter(pk=everyones.pk).update(access="everyone")
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
        # The third one knows the small corpus alone: close the large one before asking as them.
        with database.web() as base:
            clients = [Client(base, {"Authorization": f"Token {token}"}) for token in tokens]
            print(
                f"{asked.cases:,} cases, first page, median ms: admin, lead of the site, member of one in a thousand"
            )
            for address in LISTS:
                print(f"  {address}: {compare(database, clients, address, asked.requests)}", flush=True)


def fill(database: Database, cases: int) -> None:
    """Write the corpora in a few statements."""
    for statement in _FILL.format(cases=cases).split(";\n"):
        if statement.strip():
            database.rows(statement)
    database.rows("VACUUM ANALYZE")


def compare(database: Database, clients: list[Client], address: str, requests: int) -> str:
    """Ask in turn, the large corpus closed while the member asks; medians in ms and the ratios to the first."""
    times: list[list[float]] = [[], [], []]
    for number, client in enumerate(clients):
        large = "members" if number == 2 else "everyone"
        database.rows("UPDATE corpora_corpus SET access = %s WHERE name = 'open'", [large])
        for _ in range(WARM_UP + requests):
            began = time.perf_counter()
            client.get(address)
            times[number].append((time.perf_counter() - began) * 1000)
    database.rows("UPDATE corpora_corpus SET access = 'everyone' WHERE name = 'open'")
    medians = [statistics.median(found[WARM_UP:]) for found in times]
    told = ", ".join(f"{one:.1f}" for one in medians)
    return f"{told} ({medians[1] / medians[0]:.2f} and {medians[2] / medians[0]:.2f} times)"


if __name__ == "__main__":
    main()
