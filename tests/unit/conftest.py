"""Fixtures for every test of one module by itself."""

import pytest
from pytest_django import Settings


@pytest.fixture(autouse=True)
def leases_outlast_tests(settings: Settings) -> None:
    """The thread that renews leases cannot see the jobs in a test's transaction, and would take them for lost."""
    settings.JOB_LEASE_SECONDS = 600
