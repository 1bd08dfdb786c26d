"""Clusters of near duplicates for people: filters, one clock for all members, who may do what, what was said."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from django.test import Client

from annotations.corpora.duplicates.services import confirm, create_cluster, remove_member
from annotations.corpora.models import Corpus, DuplicateCluster, DuplicateMember, RecordingOrigin, Video
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from frontend import duplicates
from tests import factories

pytestmark = pytest.mark.django_db


def cluster_of(*videos: Video, evidence: Mapping[int, dict[str, Any]] | None = None) -> DuplicateCluster:
    """A cluster as a search leaves it. `evidence` by place."""
    cluster = DuplicateCluster.objects.create()
    for place, video in enumerate(videos):
        DuplicateMember.objects.create(cluster=cluster, video=video, evidence=(evidence or {}).get(place, {}))
    return cluster


def page(client: Client, user: User, address: str, status: int = 200) -> str:
    client.force_login(user)
    response = client.get(address)
    assert response.status_code == status, address
    return response.content.decode()


def listed(text: str) -> set[int]:
    return {int(number) for number in re.findall(r'<h2><a href="/duplicates/(\d+)">', text)}


@pytest.mark.parametrize("address", ["/duplicates", "/duplicates/1", "/duplicates/said"])
def test_pages_need_a_sign_in(client: Client, address: str) -> None:
    assert client.get(address).status_code == 302


def test_empty_pages_say_why(client: Client, lead: User) -> None:
    assert "No search has gone through yet" in page(client, lead, "/duplicates")
    Job.objects.create(kind="cluster", queue="data", state=JobState.DONE, result={"to_merge": []})
    assert "found no two clips" in page(client, lead, "/duplicates")
    assert "No cluster matches." in page(client, lead, "/duplicates?state=confirmed")
    assert "Nobody has said anything" in page(client, lead, "/duplicates/said")
    page(client, lead, "/duplicates/4711", status=404)


def test_filters_narrow_the_list(client: Client, lead: User) -> None:
    one, two = factories.make_corpus("one"), factories.make_corpus("two")
    make = factories.make_video
    inside = cluster_of(make(one), make(one))
    across = cluster_of(make(one), make(two), evidence={1: {"proposed": True}})
    done = create_cluster(video_ids=[make(two, recording="drive").pk for _ in range(2)], reason="", by=lead)
    confirm(cluster_id=done.pk, by=lead)
    disagree = create_cluster(
        video_ids=[make(two, recording=name, recording_origin=RecordingOrigin.FORMAT).pk for name in "ab"],
        reason="", by=lead,
    )  # fmt: skip
    for query, left in (
        ("", {inside, across, done, disagree}),
        (f"corpus={one.pk}", {inside, across}),
        ("state=open", {inside, across, disagree}),
        ("state=confirmed", {done}),
        ("state=proposed", {across}),
        ("state=conflict", {disagree}),
        ("across=1", {across}),
        (f"corpus={two.pk}&across=1&state=open", {across}),
        ("corpus=x&state=nonsense&across=2", {inside, across, done, disagree}),
        ("corpus=99999999999999999999", {inside, across, done, disagree}),
    ):
        text = page(client, lead, f"/duplicates?{query}")
        assert listed(text) == {cluster.pk for cluster in left}, query


def test_the_clock_follows_the_evidence_from_neighbour_to_neighbour() -> None:
    first, second, third, alone = (factories.make_video() for _ in range(4))
    cluster = cluster_of(
        first, second, third, alone,
        evidence={
            1: {"nearest": first.pk, "shift_us": 1_500_000, "similarity": 0.9, "overlap_us": 3_000_000},
            2: {"nearest": second.pk, "shift_us": -2_000_000, "similarity": 0.8},
        },
    )  # fmt: skip
    found = {row.video.pk: row for row in duplicates.cluster_members(cluster)}
    # what second shows at t, first shows at t - 1.5 s; what third shows at t, second shows at t + 2 s
    offsets = {pk: row.offset_us for pk, row in found.items()}
    assert offsets[second.pk] - offsets[first.pk] == 1_500_000
    assert offsets[third.pk] - offsets[second.pk] == -2_000_000
    assert offsets[alone.pk] == 0
    assert min(offsets.values()) == 0
    assert found[second.pk].likeness == "90 % alike"
    assert found[alone.pk].likeness == ""


def test_evidence_that_contradicts_itself_still_gives_a_clock() -> None:
    first, second = factories.make_video(), factories.make_video()
    cluster = cluster_of(
        first, second,
        evidence={0: {"nearest": second.pk, "shift_us": 5}, 1: {"nearest": first.pk, "shift_us": 7}},
    )  # fmt: skip
    assert min(row.offset_us for row in duplicates.cluster_members(cluster)) == 0


def test_a_cluster_shows_what_speaks_for_its_members(client: Client, lead: User) -> None:
    corpus = Corpus.objects.create(name="<b>one</b>")
    first = factories.make_video(
        corpus, name="<i>a</i>.mp4", recording="r1", recording_origin=RecordingOrigin.FORMAT
    )
    second = factories.make_video(name="b.mp4", recording="r2", recording_origin=RecordingOrigin.FORMAT)
    evidence = {
        "nearest": first.pk,
        "similarity": 0.934,
        "shift_us": 1_500_000,
        "overlap_us": 3_000_000,
        "proposed": True,
    }
    cluster = cluster_of(first, second, evidence={1: evidence})
    text = page(client, lead, f"/duplicates/{cluster.pk}")
    for words in ("93 % alike", "1.500 s later than there", "3.000 s", "Proposed", "Their recordings disagree",
                  "r1, r2", 'data-offset-us="1500000"', "an id of the imported format"):  # fmt: skip
        assert words in text, words
    assert "<i>a</i>" not in text
    assert "<b>one</b>" not in text


def test_acting_shows_to_those_who_may(
    client: Client, lead: User, engineer: User, annotator: User, reviewer: User
) -> None:
    cluster = cluster_of(factories.make_video(), factories.make_video())
    for user, may in ((lead, True), (engineer, True), (annotator, False), (reviewer, False)):
        for address in ("/duplicates", f"/duplicates/{cluster.pk}"):
            assert ("/api/duplicate-clusters/" in page(client, user, address)) == may, address


def test_who_was_taken_out_can_be_put_back(client: Client, lead: User) -> None:
    videos = [factories.make_video(name=f"{name}.mp4") for name in "abc"]
    cluster = cluster_of(*videos)
    remove_member(cluster_id=cluster.pk, video_id=videos[2].pk, reason="another day", by=lead)
    text = page(client, lead, f"/duplicates/{cluster.pk}")
    assert "another day" in text
    assert f'data-post="/api/duplicate-clusters/{cluster.pk}/add"' in text
    assert [item.video for item in duplicates.outsiders(cluster, lead)] == [videos[2]]
    said = page(client, lead, "/duplicates/said")
    assert said.count("different from") == 2
    assert said.count('data-method="DELETE"') == 2


def test_a_search_says_how_it_stands(client: Client, lead: User) -> None:
    clusters = [cluster_of(factories.make_video(), factories.make_video()) for _ in range(2)]
    gone = clusters[1].pk + 1000
    pairs = [[clusters[0].pk, clusters[1].pk], [clusters[0].pk, gone]]
    Job.objects.create(kind="cluster", queue="data", state=JobState.DONE, result={"to_merge": pairs})
    found = duplicates.search(None, lead)
    assert found.to_merge == [(clusters[0].pk, clusters[1].pk)]
    assert found.missing == 4  # none of the clips has a fingerprint
    Job.objects.create(kind="cluster", queue="data", message="comparing clips")
    text = page(client, lead, "/duplicates")
    assert "A search waits" in text
    assert "Perhaps one" in text
    assert "4 clips cannot be compared yet" in text


def test_the_list_costs_a_fixed_number_of_queries(
    client: Client, lead: User, django_assert_max_num_queries: object
) -> None:
    for _ in range(12):
        cluster_of(*(factories.make_video() for _ in range(6)))
    client.force_login(lead)
    with django_assert_max_num_queries(14):  # type: ignore[operator]
        text = client.get("/duplicates").content.decode()
    assert text.count("<li>") >= 12 * duplicates.SHOWN_MEMBERS
    assert "6 videos" in text
