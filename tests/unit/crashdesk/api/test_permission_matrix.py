"""Every endpoint of the API, asked by every role and by strangers, against the table in permission_table.py."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.views.generic import View
from rest_framework.views import APIView

from crashdesk.accounts.models import Role
from crashdesk.accounts.permissions import ALLOWED, Action
from tests.factories import make_user
from tests.unit.crashdesk.api.permission_table import ENDPOINTS, ROLES

pytestmark = pytest.mark.django_db
METHODS = ("get", "post", "put", "patch", "delete")
REFUSED = (401, 403)
OPEN_PAGES = {"/health", "/login"}
POSTED_PAGES = {"/logout", "/runs/new/preview"}


@dataclass(frozen=True)
class Endpoint:
    """One method of one address. `name`: as in the table; `needs`: the action its view declares, if it does."""

    name: str
    method: str
    url: str
    needs: str


def addresses(patterns: list[URLPattern | URLResolver], before: str = "/") -> Iterator[tuple[str, Any]]:
    """Every address below the admin's with its view; `.json` twins of the same view are left out."""
    for pattern in patterns:
        path = before + str(pattern.pattern).removeprefix("^").removesuffix("$").removesuffix("\\Z")
        if isinstance(pattern, URLResolver):
            if pattern.app_name != "admin":
                yield from addresses(pattern.url_patterns, path)
        elif "(?P<format>" not in path:
            yield path.replace("\\.", "."), pattern.callback


def _name(path: str) -> str:
    """'/api/jobs/(?P<pk>[^/.]+)' and '/api/jobs/<int:pk>' as '/api/jobs/{pk}'."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", re.sub(r"\(\?P(<\w+>)[^)]*\)", r"\1", path))


def _url(path: str) -> str:
    """The address of something that does not exist."""
    nowhere = re.sub(r"<uuid:\w+>", "00000000-0000-4000-8000-000000000000", path)
    return re.sub(r"\{\w+\}", "999999999", _name(nowhere))


def endpoints() -> list[Endpoint]:
    """All that the API implements, in order of their names."""
    found = []
    for path, view in addresses(get_resolver().url_patterns):
        if not path.startswith("/api/"):
            continue
        views: type[APIView] | type[View] | None = getattr(view, "cls", getattr(view, "view_class", None))
        assert views is not None, (
            f"{path}: write it as a view of REST framework, so that its permissions are checked"
        )
        actions: dict[str, str] = getattr(view, "actions", None) or {
            m: m for m in METHODS if hasattr(views, m)
        }
        for method, action in actions.items():
            if method in METHODS:
                needs = getattr(views, "needs", {}).get(action, Action.VIEW if method == "get" else "?")
                found.append(Endpoint(f"{method.upper()} {_name(path)}", method, _url(path), str(needs)))
    return sorted(found, key=lambda one: (one.name.split()[1], one.method))


ALL = endpoints()
LISTED = {name: action for action, names in ENDPOINTS.items() for name in names}


def test_every_endpoint_has_its_line_and_every_line_its_endpoint() -> None:
    new = [f'under "{one.needs}" add:     "{one.name}",' for one in ALL if one.name not in LISTED]
    gone = [
        f'under "{action}" remove:  "{name}",'
        for name, action in LISTED.items()
        if name not in {one.name for one in ALL}
    ]
    assert not new + gone, "tests/unit/crashdesk/api/permission_table.py, ENDPOINTS:\n" + "\n".join(
        new + gone
    )
    assert len(LISTED) == sum(len(names) for names in ENDPOINTS.values()), "an endpoint is listed twice"


def test_the_roles_of_the_table_are_those_of_the_platform() -> None:
    for role in Role:
        declared = {action.value for action in ALLOWED[role]} - {Action.MANAGE_USERS}
        assert set(ROLES[role].split()) - {"anyone", "signed-in"} == declared, role


def ask(client: Client, one: Endpoint) -> int:
    sent = {} if one.method == "get" else {"data": {}, "content_type": "application/json"}
    response = getattr(client, one.method)(one.url, **sent)
    return int(response.status_code)


@pytest.mark.parametrize("role", [*ROLES, "inactive"])
def test_each_role_is_let_in_and_kept_out_as_the_table_says(client: Client, role: str) -> None:
    if role == "inactive":
        person = make_user(Role.ADMIN)
        client.force_login(person)
        type(person).objects.filter(pk=person.pk).update(is_active=False)
    elif role != "anonymous":
        client.force_login(make_user(Role(role)))
    has = set(ROLES["anonymous" if role == "inactive" else role].split())
    wrong = []
    for one in ALL:
        status = ask(client, one)
        let_in, may = status not in REFUSED, LISTED.get(one.name) in has
        if let_in != may:
            wrong.append(f"    {one.name}: {role} is {'let in' if let_in else 'refused'} ({status})")
    assert not wrong, "Not as permission_table.py says:\n" + "\n".join(wrong)


def test_strangers_learn_nothing_by_asking_for_options(client: Client) -> None:
    for one in ALL:
        if LISTED.get(one.name) not in ("anyone", "secret"):
            assert client.options(one.url).status_code in REFUSED, one.name


def test_pages_send_strangers_to_sign_in(client: Client) -> None:
    pages = [path for path, _ in addresses(get_resolver().url_patterns) if not path.startswith("/api/")]
    assert len(pages) > 10
    for path in pages:
        answer = client.get(_url(path))
        if path in OPEN_PAGES:
            assert answer.status_code == 200, path
        elif path in POSTED_PAGES:
            assert answer.status_code == 405, path
        else:
            assert answer.status_code == 302, path
            assert answer.headers["Location"].startswith("/login?"), path
