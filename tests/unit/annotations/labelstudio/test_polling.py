"""One poll of several projects: asked together, taken in one by one."""

import copy
from typing import Any

import pytest

from annotations.cases.models import Case, CaseStatus, Guideline
from annotations.corpora.models import Corpus
from annotations.labelstudio import polling
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.polling import ABREAST, poll_projects
from annotations.labelstudio.pull import Page, changed_tasks
from annotations.labelstudio.push import push_corpus
from tests.factories import make_case, make_video
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio

PARTS = ABREAST + 1


@pytest.fixture
def cases(settings: Any, studio: FakeLabelStudio, corpus: Corpus, guideline: Guideline) -> list[Case]:
    """One case in each of several projects, all polled once."""
    settings.LABELSTUDIO_PART_SIZE = 1
    made = [
        make_case(CaseStatus.PREDICTED, video=make_video(corpus), guideline=guideline) for _ in range(PARTS)
    ]
    push_corpus(corpus, guideline, client=studio, by=None)
    for _ in range(2):
        studio.later(30)
        polled(studio)
    studio.calls.clear()
    return made


def polled(studio: FakeLabelStudio) -> int:
    return poll_projects(LabelStudioProject.objects.linked(), client=studio)


def answer(studio: FakeLabelStudio, case: Case) -> None:
    studio.annotate(case.pk, copy.deepcopy(studio.task_of(case.pk)["predictions"][0]["result"]))


def project_of(case: Case) -> LabelStudioProject:
    return LabelStudioTask.objects.get(case=case).project


def statuses() -> list[str]:
    return list(Case.objects.order_by("pk").values_list("status", flat=True))


def test_a_quiet_poll_asks_each_project_once(studio: FakeLabelStudio, cases: list[Case]) -> None:
    assert polled(studio) == 0
    assert studio.calls == ["GET /api/tasks"] * PARTS


def test_people_and_forms_are_asked_for_together(studio: FakeLabelStudio, cases: list[Case]) -> None:
    for case in cases:
        answer(studio, case)
    assert polled(studio) == PARTS
    assert statuses() == [CaseStatus.SUBMITTED] * PARTS
    assert studio.calls.count("GET /api/tasks") == PARTS
    rest = [call for call in studio.calls if call != "GET /api/tasks"]
    assert sorted(rest) == ["GET /api/projects"] * 2 + [
        "GET /api/users"
    ]  # projects: once for each ABREAST of them


def test_a_project_that_fails_holds_up_no_other(studio: FakeLabelStudio, cases: list[Case]) -> None:
    for case in cases:
        answer(studio, case)
    gone, edited = project_of(cases[0]), project_of(cases[1])
    del studio.projects[gone.linked_id]
    form = studio.projects[edited.linked_id]
    form["label_config"] = form["label_config"].replace('frameRate="$fps"', 'frameRate="24"')
    assert polled(studio) == PARTS - 2
    assert statuses() == [CaseStatus.PREDICTED, CaseStatus.IN_REVIEW] + [CaseStatus.SUBMITTED] * (PARTS - 2)
    gone.refresh_from_db()
    edited.refresh_from_db()
    assert gone.project_id is None
    assert edited.check_due
    studio.later(60)
    assert polled(studio) == 0  # what was held back is still held back, and nothing came twice


def test_a_bug_in_one_project_holds_up_no_other(
    studio: FakeLabelStudio, cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = project_of(cases[0])

    def changed(project: LabelStudioProject, client: FakeLabelStudio) -> Page:
        if project == broken:
            raise ZeroDivisionError
        return changed_tasks(project, client)

    monkeypatch.setattr(polling, "changed_tasks", changed)
    for case in cases:
        answer(studio, case)
    assert polled(studio) == PARTS - 1
    broken.refresh_from_db()
    assert broken.check_due
    monkeypatch.undo()
    assert polled(studio) == 1


def test_a_project_that_its_list_leaves_out_is_asked_for(
    studio: FakeLabelStudio, cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out = project_of(cases[0]).linked_id
    whole = studio._answer

    def partly(method: str, path: str, params: dict[str, Any], body: Any) -> Any:
        said = whole(method, path, params, body)
        if path == "/api/projects":
            return {"results": [one for one in said["results"] if one["id"] != left_out]}
        return said

    monkeypatch.setattr(studio, "_answer", partly)
    answer(studio, cases[0])
    assert polled(studio) == 1
    assert f"GET /api/projects/{left_out}/" in studio.calls
