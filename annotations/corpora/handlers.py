"""The long work of this room."""

from crashdesk.jobs.registry import register

register("fingerprint", queue="media", run="annotations.corpora.duplicates.making.fingerprint_work")
register("cluster", queue="data", run="annotations.corpora.duplicates.searching.cluster_work")
