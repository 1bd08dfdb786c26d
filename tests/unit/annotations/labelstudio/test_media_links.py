"""Videos for Label Studio's pages: signed, expiring, in ranges, and for that origin alone."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client as Browser
from django.utils import timezone

from annotations.corpora.models import Media, MediaState
from annotations.labelstudio.media_links import signed_address, video_address
from tests.factories import make_media

pytestmark = pytest.mark.django_db
STUDIO = "http://127.0.0.1:8001"


@pytest.fixture
def media(media_root: Path, settings: Any) -> Media:
    settings.LABELSTUDIO_MEDIA = "signed"
    settings.LABELSTUDIO_PUBLIC_URL = f"{STUDIO}/studio"
    made = make_media()
    proxy = media_root / made.proxy_name
    proxy.parent.mkdir(parents=True)
    proxy.write_bytes(b"0123456789")
    return made


def path_of(address: str) -> str:
    return urlsplit(address).path


def test_a_range_for_label_studios_page(media: Media, client: Browser) -> None:
    address, until = video_address(media)
    assert until is not None
    assert abs((until - timezone.now() - timedelta(days=14)).total_seconds()) < 60
    response = client.get(path_of(address), headers={"range": "bytes=2-4", "origin": STUDIO})
    assert response.status_code == 206
    assert b"".join(response.streaming_content) == b"234"  # type: ignore[attr-defined]
    assert response["Content-Range"] == "bytes 2-4/10"
    assert response["Access-Control-Allow-Origin"] == STUDIO
    assert "Content-Range" in response["Access-Control-Expose-Headers"]
    assert "Set-Cookie" not in response.headers


def test_a_browser_may_ask_first(media: Media, client: Browser) -> None:
    address, _ = video_address(media)
    response = client.options(
        path_of(address), headers={"origin": STUDIO, "access-control-request-headers": "range"}
    )
    assert response.status_code == 204
    assert "Range" in response["Access-Control-Allow-Headers"]
    whole = client.head(path_of(address))
    whole.close()
    assert (whole.status_code, whole["Accept-Ranges"], whole["Content-Length"]) == (200, "bytes", "10")


def test_other_pages_may_not_read_it(media: Media, client: Browser) -> None:
    response = client.get(path_of(video_address(media)[0]), headers={"origin": "https://elsewhere.example"})
    assert "Access-Control-Allow-Origin" not in response.headers
    assert response["Vary"] == "Origin"
    response.close()


def test_an_address_ends(media: Media, client: Browser) -> None:
    address = signed_address(media.sha256, timezone.now() - timedelta(seconds=1))
    response = client.get(path_of(address), headers={"origin": STUDIO})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "link_expired")
    assert response["Access-Control-Allow-Origin"] == STUDIO


@pytest.mark.parametrize("part", ["sha256", "end", "signature"])
def test_nothing_of_an_address_can_be_changed(media: Media, client: Browser, part: str) -> None:
    other = make_media()
    sha256, end, name = path_of(video_address(media)[0]).split("/")[-3:]
    changed = {
        "sha256": [other.sha256, end, name],
        "end": [sha256, str(int(end) + 1), name],
        "signature": [sha256, end, name.translate(str.maketrans("0123", "1230"))],
    }[part]
    response = client.get("/api/labelstudio/media/" + "/".join(changed))
    assert (response.status_code, response.json()["error"]["code"]) == (403, "link_invalid")


def test_a_clip_that_is_gone(media: Media, client: Browser) -> None:
    address, _ = video_address(media)
    Media.objects.filter(pk=media.pk).update(state=MediaState.PENDING)
    assert client.get(path_of(address)).status_code == 404


def test_where_label_studio_sees_the_folder_it_serves_the_file_itself(media: Media, settings: Any) -> None:
    settings.LABELSTUDIO_MEDIA = "storage"
    assert video_address(media) == (f"/data/local-files/?d={media.proxy_name}", None)
