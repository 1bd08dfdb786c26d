"""Rows without bytes take a short way; whoever has something to gain takes the long one, with the same outcome."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotations.cases.intake_batches import Taken, take_rows
from annotations.cases.intake_tally import Tally
from annotations.cases.models import Case, CaseStatus, Guideline
from annotations.corpora.importers.rows import VideoRow
from annotations.corpora.models import Corpus, MediaState, RecordingOrigin, Video
from crashdesk.audit.models import AuditEvent
from crashdesk.jobs.models import Job
from tests.factories import make_case, make_corpus, make_guideline, make_media, make_video

pytestmark = pytest.mark.django_db


@pytest.fixture
def corpus() -> Corpus:
    return make_corpus()


@pytest.fixture
def guideline() -> Guideline:
    return make_guideline()


def row(name: str, **fields: Any) -> VideoRow:
    return VideoRow(
        **{"file": "f", "row": 1, "name": name, "source": "", "recording": name, "path": None} | fields
    )


def take(
    rows: list[VideoRow], corpus: Corpus, guideline: Guideline
) -> tuple[dict[str, Taken], dict[str, Any]]:
    tally = Tally(timezone.now())
    taken = take_rows(rows, corpus=corpus, guideline=guideline, stored={}, tally=tally, group="g", by=None)
    report = tally.report()
    return taken, {name: report[name] for name in ("videos", "cases", "media")}


def test_new_clips_get_a_video_and_a_case_with_its_audit_row(corpus: Corpus, guideline: Guideline) -> None:
    given = {"source": "S", "split": "val", "url": "https://x/y", "metadata": {"a": [1]}, "recording": "r"}
    taken, counts = take([row("a.mp4", **given), row("b.mp4")], corpus, guideline)
    video = Video.objects.get(name="a.mp4")
    assert {name: getattr(video, name) for name in given} == given
    case = video.cases.get()
    assert taken["a.mp4"] == Taken(case.pk, video.pk)
    assert (case.corpus, case.guideline, case.status, case.lacks_media) == (corpus, guideline, "new", True)
    assert set(AuditEvent.objects.filter(verb="case.created").values_list("subject_id", flat=True)) == {
        one.case_id for one in taken.values()
    }
    assert counts["videos"] == {"new": 2, "known": 0, "lacking_media": 2}
    assert counts["cases"] == {"new": 2, "known": 0}


def test_known_clips_that_gain_nothing_are_neither_locked_nor_written(
    corpus: Corpus, guideline: Guideline
) -> None:
    rows = [row(f"{n}.mp4", source="S") for n in range(5)]
    first, _ = take(rows, corpus, guideline)
    with CaptureQueriesContext(connection) as queries:
        again, counts = take(rows, corpus, guideline)
    assert again == first
    assert counts["videos"] == {"new": 0, "known": 5, "lacking_media": 5}
    said = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(said) == 2, said
    assert not any("FOR NO KEY UPDATE" in sql or "INSERT" in sql for sql in said)


def test_two_rows_of_one_clip_complete_each_other(corpus: Corpus, guideline: Guideline) -> None:
    rows = [
        row("a.mp4", source="S", recording_origin="name", metadata={"x": 1}),
        row("a.mp4", split="val", recording="r7", metadata={"x": 2, "y": 3}),
    ]
    taken, counts = take(rows, corpus, guideline)
    video = Video.objects.get()
    assert taken == {"a.mp4": Taken(Case.objects.get().pk, video.pk)}
    assert (video.source, video.split, video.metadata) == ("S", "val", {"x": 1, "y": 3})
    assert (video.recording, video.recording_origin) == ("r7", RecordingOrigin.FORMAT)
    assert counts["videos"]["new"] == 1


@pytest.mark.parametrize("given", [{"source": "S"}, {"split": "val"}, {"url": "u"}, {"metadata": {"new": 1}}])
def test_what_a_known_clip_lacks_is_filled_in(
    corpus: Corpus, guideline: Guideline, given: dict[str, Any]
) -> None:
    take([row("a.mp4")], corpus, guideline)
    take([row("a.mp4", **given)], corpus, guideline)
    video = Video.objects.get()
    assert {name: getattr(video, name) for name in given} == given
    other = {name: "other" if isinstance(value, str) else {"new": 2} for name, value in given.items()}
    take([row("a.mp4", **other)], corpus, guideline)
    video.refresh_from_db()
    assert {name: getattr(video, name) for name in given} == given


def test_a_case_left_behind_by_its_media_is_settled(corpus: Corpus, guideline: Guideline) -> None:
    take([row("a.mp4")], corpus, guideline)
    Video.objects.update(media=make_media())
    taken, _ = take([row("a.mp4")], corpus, guideline)
    case = Case.objects.get(pk=taken["a.mp4"].case_id)
    assert (case.status, case.lacks_media) == (CaseStatus.READY, False)


def test_pending_media_that_no_job_looks_after_get_one(corpus: Corpus, guideline: Guideline) -> None:
    media = make_media(state=MediaState.PENDING)
    video = make_video(corpus, name="a.mp4", media=media)
    take([row("a.mp4")], corpus, guideline)
    assert [job.args for job in Job.objects.filter(kind="media")] == [{"media_id": media.pk}]
    assert Case.objects.get().video == video
    take([row("a.mp4")], corpus, guideline)
    assert Job.objects.filter(kind="media").count() == 1


def test_a_known_clip_with_media_in_line_takes_the_short_way(guideline: Guideline) -> None:
    case = make_case(guideline=guideline)
    with CaptureQueriesContext(connection) as queries:
        taken, counts = take([row(case.video.name)], case.corpus, guideline)
    assert taken == {case.video.name: Taken(case.pk, case.video_id)}
    assert counts["media"] == {"new": 0, "known": 1}
    assert not any("FOR NO KEY UPDATE" in query["sql"] for query in queries)
