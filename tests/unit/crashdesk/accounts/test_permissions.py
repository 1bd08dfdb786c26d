"""Who may do what."""

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.views import APIView

from crashdesk.accounts.models import Role, User
from crashdesk.accounts.permissions import ALLOWED, Action, may
from crashdesk.accounts.services import api_token, ensure_user
from crashdesk.api.permissions import RolePermission


def test_every_role_is_in_the_table_and_admins_may_do_everything() -> None:
    assert set(ALLOWED) == set(Role)
    assert ALLOWED[Role.ADMIN] == set(Action)
    assert all(Action.VIEW in allowed for allowed in ALLOWED.values())


def test_annotators_cannot_approve_and_engineers_cannot_review() -> None:
    assert not may(User(role=Role.ANNOTATOR), Action.APPROVE)
    assert not may(User(role=Role.ENGINEER), Action.REVIEW)
    assert may(User(role=Role.REVIEWER), Action.APPROVE)
    assert not may(User(role=Role.ADMIN, is_active=False), Action.VIEW)


def _views(patterns: list[URLPattern | URLResolver], prefix: str = "") -> list[tuple[str, type[APIView]]]:
    found: list[tuple[str, type[APIView]]] = []
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += _views(pattern.url_patterns, path)
        elif view := getattr(pattern.callback, "cls", getattr(pattern.callback, "view_class", None)):
            found.append((path, view))
    return found


def test_every_write_of_the_api_names_the_permission_it_needs() -> None:
    views = [(path, view) for path, view in _views(get_resolver().url_patterns) if issubclass(view, APIView)]
    assert len(views) > 20
    for path, view in views:
        if RolePermission not in view.permission_classes:
            continue
        needs = getattr(view, "needs", {})
        assert all(isinstance(action, Action) for action in needs.values()), path
        for method in ("post", "put", "patch", "delete"):
            if method in vars(view):
                assert method in needs, f"{path}: {method} is refused to everybody"
        for name in ("create", "update", "destroy"):
            if name in vars(view):
                assert name in needs, f"{path}: {name} is refused to everybody"


@pytest.mark.django_db
def test_a_password_is_exchanged_for_a_token(client) -> None:  # type: ignore[no-untyped-def]
    user = ensure_user(
        username="ada", email="ada@crashdesk.example", role=Role.LEAD, password="a long pass", by=None
    )
    answer = client.post(
        "/api/token", {"username": "ada", "password": "a long pass"}, content_type="application/json"
    )
    assert answer.json() == {"token": api_token(user)}
    me = client.get("/api/me", headers={"Authorization": f"Token {api_token(user)}"}).json()
    assert me["role"] == "lead"
    assert "approve" in me["allowed"]
    refused = client.post(
        "/api/token", {"username": "ada", "password": "wrong"}, content_type="application/json"
    )
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "credentials_refused")
