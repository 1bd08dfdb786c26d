"""The API keeps its own published schema, whatever it is asked (schemathesis), and refuses in one form."""

from collections.abc import Iterator

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, given, settings

from annotations.cases.models import CaseStatus
from crashdesk.accounts.models import User
from crashdesk.accounts.services import api_token
from crashdesk.wsgi import application
from tests.factories import make_case, make_model_version
from tests.shared_data import ROOT

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
schema = schemathesis.openapi.from_path(ROOT / "docs" / "openapi.yaml")
schema.app = application
OPERATIONS = {found.ok().label: found.ok() for found in schema.get_all_operations()}
"""By name, such as "GET /api/cases": with names of their own the tests can be shared out among processes."""


@pytest.fixture
def token(admin: User) -> Iterator[str]:
    make_model_version()
    make_case(CaseStatus.APPROVED)
    # A served request ends by closing its connection; here that would end the test's transaction.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield api_token(admin)
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_request_breaks_the_server(name: str, token: str) -> None:
    @settings(
        max_examples=4, deadline=None, derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )  # fmt: skip
    @given(case=OPERATIONS[name].as_strategy())
    def ask(case: schemathesis.Case) -> None:
        response = case.call(headers={"Authorization": f"Token {token}"})
        assert response.status_code < 500, response.text[:2000]

    ask()


def test_a_refusal_has_the_one_error_body(client: Client, annotator: User) -> None:
    client.force_login(annotator)
    answer = client.post("/api/prediction-runs", {}, content_type="application/json")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "permission_denied"
    missing = client.get("/api/cases/999999")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")


def test_invalid_fields_are_named(client: Client, lead: User) -> None:
    client.force_login(lead)
    answer = client.post("/api/prediction-runs", {"corpus": 1}, content_type="application/json")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "invalid"
    assert set(error["fields"]) == {"corpus", "guideline"}


def test_strangers_see_nothing(client: Client, db: None) -> None:
    for path in ("cases", "videos", "jobs", "model-versions", "loop"):
        answer = client.get(f"/api/{path}")
        assert answer.status_code in (401, 403), path
        assert "error" in answer.json()
