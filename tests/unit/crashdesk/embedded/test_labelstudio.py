"""Label Studio's commands and the marks its initialisation leaves."""

from dataclasses import replace
from pathlib import Path

import pytest

from crashdesk.embedded.config import guard_key, load_config, secrets
from crashdesk.embedded.labelstudio import LabelStudio, LabelStudioError


@pytest.fixture
def studio(tmp_path: Path) -> LabelStudio:
    packages = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    (packages / "label_studio-1.23.2.dist-info").mkdir(parents=True)
    (packages / "label_studio_sdk-2.1.2.dist-info").mkdir()
    (tmp_path / "venv" / "bin").mkdir()
    (tmp_path / "venv" / "bin" / "python").touch()
    return LabelStudio(
        load_config({"CRASHDESK_HOME": str(tmp_path), "CRASHDESK_LABELSTUDIO_VENV": str(tmp_path / "venv")})
    )


def test_version_is_the_servers_not_the_sdks(studio: LabelStudio) -> None:
    assert studio.require_installed() == "1.23.2"
    assert "label-studio 1.23.2" in studio.stamp()


def test_stamp_changes_with_the_owners_password(studio: LabelStudio) -> None:
    before = studio.stamp()
    (studio.config.home / "secrets.json").unlink()
    assert studio.stamp() != before


def test_without_gunicorn_nothing_is_served_unguarded(studio: LabelStudio) -> None:
    with pytest.raises(LabelStudioError, match="CRASHDESK_LABELSTUDIO_GUARD=0"):
        assert studio.argv


def test_without_gunicorn_and_guard_the_development_server_listens_on_loopback(studio: LabelStudio) -> None:
    studio.config = replace(studio.config, labelstudio_guard=False)
    assert "GUARD_URL" not in studio.env
    assert "label_studio.server" in studio.argv
    assert studio.argv[studio.argv.index("--internal-host") + 1] == "127.0.0.1"


def test_with_gunicorn_it_serves(studio: LabelStudio) -> None:
    (studio.config.labelstudio_venv / "lib/python3.11/site-packages/gunicorn-27.0.1.dist-info").mkdir()
    assert "crashdesk_labelstudio_wsgi:application" in studio.argv
    assert "127.0.0.1:8001" in studio.argv


def test_its_guard_asks_crashdesk_and_knows_its_key(
    studio: LabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CRASHDESK_SECRET_KEY", raising=False)
    assert studio.env["GUARD_URL"] == "http://127.0.0.1:8000/api/labelstudio/guard"
    assert studio.env["GUARD_DESK"] == "http://127.0.0.1:8000"
    assert studio.env["GUARD_KEY"] == guard_key(secrets(studio.config.home).django_secret_key)
    monkeypatch.setenv("CRASHDESK_SECRET_KEY", "given")
    assert studio.env["GUARD_KEY"] == guard_key("given")


def test_progress_is_read_from_the_last_run_in_the_log(studio: LabelStudio) -> None:
    assert studio.init_progress() == ""
    studio.init_log.parent.mkdir()
    old = "261 migrations to apply\n" + "  Applying a.0001... OK\n" * 5
    new = "256 migrations to apply\n  Applying b.0001... OK\n  Applying b.0002..."
    studio.init_log.write_text(old + new)
    assert studio.init_progress() == "1 of 256 migrations"
