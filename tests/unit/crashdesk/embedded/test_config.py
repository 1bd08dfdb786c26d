"""Ports, URLs and secrets of the embedded services."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crashdesk.embedded import config as embedded
from crashdesk.embedded.config import ConfigurationError, load_config


def test_ports_follow_the_base_port(tmp_path: Path) -> None:
    config = load_config({"CRASHDESK_HOME": str(tmp_path), "CRASHDESK_PORT": "8100"})
    assert embedded.embedded_ports(config) == {
        "web": 8100,
        "labelstudio": 8101,
        "postgres": 8102,
        "broker": 8103,
    }
    assert embedded.embedded_labelstudio_url(config) == "http://127.0.0.1:8101"


def test_each_port_can_be_chosen(tmp_path: Path) -> None:
    config = load_config({"CRASHDESK_HOME": str(tmp_path), "CRASHDESK_POSTGRES_PORT": "5433"})
    assert config.postgres_port == 5433
    assert config.broker_port == 8003


@given(st.integers(1, 65532))
def test_derived_ports_never_clash(port: int) -> None:
    ports = embedded.embedded_ports(load_config({"CRASHDESK_PORT": str(port)}))
    assert len(set(ports.values())) == 4


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1", "80.5"])
def test_a_bad_port_is_named(value: str) -> None:
    with pytest.raises(ConfigurationError, match="CRASHDESK_PORT"):
        load_config({"CRASHDESK_PORT": value})


def test_two_services_cannot_share_a_port() -> None:
    with pytest.raises(ConfigurationError, match="port 8000 is given to both web and broker"):
        load_config({"CRASHDESK_BROKER_PORT": "8000"})


def test_a_url_makes_a_service_external(tmp_path: Path) -> None:
    config = load_config(
        {
            "CRASHDESK_HOME": str(tmp_path),
            "CRASHDESK_DATABASE_URL": "postgresql://db/x",
            "CRASHDESK_BROKER_URL": "amqp://mq",
            "CRASHDESK_LABELSTUDIO_URL": "https://ls.example",
        }
    )
    assert (config.postgres, config.broker, config.labelstudio) == (False, False, False)
    assert embedded.embedded_ports(config) == {"web": 8000}
    with pytest.raises(ConfigurationError, match="CRASHDESK_LABELSTUDIO_DATABASE_URL"):
        embedded.labelstudio_database_url(config)


def test_home_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config({"CRASHDESK_HOME": "here"}).home == tmp_path / "here"


@pytest.mark.parametrize(
    ("url", "folder"), [("", "media"), ("file:///srv/clips", "/srv/clips"), ("s3://bucket", "media")]
)
def test_media_folder_follows_the_storage(tmp_path: Path, url: str, folder: str) -> None:
    config = load_config({"CRASHDESK_HOME": str(tmp_path), "CRASHDESK_STORAGE_URL": url})
    assert config.media == tmp_path / folder


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    first = embedded.secrets(tmp_path / "home")
    path = tmp_path / "home" / "secrets.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(first.labelstudio_token) == 40
    assert embedded.secrets(tmp_path / "home") == first
    assert first.database_password in embedded.embedded_database_url(
        load_config({"CRASHDESK_HOME": str(tmp_path / "home")})
    )


def test_a_missing_secret_is_added_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text(json.dumps({"admin_password": "kept"}))
    assert embedded.secrets(tmp_path).admin_password == "kept"
    assert json.loads((tmp_path / "secrets.json").read_text())["admin_password"] == "kept"


@pytest.mark.parametrize("text", ["{", "[]", '{"admin_password": 1}'])
def test_a_damaged_secrets_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"secrets\.json"):
        embedded.secrets(tmp_path)


def test_processes_that_ask_at_once_agree(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from crashdesk.embedded.config import secrets;"
        "print(secrets(Path(sys.argv[1])))"
    )
    parent = Path(embedded.__file__).parents[2]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(parent)},
        )
        for _ in range(4)
    ]
    assert len({process.communicate()[0] for process in running}) == 1


def test_launchers_import_no_django() -> None:
    folder = Path(embedded.__file__).parent
    for path in [*folder.glob("*.py"), *folder.glob("labelstudio_site/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] == "django"], path
