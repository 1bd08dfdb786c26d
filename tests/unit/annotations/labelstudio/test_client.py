"""Refusals that say what to do."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from annotations.labelstudio.client import Client, LabelStudioDown, LabelStudioRefused
from crashdesk.embedded.ports import free_port


class Handler(BaseHTTPRequestHandler):
    """Answers /status/NNN/kind; `broken-json` says that more comes than does."""

    def do_GET(self) -> None:
        status, kind = self.path.split("/")[2:4]
        self.send_response(int(status))
        self.send_header("Content-Type", f"{kind}; charset=utf-8".replace("-", "/"))
        if "broken" in kind:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b'{"detail": "so it is"}' if "json" in kind else b"<html>" + b"x" * 5000)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Silent."""


@pytest.fixture
def client() -> Iterator[Client]:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Client(f"http://127.0.0.1:{server.server_port}/", "token")
    server.shutdown()
    thread.join()
    server.server_close()


def test_nobody_there() -> None:
    client = Client(f"http://127.0.0.1:{free_port()}", "token")
    with pytest.raises(LabelStudioDown, match="does not answer at http") as caught:
        client.get("/api/version")
    assert caught.value.status == 503


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/status/401/application-json", "refuses CrashDesk's token"),
        ("/status/400/application-json", "400 to GET .*so it is"),
        ("/status/404/text-html", "404 to GET .*no JSON"),
        ("/status/200/text-html", "not as Label Studio does"),
    ],
)
def test_refusals(client: Client, path: str, words: str) -> None:
    with pytest.raises(LabelStudioRefused, match=words) as caught:
        client.get(path)
    assert caught.value.status == 502
    assert len(caught.value.message) < 400


def test_an_answer_comes_with_the_servers_clock(client: Client) -> None:
    asked = datetime.now(UTC)
    reply = client.call("GET", "/status/200/application-json")
    assert reply.data == {"detail": "so it is"}
    assert abs((datetime.now(UTC) - reply.at).total_seconds()) < 5
    assert reply.asked_at < reply.at
    assert reply.asked_at <= asked


def test_an_answer_that_breaks_off_is_as_good_as_none(client: Client) -> None:
    with pytest.raises(LabelStudioDown, match="broke off"):
        client.get("/status/200/broken-json")


def test_exists(client: Client) -> None:
    assert client.exists("/status/200/application-json")
    assert not client.exists("/status/404/application-json")
    with pytest.raises(LabelStudioRefused):
        client.exists("/status/500/application-json")
