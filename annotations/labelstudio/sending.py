"""Tasks over the wire, many at a time, one request behind the other while the next one is being prepared.

The threads here only talk HTTP. What comes back is written down by the thread that pushes.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import connection

from annotations.labelstudio.client import Client, LabelStudioRefused
from annotations.labelstudio.items import Item
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.rows import find_there, renew_claims

ABREAST: Final = 2
"""Imports under way at a time."""
RENEW_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Parcel:
    """Tasks of one project for one request, with the rows that were claimed for them."""

    project: LabelStudioProject
    items: list[tuple[Item, LabelStudioTask]]

    @property
    def row_ids(self) -> list[int]:
        return [row.pk for _, row in self.items]


@dataclass
class Sent:
    """What became of a parcel: row id to task id, and row id to why Label Studio declined it."""

    parcel: Parcel
    numbers: dict[int, int] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)


def send(parcel: Parcel, client: Client) -> Sent:
    """Make the tasks. A request that is refused is halved until the culprits stand alone."""
    sent = Sent(parcel)
    if not parcel.items:
        return sent
    path = f"/api/projects/{parcel.project.linked_id}/import"
    try:
        reply = client.post(path, [item.whole for item, _ in parcel.items], return_task_ids=1)
    except LabelStudioRefused as refused:
        if refused.http_status != 400:
            raise
        if len(parcel.items) == 1:
            return Sent(parcel, refused={parcel.items[0][1].pk: refused.detail})
        half = len(parcel.items) // 2
        for items in (parcel.items[:half], parcel.items[half:]):
            part = send(Parcel(parcel.project, items), client)
            sent.numbers |= part.numbers
            sent.refused |= part.refused
        return sent
    sent.numbers = dict(zip(parcel.row_ids, _numbers(parcel, reply, client), strict=True))
    return sent


def _numbers(parcel: Parcel, reply: Any, client: Client) -> Sequence[int]:
    """The new tasks' ids in the parcel's order. They are looked up where the reply does not say."""
    numbers = reply.get("task_ids") if isinstance(reply, dict) else None
    if isinstance(numbers, list) and len(numbers) == len(parcel.items):
        return numbers
    there = find_there(parcel.project, {item.key: item.external_id for item, _ in parcel.items}, client)
    return [there[item.key][0]["id"] for item, _ in parcel.items]


class Line:
    """Parcels under way. `put` waits while ABREAST are; results come in the order they were put."""

    def __init__(self, client: Client, pool: ThreadPoolExecutor) -> None:
        self._client, self._pool = client, pool
        self._under_way: list[tuple[Parcel, Future[Sent]]] = []

    def put(self, parcel: Parcel) -> list[Sent]:
        """Send it on its way; returns what has come back meanwhile."""
        back = []
        while len(self._under_way) >= ABREAST:
            back.append(self._next())
        self._under_way.append((parcel, self._pool.submit(self._send, parcel)))
        return back

    def rest(self) -> Iterator[Sent]:
        """Wait for everything that is still under way."""
        while self._under_way:
            yield self._next()

    def _next(self) -> Sent:
        parcel, future = self._under_way.pop(0)
        while True:
            try:
                return future.result(timeout=RENEW_SECONDS)
            except TimeoutError:
                if future.done():
                    raise
                for claimed in [parcel, *(one for one, _ in self._under_way)]:
                    renew_claims(claimed.row_ids)

    def _send(self, parcel: Parcel) -> Sent:
        try:
            return send(parcel, self._client)
        finally:
            connection.close()  # a personal access token may have been looked up


@contextmanager
def line(client: Client) -> Iterator[Line]:
    with ThreadPoolExecutor(ABREAST, thread_name_prefix="labelstudio-push") as pool:
        yield Line(client, pool)
