from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from pytest_django import Settings

from annotations.corpora import processing
from annotations.corpora.importers.rows import VideoRow
from annotations.corpora.media.findings import Code, Finding, MediaError, Severity
from annotations.corpora.media.isolate import Isolated
from annotations.corpora.media.probe import survey
from annotations.corpora.media.timemap import ProxyMap, TimeMap
from annotations.corpora.media_store import ensure_media, ensure_videos, store
from annotations.corpora.models import Corpus, ImportRun, Media, MediaState, Video, VideoFinding
from annotations.corpora.services import begin_import, create_corpus, process_media, start_import
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from crashdesk.jobs.models import Job
from tests.factories import make_corpus, make_video
from tests.shared_data import shared
from tests.unit.annotations.corpora.media.clips import numbers_shown, write_clip

pytestmark = pytest.mark.django_db


def media_of(path: Path) -> Media:
    stored = store(path)
    return ensure_media([stored])[0][stored.sha256]


def test_a_corpus_is_made_once_and_noted(lead: User) -> None:
    corpus = create_corpus(name="mine", licence="CC BY 4.0", terms="", by=lead)
    assert AuditEvent.objects.get().subject_id == corpus.pk
    with pytest.raises(Problem) as refused:
        create_corpus(name="mine", licence="", terms="", by=lead)
    assert refused.value.code == "corpus_exists"


def test_an_import_below_a_root_is_queued(tmp_path: Path, lead: User) -> None:
    run, job = start_import(corpus_name="new", format="folder", path=tmp_path, by=lead)
    assert (job.kind, job.queue, job.args) == ("import", "data", {"import_run_id": run.pk})
    run.refresh_from_db()
    assert (run.job_id, run.corpus.name, run.path, run.created_by) == (
        job.pk,
        "new",
        str(tmp_path.resolve()),
        lead,
    )


@pytest.mark.parametrize("path", ["/etc", "{root}/../..", "{root}/link"])
def test_an_import_from_elsewhere_is_refused(tmp_path: Path, settings: Settings, path: str) -> None:
    root = tmp_path / "incoming"
    root.mkdir()
    (root / "link").symlink_to("/etc")
    settings.IMPORT_ROOTS = [root]
    with pytest.raises(Problem) as refused:
        start_import(corpus_name="x", format="folder", path=Path(path.format(root=root)), by=None)
    assert refused.value.code == "import_path_outside_roots"
    assert not Corpus.objects.exists()
    assert not Job.objects.exists()


def test_without_roots_nothing_is_imported(tmp_path: Path, settings: Settings) -> None:
    settings.IMPORT_ROOTS = []
    with pytest.raises(Problem, match="IMPORT_ROOTS is empty"):
        start_import(corpus_name="x", format="folder", path=tmp_path, by=None)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"format": "spreadsheet"}, "unknown_format"),
        ({"path": Path("none")}, "import_path_missing"),
        ({"format": "folder", "path": Path("file.txt")}, "import_path_missing"),
    ],
)
def test_an_import_that_cannot_work_is_refused(tmp_path: Path, given: dict[str, Any], code: str) -> None:
    (tmp_path / "file.txt").write_text("")
    path = tmp_path / given.pop("path", "")
    with pytest.raises(Problem) as refused:
        begin_import(**{"corpus_name": "x", "format": "crashchat", "path": path, "by": None, **given})
    assert refused.value.code == code
    assert not ImportRun.objects.exists()


def test_a_sound_clip_becomes_ready_with_proxy_and_thumbnail(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", range(0, 40 * 512, 512), Fraction(1, 12800), rate=Fraction(25))
    media = process_media(media_of(clip).pk)
    media.refresh_from_db()
    assert (media.state, media.codec, media.width, media.height) == (MediaState.READY, "h264", 160, 128)
    assert (media.frame_count, media.duration_us, media.fps_num, media.fps_den) == (40, 1_600_000, 25, 1)
    assert (media.proxy_fps, media.proxy_frame_count) == (25, 40)
    assert media.times == TimeMap.constant(40, Fraction(25))
    assert media.proxy_name == f"proxies/{media.sha256[:2]}/{media.sha256}.mp4"
    assert numbers_shown(Path(default_storage.path(media.proxy_name))) == list(range(40))
    assert Path(default_storage.path(media.thumbnail_name)).read_bytes()[:3] == b"\xff\xd8\xff"
    assert media.storyboard_name == f"storyboards/{media.sha256[:2]}/{media.sha256}.jpg"
    assert Path(default_storage.path(media.storyboard_name)).read_bytes()[:3] == b"\xff\xd8\xff"
    assert media.storyboard == {
        "columns": 7, "rows": 1, "tile_width": 160, "tile_height": 128,
        "times_us": [0, 240_000, 480_000, 720_000, 1_000_000, 1_240_000, 1_480_000],
    }  # fmt: skip
    assert media.probed_at is not None
    assert AuditEvent.objects.get(verb="media.ready").subject_id == media.pk


def test_a_clip_of_varying_rate_is_ready_and_named_on_every_video(tmp_path: Path) -> None:
    ticks = [0, 512, 2048, 2560, 5120, 5632, 9216, 9728]
    clip = write_clip(tmp_path / "clip.mp4", ticks, Fraction(1, 12800), rate=Fraction(25))
    media = media_of(clip)
    videos = [make_video(media=media), make_video(media=media)]
    media = process_media(media.pk)
    assert media.state == MediaState.READY
    assert media.variable_rate
    proxy = ProxyMap(media.times, media.proxy_fps, media.proxy_frame_count or 0)
    assert proxy.source_us(proxy.proxy_frame(200_000)) == 200_000
    for video in videos:
        assert [finding.code for finding in video.findings.all()] == ["variable_frame_rate"]


@pytest.mark.parametrize(("content", "code"), [(b"", "zero_byte"), (b"no clip at all" * 99, "not_a_video")])
def test_a_file_that_is_no_clip_becomes_unusable_with_its_reason(
    tmp_path: Path, content: bytes, code: str
) -> None:
    (tmp_path / "clip.mp4").write_bytes(content)
    media = media_of(tmp_path / "clip.mp4")
    video = make_video(media=media)
    assert process_media(media.pk).state == MediaState.UNUSABLE
    assert [(finding.code, finding.severity) for finding in video.findings.all()] == [(code, "error")]


def test_examined_media_are_not_examined_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    media = media_of(tmp_path / "clip.mp4")
    process_media(media.pk)
    monkeypatch.setattr(processing, "examine", None)
    assert process_media(media.pk).state == MediaState.UNUSABLE


def test_of_two_workers_on_one_clip_the_second_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    media = media_of(tmp_path / "clip.mp4")
    examine = processing.examine

    def meanwhile(*args: Any) -> Any:
        monkeypatch.setattr(processing, "examine", examine)
        process_media(media.pk)
        return examine(*args)

    monkeypatch.setattr(processing, "examine", meanwhile)
    process_media(media.pk)
    assert AuditEvent.objects.filter(verb="media.unusable").count() == 1


def test_a_proxy_that_cannot_be_made_makes_the_clip_unusable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", range(10), Fraction(1, 10), rate=Fraction(10))
    media = media_of(clip)
    video = make_video(media=media)

    def hang(*args: Any, **kwargs: Any) -> None:
        raise MediaError(Finding(Code.DECODE_TIMEOUT, Severity.ERROR, "took too long"))

    monkeypatch.setattr(Isolated, "call", hang)
    monkeypatch.setattr(Isolated, "survey", lambda self, path: survey(path))
    media = process_media(media.pk)
    assert (media.state, media.proxy_name, media.frame_count) == (MediaState.UNUSABLE, "", 10)
    assert "decode_timeout" in {finding.code for finding in video.findings.all()}


def test_a_video_that_comes_later_learns_what_is_known_of_its_media(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    media = media_of(tmp_path / "clip.mp4")
    make_video(media=media)
    process_media(media.pk)
    media.refresh_from_db()
    corpus = make_corpus()
    ensure_videos(corpus, [VideoRow("f", 1, "late.mp4", "", "late", None)], {"late.mp4": media})
    assert [finding.code for finding in Video.objects.get(corpus=corpus).findings.all()] == ["not_a_video"]


@pytest.mark.slow
def test_the_real_clips_are_examined() -> None:
    folder = shared("data", "clips")
    for name in ("bgs_tiny_demo.avi", "kenway_accident1.mp4"):
        media = process_media(media_of(folder / name).pk)
        assert media.state == MediaState.READY, list(VideoFinding.objects.values_list("message", flat=True))


def test_a_column_mapping_is_checked_and_kept_for_the_next_table(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("file\na.mp4\n")

    def begin(**options: Any) -> ImportRun:
        return begin_import(
            corpus_name="tables", format="table", path=tmp_path / "rows.csv", by=None, options=options
        )

    with pytest.raises(Problem) as missing:
        begin()
    assert missing.value.code == "column_mapping_missing"
    with pytest.raises(Problem) as wrong:
        begin(mapping={"name": 7})
    assert (wrong.value.code, list(wrong.value.fields)) == (
        "invalid_column_mapping",
        ["options.mapping.name"],
    )
    given = begin(mapping={"name": "file"})
    assert begin().options == given.options == {"mapping": {"name": "file"}}
