"""How long the first page of a filtered list takes, over HTTP, from the web server that the product starts."""

import http.client
import json
import statistics
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from benchmarks.desk import Database
from benchmarks.studio import Studio

WARM_UP = 5
LISTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("cases", {}),
    ("cases", {"status": "ready"}),
    ("cases", {"status": "disputed"}),
    ("cases", {"corpus": "{corpus}", "status": "approved"}),
    ("cases", {"corpus": "{corpus}", "status": "predicted", "ordering": "review_rank"}),
    ("cases", {"ordering": "-status_changed_at"}),
    ("cases", {"source": "{source}", "status": "submitted"}),
    ("cases", {"recording": "{recording}"}),
    ("cases", {"search": "{name}"}),
    ("cases", {"search": "{word}"}),
    ("videos", {"corpus": "{corpus}", "source": "{source}"}),
    ("videos", {"has_findings": "true"}),
    ("videos", {"finding": "span_zero_length"}),
    ("videos", {"search": "{name}"}),
    ("jobs", {"kind": "media"}),
)
_STATUSES = """
UPDATE cases_case SET status = (ARRAY['ready','ready','predicted','predicted','in_review','submitted','returned',
    'approved','approved','approved'])[1 + id % 10], status_changed_at = now() - id * interval '1 second',
    review_rank = CASE WHEN id % 20 = 0 THEN id / 20 END;
UPDATE cases_case SET status = 'disputed' WHERE id > (SELECT max(id) - 40 FROM cases_case);
INSERT INTO jobs_job (kind, queue, args, "group", priority, state, attempts, cancel_requested, progress_done, message,
    result, error, created_at)
    SELECT 'media', 'media', '{}', '', 0, 'done', 1, false, 0, '', '{}', '', now() FROM cases_case;
"""
_PERSON = """
from crashdesk.accounts.models import Role, User
from crashdesk.accounts.services import api_token
user, _ = User.objects.get_or_create(username="bench", email="bench@crashdesk.example", role=Role.LEAD)
print(__import__("json").dumps(api_token(user)))
"""


def measure(database: Database, requests: int) -> None:
    """Spread the cases over the workflow, then ask for the first page of each list again and again.

    Prints the median and the 95th percentile over all lists together, and each list whose median stands out.
    """
    for statement in _STATUSES.split(";\n"):
        if statement.strip():
            database.rows(statement)
    database.rows("VACUUM ANALYZE")
    token = database.shell(_PERSON)
    ((corpus, source, recording, name),) = database.rows(
        "SELECT corpus_id, source, recording, name FROM corpora_video ORDER BY id DESC OFFSET 7 LIMIT 1"
    )
    values = {
        "corpus": corpus,
        "source": source,
        "recording": recording,
        "name": name,
        "word": name.split("/")[-1][:3],
    }
    with database.web() as base:
        client = Client(base, {"Authorization": f"Token {token}"})
        found: dict[str, list[float]] = {}
        for path, filters in LISTS:
            query = urlencode({key: value.format(**values) for key, value in filters.items()})
            address = f"/api/{path}?{query}"
            name = " ".join([path, *(f"{key}={value}" for key, value in filters.items())])
            found[name] = timed(lambda address=address: client.get(address), requests)
        with_page = pages(client, database, requests)
    every = [ms for times in found.values() for ms in times]
    slow = sorted(found, key=lambda name: -statistics.median(found[name]))[:3]
    print(f"  first page of 50, {len(found)} lists: {percentiles(every)}; slowest: " + "; ".join(
        f"{name} {percentiles(found[name])}" for name in slow
    ))  # fmt: skip
    print(f"  {with_page}", flush=True)


def pages(client: "Client", database: Database, requests: int) -> str:
    """The page of cases for people, and a page deep in a list: as quick as the first, if the keyset works."""
    address, depth = "/api/cases?ordering=review_rank&page_size=500", 0
    body = client.get(address)
    while body["next"] and depth < 100:
        parts = urlsplit(body["next"])
        address, depth = f"{parts.path}?{parts.query}", depth + 1
        body = client.get(address)
    address = address.replace("page_size=500", "page_size=50")
    deep = timed(lambda: client.get(address), requests)
    return f"page of 50 after {depth * 500:,} cases: {percentiles(deep)}"


def labelstudio(studio: Studio, project: int, requests: int) -> None:
    """Label Studio's own first page of tasks, for comparison."""
    address = f"/api/tasks?project={project}&page_size=30"
    times = timed(lambda: studio.get(address), requests)
    print(f"  Label Studio's list of 30 tasks: {percentiles(times)}", flush=True)


def timed(ask: Callable[[], Any], requests: int) -> list[float]:
    """Milliseconds of each request, one after the other, after a few that are not counted."""
    times = []
    for _ in range(WARM_UP + requests):
        began = time.perf_counter()
        ask()
        times.append((time.perf_counter() - began) * 1000)
    return times[WARM_UP:]


def percentiles(times: list[float]) -> str:
    return f"p50 {statistics.median(times):.1f} ms, p95 {statistics.quantiles(times, n=20)[-1]:.1f} ms"


class Client:
    """One connection, kept where the server keeps it, as a browser or a script would."""

    def __init__(self, base: str, headers: dict[str, str]) -> None:
        parts = urlsplit(base)
        self.headers = headers
        self.connection = http.client.HTTPConnection(parts.hostname or "", parts.port)

    def get(self, address: str) -> Any:
        """The JSON answer; RuntimeError for any other."""
        self.connection.request("GET", address, headers=self.headers)
        response = self.connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{address}: {response.status} {body[:300]!r}")
        return json.loads(body)
