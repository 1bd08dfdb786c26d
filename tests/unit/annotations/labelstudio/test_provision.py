"""Projects: made once, found again, never mistaken for somebody else's."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from annotations.cases.models import Guideline
from annotations.corpora.models import Corpus
from annotations.labelstudio.config import labelling_config
from annotations.labelstudio.forms import change_form
from annotations.labelstudio.media_links import video_address
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.provision import (
    SECRET_HEADER,
    ensure_project,
    has_marker,
    marker,
    title_of,
    webhook_secret,
)
from crashdesk.api.errors import Problem
from crashdesk.environment import S3Location
from tests.factories import make_case, make_corpus, make_media
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio


def ensure(studio: FakeLabelStudio, corpus: Corpus, guideline: Guideline) -> LabelStudioProject:
    return ensure_project(corpus=corpus, guideline=guideline, by=None, client=studio)


def test_a_project_is_made_with_all_it_needs(
    studio: FakeLabelStudio, corpus: Corpus, guideline: Guideline, media_root: Path
) -> None:
    row = ensure(studio, corpus, guideline)
    shown = studio.projects[row.linked_id]
    assert shown["title"] == "Ring road / six tasks v1"
    assert shown["sampling"] == "Sequential sampling"
    assert [storage["path"] for storage in studio.storages] == [
        str(media_root / "proxies"), str(media_root / "videos")
    ]  # fmt: skip
    assert (media_root / "proxies").is_dir()
    assert studio.hooks[0]["headers"] == {SECRET_HEADER: webhook_secret()}
    assert studio.views[0]["data"]["ordering"] == ["tasks:data.review_rank"]


def test_a_second_call_finds_it_again(studio: FakeLabelStudio, project: LabelStudioProject) -> None:
    studio.calls.clear()
    again = ensure(studio, project.corpus, project.guideline)
    assert again == project
    assert [call for call in studio.calls if not call.startswith("GET")] == []


def test_a_project_whose_row_was_never_written_is_found_by_its_marker(
    studio: FakeLabelStudio, corpus: Corpus, guideline: Guideline
) -> None:
    studio.break_after = "/api/projects"
    with pytest.raises(KeyboardInterrupt):
        ensure(studio, corpus, guideline)  # the listing breaks, nothing made
    studio.break_after = "/api/storages/localfiles"
    with pytest.raises(KeyboardInterrupt):
        ensure(studio, corpus, guideline)  # killed after the project was made
    ensure(studio, corpus, guideline)
    assert len(studio.projects) == 1


def test_a_vanished_project_is_made_anew_and_its_tasks_forgotten(
    studio: FakeLabelStudio, project: LabelStudioProject
) -> None:
    case = make_case()
    LabelStudioTask.objects.create(project=project, case=case, task_id=7, fps_num=30, fps_den=1)
    del studio.projects[project.linked_id]
    again = ensure(studio, project.corpus, project.guideline)
    assert again.pk == project.pk
    assert again.project_id in studio.projects
    assert LabelStudioTask.objects.get().task_id is None


def test_a_foreign_project_under_our_number_is_refused(
    studio: FakeLabelStudio, project: LabelStudioProject
) -> None:
    studio.projects[project.linked_id]["description"] = "cats and dogs"
    with pytest.raises(Problem, match="is not the one CrashDesk made"):
        ensure(studio, project.corpus, project.guideline)


def test_a_number_used_again_after_a_wipe_belongs_to_the_newer(
    studio: FakeLabelStudio, project: LabelStudioProject
) -> None:
    other = make_corpus("Tunnel")
    taken = studio.projects.pop(project.linked_id)
    studio.projects[taken["id"]] = taken | {"description": marker(other, project.guideline)}
    row = ensure(studio, other, project.guideline)
    project.refresh_from_db()
    assert (row.project_id, project.project_id) == (taken["id"], None)


def test_parts_are_projects_of_their_own(studio: FakeLabelStudio, project: LabelStudioProject) -> None:
    second = ensure_project(
        corpus=project.corpus, guideline=project.guideline, by=None, part=2, client=studio
    )
    assert second.project_id != project.project_id
    assert second.title == "Ring road / six tasks v1 (2)"
    LabelStudioProject.objects.filter(pk=second.pk).update(project_id=None)
    again = ensure_project(corpus=project.corpus, guideline=project.guideline, by=None, part=2, client=studio)
    assert again.project_id == second.project_id
    assert len(studio.projects) == 2


def test_a_line_that_begins_like_another_is_not_that_line() -> None:
    line = "crashdesk:0123456789ab:corpus-1:guideline-1"
    assert has_marker(f"Do not change this line: {line}", line)
    for other in (f"{line}2", f"{line}:part-2", "", None):
        assert not has_marker(other, line)


def test_titles_fit_label_studio(guideline: Guideline) -> None:
    corpus = make_corpus("x" * 80)
    for part in (1, 12):
        assert 3 <= len(title_of(corpus, guideline, part)) <= 50


def test_a_changed_form_reaches_the_project_and_is_remembered(
    studio: FakeLabelStudio, project: LabelStudioProject
) -> None:
    form = change_form(
        corpus=project.corpus, guideline=project.guideline, by=None, wording={"crash": "Unfall"}
    )
    again = ensure(studio, project.corpus, project.guideline)
    shown = studio.projects[again.linked_id]
    assert again.form == form
    assert 'value="Unfall" alias="Crash"' in shown["label_config"]
    assert "Unfall" in shown["expert_instruction"]
    studio.calls.clear()
    ensure(studio, project.corpus, project.guideline)
    assert [call for call in studio.calls if not call.startswith("GET")] == []


def test_signed_addresses_need_no_shared_folder(
    studio: FakeLabelStudio, corpus: Corpus, guideline: Guideline, settings: Any
) -> None:
    settings.LABELSTUDIO_MEDIA = "signed"
    ensure(studio, corpus, guideline)
    assert studio.storages == []


def test_a_refused_webhook_is_no_obstacle(
    studio: FakeLabelStudio, corpus: Corpus, guideline: Guideline
) -> None:
    studio.refuse_webhooks = True
    assert ensure(studio, corpus, guideline).project_id is not None
    assert studio.hooks == []


def test_a_bucket_is_attached_with_signed_addresses(
    studio: FakeLabelStudio,
    corpus: Corpus,
    guideline: Guideline,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    settings.STORAGE_LOCATION = S3Location("clips", "https://s3.example", "eu-west-1")
    ensure(studio, corpus, guideline)
    (storage,) = studio.storages
    assert storage["bucket"] == "clips"
    assert storage["presign"] is True
    assert (storage["aws_access_key_id"], storage["s3_endpoint"]) == ("key", "https://s3.example")
    media = make_media()
    assert video_address(media) == (f"s3://clips/{media.proxy_name}", None)


def test_the_form_asks_six_questions_and_hides_texts_without_a_crash() -> None:
    form = ET.fromstring(labelling_config())
    video = form.find("Video")
    assert video is not None
    assert video.attrib["frameRate"] == "$fps"
    assert [label.attrib["value"] for label in form.iter("Label")] == ["Pre-crash", "Crash"]
    hidden = form.find("View")
    assert hidden is not None
    assert hidden.attrib["whenChoiceValue"] == "Yes"
    assert [area.attrib["name"] for area in hidden.iter("TextArea")] == ["description", "cause", "prevention"]
