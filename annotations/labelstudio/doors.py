"""Label Studio's own sign-in pages, walked by CrashDesk, and what its session cookie says."""

import base64
import json
import secrets
import zlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from annotations.labelstudio.client import Client, LabelStudioDown, LabelStudioRefused
from annotations.labelstudio.key import key_header

SESSION_COOKIE = "sessionid"
CSRF_COOKIE = "csrftoken"
TIMEOUT_SECONDS = (3.05, 30)
MAX_COOKIE_BYTES = 16_384


@dataclass(frozen=True)
class Keys:
    """A session of one Label Studio account: the two cookies a browser needs, and whose they are."""

    session_cookie: str
    csrf_cookie: str
    uid: str
    labelstudio_id: int


@dataclass(frozen=True)
class Said:
    """What a session cookie claims. Unverified: Label Studio itself refuses a cookie it has not signed."""

    uid: str
    labelstudio_id: int


def read_session(cookie: str) -> Said | None:
    """Whose session a cookie claims to be; None for one of nobody, or none at all.

    Label Studio keeps sessions in cookies signed by Django (django.core.signing): base64 of JSON, compressed where
    it starts with a dot, then time and signature. Everybody can read them, only Label Studio can make them.
    """
    if not 0 < len(cookie) <= MAX_COOKIE_BYTES or cookie.count(":") < 2:
        return None
    text = cookie.rsplit(":", 2)[0]
    packed = text.startswith(".")
    try:
        padded = text.lstrip(".").encode() + b"=" * (-len(text.lstrip(".")) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        if packed:
            raw = zlib.decompressobj().decompress(raw, MAX_COOKIE_BYTES)
        said: Any = json.loads(raw)
        return Said(uid=str(said["uid"])[:64], labelstudio_id=int(said["_auth_user_id"]))
    except (ValueError, zlib.error, KeyError, TypeError):
        return None


def log_in(client: Client, address: str, password: str) -> Keys | None:
    """Sign in by the form. None when Label Studio knows no such address with this password."""
    return _submit(client, "/user/login/", address, password)


def sign_up(client: Client, address: str, password: str) -> Keys | None:
    """Make an account by the owner's invite link, and be signed in. None when the address is taken."""
    token = client.get("/api/invite")["token"]
    return _submit(client, f"/user/signup/?token={quote(token)}", address, password)


def _submit(client: Client, path: str, address: str, password: str) -> Keys | None:
    url = client.url + path
    # Both the cookie and the field are ours: Django compares them with each other and knows no other truth.
    csrf = secrets.token_hex(16)
    form = {"email": address, "password": password, "csrfmiddlewaretoken": csrf, "allow_newsletters": ""}
    headers = {**key_header(), "Referer": url, "Connection": "close"}
    try:
        answer = requests.post(
            url, data=form, headers=headers, cookies={CSRF_COOKIE: csrf}, allow_redirects=False,
            timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
    except requests.RequestException as error:
        message = (
            f"Label Studio does not answer at {client.url}. Start it, or check CRASHDESK_LABELSTUDIO_URL."
        )
        raise LabelStudioDown("labelstudio_down", message, status=503) from error
    if answer.status_code == 200:  # the form again, with what it has against it
        return None
    cookie = answer.cookies.get(SESSION_COOKIE) or ""
    said = read_session(cookie)
    if answer.status_code != 302 or said is None:
        raise LabelStudioRefused(
            "labelstudio_sign_in", f"Label Studio answered {answer.status_code} to a sign-in at {path.split('?')[0]}.",
            http_status=answer.status_code, detail=answer.headers.get("Content-Type", ""),
        )  # fmt: skip
    return Keys(
        session_cookie=cookie,
        csrf_cookie=answer.cookies.get(CSRF_COOKIE) or csrf,
        uid=said.uid,
        labelstudio_id=said.labelstudio_id,
    )
