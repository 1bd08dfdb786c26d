"""deploy/ agrees with the code: variables, commands, install steps, and no secrets or moving tags in it."""

import importlib.util
import re
import shlex
import shutil
import socket
import subprocess
import threading
import time
import tomllib
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml
from django.core.management import get_commands

from crashdesk.embedded.processes import TICK, WORKERS

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILES = [DEPLOY / "Dockerfile", DEPLOY / "Dockerfile.cuda"]
SETTINGS_SOURCES = ["platform/crashdesk/settings.py", "platform/crashdesk/embedded/config.py"]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def known_variables() -> set[str]:
    texts = [(ROOT / name).read_text() for name in SETTINGS_SOURCES]
    return set(re.findall(r'["\'](CRASHDESK_[A-Z_]+)["\']', "\n".join(texts)))


def instructions(dockerfile: Path) -> str:
    """The file without comments, continued lines joined."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    return "\n".join(lines).replace("\\\n", " ")


def test_every_service_of_the_design_is_there(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) >= {
        "web", "worker-media", "worker-sync", "worker-data", "worker-gpu", "beat", "migrate", "postgres",
        "rabbitmq", "s3", "labelstudio", "proxy",
    }  # fmt: skip


def test_dependencies_and_volumes_exist(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), f"{name}: {source}"
            elif not source.startswith("${"):
                assert source in compose["volumes"], f"{name}: {source}"


def test_every_variable_is_one_the_settings_read(services: dict[str, dict[str, Any]]) -> None:
    known = known_variables()
    assert len(known) > 20
    for name, service in services.items():
        given = {key for key in service.get("environment", {}) if key.startswith("CRASHDESK_")}
        assert given <= known, name


@pytest.mark.parametrize("variable", sorted(known_variables()))
def test_every_setting_is_documented(variable: str) -> None:
    assert f"\n| `{variable}` |" in (ROOT / "docs/deploy.md").read_text()


def test_documented_settings_exist() -> None:
    rows = re.findall(r"^\| `(CRASHDESK_[A-Z_]+)` \|", (ROOT / "docs/deploy.md").read_text(), re.MULTILINE)
    assert set(rows) == known_variables()
    assert len(rows) == len(set(rows))


def test_the_example_environment_lists_what_compose_asks_for() -> None:
    used = set(re.findall(r"\$\{([A-Z_0-9]+)", (DEPLOY / "compose.yaml").read_text()))
    example = dict(
        line.split("=", 1)
        for line in (DEPLOY / ".env.example").read_text().splitlines()
        if line and not line.startswith("#")
    )
    assert set(example) - {"COMPOSE_PROFILES"} == used
    for variable, value in example.items():
        if re.search("PASSWORD|SECRET|TOKEN|ACCESS_KEY", variable):
            assert value == "", variable


def python_commands() -> Iterator[tuple[str, list[str]]]:
    loaded = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for name, service in loaded["services"].items():
        if service.get("command", [""])[0] == "python":
            yield f"compose {name}", service["command"]
    for path in DOCKERFILES:
        for arguments in re.findall(r"^CMD (\[.*\])$", instructions(path), re.MULTILINE):
            yield path.name, yaml.safe_load(arguments)
    for line in (ROOT / "docs/deploy.md").read_text().splitlines():
        if line.startswith("python -m "):
            yield "docs/deploy.md", shlex.split(line)


@pytest.mark.parametrize(("where", "command"), list(python_commands()))
def test_commands_name_what_exists(where: str, command: list[str]) -> None:
    if command[1] != "-m":
        assert (ROOT / "platform/crashdesk/embedded/labelstudio_site" / Path(command[1]).name).exists()
        return
    assert importlib.util.find_spec(command[2]) is not None
    if command[2] == "django":
        assert command[3] in get_commands()
    elif command[2] == "gunicorn":
        module, _, attribute = command[3].partition(":")
        assert attribute == "application"
        if module.startswith("crashdesk_labelstudio"):
            assert (ROOT / f"platform/crashdesk/embedded/labelstudio_site/{module}.py").exists()
        else:
            assert importlib.util.find_spec(module) is not None
    else:
        assert command[2:5] == ["celery", "-A", "crashdesk"]
        if command[5] == "worker":
            own, *others = command[command.index("-Q") + 1].split(",")
            assert own in WORKERS
            assert others == ([] if own == "gpu" else [TICK])
            assert command[command.index("-P") + 1] == "threads"
        else:
            assert command[5] == "beat"


def test_every_queue_has_a_worker_as_in_the_embedded_start(services: dict[str, dict[str, Any]]) -> None:
    workers = {
        command[command.index("-Q") + 1].split(",")[0]: int(command[command.index("-c") + 1])
        for command in (service.get("command", []) for service in services.values())
        if "worker" in command
    }
    assert workers == WORKERS


def test_images_install_what_the_documentation_and_the_makefile_install() -> None:
    makefile, docs = (ROOT / "Makefile").read_text(), (ROOT / "docs/deploy.md").read_text()
    assert '-c constraints.txt -e ".[cpu]"' in makefile
    assert 'pip install -c constraints.txt ".[cpu]"' in docs
    for path in DOCKERFILES:
        assert 'pip install -c constraints.txt ".[cpu]"' in instructions(path)
    labelstudio = "-c constraints-labelstudio.txt label-studio gunicorn"
    for text in (makefile, docs, instructions(DOCKERFILES[0])):
        assert labelstudio in text


def test_pinned_versions_agree() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    cuda, docs = instructions(DEPLOY / "Dockerfile.cuda"), (ROOT / "docs/deploy.md").read_text()
    flash_attn = next(name for name in extras["gpu"] if name.startswith("flash-attn"))
    torch = next(name for name in extras["cpu"] if name.startswith("torch=="))
    assert flash_attn in cuda
    assert flash_attn in docs
    assert torch in cuda
    assert torch in (ROOT / "constraints.txt").read_text().splitlines()
    label_studio = extras["labelstudio"][0]
    assert label_studio in (ROOT / "constraints-labelstudio.txt").read_text().splitlines()
    assert f"crashdesk-labelstudio:{label_studio.split('==')[1]}" in (DEPLOY / "compose.yaml").read_text()


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_images_copy_what_exists(path: Path) -> None:
    ignored = (DEPLOY / f"{path.name}.dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+)$", instructions(path), re.MULTILINE)
    for line in copied:
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source.split('/')[0]}" in ignored
    assert copied


def test_no_image_tag_moves(services: dict[str, dict[str, Any]]) -> None:
    images = [service["image"] for service in services.values()]
    stages: set[str] = set()
    for path in DOCKERFILES:
        for image, stage in re.findall(r"^FROM (\S+) AS (\S+)$", instructions(path), re.MULTILINE):
            if image not in stages and "${" not in image:
                images.append(image)
            stages.add(stage)
    for image in images:
        name, colon, tag = image.rpartition(":")
        assert name
        assert colon, f"{image} has no tag"
        assert re.match(r"v?\d+\.\d+", tag), f"{image}: the tag names no version"


def test_no_secret_is_written_down(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASS|SECRET|(?<!API_)TOKEN|ACCESS_KEY", key):
                assert re.fullmatch(r"\$\{[A-Z_0-9]+:\?\}", str(value)), f"{name}: {key}"
            for password in re.findall(r"://[^/:@]*:([^@/]+)@", str(value)):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?\}", password), f"{name}: {key}"


def test_only_the_proxy_is_published(services: dict[str, dict[str, Any]]) -> None:
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]


def test_the_proxy_speaks_to_services_that_listen(services: dict[str, dict[str, Any]]) -> None:
    targets = dict(re.findall(r"set \$\w+ ([\w-]+):(\d+);", (DEPLOY / "nginx.conf").read_text()))
    assert targets == {"web": "8000", "labelstudio": "8080", "s3": "8333"}
    for name in ("web", "labelstudio"):
        assert f"--bind=0.0.0.0:{targets[name]}" in services[name]["command"]


GUARD = "/api/labelstudio/guard"


class WholeFile(BaseHTTPRequestHandler):
    """Answers every GET with ten bytes and knows nothing of ranges; as CrashDesk's guard, it says what `says` holds."""

    says: ClassVar[dict[str, tuple[int, dict[str, str]]]] = {}
    asked: ClassVar[list[dict[str, str]]] = []
    passed: ClassVar[list[str]] = []
    came_with: ClassVar[list[dict[str, str]]] = []

    def do_GET(self) -> None:
        if self.path == GUARD:
            self.asked.append(dict(self.headers))
            line = f"{self.headers['X-Original-Method']} {self.headers['X-Original-URI']}"
            status, headers = self.says.get(line, (204, {}))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.passed.append(f"{self.command} {self.path}")
        self.came_with.append(dict(self.headers))
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.send_header("X-Seen-Host", self.headers["Host"])
        self.end_headers()
        self.wfile.write(b"0123456789")

    do_DELETE = do_GET

    def log_message(self, *_: Any) -> None:
        """Silent."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[dict[int, int]]:
    """A real nginx with deploy/nginx.conf in front of a stand-in; container port -> port here."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    WholeFile.says, WholeFile.asked, WholeFile.passed, WholeFile.came_with = {}, [], [], []
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), WholeFile)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    ports = {port: free_port() for port in (8000, 8080, 9000)}
    text = (DEPLOY / "nginx.conf").read_text()
    for old, new in ports.items():
        text = text.replace(f"listen {old};", f"listen 127.0.0.1:{new};")
    text = re.sub(r"set (\$\w+) [\w-]+:\d+;", rf"set \1 127.0.0.1:{upstream.server_port};", text)
    text = text.replace("/tmp/nginx.pid", str(tmp_path / "nginx.pid")).replace("/dev/stdout", "off")
    text = text.replace("resolver 127.0.0.11 valid=10s ipv6=off;", "")
    (tmp_path / "nginx.conf").write_text(text)
    process = subprocess.Popen(
        [nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"],
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(ports[8000], process)
        yield ports
    finally:
        process.terminate()
        process.communicate(timeout=10)
        upstream.shutdown()
        upstream.server_close()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.02)
    raise AssertionError("nginx does not listen")


def test_a_real_proxy_cuts_ranges_and_keeps_tips_away(proxy: dict[int, int]) -> None:
    for port in proxy.values():
        asked = Request(f"http://127.0.0.1:{port}/clip.mp4", headers={"Range": "bytes=3-5"})
        with urlopen(asked, timeout=5) as answer:
            assert (answer.status, answer.read()) == (206, b"345")
            assert answer.headers["Content-Range"] == "bytes 3-5/10"
            assert answer.headers["X-Seen-Host"] == f"127.0.0.1:{port}"
            assert answer.headers["Access-Control-Allow-Origin"] == ("*" if port == proxy[9000] else None)
    with pytest.raises(HTTPError) as refused:
        urlopen(f"http://127.0.0.1:{proxy[8080]}/heidi-tips/?x=1", timeout=5)
    assert refused.value.code == 404
    refused.value.close()


def through(proxy: dict[int, int], method: str, path: str, **headers: str) -> tuple[int, str, str]:
    """Status, body and Location of a request to Label Studio's door; redirects are not followed."""
    connection = HTTPConnection("127.0.0.1", proxy[8080], timeout=5)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body, answer.headers.get("Location", "")


def test_a_real_proxy_asks_crashdesk_before_label_studio(proxy: dict[int, int]) -> None:
    refused = {"X-CrashDesk-Reason": "Not yours.", "X-CrashDesk-Location": "http://desk.example/work?a=1&b=2"}
    WholeFile.says |= {
        "DELETE /api/projects/1/": (403, refused),
        "GET /projects/1/data?task=2": (401, refused),
        "GET /api/broken": (500, {}),
        "GET /api/tasks?project=1&view=3": (204, {"X-CrashDesk-Query": "project=1&query=%7B%22a%22%3A1%7D"}),
    }
    assert through(proxy, "DELETE", "/api/projects/1/")[:2] == (403, '{"detail": "Not yours."}')
    assert through(proxy, "GET", "/projects/1/data?task=2")[0] == 401
    sent = through(proxy, "GET", "/projects/1/data?task=2", Accept="text/html,*/*")
    assert (sent[0], sent[2]) == (302, "http://desk.example/work?a=1&b=2")
    assert through(proxy, "GET", "/api/broken")[0] == 500
    assert WholeFile.passed == []
    assert through(proxy, "GET", "/api/tasks?project=1&view=3")[0] == 200
    assert through(proxy, "GET", "/api/tasks/?page=2")[0] == 200
    assert through(proxy, "GET", "/api/tasks/7%2F/?project=1", Cookie="sessionid=abc", Range="bytes=3-5")[
        :2
    ] == (206, "345")
    assert WholeFile.passed == [
        "GET /api/tasks?project=1&query=%7B%22a%22%3A1%7D", "GET /api/tasks?page=2", "GET /api/tasks/7%2F/?project=1",
    ]  # fmt: skip
    last = WholeFile.asked[-1]
    assert last["X-Original-URI"] == "/api/tasks/7%2F/?project=1"
    assert (last["Cookie"], last["X-Original-Host"]) == ("sessionid=abc", f"127.0.0.1:{proxy[8080]}")
    assert "Range" not in last


def test_a_real_proxy_asks_nothing_about_the_interfaces_own_files(proxy: dict[int, int]) -> None:
    for path in ("/static/icons/a.svg", "/react-app/main.js", "/health", "/dm/x.js"):
        assert through(proxy, "GET", path)[0] == 200
    assert WholeFile.asked == []
    assert through(proxy, "DELETE", "/static/icons/a.svg")[0] == 403
    WholeFile.says["GET /statics/../api/projects"] = (403, {})
    assert through(proxy, "GET", "/statics/../api/projects")[0] == 403
    assert through(proxy, "GET", "/crashdesk-guard")[0] == 404


@pytest.mark.parametrize(
    "path",
    ["/x/../static/data/local-files/?d=a.mp4", "/data/local-files/../../static/?d=a.mp4", "/static/../data/x",
     "/data/%2e%2e/static/x", "/data/%2E./static/x", "/static%2fx", "/static/%2F..%2Fx", "//static/x", "/static//x",
     "/./static/x", "/static/x/.", "/health/../static/", "/static/%5c..", "/data/..//static/x"],
)  # fmt: skip
def test_a_real_proxy_lets_no_odd_address_pass_as_a_file(proxy: dict[int, int], path: str) -> None:
    WholeFile.says[f"GET {path}"] = (403, {})  # as the guard says, where the proxy asks it
    assert through(proxy, "GET", path)[0] == 403
    assert WholeFile.passed == []


def test_a_real_proxy_takes_plain_files_whatever_their_query(proxy: dict[int, int]) -> None:
    assert through(proxy, "GET", "/static/a.b/c.js?from=http://x/../y%2f")[0] == 200
    assert WholeFile.passed == ["GET /static/a.b/c.js?from=http://x/../y%2f"]


def test_a_real_proxy_forwards_no_empty_proof(proxy: dict[int, int]) -> None:
    empty = {"Authorization": "", "X-Api-Key": " "}
    for path in ("/api/version", "/api/tasks?project=1"):
        assert through(proxy, "GET", path, **empty)[0] == 200
    given = {"Authorization": "Token t", "X-Api-Key": "k"}
    assert through(proxy, "GET", "/api/version", **given)[0] == 200
    proofs = [{name: came[name] for name in empty if name in came} for came in WholeFile.came_with]
    assert proofs == [{}, {}, given]
