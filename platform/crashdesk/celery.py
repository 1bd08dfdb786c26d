"""The Celery application. PostgreSQL owns the state of work (crashdesk.jobs); messages only wake workers."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crashdesk.settings")

app = Celery("crashdesk")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
