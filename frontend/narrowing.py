"""Reading what a report's address narrows it to: a filter that makes no sense is told, and not used."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, QueryDict
from rest_framework.serializers import Serializer

from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem

Query = TypeVar("Query", bound=Serializer[Any])


@dataclass(frozen=True)
class Narrowing:
    """given: the filters that are used, by name. refused: the others, each with why not."""

    given: dict[str, str]
    refused: list[tuple[str, str]]

    def encoded(self) -> str:
        """The filters as a query string without '?'."""
        query = QueryDict(mutable=True)
        query.update(self.given)
        return query.urlencode()


def narrowing(
    request: HttpRequest, names: Sequence[str], query: type[Query], *, by: User
) -> tuple[Narrowing, Query]:
    """What the address says of `names`, and the valid query made of it.

    PermissionDenied for a corpus that the person may look into but not make reports of.
    """
    given = {name: value for name in names if (value := request.GET.get(name, "").strip())}
    read = query(data=given, context={"by": by})
    try:
        refused = {} if read.is_valid() else dict(read.errors)
    except Problem as problem:
        raise PermissionDenied(problem.message) from problem
    if refused:
        given = {name: value for name, value in given.items() if name not in refused}
        read = query(data=given, context={"by": by})
        read.is_valid(raise_exception=True)
    return Narrowing(given, [(name, " ".join(map(str, words))) for name, words in refused.items()]), read
