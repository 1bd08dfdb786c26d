"""Which sources the videos have."""

from django.db import connection

from annotations.corpora.models import Video
from crashdesk.accounts.scope import Reach

# From one source to the next by the index, as PostgreSQL does not do for DISTINCT by itself
# (https://wiki.postgresql.org/wiki/Loose_indexscan): a step for each source instead of a look at each video.
_STEPS = """
WITH RECURSIVE step AS (
    (SELECT source FROM {table} WHERE source > '' ORDER BY source LIMIT 1)
    UNION ALL
    SELECT (SELECT source FROM {table} WHERE source > step.source ORDER BY source LIMIT 1) FROM step
    WHERE step.source IS NOT NULL
)
SELECT source FROM step WHERE source IS NOT NULL
"""
_IN = " AND EXISTS (SELECT 1 FROM {table} v WHERE v.source = step.source AND v.corpus_id {among}(%s))"


def sources(among: Reach | None = None) -> list[str]:
    """Every source that a video names, of these corpora or (None) of all, sorted."""
    statement, table = _STEPS, connection.ops.quote_name(Video._meta.db_table)
    parameters = None
    if among is not None and not among.everywhere:
        statement += _IN
        parameters = [sorted(among.but if among.only is None else among.only)]
    kind = "<> ALL" if among is None or among.only is None else "= ANY"
    with connection.cursor() as cursor:
        cursor.execute(statement.format(table=table, among=kind), parameters)
        return [source for (source,) in cursor.fetchall()]
