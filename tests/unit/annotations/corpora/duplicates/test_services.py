import pytest

from annotations.corpora.duplicates import services
from annotations.corpora.duplicates.searching import find_clusters
from annotations.corpora.models import (
    DuplicateCluster,
    DuplicateMember,
    DuplicateVerdict,
    RecordingOrigin,
    Video,
    VideoFinding,
)
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from crashdesk.audit.services import history
from crashdesk.jobs.models import Job, JobState
from tests.factories import make_video

pytestmark = pytest.mark.django_db


def named(recording: str = "") -> Video:
    number = Video.objects.count()
    return make_video(recording=recording or f"r{number}", recording_origin=RecordingOrigin.NAME)


def cluster_of(*videos: Video, by: User) -> DuplicateCluster:
    return services.create_cluster(video_ids=[video.pk for video in videos], reason="seen", by=by)


def members(cluster: DuplicateCluster) -> list[int]:
    return sorted(cluster.members.values_list("video_id", flat=True))


def verdicts() -> list[tuple[int, int, bool]]:
    return list(DuplicateVerdict.objects.order_by("first", "second").values_list("first", "second", "same"))


def recording(video: Video) -> tuple[str, str]:
    return Video.objects.values_list("recording", "recording_origin").get(pk=video.pk)


def search_again() -> None:
    find_clusters(corpus_id=None, by=None, progress=lambda done, total, message: None)


def test_a_cluster_is_made_by_hand_and_survives_searches(lead: User) -> None:
    one, two = named("one"), named("two")
    cluster = cluster_of(two, one, by=lead)
    assert members(cluster) == [one.pk, two.pk]
    assert verdicts() == [(one.pk, two.pk, True)]
    assert recording(two) == ("one", "cluster")
    search_again()
    assert members(cluster) == [one.pk, two.pk]
    event = history(cluster).get()
    assert (event.actor, event.verb, event.data) == (
        lead.username, "duplicate_cluster.created", {"videos": [one.pk, two.pk], "reason": "seen"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "code"),
    [(["one"], "videos_needed"), (["one", "one"], "videos_needed"), (["one", "none"], "video_missing"),
     (["one", "taken"], "in_another_cluster")],
)  # fmt: skip
def test_a_cluster_needs_two_free_videos(lead: User, given: list[str], code: str) -> None:
    one, taken, other = named(), named(), named()
    cluster_of(taken, other, by=lead)
    ids = {"one": one.pk, "taken": taken.pk, "none": 10**9}
    with pytest.raises(Problem) as refused:
        services.create_cluster(video_ids=[ids[name] for name in given], reason="", by=lead)
    assert refused.value.code == code
    assert DuplicateCluster.objects.count() == 1


def test_confirming_is_noted_once(lead: User, engineer: User) -> None:
    cluster = cluster_of(named(), named(), by=lead)
    confirmed = services.confirm(cluster_id=cluster.pk, by=lead, note="one crash, two uploads")
    assert (confirmed.confirmed_by, confirmed.note) == (lead, "one crash, two uploads")
    with pytest.raises(Problem, match="confirmed already"):
        services.confirm(cluster_id=cluster.pk, by=engineer)
    assert [event.verb for event in history(cluster)].count("duplicate_cluster.confirmed") == 1


def test_confirming_again_takes_proposals_in_and_keeps_the_note(lead: User, engineer: User) -> None:
    cluster = cluster_of(named(), named(), by=lead)
    services.confirm(cluster_id=cluster.pk, by=lead, note="kept")
    newcomer = DuplicateMember.objects.create(cluster=cluster, video=named(), evidence={"proposed": True})
    again = services.confirm(cluster_id=cluster.pk, by=engineer)
    assert (again.confirmed_by, again.note) == (engineer, "kept")
    newcomer.refresh_from_db()
    assert "proposed" not in newcomer.evidence


def test_a_removed_video_gets_its_recording_back_and_is_different_from_all(lead: User) -> None:
    one, two, three = named("one"), named("two"), named("three")
    cluster = cluster_of(one, two, three, by=lead)
    left = services.remove_member(cluster_id=cluster.pk, video_id=two.pk, reason="other car", by=lead)
    assert left == cluster
    assert members(cluster) == [one.pk, three.pk]
    assert recording(two) == ("two", "name")
    assert recording(three) == ("one", "cluster")
    assert verdicts() == [(one.pk, two.pk, False), (one.pk, three.pk, True), (two.pk, three.pk, False)]
    assert not VideoFinding.objects.filter(video=two).exists()
    assert [event.verb for event in history(two)] == ["video.recording_set", "video.recording_set"]


def test_removing_the_earliest_hands_its_place_on(lead: User) -> None:
    one, two, three = named("one"), named("two"), named("three")
    cluster = cluster_of(one, two, three, by=lead)
    services.remove_member(cluster_id=cluster.pk, video_id=one.pk, reason="", by=lead)
    assert [recording(video) for video in (one, two, three)] == [
        ("one", "name"), ("two", "name"), ("two", "cluster"),
    ]  # fmt: skip


def test_a_cluster_of_one_ends(lead: User) -> None:
    one, two = named("one"), named("two")
    cluster = cluster_of(one, two, by=lead)
    assert services.remove_member(cluster_id=cluster.pk, video_id=one.pk, reason="", by=lead) is None
    assert not DuplicateCluster.objects.exists()
    assert not VideoFinding.objects.exists()
    assert [recording(one), recording(two)] == [("one", "name"), ("two", "name")]


def test_only_members_can_be_removed(lead: User) -> None:
    cluster = cluster_of(named(), named(), by=lead)
    with pytest.raises(Problem) as refused:
        services.remove_member(cluster_id=cluster.pk, video_id=named().pk, reason="", by=lead)
    assert refused.value.code == "not_a_member"
    assert len(members(cluster)) == 2


def test_adding_withdraws_that_it_was_taken_out(lead: User) -> None:
    one, two, three = named("one"), named("two"), named("three")
    cluster = cluster_of(one, two, three, by=lead)
    services.remove_member(cluster_id=cluster.pk, video_id=three.pk, reason="", by=lead)
    services.add_video(cluster_id=cluster.pk, video_id=three.pk, reason="it is, after all", by=lead)
    assert members(cluster) == [one.pk, two.pk, three.pk]
    assert all(same for _, _, same in verdicts())
    assert recording(three) == ("one", "cluster")
    newest = history(cluster)[0]
    assert newest.data["overruled"] == [[one.pk, three.pk], [two.pk, three.pk]]


def test_a_video_is_in_one_cluster_only(lead: User) -> None:
    cluster, other = cluster_of(named(), named(), by=lead), cluster_of(named(), named(), by=lead)
    with pytest.raises(Problem) as refused:
        services.add_video(cluster_id=cluster.pk, video_id=members(other)[0], reason="", by=lead)
    assert refused.value.code == "in_another_cluster"


def test_merged_clusters_share_one_recording(lead: User) -> None:
    videos = [named(f"r{number}") for number in range(4)]
    first, second = cluster_of(*videos[:2], by=lead), cluster_of(*videos[2:], by=lead)
    target = services.merge(cluster_ids=[second.pk, first.pk], reason="one film", by=lead)
    assert target.pk == first.pk
    assert members(target) == [video.pk for video in videos]
    assert [recording(video)[0] for video in videos] == ["r0"] * 4
    assert not DuplicateCluster.objects.filter(pk=second.pk).exists()
    search_again()
    assert members(target) == [video.pk for video in videos]
    for video in videos[1:]:
        services.remove_member(cluster_id=target.pk, video_id=video.pk, reason="", by=lead)
    assert [recording(video) for video in videos] == [(f"r{number}", "name") for number in range(4)]


@pytest.mark.parametrize(("others", "code"), [([], "clusters_needed"), ([10**9], "cluster_missing")])
def test_merging_needs_two_clusters(lead: User, others: list[int], code: str) -> None:
    cluster = cluster_of(named(), named(), by=lead)
    with pytest.raises(Problem) as refused:
        services.merge(cluster_ids=[cluster.pk, *others], reason="", by=lead)
    assert refused.value.code == code


def test_a_withdrawn_word_undoes_what_it_alone_did(lead: User) -> None:
    one, two, three = named("one"), named("two"), named("three")
    cluster = cluster_of(one, two, three, by=lead)
    services.withdraw_verdict(verdict_id=DuplicateVerdict.objects.get(second=three).pk, by=lead)
    assert members(cluster) == [one.pk, two.pk]
    assert recording(three) == ("three", "name")
    services.withdraw_verdict(verdict_id=DuplicateVerdict.objects.get().pk, by=lead)
    assert not DuplicateCluster.objects.exists()
    assert recording(two) == ("two", "name")
    assert "duplicate_verdict.withdrawn" in AuditEvent.objects.values_list("verb", flat=True)


def test_what_a_search_found_stays_until_the_next_when_a_word_is_withdrawn(lead: User) -> None:
    one, other = named(), named()
    twin, twin_of_other = (make_video(media=video.media, recording=video.recording) for video in (one, other))
    search_again()
    first, second = DuplicateCluster.objects.order_by("id")
    services.merge(cluster_ids=[first.pk, second.pk], reason="", by=lead)
    services.withdraw_verdict(verdict_id=DuplicateVerdict.objects.get().pk, by=lead)
    assert len(members(first)) == 4
    search_again()
    groups = {frozenset(members(cluster)) for cluster in DuplicateCluster.objects.all()}
    assert groups == {frozenset({one.pk, twin.pk}), frozenset({other.pk, twin_of_other.pk})}


def test_there_must_be_a_word_to_withdraw(lead: User) -> None:
    with pytest.raises(Problem) as refused:
        services.withdraw_verdict(verdict_id=10**9, by=lead)
    assert refused.value.code == "verdict_missing"


def audits() -> dict[int, str]:
    """Who asked for the waiting audit of which corpus; forgets them."""
    waiting = Job.objects.filter(kind="audit", state=JobState.QUEUED).select_related("created_by")
    asked = {job.args["corpus_id"]: job.created_by.username for job in waiting if job.created_by}
    assert len(asked) == len(waiting)
    waiting.delete()
    return asked


def test_whoever_changes_a_cluster_has_its_corpora_audited_anew(lead: User) -> None:
    one, two, three, four, five = (named() for _ in range(5))
    by_lead = {video.pk: {video.corpus_id: lead.username} for video in (one, two, three, four, five)}

    def of(*videos: Video) -> dict[int, str]:
        return {corpus: name for video in videos for corpus, name in by_lead[video.pk].items()}

    assert len(of(one, two, three, four, five)) == 5
    cluster = cluster_of(one, two, by=lead)
    assert audits() == of(one, two)
    services.confirm(cluster_id=cluster.pk, by=lead)
    assert audits() == {}
    services.add_video(cluster_id=cluster.pk, video_id=three.pk, reason="", by=lead)
    assert audits() == of(one, two, three)
    other = cluster_of(four, five, by=lead)
    audits()
    services.merge(cluster_ids=[cluster.pk, other.pk], reason="", by=lead)
    assert audits() == of(one, two, three, four, five)
    services.remove_member(cluster_id=cluster.pk, video_id=five.pk, reason="", by=lead)
    assert audits() == of(one, two, three, four, five)
    verdict = DuplicateVerdict.objects.get(first=one.pk, second=three.pk)
    services.withdraw_verdict(verdict_id=verdict.pk, by=lead)
    assert audits() == of(one, two, three, four)
    for video in (four, two):
        services.remove_member(cluster_id=cluster.pk, video_id=video.pk, reason="", by=lead)
    assert not DuplicateCluster.objects.exists()
    assert audits() == of(one, two, four)
