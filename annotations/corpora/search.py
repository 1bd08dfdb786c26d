r"""Finding rows by words of their texts, by an index.

PostgreSQL's own text search does it, because the trigram extension that substring search needs is not part of every
server (the embedded one lacks it). Names are taken apart at everything that is neither letter nor digit, so that
"cap_10_00012.mp4" is found by "cap 10", "CAP_10" and "00012.mp4", and by the beginning of its words, but not by "ap_1".

The planner believes that the beginning of a word is in 2 % of all rows, whatever the word (tsquery_opr_selec in
PostgreSQL's ts_selfuncs.c), and would rather walk through all rows taking names apart than ask the index for a rare
one. So the search stands behind an OFFSET, over which neither conditions nor orders are moved.
"""

import re
from typing import Any, Final

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db.models import BooleanField, CharField, F, Func, Q, QuerySet, Subquery, Value
from django.db.models.expressions import Combinable

MAX_WORDS: Final = 12
_WORD: Final = re.compile(r"[^\W_]+")


class Words(Func):
    """The words of texts, in lower case, as PostgreSQL's text search keeps them. Its parser would take file names,
    addresses and numbers with a point for one word each: so every sign of ASCII becomes a space
    ("%" parts words anyhow, and Django would take it for a parameter)."""

    template = (
        "to_tsvector('pg_catalog.simple'::regconfig, "
        "translate(%(expressions)s, '!\"#$&''()*+,-./:;<=>?@[\\]^_`{|}~', repeat(' ', 31)))"
    )
    arg_joiner = " || ' ' || "
    output_field = SearchVectorField()


class _Holds(Func):
    """Whether words (first) are as the query (second) wants them."""

    template = "(%(expressions)s)"
    arg_joiner = " @@ "
    output_field = BooleanField()


class _Query(Func):
    function = "to_tsquery"
    template = "%(function)s('pg_catalog.simple'::regconfig, %(expressions)s)"
    output_field = CharField()


class _Apart(Subquery):
    """A subquery that is planned on its own."""

    template = "(%(subquery)s OFFSET 0)"


def with_words(
    rows: QuerySet[Any], text: str, *fields: str | Combinable, column: str = "pk"
) -> Subquery | None:
    """`column` of the rows whose `fields` hold, for each word of `text`, a word that begins with it.

    Fast where there is a words_index on the same fields. None when the text holds no word.
    """
    words = _WORD.findall(text.lower())[:MAX_WORDS]
    if not words:
        return None
    query = " & ".join(f"'{word}':*" for word in words)
    holds = _Holds(Words(*map(_expression, fields)), _Query(Value(query)))
    return _Apart(rows.filter(holds).order_by().values(column))


def video_has_words(text: str, *, field: str = "id") -> Q:
    """Of whom `field` is the id of a video with these words (or their beginnings) in its name or recording."""
    from annotations.corpora.models import Video  # the model's index is made of the classes above

    found = with_words(Video.objects.all(), text, "name", "recording")
    return Q(pk__in=[]) if found is None else Q(**{f"{field}__in": found})


def words_index(*fields: str | Combinable, name: str, condition: Q | None = None) -> GinIndex:
    """The index that with_words on these fields uses, of rows that are filtered by `condition`."""
    return GinIndex(Words(*map(_expression, fields)), name=name, condition=condition)


def _expression(field: str | Combinable) -> Combinable:
    return F(field) if isinstance(field, str) else field
