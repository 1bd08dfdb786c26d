"""Label Studio in its own virtual environment, on its own database, silent towards the outside."""

import hashlib
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg2

from crashdesk.embedded.config import (
    LABELSTUDIO_EMAIL,
    EmbeddedConfig,
    embedded_labelstudio_url,
    guard_key,
    labelstudio_database_url,
    secrets,
)

_SITE = Path(__file__).with_name("labelstudio_site")
_INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")


class LabelStudioError(RuntimeError):
    """Label Studio is not installed where it should be; the message says how to install it."""


class LabelStudio:
    """Commands and environment of the embedded Label Studio of one home."""

    def __init__(self, config: EmbeddedConfig) -> None:
        self.config = config
        self.folder = config.home / "labelstudio"
        self.init_log = config.logs / "labelstudio-init.log"

    @property
    def python(self) -> Path:
        """Label Studio's interpreter."""
        return self.config.labelstudio_venv / "bin" / "python"

    def require_installed(self) -> str:
        """Version of the installed Label Studio. Raises LabelStudioError when there is none."""
        version = _installed_version(self.config.labelstudio_venv, "label_studio")
        if version is None or not self.python.exists():
            raise LabelStudioError(
                f"Label Studio is not installed in {self.config.labelstudio_venv}: run `make install`, or set "
                "CRASHDESK_LABELSTUDIO_VENV or CRASHDESK_LABELSTUDIO_URL, or start with --no-labelstudio"
            )
        return version

    def prepare(self) -> None:
        """Make the folders Label Studio expects to exist."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.media.mkdir(parents=True, exist_ok=True)

    @property
    def env(self) -> dict[str, str]:
        """A complete environment. Label Studio also reads bare names such as HOST, PORT, USERNAME, PASSWORD,
        DEBUG and CI, so almost nothing is inherited.
        """
        database = urlsplit(labelstudio_database_url(self.config))
        known = secrets(self.config.home)
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        if not self.config.external_labelstudio_database:
            # The wheel's PostgreSQL has no pg_trgm and no btree_gin; they only speed up text search.
            inherited |= {"SKIP_TRIGRAM_EXTENSION": "full", "SKIP_BTREE_GIN_EXTENSION": "full"}
        return (
            inherited
            | {
                "HOME": str(self.folder),
                "TZ": "UTC",
                "PYTHONUNBUFFERED": "1",
                "DJANGO_SETTINGS_MODULE": "core.settings.label_studio",
                "SECRET_KEY": known.labelstudio_secret_key,
                "DJANGO_DB": "default",
                "POSTGRE_HOST": database.hostname or "127.0.0.1",
                "POSTGRE_PORT": str(database.port or 5432),
                "POSTGRE_NAME": unquote(database.path.strip("/")),
                "POSTGRE_USER": unquote(database.username or ""),
                "POSTGRE_PASSWORD": unquote(database.password or ""),
                "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder),
                "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
                "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
                "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.config.media),
                "DISABLE_SIGNUP_WITHOUT_LINK": "true",
                # the webhook goes to this machine's own loopback address
                "SSRF_PROTECTION_ENABLED": "false",
                # without this flag the server accepts predictions that do not fit the labelling configuration
                "fflag_feat_utc_210_prediction_validation_15082025": "true",
                "COLLECT_ANALYTICS": "false",
                "LATEST_VERSION_CHECK": "false",
                "SENTRY_DSN": "",
                "FRONTEND_SENTRY_DSN": "",
            }
            | self._guard_env()
        )

    def _guard_env(self) -> dict[str, str]:
        """What crashdesk_labelstudio_wsgi.py needs to ask CrashDesk before Label Studio answers anybody."""
        if not self.config.labelstudio_guard:
            return {}
        secret = os.environ.get("CRASHDESK_SECRET_KEY") or secrets(self.config.home).django_secret_key
        return {
            "GUARD_URL": f"http://127.0.0.1:{self.config.port}/api/labelstudio/guard",
            "GUARD_KEY": guard_key(secret),
            "GUARD_DESK": self.config.public_url,
        }

    # --- first start: migrations and the owner -------------------------------------------------------

    @property
    def init_argv(self) -> list[str]:
        """Command that migrates the database and makes the owner; about 40 s on an empty database."""
        return [str(self.python), str(_SITE / "crashdesk_labelstudio_init.py")]

    @property
    def init_env(self) -> dict[str, str]:
        """Environment of `init_argv`."""
        known = secrets(self.config.home)
        return self.env | {
            "OWNER_EMAIL": LABELSTUDIO_EMAIL,
            "OWNER_PASSWORD": known.labelstudio_password,
            "OWNER_TOKEN": known.labelstudio_token,
            "INIT_STAMP": self.stamp(),
        }

    def stamp(self) -> str:
        """What the initialisation notes on the database: the version, and a digest of the owner's secrets."""
        known = secrets(self.config.home)
        owner = f"{LABELSTUDIO_EMAIL}\n{known.labelstudio_password}\n{known.labelstudio_token}"
        digest = hashlib.sha256(owner.encode()).hexdigest()[:16]
        return f"crashdesk: label-studio {self.require_installed()}, owner {digest}"

    def is_initialised(self) -> bool:
        """True when this version has migrated this database for this owner. The database must be up."""
        connection = psycopg2.connect(labelstudio_database_url(self.config), connect_timeout=5)
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT shobj_description(oid, 'pg_database') FROM pg_database "
                    "WHERE datname = current_database()"
                )
                row = cursor.fetchone()
        finally:
            connection.close()
        return row is not None and row[0] == self.stamp()

    def init_progress(self) -> str:
        """How far the initialisation is, from its log: `120 of 260 migrations`; empty before it says so."""
        try:
            text = self.init_log.read_text(errors="replace")
        except FileNotFoundError:
            return ""
        planned = list(re.finditer(r"^(\d+) migrations to apply", text, re.MULTILINE))
        if not planned:
            return ""
        done = len(re.findall(r"\.\.\. OK$", text[planned[-1].end() :], re.MULTILINE))
        return f"{done} of {planned[-1].group(1)} migrations"

    # --- serving ----------------------------------------------------------------------------------------

    @property
    def argv(self) -> list[str]:
        """The server: gunicorn when its environment has it, else Label Studio's development server."""
        port = self.config.labelstudio_port
        if _installed_version(self.config.labelstudio_venv, "gunicorn") is None:
            if self.config.labelstudio_guard:
                raise LabelStudioError(
                    f"gunicorn is not installed in {self.config.labelstudio_venv}, and Label Studio's development "
                    "server has no guard: run `make install`, or set CRASHDESK_LABELSTUDIO_GUARD=0 to let every "
                    "member of Label Studio do everything there"
                )
            command = [str(self.python), "-m", "label_studio.server", "start", "--no-browser"]
            return [*command, "--internal-host", "127.0.0.1", "-p", str(port)]
        command = [str(self.python), "-m", "gunicorn", "crashdesk_labelstudio_wsgi:application"]
        command += ["--chdir", str(_package_folder(self.config.labelstudio_venv)), "--pythonpath", str(_SITE)]
        command += ["--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4", "--preload"]
        return [*command, "--timeout", "600", "--graceful-timeout", "5", "--no-control-socket"]

    def is_ready(self) -> bool:
        """True when GET /health answers 200."""
        return answers(embedded_labelstudio_url(self.config) + "/health")


def answers(url: str, timeout_s: float = 1.0) -> bool:
    """True when a GET of this URL gives a status below 400."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=timeout_s) as response:
            return bool(response.status < 400)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _site_packages(venv: Path) -> Path:
    folders = sorted(venv.glob("lib/python3*/site-packages"))
    return folders[-1] if folders else venv / "lib" / "site-packages"


def _package_folder(venv: Path) -> Path:
    return _site_packages(venv) / "label_studio"


def _installed_version(venv: Path, distribution: str) -> str | None:
    """Version of a package in another environment, read from the name of its metadata folder."""
    for folder in _site_packages(venv).glob(f"{distribution}-*.dist-info"):
        return folder.name.removesuffix(".dist-info").rsplit("-", 1)[1]
    return None
