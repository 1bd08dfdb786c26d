"""How CrashDesk proves itself to Label Studio: by a token it was given, or by one it makes itself.

Label Studio has two kinds. A legacy token never changes, and an organisation can switch these off (it does by
default). A personal access token is exchanged for access tokens that live five minutes. CrashDesk is given either
kind (CRASHDESK_LABELSTUDIO_TOKEN), or signs in once with its account's address and password, makes a personal access
token and keeps it (LabelStudioToken). The second way is also taken when the given legacy token is refused.
"""

import threading
import time
from typing import Any, Final, Protocol

import requests
from django.db import transaction

from annotations.labelstudio.key import key_header
from annotations.labelstudio.models import LabelStudioToken
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record

TIMEOUT_SECONDS: Final = (3.05, 30)
ACCESS_SECONDS: Final = 240.0
"""How long an access token is used; Label Studio lets it live 300 s."""


class Authority(Protocol):
    """Where a client gets its Authorization header."""

    def header(self) -> str:
        """The header's value. May ask Label Studio."""

    def renew(self, refused: str) -> bool:
        """Label Studio refused this header: whether there is another one to try."""


class GivenToken:
    """A legacy token: it works or it does not."""

    def __init__(self, token: str) -> None:
        self._token = token

    def header(self) -> str:
        return f"Token {self._token}"

    def renew(self, refused: str) -> bool:
        return False


_access: dict[str, tuple[str, float]] = {}
"""Personal access token to its current access token and until when to use it (time.monotonic)."""
_access_lock = threading.Lock()


def access_header(url: str, personal: str, *, refused: str = "") -> str:
    """`Bearer …` made from a personal access token; a new one when the last is old or was `refused`.

    Raises requests.RequestException, requests.HTTPError (401) when the personal token itself is refused.
    """
    with _access_lock:
        held = _access.get(personal)
        if held is None or held[1] < time.monotonic() or held[0] == refused:
            answer = requests.post(
                f"{url}/api/token/refresh/",
                json={"refresh": personal},
                headers=key_header(),
                timeout=TIMEOUT_SECONDS,
            )
            answer.raise_for_status()
            held = (f"Bearer {answer.json()['access']}", time.monotonic() + ACCESS_SECONDS)
            _access.clear()  # one Label Studio, one bot: what was there is of a token no longer used
            _access[personal] = held
        return held[0]


class PersonalToken:
    """A personal access token that somebody made and configured."""

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url.rstrip("/"), token

    def header(self) -> str:
        return access_header(self._url, self._token)

    def renew(self, refused: str) -> bool:
        return access_header(self._url, self._token, refused=refused) != refused


class OwnToken:
    """The token given, if any; where that is refused or none was given, one that CrashDesk makes by signing in."""

    def __init__(self, url: str, *, email: str, password: str, given: Authority | None = None) -> None:
        self._url, self._email, self._password, self._given = url.rstrip("/"), email, password, given

    def header(self) -> str:
        given = self._given  # another thread may find it refused meanwhile
        return given.header() if given is not None else self._own("")

    def renew(self, refused: str) -> bool:
        given = self._given
        if given is not None and given.renew(refused):
            return True
        self._given = None
        return self._own(refused) != refused

    def _own(self, refused: str) -> str:
        row = LabelStudioToken.objects.filter(url=self._url, email=self._email).first()
        if row is not None and row.token:
            try:
                return access_header(self._url, row.token, refused=refused)
            except requests.HTTPError as error:
                if error.response.status_code not in (400, 401):
                    raise
        held = row.token if row is not None else ""
        return access_header(self._url, make_token(self._url, self._email, self._password, instead_of=held))


def make_token(url: str, email: str, password: str, *, instead_of: str = "") -> str:
    """A new personal access token of this account, kept in the database; the one somebody else has just made, if so.

    An account has one at a time: an earlier one is revoked. Raises Problem when the account cannot sign in.
    """
    LabelStudioToken.objects.get_or_create(url=url, email=email)
    with transaction.atomic():
        row = LabelStudioToken.objects.select_for_update().get(url=url, email=email)
        if row.token and row.token != instead_of:
            return row.token
        row.token = _made_by_signing_in(url, email, password)
        row.save()
        record(actor=None, verb="labelstudio.token_made", subject=row, data={"url": url, "email": email})
    return row.token


def _made_by_signing_in(url: str, email: str, password: str) -> str:
    session = signed_in(url, email, password)
    with session:
        headers = {"X-CSRFToken": session.cookies["csrftoken"], "Referer": url}

        def call(method: str, path: str, body: Any = None) -> requests.Response:
            return session.request(method, url + path, json=body, headers=headers, timeout=TIMEOUT_SECONDS)

        made = call("POST", "/api/token/")
        if made.status_code == 409:  # there is one, and its full text was shown once only
            for held in call("GET", "/api/token/").json():
                call("POST", "/api/token/blacklist/", {"refresh": held["token"]}).raise_for_status()
            made = call("POST", "/api/token/")
        made.raise_for_status()
        token: str = made.json()["token"]
        return token


def signed_in(url: str, email: str, password: str) -> requests.Session:
    """A browser session of this account, by Label Studio's own form. Raises Problem when it is refused."""
    session = requests.Session()
    session.headers.update(key_header())
    session.get(f"{url}/user/login/", timeout=TIMEOUT_SECONDS).raise_for_status()
    form = {"email": email, "password": password, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    answer = session.post(
        f"{url}/user/login/",
        data=form,
        headers={"Referer": url},
        allow_redirects=False,
        timeout=TIMEOUT_SECONDS,
    )
    if answer.status_code != 302:
        session.close()
        message = (
            f"Label Studio at {url} does not let {email} sign in; check CRASHDESK_LABELSTUDIO_EMAIL and "
            "CRASHDESK_LABELSTUDIO_PASSWORD."
        )
        raise Problem("labelstudio_sign_in", message, status=502)
    return session


def authority(url: str, token: str, email: str, password: str) -> Authority:
    """What the settings provide. Raises Problem where they provide nothing."""
    given: Authority | None = None
    if token:
        given = PersonalToken(url, token) if is_personal(token) else GivenToken(token)
    if email and password:
        return OwnToken(url, email=email, password=password, given=given)
    if given is None:
        message = "Set CRASHDESK_LABELSTUDIO_TOKEN, or CRASHDESK_LABELSTUDIO_EMAIL and CRASHDESK_LABELSTUDIO_PASSWORD."
        raise Problem("labelstudio_token", message, status=503)
    return given


def is_personal(token: str) -> bool:
    """Whether a token is a personal access token, a JWT; legacy ones are 40 hexadecimal digits."""
    return token.count(".") == 2
