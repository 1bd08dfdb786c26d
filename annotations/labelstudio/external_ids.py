"""By what CrashDesk knows its tasks again in Label Studio: `data.external_id`, which everybody there can read.

A key says nothing of whether a task is a case's own or one person's pass over it (a second blind pass, a gold case).
It is drawn from both with the site's secret: a CrashDesk restored from a backup draws the same one again.
"""

import base64
import re
from functools import lru_cache
from hmac import HMAC
from typing import Final

from django.conf import settings
from django.utils.crypto import salted_hmac

SALT: Final = "labelstudio.external_id"
BYTES: Final = 10
"""80 bits of the HMAC: among a million tasks the chance that any two share a key is below 1 in 10^12."""
SPOKEN: Final = "case-"
"""How keys began before they were opaque."""
_SPOKEN = re.compile(rf"{SPOKEN}(\d{{1,18}})(?:-pass-(\d{{1,18}}))?")


def opaque_key(case_id: int, assignment_id: int | None) -> str:
    """16 letters and digits: HMAC-SHA-256 (RFC 2104) under the secret key, cut short, in base32 (RFC 4648)."""
    drawn = _drawn(SALT, f"{case_id}:{assignment_id or ''}")
    return base64.b32encode(drawn[:BYTES]).decode().lower()


def drawn_rank(case_id: int, assignment_id: int, top: int) -> int:
    """A rank from 1 to `top` for a pass over a case that has none, the same one each time.

    A case that is settled waits for no review and may have no rank. Nobody who reads the task shall see that.
    """
    drawn = _drawn(f"{SALT}.rank", f"{case_id}:{assignment_id}")
    return 1 + int.from_bytes(drawn[:8]) % top


def spoken_key(case_id: int, assignment_id: int | None) -> str:
    """What tasks were called before keys were opaque: case-<id>, or case-<id>-pass-<assignment id>."""
    return f"{SPOKEN}{case_id}" if assignment_id is None else f"{SPOKEN}{case_id}-pass-{assignment_id}"


def untold_key(key: str, case_id: int, assignment_id: int | None) -> str:
    """The opaque key in place of one that says what its task is for; any other key as it is, whatever drew it."""
    return opaque_key(case_id, assignment_id) if key.startswith(SPOKEN) else key


def read_spoken(key: str) -> tuple[int, int | None] | None:
    """Case and assignment of a spoken key; None for any other text."""
    found = _SPOKEN.fullmatch(key)
    return (int(found[1]), int(found[2]) if found[2] else None) if found else None


def _drawn(salt: str, text: str) -> bytes:
    """As salted_hmac(salt, text): a push draws thousands, so the key is derived once and its state copied."""
    started = _started(salt, settings.SECRET_KEY).copy()
    started.update(text.encode())
    return started.digest()


@lru_cache(maxsize=4)
def _started(salt: str, secret: str) -> HMAC:
    return salted_hmac(salt, "", secret=secret, algorithm="sha256")
