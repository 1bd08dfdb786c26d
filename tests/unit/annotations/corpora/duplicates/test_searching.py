from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from annotations.corpora.duplicates import METHOD
from annotations.corpora.duplicates.queueing import start_search
from annotations.corpora.duplicates.searching import Outcome, cluster_work, find_clusters
from annotations.corpora.duplicates.services import add_video, confirm, remove_member, withdraw_verdict
from annotations.corpora.models import (
    DuplicateCluster,
    DuplicateMember,
    DuplicateVerdict,
    Fingerprint,
    RecordingOrigin,
    Video,
    VideoFinding,
)
from annotations.datasets.splits import Member, assign
from crashdesk.accounts.models import User
from crashdesk.audit.models import AuditEvent
from crashdesk.jobs import services as jobs
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.running import Running
from tests.factories import make_corpus, make_video

pytestmark = pytest.mark.django_db
Clip = Callable[..., Video]


def search(corpus_id: int | None = None) -> Outcome:
    return find_clusters(corpus_id=corpus_id, by=None, progress=lambda done, total, message: None)


def clusters() -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for member in DuplicateMember.objects.all():
        found.setdefault(member.cluster_id, set()).add(member.video_id)
    return found


def recordings(*videos: Video) -> list[tuple[str, str]]:
    rows = Video.objects.in_bulk([video.pk for video in videos])
    return [(rows[video.pk].recording, rows[video.pk].recording_origin) for video in videos]


def test_copies_are_found_across_corpora_and_others_are_not(clip: Clip) -> None:
    one, copy, other = clip(1, recording="one"), clip(1, start=4, noise=0.05), clip(2)
    outcome = search()
    assert (outcome.pairs, outcome.clusters, outcome.members) == (1, 1, 2)
    [cluster] = clusters().values()
    assert cluster == {one.pk, copy.pk}
    evidence = DuplicateMember.objects.get(video=copy).evidence
    assert (evidence["nearest"], evidence["exact"], evidence["shift_us"]) == (one.pk, False, -1_000_000)
    assert 0.9 < evidence["similarity"] < 1
    assert evidence["overlap_us"] == 3_000_000
    assert not DuplicateMember.objects.filter(video=other).exists()


def test_corpora_whose_clusters_change_are_audited_anew(clip: Clip) -> None:
    """The audit after an import ran before its clips had fingerprints."""
    one, copy, _ = clip(1), clip(1, start=4), clip(2)

    def asked() -> set[int]:
        waiting = Job.objects.filter(kind="audit", state=JobState.QUEUED)
        return {job.args["corpus_id"] for job in waiting}

    search()
    assert asked() == {one.corpus_id, copy.corpus_id}
    Job.objects.all().delete()
    search()
    assert asked() == set()
    Fingerprint.objects.filter(media=copy.media_id).delete()
    search()
    assert asked() == {one.corpus_id, copy.corpus_id}


def test_only_the_later_video_is_named_a_duplicate(clip: Clip) -> None:
    one, copy = clip(1, name="a.mp4"), clip(1, noise=0.05)
    search()
    finding = VideoFinding.objects.get()
    assert (finding.video, finding.code) == (copy, "near_duplicate_of")
    assert finding.message == f"shows the same footage as a.mp4 of {one.corpus.name}"
    assert finding.data["video"] == one.pk


def test_videos_of_one_file_belong_together_without_any_fingerprint() -> None:
    one = make_video(recording_origin=RecordingOrigin.NAME)
    twin = make_video(media=one.media, recording_origin=RecordingOrigin.NAME)
    make_video()
    search()
    assert list(clusters().values()) == [{one.pk, twin.pk}]
    assert DuplicateMember.objects.get(video=twin).evidence["exact"]
    assert "has the same bytes as" in VideoFinding.objects.get().message


def test_a_video_that_is_named_a_copy_already_is_not_named_twice() -> None:
    corpus = make_corpus()
    one = make_video(corpus, recording_origin=RecordingOrigin.NAME)
    twin = make_video(corpus, media=one.media, recording_origin=RecordingOrigin.NAME)
    VideoFinding.objects.create(video=twin, code="duplicate_of", severity="info", message="m")
    search()
    assert [finding.code for finding in VideoFinding.objects.all()] == ["duplicate_of"]


def test_a_second_search_writes_nothing(clip: Clip, django_assert_num_queries: Any) -> None:
    clip(1)
    clip(1, start=4)
    clip(2)
    search()
    before = (
        list(DuplicateMember.objects.values()),
        list(VideoFinding.objects.values("video", "code", "data")),
    )
    events = AuditEvent.objects.count()
    outcome = search()
    assert (outcome.created, outcome.ended, outcome.changed) == ([], [], [])
    assert (
        list(DuplicateMember.objects.values()),
        list(VideoFinding.objects.values("video", "code", "data")),
    ) == before
    assert AuditEvent.objects.count() == events


def test_a_cluster_keeps_its_id_as_it_grows(clip: Clip) -> None:
    clip(1), clip(1, start=4)
    [before] = search().created
    newcomer = clip(1, start=2)
    outcome = search()
    assert (outcome.created, outcome.changed) == ([], [before])
    assert newcomer.pk in clusters()[before]


def test_a_cluster_that_nothing_holds_together_ends_only_in_a_full_search(clip: Clip) -> None:
    one, copy = clip(1, recording="one"), clip(1, noise=0.05, recording="two")
    search()
    Fingerprint.objects.filter(media=copy.media).delete()
    search(one.corpus_id)
    assert len(clusters()) == 1
    assert search().ended
    assert not DuplicateCluster.objects.exists()
    assert not VideoFinding.objects.exists()
    assert recordings(one, copy) == [("one", "name"), ("two", "name")]


def test_a_search_for_one_corpus_looks_into_all(clip: Clip) -> None:
    mine, theirs = clip(1), clip(1, start=4)
    clip(2), clip(2, start=4)
    search(mine.corpus_id)
    assert list(clusters().values()) == [{mine.pk, theirs.pk}]


def test_what_was_taken_out_stays_out_and_what_was_withdrawn_comes_back(clip: Clip, lead: User) -> None:
    one, two, three = clip(1), clip(1, start=2), clip(1, start=4)
    [cluster] = search().created
    remove_member(cluster_id=cluster, video_id=three.pk, reason="another crash", by=lead)
    search()
    assert clusters() == {cluster: {one.pk, two.pk}}
    newcomer = clip(1, start=3)
    search()
    assert clusters() == {cluster: {one.pk, two.pk, newcomer.pk}}
    for verdict in DuplicateVerdict.objects.all():
        withdraw_verdict(verdict_id=verdict.pk, by=lead)
    search()
    assert clusters() == {cluster: {one.pk, two.pk, three.pk, newcomer.pk}}


def test_a_confirmed_cluster_only_gets_proposals(clip: Clip, lead: User) -> None:
    one, two = clip(1), clip(1, start=4)
    [cluster] = search().created
    confirm(cluster_id=cluster, by=lead)
    newcomer = clip(1, start=2)
    Fingerprint.objects.filter(media=two.media).delete()
    search()
    assert clusters() == {cluster: {one.pk, two.pk, newcomer.pk}}
    proposed = DuplicateMember.objects.filter(evidence__proposed=True)
    assert [member.video_id for member in proposed] == [newcomer.pk]
    confirm(cluster_id=cluster, by=lead)
    assert not proposed.all().exists()


def test_two_clusters_that_people_edited_are_named_not_joined(clip: Clip, lead: User) -> None:
    pairs = [(clip(number), clip(number, start=4)) for number in (1, 2)]
    first, second = search().created
    for cluster in (first, second):
        confirm(cluster_id=cluster, by=lead)
    Fingerprint.objects.filter(media=pairs[1][0].media).update(
        data=bytes(Fingerprint.objects.get(media=pairs[0][0].media).data)
    )
    outcome = search()
    assert outcome.to_merge == [[first, second]]
    assert clusters() == {
        cluster: {video.pk for video in pair} for cluster, pair in zip((first, second), pairs, strict=True)
    }


def test_a_machines_cluster_moves_into_a_persons(clip: Clip, lead: User) -> None:
    one, two = clip(1, recording="one"), clip(1, start=2, recording="two")
    alone = clip(2, recording="alone")
    [cluster] = search().created
    add_video(cluster_id=cluster, video_id=alone.pk, reason="mirrored", by=lead)
    search()
    assert clusters() == {cluster: {one.pk, two.pk, alone.pk}}
    assert recordings(one, two, alone) == [("one", "name"), ("one", "cluster"), ("one", "cluster")]


def test_recordings_of_named_clips_follow_their_cluster_and_do_not_straddle_splits(clip: Clip) -> None:
    videos = [clip(1, start=start, recording=f"r{start}") for start in (0, 2, 4)]
    search()
    assert recordings(*videos) == [("r0", "name"), ("r0", "cluster"), ("r0", "cluster")]
    told = AuditEvent.objects.filter(verb="video.recording_set").order_by("id")
    assert [(event.subject_id, event.data["from"], event.data["to"]) for event in told] == [
        (videos[1].pk, "r2", "r0"),
        (videos[2].pk, "r4", "r0"),
    ]
    members = [
        Member(video.name, video.recording, None, crash=True) for video in Video.objects.order_by("id")
    ] + [Member(f"x{number}", f"x{number}", None, crash=True) for number in range(9)]
    splits = assign(members, seed=1, val_share=0.3, test_share=0.3)
    assert len({splits[video.name] for video in videos}) == 1


def test_a_recording_that_a_format_gave_goes_to_those_without(clip: Clip) -> None:
    first = clip(1, recording="file")
    given = clip(1, start=2, recording="youtube-1", recording_origin=RecordingOrigin.FORMAT)
    search()
    assert recordings(first, given) == [("youtube-1", "cluster"), ("youtube-1", "format")]
    assert not VideoFinding.objects.filter(code="recording_conflict").exists()


def test_recordings_that_disagree_are_named_and_kept(clip: Clip) -> None:
    one = clip(1, recording="youtube-1", recording_origin=RecordingOrigin.FORMAT)
    two = clip(1, start=2, recording="dota-7", recording_origin=RecordingOrigin.FORMAT)
    named = clip(1, start=4, recording="file")
    search()
    assert recordings(one, two, named) == [
        ("youtube-1", "format"), ("dota-7", "format"), ("youtube-1", "cluster"),
    ]  # fmt: skip
    conflicts = VideoFinding.objects.filter(code="recording_conflict")
    assert {finding.video_id for finding in conflicts} == {one.pk, two.pk}
    assert conflicts[0].data["recordings"] == ["youtube-1", "dota-7"]
    search()
    assert conflicts.count() == 2


def test_an_earlier_newcomer_does_not_leave_recordings_apart(clip: Clip) -> None:
    late = make_video(recording="first", recording_origin=RecordingOrigin.NAME)
    one, two = clip(1, recording="one"), clip(1, start=2, recording="two")
    search()
    Fingerprint.objects.create(
        media=late.media,
        method=METHOD,
        data=bytes(Fingerprint.objects.get(media=one.media).data),
    )
    search()
    assert recordings(late, one, two) == [("first", "name"), ("first", "cluster"), ("first", "cluster")]


def run_search(**args: Any) -> dict[str, Any]:
    jobs.enqueue("cluster", args, by=None)
    job = jobs.claim_next("data")
    assert job is not None
    with Running(job) as running:
        result = cluster_work(running)
    assert jobs.finish(job, result)
    return result


def test_a_search_for_new_clips_compares_them_with_all(clip: Clip) -> None:
    old, copy = clip(1), clip(1, start=4)
    assert run_search(corpus_id=None, new_only=True)["pairs"] == 1  # before the first search all are new
    [cluster] = clusters()
    Fingerprint.objects.update(made_at=timezone.now() - timedelta(days=1))
    newcomer = clip(1, start=2)
    assert run_search(corpus_id=None, new_only=True)["pairs"] == 2  # the old pair is not compared again
    assert clusters() == {cluster: {old.pk, copy.pk, newcomer.pk}}


def test_the_job_reports_what_it_did_and_waits_once(clip: Clip, lead: User) -> None:
    clip(1), clip(1, start=4)
    assert start_search(corpus_id=None, by=lead).pk == start_search(corpus_id=None, by=lead).pk
    job = jobs.claim_next("data")
    assert job is not None
    with Running(job) as running:
        result = cluster_work(running)
    assert result == {
        "pairs": 1, "clusters": 1, "members": 2, "created": 1, "ended": 0, "changed": 0, "to_merge": [],
    }  # fmt: skip
