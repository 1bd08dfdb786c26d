"""The same storage functions against an S3-compatible server: a local moto, reached over HTTP as any other."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from django.test import Client
from moto.server import ThreadedMotoServer
from pytest_django import Settings

from annotations.corpora.media_store import ensure_media, store
from annotations.corpora.models import MediaState
from annotations.corpora.services import process_media
from crashdesk.accounts.models import User
from crashdesk.environment import S3Location, storage_backend, storage_location
from crashdesk.storage.files import is_local, local_path, put_bytes
from tests.factories import make_video
from tests.unit.annotations.corpora.media.clips import constant_clip

pytestmark = [pytest.mark.services, pytest.mark.django_db]


@pytest.fixture
def bucket(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    location = storage_location(f"s3://clips?endpoint=http://{host}:{port}&region=us-east-1")
    assert isinstance(location, S3Location)
    boto3.client("s3", endpoint_url=location.endpoint, region_name="us-east-1").create_bucket(Bucket="clips")
    settings.STORAGE_LOCATION = location
    settings.STORAGES = {**settings.STORAGES, "default": storage_backend(location)}
    yield f"http://{host}:{port}"
    server.stop()


def test_bytes_come_back_as_a_file_on_this_machine(bucket: str) -> None:
    assert not is_local()
    name = put_bytes("versions/x.json", b"{}")
    with local_path(name) as path:
        assert path.read_bytes() == b"{}"
    assert not path.exists()


def test_a_clip_is_stored_probed_and_played_from_the_bucket(bucket: str, tmp_path: Path, lead: User) -> None:
    clip = constant_clip(tmp_path / "clip.mp4")
    stored = store(clip)
    media = ensure_media([stored])[0][stored.sha256]
    video = make_video(media=media)
    assert process_media(media.pk).state == MediaState.READY
    browser = Client()
    browser.force_login(lead)
    answer = browser.get(f"/api/videos/{video.pk}/proxy", headers={"Range": "bytes=0-9"})
    assert answer.status_code in (302, 307)
    assert answer["Location"].startswith(bucket)
    assert "proxies/" in answer["Location"]
