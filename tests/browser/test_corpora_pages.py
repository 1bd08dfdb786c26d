"""Corpora in a real browser: import from the page, a table's columns, uploads that are interrupted, storyboards."""

import hashlib
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from annotations.corpora.models import Corpus, ImportRun, Upload, UploadState, Video
from annotations.corpora.services import start_import
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from tests import factories
from tests.browser.conftest import SignIn
from tests.unit.annotations.corpora.media.clips import constant_clip

PIECE = 8 * 1024 * 1024


def work(queue: str) -> int:
    """Do everything that waits in a queue; returns how many jobs that were."""
    done = 0
    while job := claim_next(queue):
        perform(job)
        job.refresh_from_db()
        assert job.state == JobState.DONE, job.error
        done += 1
    return done


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder to import: two clips in a folder below it, and notes."""
    folder = tmp_path / "spring" / "day one"
    folder.mkdir(parents=True)
    constant_clip(folder / "one.mp4", 30)
    constant_clip(folder / "two.mp4", 45)
    (folder / "notes.txt").write_text("nothing")
    return tmp_path / "spring"


def test_a_corpus_is_made_and_a_folder_imported_from_the_page(
    sign_in: SignIn, lead: User, clips: Path
) -> None:
    page = sign_in(lead, "/")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Corpora").click()
    expect(page.get_by_text("There is no corpus yet.")).to_be_visible()
    page.get_by_label("Name").fill("Spring drives")
    page.get_by_label("Licence").fill("CC-BY-4.0")
    page.get_by_role("button", name="Make the corpus").click()
    expect(page.get_by_role("heading", level=1, name="Spring drives")).to_be_visible()
    expect(page.locator("[data-flash]")).to_contain_text("The corpus is made")
    page.get_by_role("link", name="Import files").first.click()

    page.get_by_role("button", name="Start the import").click()
    expect(page.get_by_role("alert").filter(has_text="Say where it lies")).to_be_visible()
    page.get_by_role("link", name=str(clips.parent)).click()
    page.locator("[data-folders]").get_by_role("link", name="spring", exact=True).press("Enter")
    expect(page.get_by_role("link", name="day one")).to_be_focused()
    page.get_by_role("button", name="Take this folder").click()
    expect(page.get_by_label("Folder or file on the server")).to_have_value(str(clips))
    page.get_by_role("button", name="Start the import").click()

    expect(page.locator("[data-state]")).to_have_attribute("data-state", "queued")
    assert work("data")
    expect(page.get_by_role("heading", name="Report")).to_be_visible()
    expect(page.locator(".measures div", has_text="New videos")).to_contain_text("2")
    expect(page.get_by_text("everything is read; clips are still being probed")).to_be_visible()
    expect(page.get_by_text("1 that this format does not read")).to_be_visible()
    assert work("media") >= 2
    expect(page.get_by_text("Clips probed: 2 of 2")).to_be_visible()

    page.get_by_role("link", name="Spring drives").click()
    page.get_by_role("link", name="2 ready to watch").click()
    expect(page.locator(".case-card")).to_have_count(2)
    page.get_by_role("link", name="one.mp4").click()
    expect(page.locator("video")).to_be_visible()
    page.wait_for_function("document.querySelector('video').readyState >= 2")
    expect(page.locator("[data-frame-text]")).to_have_text("frame 1 of 30")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-frame-text]")).to_have_text("frame 2 of 30")


def test_a_refused_import_says_why(sign_in: SignIn, lead: User) -> None:
    corpus = factories.make_corpus()
    page = sign_in(lead, f"/corpora/{corpus.pk}/import")
    page.get_by_label("Folder or file on the server").fill("/etc")
    page.get_by_role("button", name="Start the import").click()
    expect(page.locator("[data-error]")).to_contain_text("Imports are read from below")
    expect(page.get_by_role("button", name="Start the import")).to_be_enabled()
    assert not ImportRun.objects.exists()


def test_a_waiting_import_is_cancelled_and_resumed(sign_in: SignIn, lead: User, clips: Path) -> None:
    corpus = factories.make_corpus()
    page = sign_in(lead, f"/corpora/{corpus.pk}/import?path={clips}")
    page.get_by_role("button", name="Start the import").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("[data-state]")).to_have_attribute("data-state", "cancelled")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("[data-state]")).to_have_attribute("data-state", "queued")
    assert work("data")
    expect(page.get_by_role("heading", name="Report")).to_be_visible()
    assert corpus.videos.count() == 2


def test_a_tables_columns_are_mapped_with_a_live_preview(sign_in: SignIn, lead: User, clips: Path) -> None:
    (clips / "table.csv").write_text(
        "clip,drive,outcome,from,to\n"
        "day one/one.mp4,A,bang,0.2,0.8\n"
        "day one/two.mp4,B,calm,,\n"
        "three.mp4,B,unsure,,\n"
    )  # fmt: skip
    corpus = factories.make_corpus("tables")
    page = sign_in(lead, f"/corpora/{corpus.pk}/import?format=table&path={clips / 'table.csv'}")
    trial = page.locator("[data-trial]")
    expect(trial).to_be_visible()
    page.get_by_label("Name of the clip").select_option("clip")
    page.locator("[name='map.recording']").select_option("drive")
    page.locator("[name='map.crash_recognition']").select_option("outcome")
    page.get_by_label("Cells that mean yes").fill("bang")
    page.get_by_label("Cells that mean no").fill("calm, bang")
    expect(trial.get_by_role("alert")).to_contain_text("'bang' would mean both yes and no")
    page.get_by_role("button", name="Start the import").click()
    expect(page.locator("[data-error]:not([hidden])")).to_contain_text("cannot be used yet")
    page.get_by_label("Cells that mean no").fill("calm")
    expect(trial.get_by_role("alert")).to_have_count(0)
    expect(trial.locator("tbody tr", has_text="one.mp4")).to_contain_text("Crash or not: yes")
    expect(trial.locator("tbody tr", has_text="one.mp4")).to_contain_text("0.200")
    expect(trial).to_contain_text("is mapped to neither yes nor no")
    page.get_by_role("button", name="Start the import").click()

    expect(page.locator("[data-state]")).to_have_attribute("data-state", "queued")
    assert work("data")
    expect(page.get_by_role("heading", name="Report")).to_be_visible()
    rejected = page.locator("#rejections tbody tr")
    expect(rejected).to_have_count(1)
    expect(rejected).to_contain_text("outcome")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download 1 as CSV").click()
    assert "mapped to neither yes nor no" in Path(download.value.path()).read_text()
    assert set(corpus.videos.values_list("name", "recording")) == {
        ("day one/one.mp4", "A"), ("day one/two.mp4", "B"), ("three.mp4", "B"),
    }  # fmt: skip
    assert Corpus.objects.get(pk=corpus.pk).column_mapping["recording"] == {"column": "drive"}


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A clip of more than two pieces: a real one, with room left at its end."""
    path = constant_clip(tmp_path / "large.mp4", 30)
    room = 2 * PIECE + 1000
    with path.open("ab") as stream:
        stream.write(room.to_bytes(4, "big") + b"free" + bytes(room - 8))
    return path


def line(page: Page, name: str) -> Locator:
    return page.locator(".upload", has_text=name)


def test_an_interrupted_upload_goes_on_where_it_was(sign_in: SignIn, lead: User, large: Path) -> None:
    corpus = factories.make_corpus("7")
    factories.make_corpus("another")
    page = sign_in(lead, f"/corpora/{corpus.pk}")
    sent: list[str] = []

    def second_piece_breaks(route: Route) -> None:
        if route.request.method == "PATCH":
            sent.append(route.request.headers["upload-offset"])
        if route.request.method == "PATCH" and route.request.headers["upload-offset"] != "0":
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/uploads/*", second_piece_breaks)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_label("Choose files").set_input_files(large)
    expect(line(page, "large.mp4")).to_contain_text("interrupted at")
    assert Upload.objects.get().offset == PIECE

    page.unroute("**/api/uploads/*")
    page.on(
        "request",
        lambda request: sent.append(request.headers["upload-offset"]) if request.method == "PATCH" else None,
    )
    page.reload()
    begun = page.get_by_role("region", name="Uploads begun and not finished")
    expect(begun).to_contain_text("large.mp4")
    sent.clear()
    page.get_by_label("Choose files").set_input_files(large)
    expect(line(page, "large.mp4")).to_contain_text("the server looks at it")
    assert sent == [str(PIECE), str(2 * PIECE)]
    assert work("data")
    expect(line(page, "large.mp4")).to_contain_text("done")
    expect(page.locator("[data-told]")).to_contain_text("large.mp4 is uploaded. 1 of 1 done.")
    video = Video.objects.get()
    assert video.corpus == corpus
    assert video.media is not None
    assert video.media.sha256 == hashlib.sha256(large.read_bytes()).hexdigest()
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.includes('upload'))") == []
    page.get_by_role("link", name="See the video").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("large.mp4")


def test_a_short_interruption_heals_by_itself(sign_in: SignIn, lead: User, clips: Path) -> None:
    corpus = factories.make_corpus()
    page = sign_in(lead, f"/corpora/{corpus.pk}")
    broken: list[str] = []

    def break_once(route: Route) -> None:
        if route.request.method == "PATCH" and not broken:
            broken.append(route.request.url)
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/uploads/*", break_once)
    page.get_by_label("Choose files").set_input_files(
        [clips / "day one" / "one.mp4", clips / "day one" / "two.mp4"]
    )
    for name in ("one.mp4", "two.mp4"):
        expect(line(page, name)).to_contain_text("the server looks at it")
    assert work("data") >= 2
    for name in ("one.mp4", "two.mp4"):
        expect(line(page, name)).to_contain_text("done")
    assert broken


def test_a_file_that_is_refused_says_why_and_the_others_go_on(
    sign_in: SignIn, lead: User, clips: Path, tmp_path: Path
) -> None:
    corpus = factories.make_corpus()
    taken = tmp_path / "one.mp4"
    taken.write_bytes(b"other bytes")
    factories.make_video(corpus, name="one.mp4")
    page = sign_in(lead, f"/corpora/{corpus.pk}")
    page.get_by_text("Note about them").click()
    page.locator("[data-about]").get_by_label("Source").fill("fleet 3")
    page.get_by_label("Choose files").set_input_files([taken, clips / "day one" / "two.mp4"])
    refused = line(page, "one.mp4")
    expect(refused).to_have_attribute("data-state", "failed")
    expect(refused.locator(".upload__problem")).to_contain_text("one.mp4")
    expect(refused.get_by_role("button", name="Try again: one.mp4")).to_be_visible()
    expect(page.locator("[data-told]")).to_contain_text("one.mp4 failed")
    expect(line(page, "two.mp4")).to_contain_text("the server looks at it")
    assert work("data")
    assert Video.objects.get(name="two.mp4").source == "fleet 3"


def test_an_upload_that_the_server_gave_up_on_is_tried_again(
    sign_in: SignIn, lead: User, clips: Path
) -> None:
    corpus = factories.make_corpus()
    page = sign_in(lead, f"/corpora/{corpus.pk}")
    page.get_by_label("Choose files").set_input_files(clips / "day one" / "one.mp4")
    item = line(page, "one.mp4")
    expect(item).to_contain_text("the server looks at it")
    Upload.objects.update(problem="the disk is full")
    Job.objects.filter(kind="upload").update(state=JobState.FAILED)
    expect(item).to_have_attribute("data-state", "failed")
    expect(item.locator(".upload__problem")).to_have_text("the disk is full")
    page.get_by_role("button", name="Try again: one.mp4").click()
    expect(item).to_contain_text("the server looks at it")
    assert_becomes(lambda: Job.objects.filter(kind="upload", state=JobState.QUEUED).count(), 1, page)
    assert work("data")
    expect(item).to_contain_text("done")
    assert corpus.videos.get().name == "one.mp4"


def test_an_upload_is_cancelled_at_the_server_too(sign_in: SignIn, lead: User, large: Path) -> None:
    corpus = factories.make_corpus()
    page = sign_in(lead, f"/corpora/{corpus.pk}")
    page.route(
        "**/api/uploads/*",
        lambda route: route.abort() if route.request.method == "PATCH" else route.continue_(),
    )
    page.get_by_label("Choose files").set_input_files(large)
    expect(line(page, "large.mp4")).to_contain_text("interrupted")
    page.get_by_role("button", name="Cancel: large.mp4").click()
    expect(line(page, "large.mp4")).to_contain_text("cancelled")
    expect(line(page, "large.mp4").get_by_role("button")).to_have_count(0)
    assert_becomes(lambda: Upload.objects.get().state, UploadState.CANCELLED, page)


def assert_becomes(read: object, wanted: object, page: Page) -> None:
    for _ in range(50):
        if read() == wanted:  # type: ignore[operator]
            return
        page.wait_for_timeout(100)
    assert read() == wanted  # type: ignore[operator]


def test_a_begun_upload_is_cancelled_from_its_row(sign_in: SignIn, lead: User) -> None:
    corpus = factories.make_corpus()
    page = sign_in(lead, f"/corpora/{corpus.pk}")
    page.evaluate(
        """name => import("/static/frontend/api.js").then(({ post }) =>
          post("/api/uploads", { corpus: name, name: "left.mp4", size: 5 }))""",
        corpus.name,
    )
    page.reload()
    page.get_by_role("button", name="Cancel the upload of left.mp4").click()
    expect(page.get_by_role("button", name="Cancel the upload of left.mp4")).to_have_count(0)
    assert Upload.objects.get().state == UploadState.CANCELLED


def test_moments_of_a_clip_show_under_the_pointer_and_with_the_focus(
    sign_in: SignIn, annotator: User, clips: Path, lead: User
) -> None:
    run, _ = start_import(corpus_name="drives", format="folder", path=clips, by=lead)
    work("data")
    work("media")
    page = sign_in(annotator, f"/corpora/{run.corpus_id}/videos")
    card = page.locator(".case-card", has_text="two.mp4")
    picture = card.locator("[data-board]")
    box = picture.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 20)
    expect(picture.locator(".board__time")).to_have_text(re.compile(r"1\.\d{3} s"))
    page.mouse.move(box["x"] + 2, box["y"] + 20)
    expect(picture.locator(".board__time")).to_have_text("0.000 s")
    page.mouse.move(0, 0)
    expect(picture.locator(".board")).to_have_count(0)
    page.get_by_role("button", name="Filter").focus()
    page.keyboard.press("Tab")
    focused = page.locator(".case-card", has=page.locator("a:focus")).locator(".board__time")
    expect(focused).to_have_text("0.000 s")
    expect(focused).not_to_have_text("0.000 s")
    assert not Job.objects.filter(state=JobState.FAILED).exists()
