"""Registering and promoting model versions."""

from pathlib import Path

import pytest
from pytest_django import Settings

from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import history
from model_assist.registry import services
from model_assist.registry.models import ModelVersion
from tests.factories import make_model_version

pytestmark = pytest.mark.django_db


def test_the_first_model_is_in_use_and_later_ones_wait() -> None:
    first, second = make_model_version("a"), make_model_version("b")
    first.refresh_from_db()
    assert (first.in_use, second.in_use) == (True, False)
    assert services.in_use() == first


def test_without_a_model_the_message_says_what_to_do() -> None:
    with pytest.raises(Problem, match="register_model"):
        services.in_use()


def test_promotion_replaces_and_can_be_rolled_back(engineer: User) -> None:
    first, second = make_model_version("a"), make_model_version("b")
    services.promote(model_version=second, reason="better spans", by=engineer)
    assert services.in_use() == second
    promotion = services.promote(model_version=first, reason="worse at night", by=engineer)
    assert services.in_use() == first
    assert promotion.replaced == second
    assert next(event.verb for event in history(first)) == "model.promoted"
    assert ModelVersion.objects.filter(in_use=True).count() == 1


def test_promoting_needs_a_reason_and_a_change(engineer: User) -> None:
    first = make_model_version("a")
    with pytest.raises(Problem, match="Say why"):
        services.promote(model_version=first, reason=" ", by=engineer)
    with pytest.raises(Problem, match="in use already"):
        services.promote(model_version=first, reason="again", by=engineer)


def test_a_name_is_given_once() -> None:
    make_model_version("a")
    with pytest.raises(Problem, match="already"):
        make_model_version("a")


def test_a_missing_model_folder_is_named(settings: Settings, tmp_path: Path) -> None:
    settings.MODEL_BASE, settings.MODEL_ADAPTERS = str(tmp_path / "absent"), tmp_path / "none"
    version, created = services.register_configured(name="configured", by=None)
    assert created
    assert version.base.endswith("absent")


def test_the_hash_follows_the_weights(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapters" / "linguistic"
    base.mkdir()
    adapter.mkdir(parents=True)
    (base / "config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"one")
    before = services.weights_hash(str(base), {"linguistic": str(adapter)})
    assert before == services.weights_hash(str(base), {"linguistic": str(adapter)})
    (adapter / "adapter_model.safetensors").write_bytes(b"two")
    assert before != services.weights_hash(str(base), {"linguistic": str(adapter)})
