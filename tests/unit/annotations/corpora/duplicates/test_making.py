from pathlib import Path

import pytest

from annotations.corpora.duplicates import METHOD
from annotations.corpora.duplicates.fingerprint import ClipPrint
from annotations.corpora.duplicates.making import fingerprint_work, make_for
from annotations.corpora.duplicates.queueing import enqueue_fingerprints, missing_media
from annotations.corpora.media_store import ensure_media, store
from annotations.corpora.models import Fingerprint, Media, MediaState, VideoFinding
from annotations.corpora.processing import process_media
from crashdesk.accounts.models import User
from crashdesk.jobs import services as jobs
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.running import Running
from crashdesk.storage.files import put_bytes
from tests.factories import make_media, make_video
from tests.unit.annotations.corpora.duplicates import copies

pytestmark = pytest.mark.django_db


@pytest.fixture
def ready(tmp_path: Path) -> Media:
    stored = store(copies.write(tmp_path / "clip.mp4", copies.scene(1), end_s=2.0))
    media = process_media(ensure_media([stored])[0][stored.sha256].pk)
    assert media.state == MediaState.READY
    return media


def test_a_ready_media_gets_its_fingerprint_once(ready: Media, lead: User) -> None:
    make_video(media=ready)
    assert missing_media() == [ready.pk]
    [job] = enqueue_fingerprints([ready.pk], by=lead, group="import:1")
    assert (job.queue, job.args, job.group) == ("media", {"media_id": ready.pk}, "import:1")
    claimed = jobs.claim_next("media")
    assert claimed is not None
    with Running(claimed) as running:
        assert fingerprint_work(running) == {"media_id": ready.pk, "made": True}
        made_at = Fingerprint.objects.get().made_at
        assert fingerprint_work(running) == {"media_id": ready.pk, "made": True}
    search = Job.objects.get(kind="cluster")
    assert (search.args, search.state) == ({"corpus_id": None, "new_only": True}, JobState.QUEUED)
    found = Fingerprint.objects.get()
    assert (found.method, found.made_at) == (METHOD, made_at)
    assert len(ClipPrint.decode(bytes(found.data))) == 8
    assert missing_media() == []
    assert enqueue_fingerprints([ready.pk], by=lead) == []


def test_a_fingerprint_of_another_method_is_made_anew(ready: Media) -> None:
    make_video(media=ready)
    older = Fingerprint.objects.create(media=ready, method="older", data=b"x")
    assert missing_media() == [ready.pk]
    assert make_for(ready.pk)
    newer = Fingerprint.objects.get()
    assert newer.method == METHOD
    assert newer.made_at > older.made_at


def test_the_search_waits_for_the_last_fingerprint() -> None:
    waiting = enqueue_fingerprints([make_media(state=MediaState.UNUSABLE).pk for _ in range(2)], by=None)
    for left in (1, 0):
        claimed = jobs.claim_next("media")
        assert claimed is not None
        with Running(claimed) as running:
            fingerprint_work(running)
        assert Job.objects.filter(kind="cluster").exists() is (left == 0)
    assert len(waiting) == 2


def test_a_media_that_is_not_ready_has_none() -> None:
    media = make_media(state=MediaState.UNUSABLE)
    assert not make_for(media.pk)
    assert not Fingerprint.objects.exists()


def test_bytes_that_no_longer_decode_are_named_and_recover() -> None:
    media = make_media()
    video = make_video(media=media)
    put_bytes(media.storage_name, b"no video at all")
    for _ in range(2):
        assert not make_for(media.pk)
    finding = VideoFinding.objects.get()
    assert (finding.video, finding.code, finding.data) == (video, "no_fingerprint", {"reason": "not_a_video"})


def test_only_the_corpus_asked_about_is_looked_through() -> None:
    one, other = make_video(), make_video()
    make_video(media=make_media(state=MediaState.UNUSABLE))
    assert missing_media(one.corpus_id) == [one.media_id]
    assert missing_media() == sorted([one.media_id or 0, other.media_id or 0])
