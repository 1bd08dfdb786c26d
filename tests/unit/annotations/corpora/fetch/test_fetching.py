import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from annotations.cases import fetching
from annotations.cases.models import Case
from annotations.cases.services import ensure_case
from annotations.corpora.fetch.download import Rules
from annotations.corpora.fetch.services import enqueue_fetches
from annotations.corpora.models import Media, Video, VideoFinding
from crashdesk.accounts.models import User
from crashdesk.jobs import registry
from crashdesk.jobs import services as jobs
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.tasks import perform
from tests.factories import make_corpus, make_guideline, make_media, make_video
from tests.unit.annotations.corpora.fetch.server import Site, site
from tests.unit.annotations.corpora.media.clips import constant_clip

pytestmark = pytest.mark.django_db


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as found:
        yield found


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    return constant_clip(tmp_path / "clip.mp4").read_bytes()


@pytest.fixture(autouse=True)
def local(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetching is on, and the job may reach this machine: an argument that no setting gives."""
    settings.FETCH_URLS = True
    rules = Rules(max_bytes=1 << 20, timeout_s=20, allow_loopback=True)
    handler = registry.Handler(
        kind="fetch",
        queue="data",
        run=partial(fetching.fetch_work, rules=rules),
        gave_up=fetching.fetch_gave_up,
    )
    monkeypatch.setitem(registry._HANDLERS, "fetch", handler)


def lacking(url: str, **more: Any) -> Video:
    return make_video(make_corpus(), media=None, url=url, **more)


def work() -> Job:
    Job.objects.update(not_before=None)
    job = jobs.claim_next("data")
    assert job is not None
    perform(job)
    job.refresh_from_db()
    return job


def finding(video: Video) -> tuple[str, str]:
    found = VideoFinding.objects.get(video=video)
    return found.code, found.message


def test_a_clip_is_fetched_and_its_case_completed(
    web: Site, clip: bytes, lead: User, media_root: Path
) -> None:
    video = lacking(web.serve("/a.mp4", clip), name="trip/a.mp4")
    case, _ = ensure_case(video=video, guideline=make_guideline(), by=None)
    assert case.lacks_media
    assert enqueue_fetches([video], by=lead, group="import:1") == 1
    job = work()
    assert (job.state, job.group, job.result["fetched"], job.error) == (JobState.DONE, "import:1", True, "")
    video.refresh_from_db()
    assert video.media is not None
    assert video.media.sha256 == hashlib.sha256(clip).hexdigest()
    assert (media_root / video.media.storage_name).read_bytes() == clip
    assert video.media.storage_name.endswith(".mp4")
    case.refresh_from_db()
    assert (case.lacks_media, Case.objects.count()) == (False, 1)
    media_job = Job.objects.get(kind="media")
    assert (media_job.args, media_job.group) == ({"media_id": video.media_id}, "import:1")
    assert not VideoFinding.objects.exists()
    assert list((media_root / "incoming").iterdir()) == []


def test_only_what_lacks_media_and_has_an_address_is_fetched_and_once(web: Site, clip: bytes) -> None:
    videos = [lacking("http://a.example/a.mp4"), lacking(""), make_video(url="http://a.example/b.mp4")]
    assert enqueue_fetches(videos, by=None, group="") == 1
    assert enqueue_fetches(videos, by=None, group="") == 0
    assert Job.objects.get().args == {"video_id": videos[0].pk}


def test_fetching_is_off_unless_it_was_turned_on(settings: Settings, web: Site, clip: bytes) -> None:
    video = lacking(web.serve("/a.mp4", clip))
    enqueue_fetches([video], by=None, group="")
    settings.FETCH_URLS = False
    assert enqueue_fetches([lacking("http://a.example/a.mp4")], by=None, group="") == 0
    work()
    assert finding(video)[0] == "fetch_refused"
    assert "is off" in finding(video)[1]
    assert web.asked == []


def test_bytes_that_are_no_video_are_refused_whatever_their_type_says(web: Site, media_root: Path) -> None:
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    for name, content in (("a", playlist), ("b", b"<html>hello</html>"), ("c", b"")):
        video = lacking(web.serve(f"/{name}.mp4", content))
        enqueue_fetches([video], by=None, group="")
        assert work().state == JobState.DONE
        code, message = finding(video)
        assert code == "fetch_refused"
        assert "no video" in message or "0 bytes" in message
        video.refresh_from_db()
        assert video.media is None
    assert not Media.objects.exists()
    assert not (media_root / "videos").exists()


def test_private_addresses_are_refused_with_the_reason() -> None:
    video = lacking("http://169.254.169.254/latest/meta-data")
    enqueue_fetches([video], by=None, group="")
    assert work().result["fetched"] is False
    code, message = finding(video)
    assert code == "fetch_refused"
    assert "169.254.169.254 is not an address of the public internet" in message


def test_trouble_that_may_pass_is_tried_again(web: Site, clip: bytes) -> None:
    video = lacking(web.serve("/a.mp4", b"busy", status=503))
    enqueue_fetches([video], by=None, group="")
    assert work().state == JobState.QUEUED
    assert not VideoFinding.objects.exists()
    web.serve("/a.mp4", clip)
    assert work().state == JobState.DONE
    video.refresh_from_db()
    assert video.media is not None


def test_trouble_that_does_not_pass_is_named_and_taken_back_when_it_does(web: Site, clip: bytes) -> None:
    video = lacking(web.serve("/a.mp4", b"busy", status=503))
    enqueue_fetches([video], by=None, group="")
    assert [work().state for _ in range(3)] == [JobState.QUEUED, JobState.QUEUED, JobState.DONE]
    assert finding(video)[0] == "fetch_failed"
    assert "answers 503" in finding(video)[1]
    web.serve("/a.mp4", b"<html>", "text/html")
    enqueue_fetches([video], by=None, group="")
    work()
    assert finding(video)[0] == "fetch_refused"
    web.serve("/a.mp4", clip)
    enqueue_fetches([video], by=None, group="")
    work()
    assert not VideoFinding.objects.exists()


def test_a_clip_that_is_not_there_is_not_tried_again(web: Site) -> None:
    video = lacking(web.url("/missing.mp4"))
    enqueue_fetches([video], by=None, group="")
    assert work().state == JobState.DONE
    assert "answers 404" in finding(video)[1]


def test_a_cancelled_fetch_says_so(web: Site) -> None:
    video = lacking(web.url("/a.mp4"))
    enqueue_fetches([video], by=None, group="")
    jobs.cancel(Job.objects.get().pk, by=None)
    assert finding(video)[0] == "fetch_failed"
    assert "cancelled" in finding(video)[1]


def test_media_that_came_meanwhile_stay(web: Site, clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    video = lacking(web.serve("/a.mp4", clip))
    enqueue_fetches([video], by=None, group="")
    other = make_media()
    real = fetching.fetch_clip

    def meanwhile(*args: Any, **more: Any) -> Any:
        Video.objects.filter(pk=video.pk).update(media=other)
        return real(*args, **more)

    monkeypatch.setattr(fetching, "fetch_clip", meanwhile)
    assert work().state == JobState.DONE
    video.refresh_from_db()
    assert video.media == other
    assert finding(video)[0] == "fetch_refused"
    enqueue_fetches([video], by=None, group="")
    assert Job.objects.filter(kind="fetch").count() == 1


def test_a_fetch_done_twice_is_one(web: Site, clip: bytes) -> None:
    video = lacking(web.serve("/a.mp4", clip))
    for _ in range(2):
        jobs.enqueue("fetch", {"video_id": video.pk}, by=None)
    assert [work().result["fetched"] for _ in range(2)] == [True, False]
    assert len(web.asked) == 1
