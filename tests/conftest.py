"""Fixtures for every test."""

import os
from pathlib import Path

import hypothesis
import pytest
from django.db import connection, connections
from pytest_django import DjangoDbBlocker, Settings

from crashdesk.accounts.models import Role, User
from tests.chromium import browser

# The same examples each time, whatever the machine's speed; HYPOTHESIS_PROFILE=default looks for new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

__all__ = ["browser"]  # one for the whole session, wherever it is used


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Every request ends by closing its connection: one kept by a live server's thread would hold the database."""
    connections.settings["default"]["CONN_MAX_AGE"] = 0


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Tests with transactions of their own end by emptying all tables: only here may the audit log be emptied too."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditevent DISABLE TRIGGER audit_log_stays")


@pytest.fixture(autouse=True)
def media_root(tmp_path: Path, settings: Settings) -> Path:
    """Every test stores files in a folder of its own, and may import from below its tmp_path."""
    root = tmp_path / "stored-media"
    settings.STORAGE_LOCATION = str(root)
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(root), "allow_overwrite": True},
        },
    }
    settings.IMPORT_ROOTS = [tmp_path.resolve()]
    return root


def _user(role: Role) -> User:
    user = User(username=f"the-{role.value}", email=f"{role.value}@crashdesk.example", role=role)
    user.set_unusable_password()
    user.is_staff = user.is_superuser = role == Role.ADMIN
    user.save()
    return user


@pytest.fixture
def annotator(db: None) -> User:
    return _user(Role.ANNOTATOR)


@pytest.fixture
def reviewer(db: None) -> User:
    return _user(Role.REVIEWER)


@pytest.fixture
def lead(db: None) -> User:
    return _user(Role.LEAD)


@pytest.fixture
def engineer(db: None) -> User:
    return _user(Role.ENGINEER)


@pytest.fixture
def admin(db: None) -> User:
    return _user(Role.ADMIN)
