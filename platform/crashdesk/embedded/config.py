"""What the embedded services are called, where they listen and which secrets they share.

`crashdesk.settings` imports this module, so it must stay free of Django and cheap to import.
"""

import fcntl
import hashlib
import hmac
import json
import os
import secrets as randomness
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
LABELSTUDIO_EMAIL = "admin@crashdesk.example"
DATABASE = "crashdesk"
LABELSTUDIO_DATABASE = "labelstudio"
DEFAULT_PORT = 8000


class ConfigurationError(ValueError):
    """An environment variable holds a value that cannot be used; the message names the variable."""


@dataclass(frozen=True)
class EmbeddedConfig:
    """Where the embedded services live. A service is embedded when no URL of an external one was given."""

    home: Path
    port: int
    labelstudio_port: int
    postgres_port: int
    broker_port: int
    postgres: bool
    broker: bool
    labelstudio: bool
    labelstudio_venv: Path
    media: Path
    external_labelstudio_database: str = ""
    labelstudio_guard: bool = True
    public_url: str = ""

    @property
    def logs(self) -> Path:
        """Folder of one log file per process."""
        return self.home / "logs"


@dataclass(frozen=True)
class Secrets:
    """Random values made once per home and kept in `secrets.json`, readable by the owner only."""

    django_secret_key: str
    admin_password: str
    database_password: str
    broker_password: str
    labelstudio_database_password: str
    labelstudio_secret_key: str
    labelstudio_password: str
    labelstudio_token: str


def default_home() -> Path:
    """`var` in the checkout, or in the current folder when CrashDesk is installed without one."""
    base = ROOT if (ROOT / "manage.py").exists() else Path.cwd()
    return base / "var"


def load_config(environ: Mapping[str, str] | None = None) -> EmbeddedConfig:
    """The configuration from the environment (default: this process's).

    Raises ConfigurationError when a port is not a number between 1 and 65535 or two services share one.
    """
    env = os.environ if environ is None else environ
    home = Path(env["CRASHDESK_HOME"]).expanduser() if env.get("CRASHDESK_HOME") else default_home()
    home = home.absolute()
    port = _port(env, "CRASHDESK_PORT", DEFAULT_PORT)
    config = EmbeddedConfig(
        home=home,
        port=port,
        labelstudio_port=_port(env, "CRASHDESK_LABELSTUDIO_PORT", port + 1),
        postgres_port=_port(env, "CRASHDESK_POSTGRES_PORT", port + 2),
        broker_port=_port(env, "CRASHDESK_BROKER_PORT", port + 3),
        postgres=not env.get("CRASHDESK_DATABASE_URL"),
        broker=not env.get("CRASHDESK_BROKER_URL"),
        labelstudio=not env.get("CRASHDESK_LABELSTUDIO_URL"),
        labelstudio_venv=Path(env.get("CRASHDESK_LABELSTUDIO_VENV") or ROOT / ".venv-labelstudio")
        .expanduser()
        .absolute(),
        media=_media_folder(env.get("CRASHDESK_STORAGE_URL", ""), home),
        external_labelstudio_database=env.get("CRASHDESK_LABELSTUDIO_DATABASE_URL", ""),
        labelstudio_guard=_flag(env, "CRASHDESK_LABELSTUDIO_GUARD", True),
        public_url=(env.get("CRASHDESK_PUBLIC_URL") or f"http://127.0.0.1:{port}").rstrip("/"),
    )
    seen: dict[int, str] = {}
    for service, number in embedded_ports(config).items():
        if number in seen:
            raise ConfigurationError(f"port {number} is given to both {seen[number]} and {service}")
        seen[number] = service
    return config


def embedded_ports(config: EmbeddedConfig) -> dict[str, int]:
    """Ports that this home's processes will listen on, by service name."""
    ports = {"web": config.port}
    if config.labelstudio:
        ports["labelstudio"] = config.labelstudio_port
    if config.postgres:
        ports["postgres"] = config.postgres_port
    if config.broker:
        ports["broker"] = config.broker_port
    return ports


def embedded_database_url(config: EmbeddedConfig) -> str:
    """URL of CrashDesk's own database in the embedded PostgreSQL, password included."""
    password = secrets(config.home).database_password
    return f"postgresql://{DATABASE}:{password}@127.0.0.1:{config.postgres_port}/{DATABASE}"


def labelstudio_database_url(config: EmbeddedConfig) -> str:
    """URL of the database the embedded Label Studio uses.

    Raises ConfigurationError when PostgreSQL is external and nobody said which database Label Studio gets.
    """
    if config.external_labelstudio_database:
        return config.external_labelstudio_database
    if not config.postgres:
        raise ConfigurationError(
            "CRASHDESK_DATABASE_URL names your own PostgreSQL; also give the embedded Label Studio a database "
            "there (CRASHDESK_LABELSTUDIO_DATABASE_URL), or use a Label Studio of your own "
            "(CRASHDESK_LABELSTUDIO_URL), or start with --no-labelstudio"
        )
    password = secrets(config.home).labelstudio_database_password
    name = LABELSTUDIO_DATABASE
    return f"postgresql://{name}:{password}@127.0.0.1:{config.postgres_port}/{name}"


def embedded_broker_url(config: EmbeddedConfig) -> str:
    """URL of the embedded broker (redis protocol), password included."""
    return f"redis://:{secrets(config.home).broker_password}@127.0.0.1:{config.broker_port}/0"


def guard_key(secret_key: str) -> str:
    """What CrashDesk shows to the guard in front of Label Studio, made from Django's secret key (HMAC-SHA-256)."""
    return hmac.new(secret_key.encode(), b"crashdesk.labelstudio.guard", hashlib.sha256).hexdigest()


def embedded_labelstudio_url(config: EmbeddedConfig) -> str:
    """Base URL of the embedded Label Studio."""
    return f"http://127.0.0.1:{config.labelstudio_port}"


def secrets(home: Path) -> Secrets:
    """The secrets of this home; made on first use, with mode 0600, safe when many processes ask at once.

    Values missing from an older file are added, existing ones never change. Raises ConfigurationError when
    the file is not readable JSON.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / "secrets.json"
    names = [field.name for field in fields(Secrets)]
    known = _read_secrets(path)
    if known is None or any(name not in known for name in names):
        with _locked(home / "secrets.lock"):
            known = {name: _random_secret(name) for name in names} | (_read_secrets(path) or {})
            _write_private(path, json.dumps(known, indent=2, sort_keys=True) + "\n")
    return Secrets(**{name: known[name] for name in names})


def _random_secret(name: str) -> str:
    # Label Studio's legacy token has 40 characters; passwords are typed by people, so they are shorter.
    if name == "labelstudio_token":
        return randomness.token_hex(20)
    if name in {"admin_password", "labelstudio_password"}:
        return randomness.token_hex(8)
    return randomness.token_hex(32)


def _read_secrets(path: Path) -> dict[str, str] | None:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{path}: not JSON ({error}); restore it or delete it") from error
    if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
        raise ConfigurationError(f"{path}: expected one object of strings; restore it or delete it")
    return values


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def _locked(path: Path) -> "Iterator[None]":
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    raw = env.get(name, "").strip() or str(default)
    try:
        number = int(raw)
    except ValueError:
        raise ConfigurationError(f"{name}={raw!r} is not a port number") from None
    if not 1 <= number <= 65535:
        raise ConfigurationError(f"{name}: port {number} is outside 1..65535")
    return number


def _flag(env: Mapping[str, str], name: str, default: bool) -> bool:
    raw = env.get(name, "").strip().lower()
    if raw in {"", "1", "true", "yes", "on"}:
        return default if raw == "" else True
    if raw in {"0", "false", "no", "off"}:
        return False
    raise ConfigurationError(f"{name}={raw!r} is neither yes nor no; write {name}=1 or {name}=0")


def _media_folder(storage_url: str, home: Path) -> Path:
    """The local folder of stored files; `home/media` when they are kept elsewhere."""
    parts = urlsplit(storage_url)
    if parts.scheme in {"", "file"} and parts.path:
        return Path(unquote(parts.path)).absolute()
    return home / "media"
