"""Giving many cases, as a job. Who is asked for what is seen by those who assign."""

from annotations.gold.queue_bulk import JOB, NEEDS, run
from crashdesk.jobs.registry import register

register(JOB, queue="data", run=run, needs=NEEDS, reads=NEEDS)
