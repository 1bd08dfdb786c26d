from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from annotations.corpora.media.pictures import Board
from annotations.corpora.media_store import ensure_media, store
from annotations.corpora.models import Corpus, ImportRejection, ImportRun, MediaState, VideoFinding
from crashdesk.accounts.models import User
from crashdesk.accounts.services import api_token
from crashdesk.jobs.models import Job
from crashdesk.storage.files import put_bytes
from tests.factories import make_case, make_corpus, make_media, make_video

pytestmark = pytest.mark.django_db


def client(user: User) -> APIClient:
    api = APIClient()
    api.force_login(user)
    return api


def test_corpora_are_listed_with_their_size(annotator: User, django_assert_max_num_queries: Any) -> None:
    for count in (0, 1, 3):
        corpus = make_corpus(f"with {count}")
        for _ in range(count):
            make_video(corpus)
    api = client(annotator)
    with django_assert_max_num_queries(6):
        body = api.get("/api/corpora").json()
    assert [(row["name"], row["video_count"]) for row in body["results"]] == [
        ("with 0", 0),
        ("with 1", 1),
        ("with 3", 3),
    ]


def test_a_corpus_counts_cases_media_and_sources(annotator: User, django_assert_max_num_queries: Any) -> None:
    corpus = make_corpus()
    make_case(video=make_video(corpus, source="a"))
    make_case(video=make_video(corpus, source="a", media=None))
    make_video(corpus, source="b", media=make_media(state=MediaState.UNUSABLE))
    api = client(annotator)
    with django_assert_max_num_queries(9):
        body = api.get(f"/api/corpora/{corpus.pk}").json()
    assert body["case_counts"] == {"ready": 1, "new": 1}
    assert body["media_counts"] == {"ready": 1, "unusable": 1, "absent": 1}
    assert body["sources"] == {"a": 2, "b": 1}


def test_a_corpus_is_made_by_those_who_may(annotator: User, engineer: User) -> None:
    assert client(annotator).post("/api/corpora", {"name": "mine"}).status_code == 403
    made = client(engineer).post("/api/corpora", {"name": "mine", "licence": "CC0"})
    assert (made.status_code, made.json()["video_count"]) == (201, 0)
    again = client(engineer).post("/api/corpora", {"name": "mine"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "corpus_exists")
    assert client(engineer).post("/api/corpora", {"name": ""}).status_code == 400


def test_a_stranger_sees_nothing() -> None:
    video = make_video()
    for path in ("corpora", "videos", "imports", f"videos/{video.pk}/proxy", f"videos/{video.pk}/thumbnail"):
        assert APIClient().get(f"/api/{path}").status_code == 401


def test_videos_are_filtered(annotator: User) -> None:
    corpus = make_corpus()
    ready = make_video(corpus, source="a", name="videos/ready.mp4", recording="r")
    absent = make_video(corpus, source="b", media=None)
    unusable = make_video(media=make_media(state=MediaState.UNUSABLE))
    VideoFinding.objects.create(video=unusable, code="corrupt", severity="error", message="m")
    api = client(annotator)

    def found(query: str) -> list[int]:
        return [row["id"] for row in api.get(f"/api/videos?{query}").json()["results"]]

    assert found("") == [ready.pk, absent.pk, unusable.pk]
    assert found(f"corpus={corpus.pk}") == [ready.pk, absent.pk]
    assert found("source=b") == [absent.pk]
    assert found("recording=r") == [ready.pk]
    assert found("state=absent") == [absent.pk]
    assert found("state=unusable") == [unusable.pk]
    assert found("has_findings=true") == [unusable.pk]
    assert found("has_findings=false") == [ready.pk, absent.pk]
    assert found("finding=corrupt") == [unusable.pk]
    assert found("search=READY") == [ready.pk]
    assert api.get("/api/videos?corpus=999999").status_code == 400
    assert api.get("/api/videos?state=odd").status_code == 400


def test_the_list_of_videos_costs_the_same_however_long(
    annotator: User, django_assert_max_num_queries: Any
) -> None:
    corpus = make_corpus()
    for _ in range(30):
        VideoFinding.objects.create(video=make_video(corpus), code="x", severity="info", message="m")
    api = client(annotator)
    with django_assert_max_num_queries(6):
        rows = api.get("/api/videos").json()["results"]
    assert len(rows) == 30
    assert rows[0]["finding_count"] == 1
    assert rows[0]["media"]["fps"] == {"num": 30, "den": 1}
    assert rows[0]["proxy_url"] == f"/api/videos/{rows[0]['id']}/proxy"
    assert rows[0]["thumbnail_url"] is None


def test_a_video_shows_its_findings(annotator: User, django_assert_max_num_queries: Any) -> None:
    video = make_video(metadata={"weather": "rain"})
    for code in ("a", "b", "c"):
        VideoFinding.objects.create(video=video, code=code, severity="info", message="m", data={"n": 1})
    api = client(annotator)
    with django_assert_max_num_queries(7):
        body = api.get(f"/api/videos/{video.pk}").json()
    assert [finding["code"] for finding in body["findings"]] == ["a", "b", "c"]
    assert body["metadata"] == {"weather": "rain"}
    assert client(annotator).get("/api/videos/99999").status_code == 404
    assert client(annotator).get(f"/api/videos/{'9' * 30}").status_code == 404


def test_a_player_gets_the_part_it_asks_for(annotator: User) -> None:
    video = make_video()
    assert video.media is not None
    put_bytes(video.media.proxy_name, b"0123456789")
    api = client(annotator)
    whole = api.get(f"/api/videos/{video.pk}/proxy", headers={"Accept": "video/webm,video/ogg"})
    assert (whole.status_code, whole["Content-Type"], b"".join(whole)) == (200, "video/mp4", b"0123456789")
    part = api.get(f"/api/videos/{video.pk}/proxy", headers={"Range": "bytes=3-5"})
    assert (part.status_code, part["Content-Range"], b"".join(part)) == (206, "bytes 3-5/10", b"345")
    beyond = api.get(f"/api/videos/{video.pk}/proxy", headers={"Range": "bytes=10-"})
    assert (beyond.status_code, beyond["Content-Range"]) == (416, "bytes */10")
    head = api.head(f"/api/videos/{video.pk}/proxy")
    assert (head.status_code, head["Content-Length"]) == (200, "10")


def test_a_thumbnail_is_a_picture_and_a_token_opens_it(annotator: User) -> None:
    video = make_video(media=make_media(thumbnail_name="thumbnails/ab/x.jpg"))
    put_bytes("thumbnails/ab/x.jpg", b"\xff\xd8\xff")
    api = APIClient(HTTP_AUTHORIZATION=f"Token {api_token(annotator)}")
    picture = api.get(f"/api/videos/{video.pk}/thumbnail", headers={"Accept": "image/avif,image/*"})
    assert (picture.status_code, picture["Content-Type"], b"".join(picture)) == (
        200,
        "image/jpeg",
        b"\xff\xd8\xff",
    )


def test_a_storyboard_has_a_sprite_and_cues(annotator: User) -> None:
    board = Board(2, 1, 160, 90, (0, 2_500_000)).as_dict()
    video = make_video(media=make_media(storyboard_name="storyboards/ab/x.jpg", storyboard=board))
    put_bytes("storyboards/ab/x.jpg", b"\xff\xd8\xff")
    api = client(annotator)
    row = api.get(f"/api/videos/{video.pk}").json()
    sprite = api.get(row["storyboard_url"], headers={"Accept": "image/avif,image/*"})
    assert (sprite.status_code, sprite["Content-Type"], b"".join(sprite)) == (
        200,
        "image/jpeg",
        b"\xff\xd8\xff",
    )
    cues = api.get(row["storyboard_vtt_url"], headers={"Accept": "text/vtt"})
    assert (cues.status_code, cues["Content-Type"]) == (200, "text/vtt; charset=utf-8")
    assert cues.content.decode() == (
        "WEBVTT\n\n"
        f"00:00:00.000 --> 00:00:02.500\n/api/videos/{video.pk}/storyboard#xywh=0,0,160,90\n\n"
        f"00:00:02.500 --> 00:00:05.000\n/api/videos/{video.pk}/storyboard#xywh=160,0,160,90\n"
    )


@pytest.mark.parametrize("media", [None, {}])
def test_a_video_without_storyboard_says_so(annotator: User, media: dict[str, Any] | None) -> None:
    video = make_video(media=None if media is None else make_media(**media))
    api = client(annotator)
    row = api.get(f"/api/videos/{video.pk}").json()
    assert (row["storyboard_url"], row["storyboard_vtt_url"]) == (None, None)
    for name in ("storyboard", "storyboard.vtt"):
        assert api.get(f"/api/videos/{video.pk}/{name}").status_code == 404
    assert api.get("/api/videos/999999/storyboard.vtt").status_code == 404


def test_a_video_without_proxy_or_whose_file_is_lost_has_none(annotator: User) -> None:
    for video in (make_video(media=None), make_video()):
        answer = client(annotator).get(f"/api/videos/{video.pk}/proxy")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_an_import_is_started_and_looked_at(tmp_path: Path, lead: User, annotator: User) -> None:
    given = {"corpus": "new", "format": "folder", "path": str(tmp_path)}
    assert client(annotator).post("/api/imports", given).status_code == 403
    started = client(lead).post("/api/imports", given)
    assert started.status_code == 202
    job = started.json()
    assert (job["kind"], job["state"]) == ("import", "queued")
    run = client(annotator).get(f"/api/imports/{job['args']['import_run_id']}").json()
    assert (run["job_id"], run["path"], run["rejections"]) == (job["id"], str(tmp_path), [])


@pytest.mark.parametrize(
    ("change", "field"),
    [({"path": "/etc"}, "path"), ({"format": "excel"}, "format"), ({"corpus": ""}, "corpus")],
)
def test_an_import_that_cannot_work_is_refused_by_field(
    tmp_path: Path, lead: User, change: dict[str, str], field: str
) -> None:
    given = {"corpus": "new", "format": "folder", "path": str(tmp_path), **change}
    refused = client(lead).post("/api/imports", given)
    assert refused.status_code in (400, 409)
    assert list(refused.json()["error"]["fields"]) == [field]
    assert not Job.objects.exists()


def test_rejections_come_in_pages(annotator: User, django_assert_max_num_queries: Any) -> None:
    run = ImportRun.objects.create(corpus=make_corpus(), format="crashchat", path="/x")
    ImportRejection.objects.bulk_create(
        ImportRejection(run=run, file="f.json", row=n, field="video", reason="odd") for n in range(1, 301)
    )
    api = client(annotator)
    with django_assert_max_num_queries(7):
        detail = api.get(f"/api/imports/{run.pk}").json()
    assert (detail["rejection_count"], len(detail["rejections"])) == (300, 200)
    first = api.get(f"/api/imports/{run.pk}/rejections?page_size=200&with_count=true").json()
    assert (first["count"], [row["row"] for row in first["results"]]) == (300, list(range(1, 201)))
    assert [row["row"] for row in api.get(first["next"]).json()["results"]] == list(range(201, 301))


def test_imports_are_listed_by_corpus(annotator: User, django_assert_max_num_queries: Any) -> None:
    corpora = [make_corpus(), make_corpus()]
    runs = [ImportRun.objects.create(corpus=corpus, format="folder", path="/x") for corpus in corpora]
    api = client(annotator)
    with django_assert_max_num_queries(7):
        body = api.get(f"/api/imports?corpus={corpora[0].pk}").json()
    assert [row["id"] for row in body["results"]] == [runs[0].pk]


def test_the_admin_pages_open(admin: User, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    make_video(media=next(iter(ensure_media([store(tmp_path / "a.mp4")])[0].values())))
    corpus = Corpus.objects.get()
    api = client(admin)
    for model in ("corpus", "media", "video", "videofinding", "importrun", "importrejection"):
        assert api.get(f"/admin/corpora/{model}/").status_code == 200
        assert api.get(f"/admin/corpora/{model}/add/").status_code == 403
    api.post(
        f"/admin/corpora/corpus/{corpus.pk}/change/",
        {"name": corpus.name, "licence": "CC0", "terms": "t"},
        format="multipart",
    )
    corpus.refresh_from_db()
    assert corpus.licence == "CC0"
    assert (
        api.post(
            f"/admin/corpora/corpus/{corpus.pk}/delete/", {"post": "yes"}, format="multipart"
        ).status_code
        == 403
    )
