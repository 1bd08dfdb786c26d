"""Registering model versions and choosing the one in use."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from annotations.datasets.models import DatasetVersion
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.storage.files import sha256_of
from model_assist.crashchat.errors import ModelLoadError
from model_assist.crashchat.settings import EngineSettings, find_adapters, read_settings
from model_assist.registry.models import ModelVersion, Promotion


def weights_hash(base: str, adapters: Mapping[str, str]) -> str:
    """SHA-256 over every adapter file's bytes, and the base's config.json with its files' names and sizes.

    The base's weights themselves are not read: at 16 GB that would take longer than loading them.
    A base named by a hub id is represented by that id.
    """
    digest = hashlib.sha256()
    folder = Path(base)
    if folder.is_dir():
        for path in sorted(p for p in folder.iterdir() if p.is_file()):
            digest.update(f"base/{path.name} {path.stat().st_size}\n".encode())
        digest.update((folder / "config.json").read_bytes())
    else:
        digest.update(f"hub {base}\n".encode())
    for name, adapter in sorted(adapters.items()):
        for path in sorted(p for p in Path(adapter).rglob("*") if p.is_file()):
            with path.open("rb") as stream:
                digest.update(f"{name}/{path.name} {sha256_of(stream)[0]}\n".encode())
    return digest.hexdigest()


@transaction.atomic
def register(
    *,
    name: str,
    base: str,
    adapters: Mapping[str, str],
    engine_settings: EngineSettings,
    by: User | None,
    parent: ModelVersion | None = None,
    trained_on: DatasetVersion | None = None,
) -> ModelVersion:
    """A new model version. The very first one is put in use. Raises Problem when the name is taken."""
    if ModelVersion.objects.filter(name=name).exists():
        raise Problem("name_taken", f"There is a model version {name!r} already.", fields={"name": ["taken"]})
    values = engine_settings.to_dict()
    routing = values.pop("routing") if adapters else {}
    version = ModelVersion.objects.create(
        name=name, base=base, adapters=dict(adapters), routing=routing, engine_settings=values,
        weights_hash=weights_hash(base, adapters), parent=parent, trained_on=trained_on, created_by=by,
    )  # fmt: skip
    record(actor=by, verb="model.registered", subject=version, data={"weights_hash": version.weights_hash})
    if not ModelVersion.objects.filter(in_use=True).exists():
        promote(model_version=version, reason="the first model", by=by)
    return version


def register_configured(*, name: str, by: User | None) -> tuple[ModelVersion, bool]:
    """The model that CRASHDESK_MODEL and CRASHDESK_ADAPTERS name, registered once per weights; (version, new?).

    Raises Problem when its files are missing or its crashdesk.json is not valid.
    """
    base, folder = settings.MODEL_BASE, settings.MODEL_ADAPTERS
    adapters = {key: str(path) for key, path in find_adapters(folder if folder.is_dir() else None).items()}
    try:
        engine_settings = EngineSettings.from_dict(read_settings(base))
    except (ModelLoadError, ValueError) as error:
        raise Problem("model_unusable", f"CRASHDESK_MODEL={base}: {error}") from error
    if not adapters and folder.is_dir():
        raise Problem("no_adapters", f"CRASHDESK_ADAPTERS={folder} holds no adapter folder")
    known = ModelVersion.objects.filter(weights_hash=weights_hash(base, adapters), base=base).first()
    if known is not None:
        return known, False
    version = register(name=name, base=base, adapters=adapters, engine_settings=engine_settings, by=by)
    return version, True


def in_use() -> ModelVersion:
    """The model that the next prediction run takes. Raises Problem when none is registered."""
    version = ModelVersion.objects.filter(in_use=True).first()
    if version is None:
        raise Problem("no_model", "No model is in use: register one with `manage.py register_model NAME`.")
    return version


def settings_of(version: ModelVersion) -> EngineSettings:
    """The version's engine settings, routing included."""
    values: dict[str, Any] = dict(version.engine_settings)
    if version.routing:
        values["routing"] = version.routing
    return EngineSettings.from_dict(values)


@transaction.atomic
def promote(*, model_version: ModelVersion, reason: str, by: User | None) -> Promotion:
    """Put a model version in use for the next prediction run; rolling back is promoting the old one again."""
    if not reason.strip():
        raise Problem("reason_needed", "Say why.", fields={"reason": ["is empty"]}, status=400)
    rows = {
        row.pk: row for row in ModelVersion.objects.select_for_update().order_by("pk")
    }  # one promotion at a time
    replaced = next((row for row in rows.values() if row.in_use), None)
    if replaced is not None and replaced.pk == model_version.pk:
        raise Problem("already_in_use", f"{model_version} is in use already.")
    if replaced is not None:
        ModelVersion.objects.filter(pk=replaced.pk).update(in_use=False)
    ModelVersion.objects.filter(pk=model_version.pk).update(in_use=True)
    model_version.refresh_from_db()
    promotion = Promotion.objects.create(
        model_version=model_version, replaced=replaced, reason=reason, promoted_by=by
    )
    data = {"replaced": replaced.name if replaced else None, "reason": reason}
    record(actor=by, verb="model.promoted", subject=model_version, data=data)
    return promotion
