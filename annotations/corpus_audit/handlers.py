"""Audits as jobs."""

from crashdesk.accounts.permissions import Action
from crashdesk.jobs.registry import register

register("audit", queue="data", run="annotations.corpus_audit.auditing.run", needs=Action.IMPORT)
