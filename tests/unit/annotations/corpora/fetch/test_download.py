import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from annotations.corpora.fetch.download import Failed, Refused, Rules, download
from crashdesk.storage.incoming import Spool
from tests.unit.annotations.corpora.fetch.server import Site, site

RULES = Rules(max_bytes=1 << 20, timeout_s=20, allow_loopback=True)


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as found:
        yield found


def get(url: str, rules: Rules = RULES) -> bytes:
    with Spool() as spool:
        download(url, spool, rules=rules, progress=lambda done, total: None)
        spool.flush()
        return spool.path.read_bytes()


def test_a_clip_is_fetched(web: Site) -> None:
    content = bytes(range(256)) * 1000
    seen: list[tuple[int, int | None]] = []
    with Spool() as spool:
        url = web.serve("/a%20b.mp4?x=1", content)
        download(url, spool, rules=RULES, progress=lambda done, total: seen.append((done, total)))
        assert spool.size == len(content)
        assert seen[-1] == (len(content), len(content))
    assert web.asked == [("/a%20b.mp4?x=1", f"127.0.0.1:{web.port}")]


@pytest.mark.parametrize(
    "kind", ["video/x-msvideo", "application/octet-stream", "image/gif", "", "VIDEO/MP4; x=y"]
)
def test_what_can_be_a_video_is_taken(web: Site, kind: str) -> None:
    assert get(web.serve("/a", b"bytes", kind)) == b"bytes"


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "image/png", "audio/mpeg"])
def test_what_says_that_it_is_no_video_is_refused(web: Site, kind: str) -> None:
    with pytest.raises(Refused, match="it is no video but"):
        get(web.serve("/a", b"<html>", kind))


@pytest.mark.parametrize(
    "url",
    [
        "", "clip.mp4", "/etc/passwd", "file:///etc/passwd", "ftp://host/a.mp4", "gopher://host/", "http://",
        "http://user:secret@host/a.mp4", "http://host:99999/", "http://ho st/", "data:video/mp4;base64,AAAA",
    ],
)  # fmt: skip
def test_addresses_of_other_kinds_are_refused(url: str) -> None:
    with pytest.raises((Refused, Failed)):
        get(url)


def test_without_the_argument_this_machine_is_refused(web: Site) -> None:
    strict = Rules(max_bytes=1 << 20, timeout_s=5)
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433"):
        with pytest.raises(Refused, match="not an address of the public internet"):
            get(web.serve("/a", b"bytes").replace("127.0.0.1", host), strict)
    assert web.asked == []


@pytest.mark.parametrize(
    "target",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "http://[fe80::1]/",
    ],
)
def test_a_redirect_is_checked_like_the_first_address(web: Site, target: str) -> None:
    with pytest.raises(Refused):
        get(web.redirect("/a", target))


def test_redirects_are_followed_a_few_times(web: Site) -> None:
    web.serve("/clip", b"bytes")
    web.redirect("/b", "/clip", 307)
    assert get(web.redirect("/a", "b", 301)) == b"bytes"
    with pytest.raises(Refused, match="redirects"):
        get(web.redirect("/loop", "/loop"))
    assert len([path for path, _ in web.asked if path == "/loop"]) == 6


def test_a_name_that_changes_its_address_does_not_get_through(web: Site) -> None:
    """The name is looked up once per connection, and what was looked up is what is connected to."""
    looked_up: list[str] = []

    def rebinding(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
        looked_up.append(host)
        return [(socket.AF_INET, ("127.0.0.1" if len(looked_up) == 1 else "10.0.0.1", port))]

    rules = Rules(max_bytes=1 << 20, timeout_s=5, allow_loopback=True, resolve=rebinding)
    assert get(web.serve("/a", b"bytes").replace("127.0.0.1", "clips.example"), rules) == b"bytes"
    assert looked_up == ["clips.example"]
    assert web.asked == [("/a", f"clips.example:{web.port}")]
    with pytest.raises(Refused, match=r"10\.0\.0\.1"):
        get(web.url("/a", "clips.example"), rules)
    assert looked_up == ["clips.example"] * 2


def test_proxies_of_the_environment_are_not_used(web: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert get(web.serve("/a", b"bytes")) == b"bytes"


def test_too_large_a_clip_is_refused(web: Site) -> None:
    small = Rules(max_bytes=1000, timeout_s=5, allow_loopback=True)
    with pytest.raises(Refused, match="more than"):
        get(web.serve("/told", b"x" * 1001), small)

    def untold(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x" * 100_000)

    web.pages["/untold"] = untold
    with pytest.raises(Refused, match="more than"):
        get(web.url("/untold"), small)
    assert get(web.serve("/fits", b"x" * 1000), small) == b"x" * 1000


def test_a_body_that_ends_early_is_no_clip(web: Site) -> None:
    def short(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "100")
        request.end_headers()
        request.wfile.write(b"x" * 50)

    web.pages["/short"] = short
    with pytest.raises(Failed) as caught:
        get(web.url("/short"))
    assert caught.value.again


@pytest.mark.parametrize("where", ["headers", "body"])
def test_a_server_that_takes_its_time_is_cut_off(web: Site, where: str) -> None:
    gone = threading.Event()

    def slow(request: BaseHTTPRequestHandler) -> None:
        if where == "body":
            request.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        else:
            request.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
        try:
            for _ in range(600):
                request.wfile.write(b"x")
                gone.wait(0.02)
        except OSError:
            gone.set()
            raise

    web.pages["/slow"] = slow
    with pytest.raises(Failed, match=r"longer than 0\.3 s") as caught:
        get(web.url("/slow"), Rules(max_bytes=1 << 20, timeout_s=0.3, allow_loopback=True))
    assert not caught.value.again
    assert gone.wait(5)


@pytest.mark.parametrize(
    ("status", "again"), [(404, False), (403, False), (500, True), (503, True), (429, True)]
)
def test_an_answer_that_is_no_clip_fails(web: Site, status: int, again: bool) -> None:
    with pytest.raises(Failed, match=f"the server answers {status}") as caught:
        get(web.serve("/a", b"no", status=status))
    assert caught.value.again == again


def test_nobody_there_fails_and_may_be_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Failed) as caught:
        get(f"http://127.0.0.1:{port}/a")
    assert caught.value.again

    def unknown(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
        raise socket.gaierror("Name or service not known")

    with pytest.raises(Failed, match="not known"):
        get("http://nowhere.example/", Rules(max_bytes=1, timeout_s=5, resolve=unknown))


def test_nonsense_instead_of_an_answer_fails(web: Site) -> None:
    web.pages["/odd"] = lambda request: [request.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n"), None][1]
    with pytest.raises(Failed):
        get(web.url("/odd"))


def test_compressed_bytes_are_not_blown_up(web: Site) -> None:
    def bomb(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")
        request.end_headers()
        request.wfile.write(b"\x1f\x8b not unpacked")

    web.pages["/bomb"] = bomb
    assert get(web.url("/bomb")) == b"\x1f\x8b not unpacked"


def test_whoever_reports_progress_can_stop_it(web: Site) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int | None) -> None:
        raise Stop

    with Spool() as spool, pytest.raises(Stop):
        download(web.serve("/a", b"bytes"), spool, rules=RULES, progress=stop)


def certificate(folder: Path, host: str) -> Path:
    """A self-signed certificate for `host` with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / f"{host}.pem"
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


def test_tls_keeps_the_name_although_the_address_is_pinned(tmp_path: Path) -> None:
    file = certificate(tmp_path, "clips.example")
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(file)
    names: list[str | None] = []
    server_side.sni_callback = lambda connection, name, context: names.append(name)

    def here(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
        return [(socket.AF_INET, (str(ipaddress.ip_address("127.0.0.1")), port))]

    def trusting() -> Rules:
        return Rules(
            max_bytes=1 << 20, timeout_s=5, allow_loopback=True, resolve=here,
            ssl_context=ssl.create_default_context(cafile=str(file)),
        )  # fmt: skip

    with site(server_side) as web:
        web.serve("/a", b"bytes")
        assert get(web.url("/a", "clips.example", "https"), trusting()) == b"bytes"
        assert web.asked == [("/a", f"clips.example:{web.port}")]
        assert names == ["clips.example"]
        with pytest.raises(Failed, match="mismatch") as caught:
            get(web.url("/a", "other.example", "https"), trusting())
        assert not caught.value.again
        with pytest.raises(Failed, match="self-signed") as caught:
            get(
                web.url("/a", "clips.example", "https"),
                Rules(max_bytes=1, timeout_s=5, allow_loopback=True, resolve=here),
            )
        assert len(web.asked) == 1
