"""Which sources the videos have."""

from django.db import connection

from annotations.corpora.models import Video

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


def sources() -> list[str]:
    """Every source that a video names, sorted."""
    with connection.cursor() as cursor:
        cursor.execute(_STEPS.format(table=connection.ops.quote_name(Video._meta.db_table)))
        return [source for (source,) in cursor.fetchall()]
