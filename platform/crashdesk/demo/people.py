"""The demo's people, one per role, and its simulated reviewers; all with the home's own password."""

from typing import Final

from django.conf import settings

from crashdesk.accounts.models import Role
from crashdesk.accounts.services import ensure_user
from crashdesk.embedded.config import secrets

PEOPLE = {role.value: role for role in Role}

FIRST, OTHER, BEGINNER, ADJUDICATOR = (
    "simulated-ann", "simulated-ben", "simulated-cleo", "simulated-dora",
)  # fmt: skip
SIMULATED: Final = {
    FIRST: Role.ANNOTATOR,
    OTHER: Role.ANNOTATOR,
    BEGINNER: Role.ANNOTATOR,
    ADJUDICATOR: Role.REVIEWER,
}
"""Nobody real: a script plays them. Their names say so wherever a review, a time or a decision of theirs shows."""


def email_of(name: str) -> str:
    """The address under which CrashDesk and Label Studio know the same person."""
    return settings.LABELSTUDIO_EMAIL if name == "admin" else f"{name}@crashdesk.example"


def ensure_people() -> str:
    """Make the demo's people where they are missing; returns their password."""
    password = secrets(settings.HOME).admin_password
    for name, role in {**PEOPLE, **SIMULATED}.items():
        ensure_user(username=name, email=email_of(name), role=role, password=password, by=None)
    return password
