"""The table of CrashDesk's processes, and `run`, which starts them all."""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from crashdesk.embedded import labelstudio as ls
from crashdesk.embedded.broker import BrokerServer
from crashdesk.embedded.config import (
    ROOT,
    EmbeddedConfig,
    embedded_labelstudio_url,
    embedded_ports,
    labelstudio_database_url,
)
from crashdesk.embedded.ports import taken_ports
from crashdesk.embedded.postgres import PostgresServer
from crashdesk.embedded.supervisor import ProcessSpec, Supervisor, SupervisorError, is_running

# queue, tasks at a time; `tick` revives lost jobs and is read by all but the model's worker
TICK = "tick"
WORKERS = {"media": 2, "gpu": 1, "sync": 2, "data": 2}
_GPU_THREADS_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def web_url(config: EmbeddedConfig) -> str:
    """Where this home's web pages are, seen from this machine."""
    return f"http://127.0.0.1:{config.port}"


def child_environment(config: EmbeddedConfig) -> dict[str, str]:
    """Environment of CrashDesk's own Python processes: the inherited one, pinned to this configuration."""
    paths = [str(ROOT), str(ROOT / "platform")] if (ROOT / "platform").is_dir() else []
    inherited = os.environ.get("PYTHONPATH", "")
    pinned = {
        "PYTHONPATH": os.pathsep.join([*paths, *([inherited] if inherited else [])]),
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": os.environ.get("DJANGO_SETTINGS_MODULE", "crashdesk.settings"),
        "CRASHDESK_HOME": str(config.home),
        "CRASHDESK_PORT": str(config.port),
        "CRASHDESK_LABELSTUDIO_PORT": str(config.labelstudio_port),
        "CRASHDESK_POSTGRES_PORT": str(config.postgres_port),
        "CRASHDESK_BROKER_PORT": str(config.broker_port),
    }
    return dict(os.environ) | pinned


def worker_environment(config: EmbeddedConfig, queue: str) -> dict[str, str]:
    """Only the model's worker may use every core for arithmetic; the others would fight it for them."""
    threads = max(1, os.cpu_count() or 1) if queue == "gpu" else 1
    chosen = {name: os.environ.get(name, str(threads)) for name in _GPU_THREADS_VARIABLES}
    return child_environment(config) | chosen


def process_table(config: EmbeddedConfig, *, with_labelstudio: bool = True) -> list[ProcessSpec]:
    """Every process of one home, services first. Services given by URL are not in it.

    Raises LabelStudioError or ConfigurationError when the embedded Label Studio cannot be run.
    """
    specs: list[ProcessSpec] = []
    state: list[str] = []
    if config.postgres:
        specs.append(_postgres(config))
        state.append("postgres")
    if config.broker:
        specs.append(_broker(config))
    environment = child_environment(config)
    workdir = ROOT if (ROOT / "manage.py").exists() else None
    specs.append(
        ProcessSpec(
            "migrate",
            [sys.executable, "-m", "django", "migrate", "--noinput", "--skip-checks"],
            env=environment,
            cwd=workdir,
            once=True,
            needs=state,
            ready_timeout_s=600,
        )
    )
    if with_labelstudio and config.labelstudio:
        specs += _labelstudio(config, state)
    specs.append(
        ProcessSpec(
            "web",
            [
                *(sys.executable, "-m", "gunicorn", "crashdesk.wsgi:application"),
                *("--bind", f"127.0.0.1:{config.port}", "--workers", "2", "--threads", "4", "--preload"),
                *("--timeout", "300", "--graceful-timeout", "5", "--no-control-socket"),
                *("--access-logfile", "-", "--worker-tmp-dir", _memory_folder()),
            ],
            env=environment | {name: "1" for name in _GPU_THREADS_VARIABLES},
            cwd=workdir,
            needs=["migrate"],
            ready=lambda: ls.answers(f"{web_url(config)}/health"),
        )
    )
    needs = ["migrate", "broker"] if config.broker else ["migrate"]
    specs += [_worker(config, queue, slots, needs, workdir) for queue, slots in WORKERS.items()]
    specs.append(
        ProcessSpec(
            "beat",
            [
                *(sys.executable, "-m", "celery", "-A", "crashdesk", "beat", "-l", "WARNING", "--pidfile="),
                *("-s", str(config.home / "beat-schedule")),
            ],
            env=environment,
            cwd=workdir,
            needs=needs,
            stop_timeout_s=5,
        )
    )
    return specs


def run(
    config: EmbeddedConfig,
    *,
    with_labelstudio: bool = True,
    then: str = "",
    say: Callable[[str], None] | None = None,
) -> int:
    """Start this home, serve until stopped, and return the exit status; see `Supervisor.run`.

    `then` is a command line run once when everything is ready. Raises SupervisorError with one line of help
    per problem (ports in use, already running), and the launchers' own errors.
    """
    config.home.mkdir(parents=True, exist_ok=True)
    specs = process_table(config, with_labelstudio=with_labelstudio)
    names = {"web", *(spec.name for spec in specs)}
    ports = {name: port for name, port in embedded_ports(config).items() if name in names}
    killed_before = (config.home / "run.json").exists()
    if not is_running(config.home):
        problems = taken_ports(ports, wait_s=15.0 if killed_before else 0.0)
        if problems:
            raise SupervisorError("\n".join(problems))
    urls = {"web": web_url(config)}
    if "labelstudio" in names:
        urls["labelstudio"] = embedded_labelstudio_url(config)
    supervisor = Supervisor(specs, config.home, ports=ports, urls=urls, say=say)
    return supervisor.run(then=then_command(then), then_env=child_environment(config))


def then_command(text: str) -> list[str]:
    """Words of a follow-up command; `manage.py …` and `python …` are run by this very interpreter."""
    words = shlex.split(text)
    if words and Path(words[0]).name in {"python", "python3"}:
        return [sys.executable, *words[1:]]
    if words and words[0].endswith(".py"):
        return [sys.executable, *words]
    return words


def _postgres(config: EmbeddedConfig) -> ProcessSpec:
    server = PostgresServer(config.home, config.postgres_port)
    return ProcessSpec(
        "postgres",
        lambda: server.argv,
        env=server.env,
        cwd=Path("/"),
        before=server.prepare,
        after=server.release,
        ready=server.is_ready,
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
        stop_timeout_s=20,
        account=lambda: server.account,
        pass_fds=lambda: server.lock_descriptors,
    )


def _broker(config: EmbeddedConfig) -> ProcessSpec:
    server = BrokerServer(config.home, config.broker_port)
    return ProcessSpec(
        "broker", lambda: server.argv, env=server.env, before=server.prepare, ready=server.is_ready
    )


def _labelstudio(config: EmbeddedConfig, needs: Sequence[str]) -> list[ProcessSpec]:
    studio = ls.LabelStudio(config)
    studio.require_installed()
    labelstudio_database_url(config)  # says now, not later, when there is none
    init = ProcessSpec(
        "labelstudio-init",
        studio.init_argv,
        env=studio.init_env,
        once=True,
        needs=needs,
        before=studio.prepare,
        skip=studio.is_initialised,
        progress=studio.init_progress,
        ready_timeout_s=1200,
    )
    server = ProcessSpec(
        "labelstudio",
        studio.argv,
        env=studio.env,
        needs=["labelstudio-init"],
        before=studio.prepare,
        ready=studio.is_ready,
        ready_timeout_s=300,
    )
    return [init, server]


def _worker(
    config: EmbeddedConfig, queue: str, slots: int, needs: Sequence[str], workdir: Path | None
) -> ProcessSpec:
    """A killed supervisor kills its workers at once: a lease brings their jobs back, a slow goodbye does not."""
    queues = queue if queue == "gpu" else f"{queue},{TICK}"
    return ProcessSpec(
        f"worker-{queue}",
        [
            *(sys.executable, "-m", "celery", "-A", "crashdesk", "worker", "-Q", queues, "-n", f"{queue}@%h"),
            *("-P", "threads", "-c", str(slots), "-l", "INFO", "--without-gossip", "--without-mingle"),
        ],
        env=worker_environment(config, queue),
        cwd=workdir,
        needs=needs,
        ready_text=" ready.",
        death_signal=signal.SIGKILL,
        stop_timeout_s=25,
        ready_timeout_s=180,
    )


def _memory_folder() -> str:
    """gunicorn's heartbeat files: a slow disk must not look like a dead worker."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"
