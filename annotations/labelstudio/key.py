"""How CrashDesk's own calls pass the guard in front of Label Studio (docs/adr/0012-…)."""

from typing import Final

from django.conf import settings

from crashdesk.embedded.config import guard_key

KEY_HEADER: Final = "X-CrashDesk-Key"


def door_key() -> str:
    """What only CrashDesk and the guard know."""
    return guard_key(settings.SECRET_KEY)


def key_header() -> dict[str, str]:
    """For every request that CrashDesk itself sends to Label Studio, which still asks who it is."""
    return {KEY_HEADER: door_key()}
