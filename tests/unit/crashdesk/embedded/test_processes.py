"""The table of processes: what is in it, and with which environment."""

import socket
import sys
from pathlib import Path

import pytest

from crashdesk.embedded import processes
from crashdesk.embedded.config import ConfigurationError, EmbeddedConfig, load_config
from crashdesk.embedded.labelstudio import LabelStudioError
from crashdesk.embedded.ports import free_port
from crashdesk.embedded.supervisor import ProcessSpec, SupervisorError


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """Something that looks like Label Studio's environment."""
    folder = tmp_path / "venv"
    packages = folder / "lib" / "python3.11" / "site-packages"
    for name in ("label_studio-1.23.2.dist-info", "gunicorn-27.0.1.dist-info", "label_studio"):
        (packages / name).mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").touch()
    return folder


def configuration(tmp_path: Path, **variables: str) -> EmbeddedConfig:
    return load_config({"CRASHDESK_HOME": str(tmp_path / "home"), **variables})


def table(config: EmbeddedConfig, *, with_labelstudio: bool = True) -> dict[str, ProcessSpec]:
    return {spec.name: spec for spec in processes.process_table(config, with_labelstudio=with_labelstudio)}


def test_everything_is_embedded_by_default(tmp_path: Path, venv: Path) -> None:
    specs = table(configuration(tmp_path, CRASHDESK_LABELSTUDIO_VENV=str(venv)))
    assert set(specs) == {
        *("postgres", "broker", "migrate", "web", "beat", "labelstudio-init", "labelstudio"),
        *("worker-media", "worker-gpu", "worker-sync", "worker-data"),
    }
    assert "postgres" in specs["migrate"].needs
    assert set(specs["worker-gpu"].needs) == {"migrate", "broker"}


def test_external_services_are_not_started(tmp_path: Path) -> None:
    config = configuration(
        tmp_path,
        CRASHDESK_DATABASE_URL="postgresql://db/crashdesk",
        CRASHDESK_BROKER_URL="amqp://mq",
        CRASHDESK_LABELSTUDIO_URL="https://ls.example",
    )
    specs = table(config)
    assert not {"postgres", "broker", "labelstudio", "labelstudio-init"} & set(specs)
    assert list(specs["migrate"].needs) == []


def test_workers_run_as_agreed(tmp_path: Path) -> None:
    specs = table(configuration(tmp_path), with_labelstudio=False)
    for queue, slots in processes.WORKERS.items():
        argv = specs[f"worker-{queue}"].argv
        assert not callable(argv)
        text = " ".join(argv)
        assert f"-Q {queue if queue == 'gpu' else f'{queue},tick'} " in text
        assert f"-P threads -c {slots} " in text
    environment = specs["worker-media"].env
    assert environment is not None
    assert environment["CRASHDESK_HOME"] == str(tmp_path / "home")


def test_only_the_model_worker_computes_on_every_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    config = configuration(tmp_path)
    assert processes.worker_environment(config, "gpu")["OMP_NUM_THREADS"] == "16"
    assert processes.worker_environment(config, "media")["OMP_NUM_THREADS"] == "1"


def test_label_studio_gets_a_clean_silent_environment(
    tmp_path: Path, venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inherited = ("HOST", "PORT", "USERNAME", "PASSWORD", "DEBUG", "CI", "DATABASE_NAME", "LOG_LEVEL")
    for name in (*inherited, "LABEL_STUDIO_HOST", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "inherited")
    environment = table(configuration(tmp_path, CRASHDESK_LABELSTUDIO_VENV=str(venv)))["labelstudio"].env
    assert environment is not None
    assert "inherited" not in environment.values()
    assert environment["COLLECT_ANALYTICS"] == environment["LATEST_VERSION_CHECK"] == "false"
    assert environment["SENTRY_DSN"] == environment["FRONTEND_SENTRY_DSN"] == ""
    assert environment["HOME"] == str(tmp_path / "home" / "labelstudio")
    assert environment["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"] == str(tmp_path / "home" / "media")
    assert environment["POSTGRE_NAME"] == "labelstudio"


def test_a_missing_label_studio_is_explained(tmp_path: Path) -> None:
    config = configuration(tmp_path, CRASHDESK_LABELSTUDIO_VENV=str(tmp_path / "nothing"))
    with pytest.raises(LabelStudioError, match="make install"):
        processes.process_table(config)


def test_label_studio_needs_a_database(tmp_path: Path, venv: Path) -> None:
    config = configuration(
        tmp_path, CRASHDESK_LABELSTUDIO_VENV=str(venv), CRASHDESK_DATABASE_URL="postgresql://db/crashdesk"
    )
    with pytest.raises(ConfigurationError, match="CRASHDESK_LABELSTUDIO_DATABASE_URL"):
        processes.process_table(config)


def test_a_taken_port_stops_the_start_before_anything_runs(tmp_path: Path) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        config = configuration(
            tmp_path,
            CRASHDESK_PORT=str(free_port()),
            CRASHDESK_POSTGRES_PORT=str(sock.getsockname()[1]),
            CRASHDESK_BROKER_PORT=str(free_port()),
        )
        with pytest.raises(SupervisorError, match="needed by postgres, is in use by pid"):
            processes.run(config, with_labelstudio=False)
    assert not (config.home / "postgres").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("manage.py demo --clips 8", [sys.executable, "manage.py", "demo", "--clips", "8"]),
        ("python -m x", [sys.executable, "-m", "x"]),
        ("echo 'a b'", ["echo", "a b"]),
    ],
)
def test_follow_up_commands(text: str, words: list[str]) -> None:
    assert processes.then_command(text) == words
