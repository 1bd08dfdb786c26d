"""The pages of imports: who may start one, what the folder browser shows, progress, rejected rows."""

import csv
import io
from pathlib import Path

import pytest
from django.test import Client

from annotations.corpora.importers.formats import FORMATS
from annotations.corpora.models import Corpus, ImportFormat, ImportRejection, ImportRun
from annotations.corpora.services import start_import
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import enqueue
from frontend import imports
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    """An import root with a folder of clips, a table, a hidden file, and a link that leads outside."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "one.mp4").write_bytes(b"x" * 1500)
    (tmp_path / "clips" / "table.csv").write_text("name,crash\none.mp4,yes\n")
    (tmp_path / "clips" / ".hidden").write_text("")
    (tmp_path / "clips" / "deeper").mkdir()
    (tmp_path / "clips" / "outside").symlink_to("/etc")
    return tmp_path


def get(client: Client, user: User, address: str, status: int = 200, **query: str) -> str:
    client.force_login(user)
    response = client.get(address, query)
    assert response.status_code == status, address
    return response.content.decode()


@pytest.mark.parametrize("path", ["", "/mapping", "/trial"])
def test_starting_is_for_those_who_may(
    client: Client, lead: User, engineer: User, annotator: User, reviewer: User, path: str
) -> None:
    address = f"/corpora/{factories.make_corpus().pk}/import{path}"
    assert client.get(address).status_code == 302
    for user, status in ((lead, 200), (engineer, 200), (annotator, 403), (reviewer, 403)):
        get(client, user, address, status)


def test_every_format_is_offered_with_what_it_fills(client: Client, lead: User) -> None:
    text = get(client, lead, f"/corpora/{factories.make_corpus().pk}/import")
    for value in FORMATS:
        assert f'value="{value}"' in text
    assert text.index(f'value="{ImportFormat.FOLDER}"') < text.index(f'value="{ImportFormat.CRASHCHAT}"')
    assert {value for value in imports.OPTIONS} <= {*ImportFormat.values}


def test_the_browser_lists_folders_first_and_stays_inside_the_roots(
    client: Client, lead: User, incoming: Path
) -> None:
    found = imports.folder(str(incoming / "clips"))
    assert [entry.name for entry in found.entries] == ["deeper", "table.csv", "one.mp4"]
    assert [entry.about for entry in found.entries][2] == "1.5 kB"
    assert found.left_out == 1  # the link that leads outside; hidden files are not counted
    assert [name for name, _ in found.crumbs] == [str(incoming), "clips"]
    text = get(client, lead, f"/corpora/{factories.make_corpus().pk}/import", at=str(incoming / "clips"))
    assert f'data-take="{incoming}/clips/one.mp4"' in text


@pytest.mark.parametrize(
    "at", ["/etc", "{root}/../..", "{root}/clips/outside", "{root}/nothing", "a\0b", "x" * 400]
)
def test_other_folders_are_not_shown(client: Client, lead: User, incoming: Path, at: str) -> None:
    found = imports.folder(at.format(root=incoming))
    assert "lies outside" in found.problem
    assert [entry.path for entry in found.entries] == [str(incoming.resolve())]
    text = get(client, lead, f"/corpora/{factories.make_corpus().pk}/import", at=at.format(root=incoming))
    assert "lies outside" in text
    assert "passwd" not in text


def test_without_import_roots_the_page_says_so(client: Client, lead: User, settings: object) -> None:
    settings.IMPORT_ROOTS = []  # type: ignore[attr-defined]
    assert "CRASHDESK_IMPORT_ROOTS is empty" in get(
        client, lead, f"/corpora/{factories.make_corpus().pk}/import"
    )


def test_a_file_leads_to_its_folder_and_a_huge_folder_is_cut(incoming: Path) -> None:
    assert imports.folder(str(incoming / "clips" / "one.mp4")).path == str(incoming / "clips")
    for number in range(imports.SHOWN_ENTRIES + 5):
        (incoming / "clips" / "deeper" / f"{number}.mp4").touch()
    found = imports.folder(str(incoming / "clips" / "deeper"))
    assert (len(found.entries), found.left_out) == (imports.SHOWN_ENTRIES, 5)


@pytest.fixture
def run(incoming: Path, lead: User) -> ImportRun:
    found, _ = start_import(corpus_name="spring", format="folder", path=incoming / "clips", by=lead)
    return found


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("queued", {"cancel"}),
        ("running", {"cancel"}),
        ("failed", {"retry"}),
        ("cancelled", {"retry"}),
        ("done", set()),
    ],
)
def test_what_may_be_done_follows_the_job(
    client: Client, lead: User, run: ImportRun, state: str, offered: set[str]
) -> None:
    set_state(run, state)
    text = get(client, lead, f"/imports/{run.pk}")
    shown = {
        name for name, when in (("cancel", "open"), ("retry", "undone")) if f'data-when="{when}">' in text
    }
    assert shown == offered


def set_state(run: ImportRun, state: str, **fields: object) -> None:
    claim: dict[str, object] = {"token": None, "lease_until": None}
    if state == JobState.RUNNING:
        claim = {"token": "0" * 32, "lease_until": run.created_at}
    Job.objects.filter(pk=run.job_id).update(state=state, **claim, **fields)


def test_cancelling_shows_to_those_who_may(client: Client, annotator: User, run: ImportRun) -> None:
    text = get(client, annotator, f"/imports/{run.pk}")
    assert "/cancel" not in text
    assert "Import again" not in text


def test_progress_counts_reading_and_clips_apart(client: Client, lead: User, run: ImportRun) -> None:
    set_state(run, "running", progress_done=30, progress_total=120, message="one.mp4")
    jobs = [enqueue("media", {"media_id": n}, by=None, group=f"import:{run.pk}") for n in range(4)]
    Job.objects.filter(pk__in=[jobs[0].pk, jobs[1].pk]).update(state=JobState.DONE)
    Job.objects.filter(pk=jobs[2].pk).update(state=JobState.FAILED)
    found = imports.progress(run)
    assert found.percent == 25
    assert (found.clips.total, found.clips.done, found.clips.failed, found.clips.waiting) == (4, 2, 1, 1)
    assert found.live
    text = get(client, lead, f"/imports/{run.pk}/progress")
    assert "2 of 4, 1 failed or cancelled" in text
    assert 'value="25.0"' in text
    set_state(run, "done")
    assert imports.progress(run).live  # one clip is still to be probed
    Job.objects.filter(pk=jobs[3].pk).update(state=JobState.DONE)
    assert not imports.progress(run).live


def test_clips_that_are_fetched_count_apart(client: Client, lead: User, run: ImportRun) -> None:
    set_state(run, "done")
    job = enqueue("fetch", {"video_id": 1}, by=None, group=f"import:{run.pk}")
    assert imports.progress(run).live
    text = get(client, lead, f"/imports/{run.pk}/progress")
    assert "Clips fetched from their addresses: 0 of 1" in text
    assert "still being fetched" in text
    Job.objects.filter(pk=job.pk).update(state=JobState.FAILED)
    assert "0 of 1, 1 failed or cancelled" in get(client, lead, f"/imports/{run.pk}/progress")
    assert not imports.progress(run).live


def test_a_failed_import_says_why(client: Client, lead: User, run: ImportRun) -> None:
    set_state(run, "failed", error="/srv/clips is not there any more.")
    assert "/srv/clips is not there any more." in get(client, lead, f"/imports/{run.pk}")


def test_an_import_of_the_command_line_has_no_job(client: Client, lead: User) -> None:
    run = ImportRun.objects.create(corpus=factories.make_corpus(), format="folder", path="/srv", job_id=None)
    assert imports.progress(run).state == "queued"
    text = get(client, lead, f"/imports/{run.pk}")
    assert "/cancel" not in text


def reject(run: ImportRun, count: int, **fields: str) -> None:
    ImportRejection.objects.bulk_create(
        [
            ImportRejection(
                **{
                    "run": run,
                    "file": "t.csv",
                    "row": n + 1,
                    "field": "end",
                    "reason": "is not a time",
                    **fields,
                }
            )
            for n in range(count)
        ]
    )


def test_rejected_rows_are_grouped_listed_and_downloaded(client: Client, lead: User, run: ImportRun) -> None:
    reject(run, 130)
    reject(run, 2, field="", reason="=cmd|'/c calc'!A0", file='ü, "quoted".csv')
    text = get(client, lead, f"/imports/{run.pk}")
    assert "<strong>130</strong> in <code>end</code>" in text
    assert "Download 132 as CSV" in text
    assert text.count("<td>is not a time</td>") == 100
    client.force_login(lead)
    response = client.get(f"/imports/{run.pk}/rejections.csv")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(b"".join(response).decode())))  # type: ignore[arg-type]
    assert rows[0] == ["file", "row", "field", "reason"]
    assert len(rows) == 133
    assert rows[-1] == ['ü, "quoted".csv', "2", "", "'=cmd|'/c calc'!A0"]


def test_the_download_needs_a_sign_in(client: Client, run: ImportRun) -> None:
    assert client.get(f"/imports/{run.pk}/rejections.csv").status_code == 302


def test_a_page_of_an_import_costs_a_fixed_number_of_queries(
    client: Client, lead: User, run: ImportRun, django_assert_max_num_queries: object
) -> None:
    reject(run, 60)
    for number in range(20):
        enqueue("media", {"media_id": number}, by=None, group=f"import:{run.pk}")
    client.force_login(lead)
    with django_assert_max_num_queries(11):  # type: ignore[operator]
        client.get(f"/imports/{run.pk}")


def mapped(incoming: Path, text: str) -> str:
    table = incoming / "clips" / "mapped.csv"
    table.write_text(text)
    return str(table)


def test_a_table_shows_its_columns_a_guess_and_what_becomes_of_its_rows(
    client: Client, lead: User, incoming: Path
) -> None:
    path = mapped(incoming, "file,crash,place\none.mp4,yes,Rome\ntwo.mp4,perhaps,Oslo\n")
    corpus = factories.make_corpus()
    text = get(client, lead, f"/corpora/{corpus.pk}/import/mapping", path=path)
    assert "A guess from the names" in text
    for column in ("file", "crash", "place"):
        assert f"<option>{column}</option>" in text
    fields = {"path": path, "map.name": "file", "map.crash_recognition": "crash", "map.crash_recognition.yes": "yes",
              "map.crash_recognition.no": "no", "map.metadata": "rest"}  # fmt: skip
    text = get(client, lead, f"/corpora/{corpus.pk}/import/trial", **fields)
    assert "<strong>Crash or not:</strong> yes" in text
    assert "is mapped to neither yes nor no" in text
    assert 'id="mapping-data"' in text


def test_a_mapping_that_cannot_be_used_says_what_is_wrong(client: Client, lead: User, incoming: Path) -> None:
    path = mapped(incoming, "file,crash\none.mp4,yes\n")
    corpus = factories.make_corpus()
    text = get(client, lead, f"/corpora/{corpus.pk}/import/trial", path=path, **{"map.source": "file"})
    assert "alert--list" in text
    assert "which column names the clip" in text


def test_the_kept_mapping_comes_first_where_it_fits(client: Client, lead: User, incoming: Path) -> None:
    path = mapped(incoming, "file,crash\none.mp4,yes\n")
    corpus = Corpus.objects.create(
        name="mapped", column_mapping={"name": "file", "source": {"constant": "Rome"}}
    )
    address = f"/corpora/{corpus.pk}/import/mapping"
    text = get(client, lead, address, path=path)
    assert "the mapping that the corpus keeps from its last table" in text
    assert 'value="Rome"' in text
    Corpus.objects.update(column_mapping={"name": "gone"})
    assert "names columns that this table does not have" in get(client, lead, address, path=path)


@pytest.mark.parametrize("path", ["/etc/passwd", "", "{root}/clips/nothing.csv"])
def test_a_table_outside_the_roots_is_not_read(client: Client, lead: User, incoming: Path, path: str) -> None:
    corpus = factories.make_corpus()
    for part in ("mapping", "trial"):
        text = get(
            client, lead, f"/corpora/{corpus.pk}/import/{part}", path=path.format(root=incoming), name="x"
        )
        assert "nothing at this path" in text
        assert "root" not in text


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"PK\x03\x04nonsense", b'"unclosed'])
def test_what_is_no_table_is_a_message(client: Client, lead: User, incoming: Path, content: bytes) -> None:
    (incoming / "odd.csv").write_bytes(content)
    corpus = factories.make_corpus()
    for part in ("mapping", "trial"):
        get(
            client,
            lead,
            f"/corpora/{corpus.pk}/import/{part}",
            path=str(incoming / "odd.csv"),
            **{"map.name": "x"},
        )
