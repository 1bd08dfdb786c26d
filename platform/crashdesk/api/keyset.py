"""Pages of long lists by keyset: a page begins after the last row of the page before it.

The database finds the place in an index, so that the thousandth page costs what the first one does, and rows that
come or go meanwhile neither repeat nor hide others (https://use-the-index-luke.com/no-offset). A cursor is the row's
values of the list's order, as JSON in URL-safe base64; it holds nothing that the row does not show.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any, Generic, TypeVar

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, ValidationError
from django.db import connection, models
from django.db.models import F, Func, Q, QuerySet, Value
from django.db.models.lookups import GreaterThan, LessThan
from django.utils import timezone

M = TypeVar("M", bound=models.Model)


class InvalidCursor(ValueError):
    """The text is no cursor of this list in this order."""


@dataclass(frozen=True)
class Page(Generic[M]):
    """Some rows in the list's order. `next` and `previous` are cursors, None where nothing more is known to be."""

    rows: list[M]
    next: str | None
    previous: str | None


@dataclass(frozen=True)
class _Term:
    """One column of the order."""

    name: str
    descending: bool
    field: "models.Field[Any, Any]"

    def __str__(self) -> str:
        return f"-{self.name}" if self.descending else self.name

    def reversed(self) -> "_Term":
        return _Term(self.name, not self.descending, self.field)


class _Row(Func):
    """Several values as one: PostgreSQL compares (a, b) with (c, d) from left to right, and by an index on (a, b)."""

    template = "(%(expressions)s)"
    output_field = models.IntegerField()  # never read: both sides are expressions


def page_of(
    queryset: QuerySet[M], *, size: int, cursor: str = "", rows: QuerySet[M] | None = None
) -> Page[M]:
    """At most `size` rows after (or before) the cursor, in the queryset's own order, made total by the id.

    The order must be of plain columns or annotations of this very model that are never NULL. `rows`: the same rows
    without the filters; where given, only ids are filtered and sorted, and the page's rows are fetched by id, which
    spares joining all that matches. InvalidCursor when the text is no cursor of this list in this order.
    """
    terms = _terms(queryset)
    backwards, position = _decode(cursor, terms) if cursor else (False, None)
    walked = [term.reversed() for term in terms] if backwards else terms
    if position is not None:
        queryset = queryset.filter(_beyond(walked, position))
    queryset = queryset.order_by(*map(str, walked))
    if rows is None:
        found = list(queryset[: size + 1])
    else:
        ids = list(queryset.values_list("pk", flat=True)[: size + 1])
        by_id = rows.in_bulk(ids)
        found = [by_id[pk] for pk in ids if pk in by_id]
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    if not found:
        return Page([], None, None)
    has_previous = more if backwards else position is not None
    return Page(
        found,
        next=_encode(terms, found[-1], backwards=False) if more or backwards else None,
        previous=_encode(terms, found[0], backwards=True) if has_previous else None,
    )


def beyond(queryset: QuerySet[M], row: models.Model, *, backwards: bool = False) -> QuerySet[M]:
    """What comes after (or before) a row in the queryset's own order, nearest first. `row` has the order's columns and
    annotations as attributes; it need not be in the queryset."""
    terms = _terms(queryset)
    walked = [term.reversed() for term in terms] if backwards else terms
    position = [getattr(row, term.name) for term in terms]
    return queryset.filter(_beyond(walked, position)).order_by(*map(str, walked))


def _terms(queryset: QuerySet[Any]) -> list[_Term]:
    query, meta = queryset.query, queryset.model._meta
    names = query.order_by or (meta.ordering if query.default_ordering else ()) or ("pk",)
    terms = []
    for name in names:
        if not isinstance(name, str):
            raise ImproperlyConfigured(f"{meta.label} is ordered by {name!r}: a keyset needs a plain name")
        bare = name.removeprefix("-")
        if bare in query.annotations:
            field = query.annotations[bare].output_field
        else:
            try:
                field = meta.pk if bare == "pk" else meta.get_field(bare)
            except FieldDoesNotExist:
                raise ImproperlyConfigured(f"{meta.label} has no column {bare!r} to order by") from None
            if field.null:
                raise ImproperlyConfigured(f"{meta.label}.{bare} may be NULL: order by a Coalesce of it")
        terms.append(_Term(bare, name.startswith("-"), field))
    if not any(term.field == meta.pk for term in terms):
        assert meta.pk is not None
        terms.append(_Term(meta.pk.name, terms[-1].descending, meta.pk))
    return terms


def _beyond(terms: Sequence[_Term], position: Sequence[Any]) -> Any:
    """The condition of the rows that come after `position`."""
    values = [Value(value, output_field=term.field) for term, value in zip(terms, position, strict=True)]
    compare = LessThan if terms[0].descending else GreaterThan
    if len({term.descending for term in terms}) == 1:
        return compare(_Row(*[F(term.name) for term in terms]), _Row(*values))
    # Mixed directions have no one comparison: the first differing column decides.
    ways = []
    for number, term in enumerate(terms):
        same = Q(**{earlier.name: position[at] for at, earlier in enumerate(terms[:number])})
        ways.append(same & Q(**{f"{term.name}__{'lt' if term.descending else 'gt'}": position[number]}))
    bound = Q(**{f"{terms[0].name}__{'lte' if terms[0].descending else 'gte'}": position[0]})
    return bound & reduce(or_, ways)


def _encode(terms: Sequence[_Term], row: models.Model, *, backwards: bool) -> str:
    plain = [_plain(getattr(row, term.name)) for term in terms]
    text = json.dumps([int(backwards), ",".join(map(str, terms)), *plain], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _plain(value: Any) -> int | str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, int | str) else str(value)


def _decode(cursor: str, terms: Sequence[_Term]) -> tuple[bool, list[Any]]:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeError, binascii.Error, ValueError, RecursionError) as error:
        raise InvalidCursor("is no cursor") from error
    if not isinstance(found, list) or len(found) != len(terms) + 2 or found[0] not in (0, 1):
        raise InvalidCursor("is no cursor")
    if found[1] != ",".join(map(str, terms)):
        raise InvalidCursor("belongs to a list in another order")
    return bool(found[0]), [_value(term.field, value) for term, value in zip(terms, found[2:], strict=True)]


def _value(field: "models.Field[Any, Any]", given: Any) -> Any:
    """What the column can be compared with, or InvalidCursor."""
    if not isinstance(given, str | int):
        raise InvalidCursor("is no cursor")
    try:
        value = field.to_python(given)
    except (ValidationError, ValueError, TypeError, OverflowError) as error:
        raise InvalidCursor("is no cursor") from error
    if isinstance(value, datetime) and timezone.is_naive(value):
        raise InvalidCursor("is no cursor")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InvalidCursor("is no cursor") from error
        if "\0" in value:
            raise InvalidCursor("is no cursor")
    if isinstance(field, models.IntegerField):
        low, high = connection.ops.integer_field_range(field.get_internal_type())
        if not (low or 0) <= value <= (high or 0):
            raise InvalidCursor("is no cursor")
    return value
