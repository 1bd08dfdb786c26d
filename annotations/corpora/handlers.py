"""The long work of this room."""

from annotations.corpora.duplicates.making import fingerprint_work
from crashdesk.jobs.registry import register

register("fingerprint", queue="media", run=fingerprint_work)
register("cluster", queue="data", run="annotations.corpora.duplicates.searching.cluster_work")
