import json
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotations.cases import intake
from annotations.cases.default_prompts import DEFAULT_PROMPTS
from annotations.cases.intake import run_import
from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, Case, CaseStatus, Guideline, prompt_version
from annotations.cases.services import drafts
from annotations.corpora.demo.corpus import generate
from annotations.corpora.models import (
    Corpus,
    ImportRejection,
    ImportRun,
    Media,
    SourceRecord,
    Video,
    VideoFinding,
)
from annotations.corpora.services import begin_import
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from crashdesk.jobs.models import Job
from tests.shared_data import shared
from tests.unit.annotations.cases.conversations import CALM, CRASH, FILE_OF, row, write

pytestmark = pytest.mark.django_db
TABLES = (Answer, Case, Corpus, Guideline, Job, Media, Video, VideoFinding)


def silent(done: int, total: int | None, message: str) -> None:
    assert total is None or 0 <= done <= total


def import_(path: Path, format: str = "crashchat", corpus: str = "CrashChat") -> dict[str, Any]:  # noqa: A002
    run = begin_import(corpus_name=corpus, format=format, path=path, by=None)
    return run_import(run.pk, progress=silent)


def contents() -> list[Any]:
    return [list(table.objects.order_by("pk").values()) for table in TABLES]  # type: ignore[attr-defined]


def test_conversations_become_videos_cases_and_answers(tmp_path: Path) -> None:
    report = import_(write(tmp_path / "in", {"videos/cap_1_2.mp4": CRASH, "videos/d2city_1001_7.mp4": CALM}))
    assert report["videos"] == {"new": 2, "known": 0, "lacking_media": 2}
    assert report["cases"] == {"new": 2, "known": 0}
    assert report["answers"] == {"new": 10, "known": 0, "new_absent": 2, "changed": 0}
    assert report["rows"]["crash_recognition"] == {"Nexar": 2}
    assert report["rejected"] == 0
    crash, calm = Case.objects.order_by("video__name")
    assert (crash.status, crash.lacks_media, crash.corpus.name) == ("new", True, "CrashChat")
    assert calm.video.recording == "d2city_1001"
    assert {kind: answer.value for kind, answer in drafts(crash).items()} == {
        "crash_recognition": {"label": "yes"},
        "crash_description": {"text": "car hits car."},
        "causal_reasoning": {"text": "Speeding."},
        "prevention_reasoning": {"text": "Slow down."},
        "crash_localization": {"start_us": 1_900_000, "end_us": 4_000_000},
        "pre_crash_localization": {"at_us": 400_000},
    }
    assert {a.kind: a.state for a in calm.answers.filter(value__isnull=True)} == {
        "crash_localization": "absent",
        "pre_crash_localization": "absent",
    }
    assert AuditEvent.objects.filter(verb="case.created").count() == 2


def test_a_second_import_changes_nothing(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "in", {"a.mp4": {**CRASH, "crash_localization": "2.0 - 2.0 seconds"}, "b.mp4": CALM}
    )
    (folder / "a.mp4").write_bytes(b"not really a clip")
    import_(folder)
    before = contents()
    report = import_(folder)
    assert contents() == before
    assert report["videos"] == {"new": 0, "known": 2, "lacking_media": 1}
    assert report["answers"] == {"new": 0, "known": 10, "new_absent": 0, "changed": 0}
    assert report["findings"] == {"span_zero_length": 1}


@pytest.mark.parametrize("stop_at", [1, 3, 6])
def test_an_import_that_was_killed_goes_on_and_reports_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    monkeypatch.setattr(intake, "BATCH", 2)
    clips = {f"{n}.mp4": CRASH if n % 2 else CALM for n in range(6)}
    run = begin_import(corpus_name="x", format="crashchat", path=write(tmp_path / "in", clips), by=None)
    (tmp_path / "in" / "t_crash_recognition_test.json").write_text('[{"video": 3}]')
    calls = 0

    def die(done: int, total: int | None, message: str) -> None:
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_import(run.pk, progress=die)
    report = run_import(run.pk, progress=silent)
    assert report["videos"]["new"] == 6
    assert report["answers"] == {"new": 30, "known": 0, "new_absent": 6, "changed": 0}
    assert Answer.objects.count() == 36
    assert report["rejected"] == 1 == run.rejections.count()


def test_bad_rows_are_reported_and_the_rest_is_taken(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.mp4": CRASH})
    rows = [row("b.mp4", "Perhaps"), {"video": []}, row("c.mp4", "No")]
    (folder / FILE_OF["crash_recognition"]).write_text(json.dumps(rows))
    (folder / "something else.json").write_text("[]")
    report = import_(folder)
    assert report["rejected"] == 3
    assert list(ImportRejection.objects.values_list("file", "row", "field")) == [
        ("something else.json", None, ""),
        (FILE_OF["crash_recognition"], 1, "answer"),
        (FILE_OF["crash_recognition"], 2, "video"),
    ]
    assert set(Video.objects.values_list("name", flat=True)) == {"a.mp4", "c.mp4"}


def test_the_prompts_of_the_data_become_the_guideline(tmp_path: Path) -> None:
    told = {"crash_recognition": "No", "causal_reasoning": "No accident, no cause."}
    report = import_(write(tmp_path / "in", {"a.mp4": told}))
    guideline = Guideline.objects.get()
    assert {prompt.kind: prompt.text for prompt in guideline.prompts.all()} == {
        **DEFAULT_PROMPTS,
        "crash_recognition": "crash_recognition?",
        "causal_reasoning": "causal_reasoning?",
    }
    assert report["prompts"]["crash_recognition"]["from"] == "data"
    assert report["prompts"]["crash_description"]["from"] == "default"
    assert Answer.objects.get(kind="crash_recognition").prompt_version == prompt_version("crash_recognition?")


def test_a_later_import_of_clips_keeps_to_the_guideline(tmp_path: Path) -> None:
    import_(write(tmp_path / "in", {"a.mp4": CRASH}))
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "a.mp4").write_bytes(b"bytes of a")
    report = import_(clips, "folder")
    case = Case.objects.get()
    assert not case.lacks_media
    assert report["prompts"]["crash_recognition"]["from"] == "guideline"
    assert report["guideline"]["version"] == 1
    assert report["media"] == {"new": 1, "known": 0}
    assert Job.objects.get(kind="media").args == {"media_id": Media.objects.get().pk}


def test_no_absence_is_made_up_where_a_row_said_something(tmp_path: Path) -> None:
    told = {**CALM, "crash_localization": "somewhere", "pre_crash_localization": "1.0 seconds"}
    report = import_(write(tmp_path / "in", {"a.mp4": told}))
    assert report["answers"]["new_absent"] == 0
    assert not Answer.objects.filter(kind=Kind.CRASH_LOCALIZATION).exists()
    assert Answer.objects.get(kind=Kind.PRE_CRASH_LOCALIZATION).state == "valued"


def test_a_corrected_answer_is_added_and_becomes_the_draft(tmp_path: Path) -> None:
    import_(write(tmp_path / "in", {"a.mp4": {**CRASH, "crash_localization": "2.0 - 2.0 seconds"}}))
    finding = VideoFinding.objects.get()
    assert (finding.code, finding.subject, finding.severity) == (
        "span_zero_length",
        "crash_localization",
        "info",
    )
    report = import_(write(tmp_path / "in", {"a.mp4": {**CRASH, "crash_localization": "2.0 - 3.0 seconds"}}))
    assert report["answers"] == {"new": 1, "known": 5, "new_absent": 0, "changed": 1}
    assert drafts(Case.objects.get())["crash_localization"].value == {
        "start_us": 2_000_000,
        "end_us": 3_000_000,
    }
    assert not VideoFinding.objects.exists()


def recognised(folder: Path, *labels: str) -> dict[str, int]:
    """Import files that say these one after the other of a.mp4; what the report says of its answers."""
    folder.mkdir()
    for number, label in enumerate(labels):
        rows = [row("a.mp4", label)]
        (folder / f"{number}_crash_recognition.json").write_text(json.dumps(rows))
    counts: dict[str, int] = import_(folder)["answers"]
    return counts


def test_an_answer_that_is_taken_back_becomes_the_draft_again(tmp_path: Path) -> None:
    said = []
    for number, label in enumerate(["Yes", "No", "Yes", "Yes", "No", "Yes"]):
        counts = recognised(tmp_path / str(number), label)
        draft = drafts(Case.objects.get())["crash_recognition"]
        assert (draft.value, draft.raw_text) == ({"label": label.lower()}, label)
        assert draft.prompt_version == Answer.objects.earliest("id").prompt_version != ""
        said.append((counts["new"], counts["known"], counts["changed"]))
    assert said == [(1, 0, 0), (1, 0, 1), (1, 0, 1), (0, 1, 0), (1, 0, 1), (1, 0, 1)]
    answers = Answer.objects.filter(kind=Kind.CRASH_RECOGNITION).order_by("id")
    assert [answer.raw_text for answer in answers] == ["Yes", "No", "Yes", "No", "Yes"]
    yes, no = answers[0].origin, answers[1].origin
    assert [answer.origin for answer in answers] == [yes, no, f"{yes}:2", f"{no}:2", f"{yes}:3"]


@pytest.mark.parametrize("labels", [("Yes", "No"), ("Yes", "No", "Yes"), ("Yes", "No", "No", "Yes", "No")])
def test_files_that_contradict_each_other_add_nothing_when_imported_again(
    tmp_path: Path, labels: tuple[str, ...]
) -> None:
    recognised(tmp_path / "first", *labels)
    assert drafts(Case.objects.get())["crash_recognition"].raw_text == labels[-1]
    before = contents()
    counts = recognised(tmp_path / "again", *labels)
    assert (counts["new"], counts["changed"], counts["known"]) == (0, 0, len(labels))
    assert contents()[:2] == before[:2]


def test_a_reversed_span_is_imported_and_named(tmp_path: Path) -> None:
    report = import_(write(tmp_path / "in", {"a.mp4": {**CRASH, "crash_localization": "3.0 - 2.0 seconds"}}))
    assert report["findings"] == {"span_reversed": 1}
    assert VideoFinding.objects.get().severity == "warning"


LEADS_OUT = "cannot be read: it is a link that leads outside of the imported folder"


def test_links_that_lead_outside_are_refused_by_name(tmp_path: Path) -> None:
    folder, secret = tmp_path / "in", tmp_path / "secret.mp4"
    (folder / "sub").mkdir(parents=True)
    secret.write_bytes(b"not ours")
    (folder / "sub" / "a.mp4").write_bytes(b"ours")
    (folder / "b.mp4").symlink_to(folder / "sub" / "a.mp4")
    (folder / "c.mp4").symlink_to("../secret.mp4")
    (tmp_path / "way").symlink_to(folder)
    report = import_(tmp_path / "way", "folder")
    assert set(Video.objects.values_list("name", flat=True)) == {"b.mp4", "sub/a.mp4"}
    assert Media.objects.count() == 1
    refused = ImportRejection.objects.get()
    assert (refused.file, refused.field, refused.reason) == ("c.mp4", "file", LEADS_OUT)
    assert report["rejected"] == 1


def test_a_clip_beside_the_files_is_no_link_that_leads_outside(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.mp4": CRASH, "b.mp4": CALM})
    (tmp_path / "secret.mp4").write_bytes(b"not ours")
    (folder / "a.mp4").symlink_to(tmp_path / "secret.mp4")
    import_(folder)
    assert not Media.objects.exists()
    assert set(ImportRejection.objects.values_list("reason", flat=True)) == {LEADS_OUT}
    assert Video.objects.get().name == "b.mp4"


def test_the_same_bytes_are_stored_once_and_named(tmp_path: Path) -> None:
    for corpus in ("one", "two"):
        folder = tmp_path / corpus
        folder.mkdir()
        (folder / "a.mp4").write_bytes(b"same")
        (folder / "b.mp4").write_bytes(b"same")
        import_(folder, "folder", corpus)
    media = Media.objects.get()
    assert Video.objects.filter(media=media).count() == 4
    assert Job.objects.filter(kind="media").count() == 1
    assert {(f.video.corpus.name, f.video.name, f.data["name"]) for f in VideoFinding.objects.all()} == {
        ("one", "b.mp4", "a.mp4"),
        ("two", "b.mp4", "a.mp4"),
    }


def test_other_bytes_under_a_known_name_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"first")
    import_(folder, "folder")
    (folder / "a.mp4").write_bytes(b"second")
    report = import_(folder, "folder")
    assert report["rejected"] == 1
    assert ImportRejection.objects.get().reason.startswith("holds other bytes")
    assert Video.objects.get().media == Media.objects.get(size=5)


def test_other_bytes_under_a_name_of_the_same_batch_are_refused(tmp_path: Path) -> None:
    for folder in ("p", "q"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "clip.mp4").write_bytes(f"bytes of {folder}".encode())
        (tmp_path / folder / "list.csv").write_text("name,path\na.mp4,clip.mp4\n")
    options = {"mapping": {"name": "name", "path": "path"}}
    run = begin_import(corpus_name="Lists", format="table", path=tmp_path, by=None, options=options)
    assert run_import(run.pk, progress=silent)["rejected"] == 1
    rejection = ImportRejection.objects.get()
    assert (rejection.file, rejection.reason[:17]) == ("q/list.csv", "holds other bytes")
    media = Video.objects.get().media
    assert media is not None
    assert media.sha256 == sha256(b"bytes of p").hexdigest()


def test_a_file_that_cannot_be_read_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"first")

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(intake, "store", refuse)
    assert import_(folder, "folder")["rejected"] == 1
    assert ImportRejection.objects.get().reason == "cannot be read: Permission denied"


def test_a_demo_corpus_comes_without_answers(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.mp4").write_bytes(b"a")
    record = {
        "file": "videos/a.mp4", "source": "demo-road", "recording": "r1", "fps": "30/1",
        "truth": {"crash_recognition": {"state": "valued", "value": {"label": "yes"}}},
    }  # fmt: skip
    (tmp_path / "manifest.jsonl").write_text(json.dumps(record) + "\nnonsense\n")
    report = import_(tmp_path, "demo", "demo")
    video = Video.objects.get()
    assert (video.source, video.recording, video.metadata) == ("demo-road", "r1", {"fps": "30/1"})
    assert Case.objects.get().status == CaseStatus.NEW
    assert not Answer.objects.exists()
    assert report["rejected"] == 1


def test_files_left_aside_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    report = import_(folder, "folder")
    assert (report["left_aside"], report["left_aside_count"]) == (["manifest.json"], 1)


def test_a_demo_without_manifest_and_a_folder_that_has_gone_are_problems(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"no manifest\.jsonl"):
        import_(tmp_path, "demo")
    run = ImportRun.objects.get()
    ImportRun.objects.update(path=str(tmp_path / "gone"))
    with pytest.raises(Problem, match="not there any more"):
        run_import(run.pk, progress=silent)


def test_the_command_prints_a_report(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"a.mp4": CRASH})
    (folder / "odd.json").write_text("[]")
    out, err = StringIO(), StringIO()
    call_command("import_corpus", "CrashChat", "crashchat", str(folder), stdout=out, stderr=err)
    text = out.getvalue()
    assert "crash_recognition             1  Nexar 1" in text
    assert "rejected                 1" in text
    assert "odd.json: the file name tells no kind" in text
    assert "100 %" in err.getvalue()
    assert ImportRun.objects.get().finished_at is not None


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no file or folder"):
        call_command("import_corpus", "x", "crashchat", str(tmp_path / "none"))


def test_queries_do_not_grow_with_the_rows_of_a_batch(
    tmp_path: Path, django_assert_max_num_queries: Any
) -> None:
    folder = write(tmp_path / "in", {f"{n}.mp4": CRASH if n % 2 else CALM for n in range(200)})
    with django_assert_max_num_queries(150):
        import_(folder)


@pytest.mark.slow
def test_the_published_validation_files_are_imported_whole() -> None:
    report = import_(shared("data", "crashchat"))
    assert {kind: sum(counts.values()) for kind, counts in report["rows"].items()} == {
        kind: 1139 if "localization" in kind else 1838 for kind in Kind.values
    }
    assert report["rows"]["crash_recognition"] == {
        "D2City": 610,
        "MM-AU-CAP": 955,
        "MM-AU-DADA": 184,
        "Nexar": 89,
    }
    assert report["videos"] == {"new": 1838, "known": 0, "lacking_media": 1838}
    assert report["answers"] == {"new": 9630, "known": 0, "new_absent": 2 * 699, "changed": 0}
    assert report["findings"] == {"span_zero_length": 6}
    assert report["rejected"] == 0
    assert Answer.objects.count() == 6 * 1838


@pytest.mark.slow
def test_the_generated_demo_corpus_is_imported_with_and_without_its_answers(tmp_path: Path) -> None:
    generate(tmp_path, clips=3, seed=1)
    report = import_(tmp_path, "demo", "demo")
    assert report["rejected"] == 0
    assert report["videos"] == {"new": 8, "known": 0, "lacking_media": 0}
    assert report["media"]["new"] == 7
    assert set(Video.objects.values_list("source", flat=True)) >= {
        "demo-dashcam",
        "demo-junction",
        "demo-road",
    }
    told = import_(tmp_path, "crashchat", "demo")
    assert told["rejected"] == 0
    assert told["videos"] == {"new": 0, "known": 3, "lacking_media": 0}
    assert told["answers"]["new"] + told["answers"]["new_absent"] == 3 * 6


def test_the_rows_are_kept_as_they_stood_and_a_newer_file_replaces_them(tmp_path: Path) -> None:
    folder = write(tmp_path / "in", {"videos/a.mp4": CRASH})
    import_(folder)
    import_(folder)
    records = SourceRecord.objects.filter(video__name="videos/a.mp4")
    assert records.count() == 6
    published = json.loads((folder / FILE_OF["crash_recognition"]).read_text())[0]
    assert records.get(file=FILE_OF["crash_recognition"]).record == published
    published["note"] = "looked at again"
    (folder / FILE_OF["crash_recognition"]).write_text(json.dumps([published]))
    import_(folder)
    assert records.get(file=FILE_OF["crash_recognition"]).record == published
    assert records.count() == 6


def test_a_second_format_fills_in_what_the_first_did_not_know(tmp_path: Path) -> None:
    import_(write(tmp_path / "in", {"a.mp4": CRASH}))
    Video.objects.update(source="")
    manifest = tmp_path / "demo" / "manifest.jsonl"
    manifest.parent.mkdir()
    manifest.write_text(
        json.dumps({"file": "a.mp4", "source": "cam", "recording": "drive 7", "weather": "rain"})
    )
    import_(manifest.parent, format="demo")
    video = Video.objects.get()
    assert (video.source, video.recording, video.recording_origin) == ("cam", "drive 7", "format")
    assert video.metadata == {"weather": "rain"}
    manifest.write_text(json.dumps({"file": "a.mp4", "source": "x", "recording": "y", "weather": "sun"}))
    import_(manifest.parent, format="demo")
    video = Video.objects.get()
    assert (video.source, video.recording, video.metadata) == ("cam", "drive 7", {"weather": "rain"})
