"""Uploads that break off: a server that is killed, a connection that ends, several writers at once."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection, connections

from annotations.corpora.models import Upload, UploadState
from annotations.corpora.uploads.locks import only_writer
from annotations.corpora.uploads.services import COMMIT_BYTES, append, begin_upload, store_bytes
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from tests.factories import make_corpus, make_user

KILLED_WRITER = """
import os, signal, sys, django
django.setup()
from uuid import UUID
from annotations.corpora.uploads.services import append
from crashdesk.accounts.models import User

upload_id, user_id, sent = UUID(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
left = sent
def read(size):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    piece = b"x" * min(size, left)
    left -= len(piece)
    return piece
append(upload_id=upload_id, offset=0, length=2 * sent, read=read, checksum=None, by=User.objects.get(pk=user_id))
"""


def start(size: int) -> tuple[Upload, User]:
    by = make_user(Role.LEAD)
    return begin_upload(corpus=make_corpus(), name="a.mp4", size=size, metadata={}, by=by), by


@pytest.mark.django_db(transaction=True)
def test_a_killed_server_loses_nothing_that_it_acknowledged(media_root: Path) -> None:
    sent = COMMIT_BYTES + 300_000
    upload, by = start(2 * sent)
    database = connection.settings_dict
    server = database["HOST"] or "localhost"
    url = f"postgresql://{database['USER']}:{database['PASSWORD']}@{server}:{database['PORT']}/{database['NAME']}"
    if server.startswith("/"):
        pytest.skip("the test database has no TCP port")
    environment = {
        **os.environ, "CRASHDESK_DATABASE_URL": url, "CRASHDESK_STORAGE_URL": str(media_root),
        "DJANGO_SETTINGS_MODULE": "crashdesk.settings", "PYTHONPATH": os.pathsep.join([".", "platform"]),
    }  # fmt: skip
    writer = subprocess.run(
        [sys.executable, "-c", KILLED_WRITER, str(upload.pk), str(by.pk), str(sent)],
        env=environment, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert writer.returncode == -signal.SIGKILL, writer.stderr.decode()
    upload.refresh_from_db()
    assert upload.offset == COMMIT_BYTES
    file = media_root / "incoming" / str(upload.pk)
    assert file.stat().st_size >= COMMIT_BYTES

    rest = [b"y" * (2 * sent - COMMIT_BYTES)]
    deadline = time.monotonic() + 30
    while True:
        try:
            done = append(
                upload_id=upload.pk, offset=upload.offset, length=len(rest[0]),
                read=lambda size: take(rest, size), checksum=None, by=by,
            )  # fmt: skip
            break
        except Problem as problem:  # until the database notices that the killed writer is gone
            if problem.code != "upload_busy" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    assert done.offset == upload.size
    whole = b"x" * COMMIT_BYTES + b"y" * (2 * sent - COMMIT_BYTES)
    assert store_bytes(done, progress=lambda _: None).sha256 == hashlib.sha256(whole).hexdigest()


def take(rest: list[bytes], size: int) -> bytes:
    piece, rest[0] = rest[0][:size], rest[0][size:]
    return piece


@pytest.mark.django_db
def test_what_came_before_the_connection_broke_stays() -> None:
    upload, by = start(10)
    pieces = iter([b"abcd"])

    def read(size: int) -> bytes:
        for piece in pieces:
            return piece
        raise ConnectionResetError("gone")

    with pytest.raises(Problem) as caught:
        append(upload_id=upload.pk, offset=0, length=10, read=read, checksum=None, by=by)
    assert caught.value.code == "upload_interrupted"
    upload.refresh_from_db()
    assert upload.offset == 4


@pytest.mark.django_db
def test_a_body_that_ends_early_counts_as_far_as_it_came() -> None:
    upload, by = start(10)
    rest = [b"abc"]
    done = append(
        upload_id=upload.pk, offset=0, length=10, read=lambda size: take(rest, size), checksum=None, by=by
    )
    assert (done.offset, done.state) == (3, UploadState.OPEN)


@pytest.mark.django_db(transaction=True)
def test_one_writer_at_a_time(media_root: Path) -> None:
    """Eight threads send the same piece; whoever is not first is told so, and the bytes are right."""
    content = bytes(range(256)) * 1024
    upload, by = start(len(content))
    barrier, outcomes = threading.Barrier(8), []

    def send() -> None:
        rest = [content]
        try:
            barrier.wait()
            append(
                upload_id=upload.pk, offset=0, length=len(content), read=lambda size: take(rest, size),
                checksum=None, by=by,
            )  # fmt: skip
            outcomes.append("taken")
        except Problem as problem:
            outcomes.append(problem.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("taken") == 1
    assert set(outcomes) <= {"taken", "upload_busy", "offset_conflict"}
    upload.refresh_from_db()
    assert upload.offset == len(content)
    assert (media_root / "incoming" / str(upload.pk)).read_bytes() == content


@pytest.mark.django_db(transaction=True)
def test_the_lock_is_held_by_one_connection_and_given_back() -> None:
    number = UUID("ffffffff-ffff-ffff-ffff-ffffffffffff")
    seen: list[bool] = []

    def try_it() -> None:
        with only_writer(number) as alone:
            seen.append(alone)
        connections.close_all()

    def in_a_thread() -> None:
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()

    with only_writer(number) as alone:
        assert alone
        in_a_thread()
    in_a_thread()
    assert seen == [False, True]


@pytest.mark.django_db
def test_an_upload_ended_while_bytes_come_takes_no_more() -> None:
    upload, by = start(COMMIT_BYTES * 2)
    sent = 0

    def read(size: int) -> bytes:
        nonlocal sent
        if sent == 0:
            Upload.objects.filter(pk=upload.pk).update(state="cancelled", finished_at=upload.created_at)
        sent += size
        return b"x" * size

    with pytest.raises(Problem) as caught:
        append(upload_id=upload.pk, offset=0, length=COMMIT_BYTES * 2, read=read, checksum=None, by=by)
    assert caught.value.code == "upload_ended"
    assert sent == COMMIT_BYTES
    upload.refresh_from_db()
    assert upload.offset == 0
