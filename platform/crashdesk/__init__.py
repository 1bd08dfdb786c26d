"""CrashDesk's Django project: settings, users, audit log, jobs, storage, API conventions, embedded services."""

from crashdesk.celery import app as celery_app

__all__ = ["celery_app"]
