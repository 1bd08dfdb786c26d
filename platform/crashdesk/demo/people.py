"""The demo's people, one per role, all with the home's own password."""

from django.conf import settings

from crashdesk.accounts.models import Role
from crashdesk.accounts.services import ensure_user
from crashdesk.embedded.config import secrets

PEOPLE = {role.value: role for role in Role}


def email_of(name: str) -> str:
    """The address under which CrashDesk and Label Studio know the same person."""
    return settings.LABELSTUDIO_EMAIL if name == "admin" else f"{name}@crashdesk.example"


def ensure_people() -> str:
    """Make the demo's people where they are missing; returns their password."""
    password = secrets(settings.HOME).admin_password
    for name, role in PEOPLE.items():
        ensure_user(username=name, email=email_of(name), role=role, password=password, by=None)
    return password
