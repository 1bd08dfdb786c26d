"""Browsers signed in to Label Studio for somebody: opened from CrashDesk, used again, renewed, and ended with
CrashDesk's own session."""

from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from annotations.labelstudio.accounts.models import BrowserSession
from annotations.labelstudio.client import Client
from annotations.labelstudio.doors import Said
from annotations.labelstudio.people import enter
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record

RENEW_AFTER: Final = timedelta(hours=12)
"""Label Studio ends a session after three days without activity, and after eight in any case."""
GOOD_FOR: Final = timedelta(days=7)
LOOPBACK: Final = frozenset(("127.0.0.1", "localhost", "::1"))


def open_session(*, user: User, desk_session: str, client: Client, renew: bool = False) -> BrowserSession:
    """A session in Label Studio for this browser: the one it has while that is fresh, else a new one.

    `desk_session`: key of the browser's session in CrashDesk. `renew`: the one it has is known not to work.
    Raises Problem: person_inactive; LabelStudioDown and LabelStudioRefused.
    """
    mine = BrowserSession.objects.filter(
        desk_session=desk_session, member__user=user, member__removed_at__isnull=True, ended_at__isnull=True
    )
    fresh = mine.filter(started_at__gt=timezone.now() - RENEW_AFTER).order_by("-id").first()
    if fresh is not None and user.is_active and not renew:
        return fresh
    member, keys = enter(user=user, client=client)
    with transaction.atomic():
        made = BrowserSession.objects.create(
            member=member, desk_session=desk_session, uid=keys.uid, session_cookie=keys.session_cookie,
            csrf_cookie=keys.csrf_cookie,
        )  # fmt: skip
        # Pages that are open with the old one go on with the new cookies, which the browser shares among them.
        mine.exclude(pk=made.pk).update(ended_at=timezone.now())
        record(
            actor=user, verb="labelstudio.signed_in", subject=member.user, data={"address": member.address}
        )
    return made


def end_sessions(*, user: User, desk_session: str | None = None) -> int:
    """The person has left this browser (or, without one, is to leave all of them). Returns how many ended.

    Label Studio cannot revoke a session; from now on the guard refuses it.
    """
    open_ones = BrowserSession.objects.filter(member__user=user, ended_at__isnull=True)
    if desk_session is not None:
        open_ones = open_ones.filter(desk_session=desk_session)
    return open_ones.update(ended_at=timezone.now())


def live_session(said: Said) -> BrowserSession | None:
    """The session a cookie claims to be, while it lasts: not ended, not too old, of an active person who is still
    signed in to CrashDesk in the same browser."""
    now = timezone.now()
    found = BrowserSession.objects.filter(
        uid=said.uid,
        member__labelstudio_id=said.labelstudio_id,
        member__removed_at__isnull=True,
        member__user__is_active=True,
        ended_at__isnull=True,
        started_at__gt=now - GOOD_FOR,
    )
    session = found.select_related("member__user").first()
    if session is None:
        return None
    desk = Session.objects.filter(session_key=session.desk_session, expire_date__gt=now).first()
    return session if desk is not None and _still_them(desk, session.member.user) else None


def _still_them(desk: Session, user: User) -> bool:
    """Whether a CrashDesk session is this person's, under the password they have now."""
    proof = desk.get_decoded().get(HASH_SESSION_KEY, "")
    return constant_time_compare(proof, user.get_session_auth_hash())


def public_url(host: str) -> str:
    """Label Studio's address for a browser that has opened CrashDesk under `host` (with or without a port).

    Cookies belong to a host name, so both must be reached under the same one; names of this very machine stand for
    each other. Raises Problem (labelstudio_other_host) when they differ.
    """
    parts = urlsplit(settings.LABELSTUDIO_PUBLIC_URL)
    here = urlsplit(f"//{host}").hostname or ""
    there = parts.hostname or ""
    if here == there:
        return str(settings.LABELSTUDIO_PUBLIC_URL)
    if here in LOOPBACK and there in LOOPBACK:
        name = f"[{here}]" if ":" in here else here
        return f"{parts.scheme}://{name}" + (f":{parts.port}" if parts.port else "")
    message = (
        f"You have opened CrashDesk as {here}, but Label Studio is at {there}. A browser hands a sign-in only to pages "
        f"of the same host name: open CrashDesk as {there}, or set CRASHDESK_LABELSTUDIO_PUBLIC_URL to an address on "
        f"{here}. See docs/signing-in.md."
    )
    raise Problem("labelstudio_other_host", message, status=409)


def desk_url(host: str) -> str:
    """CrashDesk's address for a browser that has opened Label Studio under `host`."""
    parts = urlsplit(settings.PUBLIC_URL)
    here = urlsplit(f"//{host}").hostname or ""
    if here in LOOPBACK and parts.hostname in LOOPBACK:
        name = f"[{here}]" if ":" in here else here
        return f"{parts.scheme}://{name}" + (f":{parts.port}" if parts.port else "")
    return str(settings.PUBLIC_URL)


def forget_old_sessions() -> int:
    """Remove rows that nobody can use any more; returns how many."""
    old = BrowserSession.objects.filter(started_at__lt=timezone.now() - 2 * GOOD_FOR)
    return old.delete()[0]
