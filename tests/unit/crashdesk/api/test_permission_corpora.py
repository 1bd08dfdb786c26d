"""Every endpoint, asked by every role about a corpus of their own and about one that is closed to them.

The endpoints come from the OpenAPI schema: a new one without a maker in tests/access_made.py fails here.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from crashdesk.accounts.models import Role, User
from tests.access_made import BODIES, OBJECTS, World
from tests.factories import make_user
from tests.unit.crashdesk.api.permission_table import ENDPOINTS, ROLES, SITE

pytestmark = pytest.mark.django_db
METHODS = ("get", "post", "put", "patch", "delete")
NEEDS = {name: action for action, names in ENDPOINTS.items() for name in names}
FREE = {*ENDPOINTS["anyone"], *ENDPOINTS["secret"], *ENDPOINTS["signed-in"]}
ANYTHING = {
    "reason": "because", "note": "a note", "role": "annotator", "access": "everyone", "format": "parquet",
    "text": "a remark", "code": "made_up", "numbers": [1], "parts": [], "kind": "crash_recognition", "case_ids": [1],
    "tolerances": {}, "rulings": [],
}  # fmt: skip
"""Fields that some request or other wants, so that few are refused for their form before anything is looked up."""
PERSONAL = {
    "GET /api/activity/ticket", "GET /api/inbox", "GET /api/work", "POST /api/inbox/read",
    "POST /api/work/{pk}/release",
}  # fmt: skip
"""What is about whoever asks, not about a corpus."""
AUTHORS = {"PATCH /api/comments/{pk}", "POST /api/comments/{pk}/reopen", "POST /api/comments/{pk}/resolve"}
"""What asks besides whether the person wrote it, or else may review: tests/unit/annotations/comments."""
OWN_ALONE = {"GET /api/reviews", "GET /api/reviews/{pk}"}
"""What shows an annotator nothing but their own: tests/unit/annotations/reviews."""
TUS = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}


@cache
def described() -> list[str]:
    """Every endpoint of the OpenAPI schema, as in the table; an id in the address is {pk} whatever it is called."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return sorted(
        f"{method.upper()} {re.sub(r'{[^}]+}', '{pk}', path)}"
        for path, item in paths.items()
        for method in item
        if method in METHODS
    )


def collection(name: str) -> str:
    """'cases' of 'POST /api/cases/{pk}/approve', '' of what names no row."""
    path = name.split("/api/")[1]
    return path.split("/{pk}")[0] if "{pk}" in path else ""


ABOUT_ROWS = [name for name in described() if collection(name) and name not in SITE | PERSONAL]
LISTS = [
    name for name in described() if name.startswith("GET ") and not collection(name) and name not in FREE
]
WRITES = [
    name
    for name in described()
    if not (name.startswith("GET ") or collection(name) or name in FREE or name in SITE or name in PERSONAL)
]


def member(role: Role, own: World) -> User:
    """Somebody who is nobody on the site, and has the role in the corpus."""
    person = make_user(Role.ANNOTATOR)
    own.hold(person, role)
    return person


class Asking:
    """Asks, and undoes what came of it."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.client, self.folder = client, folder

    def __call__(
        self, name: str, address: str = "", body: dict[str, Any] | None = None
    ) -> tuple[int, str, str]:
        """The status, the code of the refusal ('' without one) and the whole answer."""
        method, path = name.split(" ")
        sent = json.dumps(ANYTHING | (body or {})).replace("{folder}", str(self.folder))
        extra: dict[str, Any] = {} if method == "GET" else {"data": sent, "content_type": "application/json"}
        if name == "PATCH /api/uploads/{pk}":
            extra = {"data": b"x", "content_type": "application/offset+octet-stream", "headers": TUS}
        with transaction.atomic():
            response = getattr(self.client, method.lower())(address or path, **extra)
            parts = response.streaming_content if response.streaming else [response.content]
            text = b"".join(parts).decode(errors="replace")
            transaction.set_rollback(True)
        try:
            code = json.loads(text)["error"]["code"]
        except (ValueError, KeyError, TypeError):
            code = ""
        return response.status_code, code, text


@pytest.fixture
def worlds() -> tuple[World, World]:
    return World("own-alpha"), World("hidden-omega")


def _address(name: str, pk: Any) -> str:
    return name.split(" ")[1].replace("{pk}", str(pk))


def _verdict(status: int, code: str) -> str:
    """'refused', 'missing' or 'let in'."""
    if status == 401 or (status == 403 and code in {"permission_denied", "not_allowed", "not_authenticated"}):
        return "refused"
    return (
        "missing"
        if status == 404 and code in {"not_found", "cluster_missing", "verdict_missing"}
        else "let in"
    )


def test_every_endpoint_of_the_schema_has_its_line_and_knows_how_to_be_asked() -> None:
    hidden = {"GET /api/docs", "GET /api/schema"}
    listed = {re.sub(r"{[^}]+}", "{pk}", name) for name in NEEDS}
    assert not [name for name in described() if name not in listed | hidden], (
        "add them to permission_table.py"
    )
    unknown = sorted({collection(name) for name in ABOUT_ROWS} - set(OBJECTS))
    assert not unknown, f"tests/access_made.py, OBJECTS: how is one of {unknown} made?"
    speechless = sorted(set(WRITES) - set(BODIES))
    assert not speechless, f"tests/access_made.py, BODIES: what do {speechless} say?"
    assert len(ABOUT_ROWS) > 80
    assert len(LISTS) > 25
    assert len(WRITES) > 20


@pytest.mark.parametrize("role", list(Role))
def test_rows_of_an_own_corpus_are_open_as_the_table_says_and_others_do_not_exist(
    client: Client, tmp_path: Path, worlds: tuple[World, World], role: Role
) -> None:
    own, other = worlds
    client.force_login(member(role, own))
    ask, wrong = Asking(client, tmp_path), []
    mine = {name: make(own) for name, make in OBJECTS.items()}
    theirs = {name: make(other) for name, make in OBJECTS.items()}
    here, somewhere = set(ROLES[role].split()), set(f"{ROLES[role]} {ROLES['annotator']}".split())
    for name in [name for name in ABOUT_ROWS if collection(name) in OBJECTS]:
        status, code, text = ask(name, _address(name, mine[collection(name)]))
        expected = "let in" if NEEDS[name] in here else "refused"
        if name in OWN_ALONE and role == Role.ANNOTATOR:
            expected = "missing"
        wronged = _verdict(status, code) != expected and name not in AUTHORS
        if wronged or other.mark in text:
            wrong.append(f"    own {name}: {status} {code}, expected {expected}")
        status, code, text = ask(name, _address(name, theirs[collection(name)]))
        right = {404} if NEEDS[name] in somewhere else {403}
        if (status not in right and not (status == 400 and NEEDS[name] in somewhere)) or other.mark in text:
            wrong.append(f"    other {name}: {status} {code}, expected {right}")
    assert not wrong, "\n".join([f"{role}:", *wrong])


@pytest.mark.parametrize("role", list(Role))
def test_lists_show_what_is_in_own_corpora_and_nothing_of_others(
    client: Client, tmp_path: Path, worlds: tuple[World, World], role: Role
) -> None:
    own, other = worlds
    client.force_login(member(role, own))
    ask, wrong = Asking(client, tmp_path), []
    mine = {name: make(own) for name, make in OBJECTS.items()}
    for make in OBJECTS.values():
        make(other)
    somewhere = set(f"{ROLES[role]} {ROLES['annotator']}".split())
    for name in LISTS:
        status, code, text = ask(name)
        if (status == 403) == (NEEDS[name] in somewhere) or status not in (200, 400, 403):
            wrong.append(f"    {name}: {status} {code}")
        if other.mark in text:
            wrong.append(f"    {name}: tells of the other corpus")
        listed = mine.get(name.removeprefix("GET /api/"))
        if status == 200 and listed is not None and NEEDS[name] in ROLES[role].split():
            rows = json.loads(text)["results"]
            shown = str(listed) in {str(row["id"]) for row in rows}
            if shown == (name in OWN_ALONE and role == Role.ANNOTATOR):
                wrong.append(f"    {name}: does not show {listed}")
    assert not wrong, "\n".join([f"{role}:", *wrong])


@pytest.mark.parametrize("role", list(Role))
def test_writes_about_a_corpus_are_taken_for_own_ones_and_find_nothing_in_others(
    client: Client, tmp_path: Path, worlds: tuple[World, World], role: Role
) -> None:
    own, other = worlds
    client.force_login(member(role, own))
    ask, wrong = Asking(client, tmp_path), []
    here, somewhere = set(ROLES[role].split()), set(f"{ROLES[role]} {ROLES['annotator']}".split())
    for name in [name for name in WRITES if name in BODIES]:
        status, code, text = ask(name, body=BODIES[name](own))
        expected = "let in" if NEEDS[name] in here else "refused"
        bulk = status == 200 and "not_allowed" in text
        if _verdict(status, code) != expected and not (expected == "refused" and bulk):
            wrong.append(f"    own {name}: {status} {code}, expected {expected}: {text[:200]}")
        status, code, text = ask(name, body=BODIES[name](other))
        expected = "found nothing" if NEEDS[name] in somewhere else "refused"
        bulk = status == 200 and "not_found" in text
        found = (
            "refused"
            if _verdict(status, code) == "refused"
            else "found nothing"
            if status in (400, 404) or bulk
            else ""
        )
        if found != expected or other.mark in text.replace(json.dumps(other.corpus.name)[1:-1], ""):
            wrong.append(f"    other {name}: {status} {code}, expected {expected}: {text[:200]}")
    assert not wrong, "\n".join([f"{role}:", *wrong])


def test_an_admin_of_the_site_finds_everything(
    client: Client, tmp_path: Path, worlds: tuple[World, World]
) -> None:
    _, other = worlds
    client.force_login(make_user(Role.ADMIN))
    ask = Asking(client, tmp_path)
    made = {name: make(other) for name, make in OBJECTS.items()}
    for name in [name for name in ABOUT_ROWS if collection(name) in OBJECTS]:
        status, code, _ = ask(name, _address(name, made[collection(name)]))
        assert _verdict(status, code) == "let in" or name in AUTHORS, (name, status, code)


def test_strangers_are_refused_whatever_they_name(
    client: Client, tmp_path: Path, worlds: tuple[World, World]
) -> None:
    own, _ = worlds
    ask = Asking(client, tmp_path)
    made = {name: make(own) for name, make in OBJECTS.items()}
    for name in [*ABOUT_ROWS, *LISTS, *WRITES]:
        address = _address(name, made.get(collection(name), 1)) if collection(name) else ""
        status, _, text = ask(name, address)
        assert status in (401, 403), name
        assert own.mark not in text, name
