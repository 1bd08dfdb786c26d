from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from annotations.corpora.duplicates.searching import find_clusters
from annotations.corpora.duplicates.services import confirm
from annotations.corpora.models import DuplicateCluster, DuplicateMember, DuplicateVerdict, Media, Video
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job
from tests.factories import make_video

pytestmark = pytest.mark.django_db
Clip = Callable[..., Video]


def client(user: User) -> APIClient:
    api = APIClient()
    api.force_login(user)
    return api


@pytest.fixture
def cluster(clip: Clip) -> DuplicateCluster:
    clip(1, name="a.mp4", recording="one")
    clip(1, start=4, name="b.mp4", source="web")
    find_clusters(corpus_id=None, by=None, progress=lambda done, total, message: None)
    return DuplicateCluster.objects.get()


def test_a_cluster_shows_its_members_and_what_speaks_for_them(
    cluster: DuplicateCluster, annotator: User
) -> None:
    Media.objects.update(thumbnail_name="thumbnails/x.jpg")
    body = client(annotator).get(f"/api/duplicate-clusters/{cluster.pk}").json()
    one, copy = body["members"]
    first, second = Video.objects.order_by("id")
    assert (body["member_count"], body["proposed_count"], body["confirmed_by"], body["verdicts"]) == (
        2,
        0,
        None,
        [],
    )
    assert copy | {"added_at": None} == {
        "video": second.pk, "name": "b.mp4", "corpus": second.corpus_id, "corpus_name": second.corpus.name,
        "source": "web", "recording": "one", "recording_origin": "cluster", "duration_us": 4_000_000,
        "thumbnail_url": f"/api/videos/{second.pk}/thumbnail", "proxy_url": f"/api/videos/{second.pk}/proxy",
        "nearest": first.pk, "exact": False, "similarity": 1.0, "motion": pytest.approx(1.0),
        "shift_us": -1_000_000, "overlap_us": 3_000_000, "proposed": False, "added_by": None, "added_at": None,
    }  # fmt: skip
    assert (one["nearest"], one["shift_us"], one["recording"]) == (second.pk, 1_000_000, "one")


def test_lists_are_filtered_and_read_in_few_queries(
    cluster: DuplicateCluster, clip: Clip, lead: User, django_assert_max_num_queries: Any
) -> None:
    for start in (0, 1, 2, 3, 4, 5):
        clip(2, start=start)
    find_clusters(corpus_id=None, by=None, progress=lambda done, total, message: None)
    big = DuplicateCluster.objects.exclude(pk=cluster.pk).get()
    confirm(cluster_id=cluster.pk, by=lead)
    api = client(lead)
    with django_assert_max_num_queries(7):
        rows = api.get("/api/duplicate-clusters").json()["results"]
    assert [(row["id"], row["member_count"], len(row["preview"])) for row in rows] == [
        (cluster.pk, 2, 2), (big.pk, 6, 4),
    ]  # fmt: skip

    def found(query: str) -> list[int]:
        return [row["id"] for row in api.get(f"/api/duplicate-clusters?{query}").json()["results"]]

    video = cluster.members.get(video__name="b.mp4").video
    assert found("confirmed=true") == [cluster.pk]
    assert found("confirmed=false") == [big.pk]
    assert found(f"corpus={video.corpus_id}") == [cluster.pk]
    assert found(f"video={video.pk}") == [cluster.pk]
    assert found("across_corpora=true") == [cluster.pk, big.pk]
    assert found("across_corpora=false") == []
    assert found("proposed=true") == []
    DuplicateMember.objects.filter(video=video).update(evidence={"proposed": True})
    assert found("proposed=true") == [cluster.pk]


def test_a_lead_edits_and_takes_back(cluster: DuplicateCluster, lead: User) -> None:
    api, address = client(lead), f"/api/duplicate-clusters/{cluster.pk}"
    stranger = make_video()
    added = api.post(f"{address}/add", {"video": stranger.pk, "reason": "mirrored"})
    assert [row["video"] for row in added.json()["members"]][-1] == stranger.pk
    assert added.json()["members"][-1]["added_by"] == lead.username
    [verdict] = added.json()["verdicts"]
    assert (verdict["same"], verdict["reason"], verdict["by"]) == (True, "mirrored", lead.username)
    removed = api.post(f"{address}/remove", {"video": stranger.pk}).json()
    assert len(removed["members"]) == 2
    confirmed = api.post(f"{address}/confirm", {"note": "checked"}).json()
    assert (confirmed["confirmed_by"], confirmed["note"]) == (lead.username, "checked")
    assert api.post(f"{address}/confirm").json()["error"]["code"] == "cluster_confirmed"
    rows = api.get(f"/api/duplicate-verdicts?video={stranger.pk}").json()["results"]
    assert {row["same"] for row in rows} == {False}
    for row in rows:
        assert api.delete(f"/api/duplicate-verdicts/{row['id']}").status_code == 204
    assert not DuplicateVerdict.objects.exists()
    last = removed["members"][0]["video"]
    assert api.post(f"{address}/remove", {"video": last}).status_code == 204
    assert api.get(address).status_code == 404


def test_clusters_are_made_and_merged(cluster: DuplicateCluster, lead: User) -> None:
    api = client(lead)
    made = api.post("/api/duplicate-clusters", {"videos": [make_video().pk, make_video().pk]})
    assert made.status_code == 201
    merged = api.post(f"/api/duplicate-clusters/{made.json()['id']}/merge", {"clusters": [cluster.pk]}).json()
    assert (merged["id"], merged["member_count"]) == (cluster.pk, 4)


def test_a_search_is_queued(cluster: DuplicateCluster, lead: User) -> None:
    api = client(lead)
    corpus = Video.objects.order_by("id")[0].corpus_id
    for given, args in (({}, None), ({"corpus": corpus}, corpus)):
        queued = api.post("/api/duplicate-clusters/search", given)
        assert (queued.status_code, Job.objects.get(pk=queued.json()["id"]).args) == (
            202,
            {"corpus_id": args, "new_only": False},
        )
    assert api.post("/api/duplicate-clusters/search", {"corpus": 10**9}).status_code == 404


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("", {"videos": [1, 2]}), ("/search", {}), ("/{id}/confirm", {}), ("/{id}/add", {"video": 1}),
        ("/{id}/remove", {"video": 1}), ("/{id}/merge", {"clusters": [2]}),
    ],
)  # fmt: skip
def test_only_those_who_keep_corpora_may_edit(
    cluster: DuplicateCluster, annotator: User, reviewer: User, path: str, given: dict[str, Any]
) -> None:
    address = "/api/duplicate-clusters" + path.format(id=cluster.pk)
    for user in (annotator, reviewer):
        assert client(user).post(address, given).status_code == 403
    assert APIClient().post(address, given).status_code == 401
    assert not DuplicateVerdict.objects.exists()


def test_only_those_who_keep_corpora_may_withdraw(
    cluster: DuplicateCluster, annotator: User, lead: User
) -> None:
    client(lead).post(f"/api/duplicate-clusters/{cluster.pk}/add", {"video": make_video().pk})
    verdict = DuplicateVerdict.objects.get()
    assert client(annotator).delete(f"/api/duplicate-verdicts/{verdict.pk}").status_code == 403
    assert client(annotator).get(f"/api/duplicate-verdicts/{verdict.pk}").status_code == 200


@pytest.mark.parametrize(
    ("path", "given", "status", "code"),
    [
        ("/{id}/add", {}, 400, "invalid"), ("/{id}/add", {"video": 10**9}, 400, "video_missing"),
        ("/{id}/remove", {"video": 10**9}, 400, "not_a_member"), ("/{id}/merge", {"clusters": []}, 400, "invalid"),
        ("/999999999/confirm", {}, 404, "cluster_missing"), ("/{id}/add", {"video": 2**70}, 400, "invalid"),
        ("", {"videos": [1]}, 400, "invalid"),
    ],
)  # fmt: skip
def test_refusals_name_what_is_wrong(
    cluster: DuplicateCluster, lead: User, path: str, given: dict[str, Any], status: int, code: str
) -> None:
    answer = client(lead).post("/api/duplicate-clusters" + path.format(id=cluster.pk), given, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "query", ["corpus=x", "video=99999999999999999999", "corpus=1e30", "confirmed=maybe"]
)
def test_nonsense_filters_are_no_error_of_the_server(annotator: User, query: str) -> None:
    assert client(annotator).get(f"/api/duplicate-clusters?{query}").status_code in (200, 400)
    assert client(annotator).get(f"/api/duplicate-verdicts?{query}").status_code in (200, 400)
