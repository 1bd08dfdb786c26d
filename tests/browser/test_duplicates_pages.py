"""Near duplicates in a real browser: merging chosen clusters, taking out and undoing, playing on one clock."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from annotations.corpora.media_store import store
from annotations.corpora.models import DuplicateCluster, DuplicateMember, DuplicateVerdict, Media, Video
from annotations.corpora.services import process_media
from crashdesk.accounts.models import User
from tests import factories
from tests.browser.conftest import SignIn
from tests.unit.annotations.corpora.media.clips import constant_clip


def cluster_of(*videos: Video) -> DuplicateCluster:
    cluster = DuplicateCluster.objects.create()
    for video in videos:
        DuplicateMember.objects.create(cluster=cluster, video=video)
    return cluster


@pytest.fixture
def shorter(transactional_db: None, tmp_path: Path) -> Media:
    """A second clip: 60 frames at 30 per second."""
    stored = store(constant_clip(tmp_path / "shorter.mp4", 60, gop=10))
    return process_media(
        Media.objects.create(sha256=stored.sha256, size=stored.size, storage_name=stored.name).pk
    )


def test_chosen_clusters_are_merged(sign_in: SignIn, lead: User) -> None:
    clusters = [cluster_of(factories.make_video(), factories.make_video()) for _ in range(3)]
    page = sign_in(lead, "/duplicates")
    expect(page.get_by_role("button", name="Merge them")).to_be_hidden()
    page.get_by_label(f"Choose cluster {clusters[2].pk}").check()
    expect(page.locator("[data-chosen]")).to_contain_text("choose another")
    expect(page.get_by_role("button", name="Merge them")).to_be_disabled()
    page.get_by_label(f"Choose cluster {clusters[0].pk}").press("Space")
    page.get_by_role("button", name="Merge them").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Cluster {clusters[0].pk}")
    expect(page.locator("[data-flash]")).to_have_text("2 clusters are one now.")
    expect(page.locator(".compare__member")).to_have_count(4)
    assert set(DuplicateCluster.objects.values_list("pk", flat=True)) == {clusters[0].pk, clusters[1].pk}


def test_a_video_is_taken_out_with_a_reason_and_put_back(sign_in: SignIn, lead: User) -> None:
    videos = [factories.make_video(name=f"{name}.mp4") for name in "abc"]
    cluster = cluster_of(*videos)
    page = sign_in(lead, f"/duplicates/{cluster.pk}")
    member = page.locator(".compare__member", has_text="b.mp4")
    member.get_by_text("Not the same: take out…").click()
    member.get_by_label("Why (optional)").fill("another day")
    member.get_by_role("button", name="Take out", exact=True).click()
    expect(page.locator(".compare__member")).to_have_count(2)
    expect(page.get_by_role("region", name="Taken out")).to_contain_text("another day")
    assert DuplicateVerdict.objects.filter(same=False).count() == 2
    page.get_by_role("button", name="Put back b.mp4").click()
    expect(page.locator(".compare__member")).to_have_count(3)
    assert not DuplicateVerdict.objects.filter(same=False).exists()


def test_the_last_pair_apart_ends_the_cluster_and_can_be_withdrawn(sign_in: SignIn, lead: User) -> None:
    cluster = cluster_of(factories.make_video(name="a.mp4"), factories.make_video(name="b.mp4"))
    page = sign_in(lead, f"/duplicates/{cluster.pk}")
    member = page.locator(".compare__member", has_text="b.mp4")
    member.get_by_text("Not the same: take out…").click()
    member.get_by_role("button", name="Take out", exact=True).click()
    expect(page.locator("[data-flash]")).to_contain_text("has ended")
    expect(page).to_have_url(re.compile(r"/duplicates$"))
    page.get_by_role("link", name="What people said").click()
    page.get_by_role("button", name="Withdraw what was said of a.mp4 and b.mp4").click()
    expect(page.get_by_text("Nobody has said anything")).to_be_visible()
    assert not DuplicateVerdict.objects.exists()


def test_confirming_and_a_refusal(sign_in: SignIn, lead: User) -> None:
    cluster = cluster_of(factories.make_video(), factories.make_video())
    page = sign_in(lead, f"/duplicates/{cluster.pk}")
    form = page.get_by_role("region", name="Merge with another cluster")
    form.get_by_label("Number of the cluster").fill("4711")
    form.get_by_role("button", name="Merge").click()
    expect(form.get_by_role("alert")).to_contain_text("There is no cluster 4711")
    page.get_by_role("button", name="All the same: confirm").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Confirmed")
    expect(page.get_by_role("button", name="All the same: confirm")).to_have_count(0)
    cluster.refresh_from_db()
    assert cluster.confirmed_by == lead


def test_members_play_on_one_clock(sign_in: SignIn, annotator: User, clip: Media, shorter: Media) -> None:
    first, second = factories.make_video(media=clip), factories.make_video(media=shorter)
    cluster = DuplicateCluster.objects.create()
    DuplicateMember.objects.create(cluster=cluster, video=first)
    # what the shorter clip shows at t, the other shows at t + 1 s: it was cut off at the front
    evidence = {"nearest": first.pk, "shift_us": -1_000_000, "similarity": 0.95, "overlap_us": 2_000_000}
    DuplicateMember.objects.create(cluster=cluster, video=second, evidence=evidence)
    page = sign_in(annotator, f"/duplicates/{cluster.pk}")
    expect(page.get_by_text("1.000 s earlier than there")).to_be_visible()
    at = page.locator("[data-all-at]")
    at.evaluate("(range) => { range.value = 600; range.dispatchEvent(new Event('input')); }")
    expect(page.locator("[data-all-time]")).to_have_text("1.800 s")
    times = "[...document.querySelectorAll('video')].map((video) => video.currentTime)"
    page.wait_for_function(f"{times}.every((time) => time > 0.5)")
    long, short = page.evaluate(times)
    assert long == pytest.approx(1.8, abs=0.01)
    assert short == pytest.approx(0.8, abs=0.01)
    play = page.get_by_role("button", name="Play together")
    play.click()
    page.wait_for_function(f"{times}[0] > 2.2")
    page.get_by_role("button", name="Pause", exact=True).click()
    long, short = page.evaluate(times)
    assert long - short == pytest.approx(1.0, abs=0.2)
    assert page.evaluate("[...document.querySelectorAll('video')].every((video) => video.paused)")
