"""Bring Label Studio's database up to date and make its owner. Run by Label Studio's own Python.

Everything comes from the environment: OWNER_EMAIL, OWNER_PASSWORD, OWNER_TOKEN and INIT_STAMP. Safe to run
twice. Prints one line per applied migration, which the supervisor turns into progress.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any


def _setup() -> None:
    spec = importlib.util.find_spec("label_studio")
    if spec is None or spec.origin is None:
        raise SystemExit("label_studio is not installed in this environment")
    sys.path.insert(0, str(Path(spec.origin).parent))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.label_studio")
    importlib.import_module("django").setup()


def _migrate() -> None:
    connection = importlib.import_module("django.db").connection
    executor = importlib.import_module("django.db.migrations.executor").MigrationExecutor(connection)
    pending = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    if not pending:
        print("no migration is pending", flush=True)
        return
    print(f"{pending} migrations to apply", flush=True)
    importlib.import_module("django.core.management").call_command("migrate", no_color=True, verbosity=1)


def _make_owner(email: str, password: str, token: str) -> None:
    user_model: Any = importlib.import_module("users.models").User
    organization_model: Any = importlib.import_module("organizations.models").Organization
    token_model: Any = importlib.import_module("rest_framework.authtoken.models").Token
    user = user_model.objects.filter(email=email).first()
    if user is None:
        user = user_model.objects.create_user(email=email, password=password)
    elif not user.check_password(password):
        user.set_password(password)
    user.is_staff = user.is_superuser = True
    user.save()
    token_model.objects.filter(user=user).exclude(key=token).delete()
    token_model.objects.get_or_create(user=user, defaults={"key": token})
    organization = organization_model.objects.order_by("pk").first()
    if organization is None:
        organization = organization_model.create_organization(
            created_by=user, title="CrashDesk", legacy_api_tokens_enabled=True
        )
    elif not organization.has_user(user):
        organization.add_user(user)
    organization.jwt.legacy_api_tokens_enabled = True
    organization.jwt.save()
    user.active_organization = organization
    user.save(update_fields=["active_organization"])


def _stamp(text: str) -> None:
    """Note on the database itself what was done, so that the note cannot outlive the data."""
    connection = importlib.import_module("django.db").connection
    with connection.cursor() as cursor:
        cursor.execute(
            f"COMMENT ON DATABASE {connection.ops.quote_name(connection.settings_dict['NAME'])} IS %s", [text]
        )


def main() -> int:
    """Returns the exit status."""
    _setup()
    _migrate()
    _make_owner(os.environ["OWNER_EMAIL"], os.environ["OWNER_PASSWORD"], os.environ["OWNER_TOKEN"])
    _stamp(os.environ["INIT_STAMP"])
    print("owner and organisation are ready", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
