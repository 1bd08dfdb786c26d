"""A corpus that people can trust, with every real service: sent in pieces, compared with all others, audited."""

import base64
from pathlib import Path

import pytest

from tests.e2e.stack import Stack
from tests.e2e.test_loop import Loop
from tests.unit.annotations.cases.conversations import CALM, CRASH, write
from tests.unit.annotations.corpora.duplicates import copies

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def send_in_two_pieces(loop: Loop, path: Path, corpus: str) -> str:
    """A clip by the tus protocol with a break in the middle; returns the name of its video."""
    content, session = path.read_bytes(), loop.client.session
    given = {"filename": path.name, "corpus": corpus}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in given.items())
    tus = {"Tus-Resumable": "1.0.0"}
    made = session.post(
        loop.client.base + "uploads",
        headers={**tus, "Upload-Length": str(len(content)), "Upload-Metadata": metadata},
    )
    assert made.status_code == 201, made.text
    url = loop.stack.url + made.headers["Location"].removeprefix(loop.stack.url)
    patch = {**tus, "Content-Type": "application/offset+octet-stream"}
    half = len(content) // 2
    sent = session.patch(url, data=content[:half], headers={**patch, "Upload-Offset": "0"})
    assert sent.status_code == 204, sent.text
    too_early = session.patch(url, data=b"x", headers={**patch, "Upload-Offset": str(half + 1)})
    assert too_early.status_code == 409
    offset = int(session.head(url, headers=tus).headers["Upload-Offset"])
    assert offset == half
    sent = session.patch(url, data=content[half:], headers={**patch, "Upload-Offset": str(offset)})
    assert sent.status_code == 204, sent.text
    return path.name


def test_clips_sent_in_pieces_are_found_to_be_copies_of_others(stack: Stack) -> None:
    loop = Loop(stack)
    folder = stack.home / "incoming" / "originals"
    folder.mkdir(parents=True)
    for number in (1, 2):
        copies.write(folder / f"scene-{number}.mp4", copies.scene(number))
    loop.import_folder("originals", "folder", folder)
    loop.client.post("corpora", {"name": "sent"})
    copy = stack.home / "smaller.mp4"
    copies.write(copy, copies.scene(1), change=copies.half_size)
    name = send_in_two_pieces(loop, copy, "sent")

    def video() -> list[dict[str, object]]:
        return list(loop.client.all("videos", corpus=loop.corpus("sent")["id"], state="ready"))

    loop.client.wait_until("the clip is examined", lambda: len(video()) == 1)
    (sent,) = video()
    assert sent["name"] == name
    assert str(sent["storyboard_url"]).endswith("/storyboard")
    assert loop.client.download(f"videos/{sent['id']}/storyboard.vtt").startswith(b"WEBVTT")

    def clusters() -> list[dict[str, object]]:
        return list(loop.client.all("duplicate-clusters", corpus=loop.corpus("sent")["id"]))

    loop.client.wait_until("copies are found", lambda: bool(clusters()))
    (cluster,) = clusters()
    members = loop.client.get(f"duplicate-clusters/{cluster['id']}")["members"]
    assert {member["name"] for member in members} == {"scene-1.mp4", name}


def test_an_imported_corpus_is_audited_without_being_asked(stack: Stack) -> None:
    loop = Loop(stack)
    rows = {f"videos/cap_{n}.mp4": CRASH for n in range(30)} | {
        f"videos/d2city_{n}_1.mp4": CALM for n in range(30)
    }
    folder = write(stack.home / "incoming" / "audited", rows)
    loop.import_folder("audited", "crashchat", folder)
    corpus = loop.corpus("audited")["id"]

    def audits() -> list[dict[str, object]]:
        return list(loop.client.all("audits", corpus=corpus))

    loop.client.wait_until("the audit is made", lambda: bool(audits()))
    audit = loop.client.get(f"audits/{audits()[0]['id']}")
    found = {finding["code"]: finding for finding in audit["findings"]}
    assert found["media_missing"]["count"] == len(rows)
