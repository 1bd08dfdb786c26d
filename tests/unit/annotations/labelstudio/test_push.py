"""Cases into Label Studio: once each, in review order, whatever dies on the way."""

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import Case, CaseStatus
from annotations.cases.workflow import move
from annotations.labelstudio import push, rows
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.push import PushReport, deep_link, push_cases
from annotations.reviews.decisions import return_case
from crashdesk.accounts.models import User
from tests.factories import add_drafts, make_case, make_media, make_video
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio


def predicted(project: LabelStudioProject, **fields: Any) -> Case:
    return make_case(
        CaseStatus.PREDICTED, video=make_video(project.corpus, **fields), guideline=project.guideline
    )


def pushed(project: LabelStudioProject, studio: FakeLabelStudio, **options: Any) -> PushReport:
    return push_cases(project, client=studio, by=None, **options)


def test_a_case_becomes_a_task_with_its_drafts(project: LabelStudioProject, studio: FakeLabelStudio) -> None:
    case = predicted(project, media=make_media(fps=Fraction(30000, 1001)))
    report = pushed(project, studio)
    task = studio.task_of(case.pk)
    assert report.pushed == 1
    media = case.video.media
    assert media is not None
    assert task["data"]["video"] == f"/data/local-files/?d={media.proxy_name}"
    assert task["data"]["fps"] == 30000 / 1001
    (prediction,) = task["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("tiny", 0.8)
    assert {region["id"] for region in prediction["result"]} == set(Kind.values)
    case.refresh_from_db()
    assert case.status == CaseStatus.IN_REVIEW
    row = LabelStudioTask.objects.get(case=case)
    assert (row.task_id, row.fps) == (task["id"], Fraction(30000, 1001))
    assert row.shown_answers == {answer.kind: answer.pk for answer in case.answers.all()}
    assert studio.projects[project.linked_id]["model_version"] == "tiny"
    assert deep_link(case) == (f"http://127.0.0.1:8001/projects/{project.project_id}/data?task={task['id']}")


def test_no_link_before_the_push(project: LabelStudioProject) -> None:
    assert deep_link(predicted(project)) is None


def test_tasks_are_made_in_review_order(project: LabelStudioProject, studio: FakeLabelStudio) -> None:
    cases = [predicted(project) for _ in range(4)]
    for case, rank in zip(cases, [None, 2, 1, None], strict=True):
        Case.objects.filter(pk=case.pk).update(review_rank=rank)
    pushed(project, studio)
    order = [task["data"]["case_id"] for task in studio.all_tasks.values()]
    assert order == [cases[2].pk, cases[1].pk, cases[0].pk, cases[3].pk]
    ranks = [task["data"]["review_rank"] for task in studio.all_tasks.values()]
    assert ranks == sorted(ranks)


def test_a_new_ranking_reaches_tasks_already_there(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = predicted(project)
    pushed(project, studio)
    Case.objects.filter(pk=case.pk).update(review_rank=3)
    assert pushed(project, studio).reordered == 1
    assert studio.task_of(case.pk)["data"]["review_rank"] == "0000003"
    assert pushed(project, studio).reordered == 0


def test_a_push_killed_at_any_request_never_shows_a_case_twice(
    project: LabelStudioProject, studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before and after every single request that a push makes, and pushed again."""
    monkeypatch.setattr(rows, "QUIET", timedelta(0))
    monkeypatch.setattr(push, "BATCH", 2)
    monkeypatch.setattr(push, "PAUSE_SECONDS", 0.0)
    deaths, carried_out, number = 0, False, 0
    while True:
        cases = [predicted(project) for _ in range(3)]
        studio.die_at(number, carried_out=carried_out)
        try:
            pushed(project, studio)
        except KeyboardInterrupt:
            deaths += 1
        else:
            if carried_out:
                break
            carried_out, number = True, -1
        studio.die_at(None)
        pushed(project, studio)
        shown = [task["data"]["external_id"] for task in studio.all_tasks.values()]
        assert len(shown) == len(set(shown)) == Case.objects.count()
        assert Case.objects.exclude(status=CaseStatus.IN_REVIEW).count() == 0
        assert {row.task_id for row in LabelStudioTask.objects.all()} == set(studio.all_tasks)
        assert all(studio.task_of(case.pk)["predictions"] for case in cases)
        number += 1
    assert deaths >= 12


def test_more_than_one_batch(
    project: LabelStudioProject, studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "BATCH", 2)
    for _ in range(5):
        predicted(project)
    assert pushed(project, studio).pushed == 5
    assert sum(call.endswith("/import") for call in studio.calls) == 3
    assert pushed(project, studio).pushed == 0


def test_one_refused_case_is_named_and_the_others_go(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    cases = [predicted(project) for _ in range(5)]
    studio.refuse_names = {cases[3].video.name}
    report = pushed(project, studio)
    assert report.pushed == 4
    assert [refused["case"] for refused in report.refused] == [cases[3].pk]
    assert "bad prediction" in report.refused[0]["message"]
    cases[3].refresh_from_db()
    assert cases[3].status == CaseStatus.PREDICTED
    assert not LabelStudioTask.objects.filter(case=cases[3]).exists()


def test_a_returned_case_goes_back_with_the_reason(
    project: LabelStudioProject, studio: FakeLabelStudio, lead: User
) -> None:
    case = predicted(project)
    pushed(project, studio)
    move(case, CaseStatus.SUBMITTED, by=None)
    return_case(case=case, reason="watch the mirror", by=lead)
    report = pushed(project, studio)
    assert (report.pushed, report.updated, len(studio.all_tasks)) == (1, 1, 1)
    assert studio.task_of(case.pk)["data"]["note"] == "Returned: watch the mirror"


def test_new_drafts_are_added_to_a_task_nobody_has_annotated(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = predicted(project)
    pushed(project, studio)
    move(case, CaseStatus.PREDICTED, by=None)
    newer = add_drafts(case, model_version="better")
    pushed(project, studio)
    assert [made["model_version"] for made in studio.task_of(case.pk)["predictions"]] == ["tiny", "better"]
    row = LabelStudioTask.objects.get(case=case)
    assert row.shown_answers == {kind: answer.pk for kind, answer in newer.items()}
    assert studio.projects[project.linked_id]["model_version"] == "better"


def test_a_task_deleted_in_label_studio_is_made_again(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = predicted(project)
    pushed(project, studio)
    move(case, CaseStatus.PREDICTED, by=None)
    studio.all_tasks.clear()
    assert pushed(project, studio).pushed == 1
    assert LabelStudioTask.objects.get().task_id == studio.task_of(case.pk)["id"]


def test_cases_without_drafts_go_only_when_asked(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = make_case(CaseStatus.READY, video=make_video(project.corpus), guideline=project.guideline)
    assert pushed(project, studio).pushed == 0
    assert pushed(project, studio, unpredicted=True).pushed == 1
    assert studio.task_of(case.pk)["predictions"] == []


def test_a_case_without_media_is_counted_not_pushed(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = predicted(project)
    video = case.video
    video.media = None
    video.save()
    report = pushed(project, studio)
    assert (report.pushed, report.without_media) == (0, 1)


def test_a_case_that_moved_meanwhile_stays_where_it_is(
    project: LabelStudioProject, studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = predicted(project)
    real = push.link

    def excluded_meanwhile(*args: Any, **options: Any) -> None:
        Case.objects.filter(pk=case.pk).update(status="excluded", excluded_reason="dark")
        real(*args, **options)

    monkeypatch.setattr(push, "link", excluded_meanwhile)
    assert pushed(project, studio).moved_meanwhile == 1
    case.refresh_from_db()
    assert case.status == CaseStatus.EXCLUDED


def test_a_returned_case_submitted_during_its_push_stays_submitted(
    project: LabelStudioProject, studio: FakeLabelStudio, lead: User
) -> None:
    case = predicted(project)
    pushed(project, studio)
    move(case, CaseStatus.SUBMITTED, by=None)
    return_case(case=case, reason="watch the mirror", by=lead)
    case.refresh_from_db()
    task = studio.task_of(case.pk)["id"]
    studio.before(f"/api/tasks/{task}/", lambda: move(case, CaseStatus.SUBMITTED, by=None))
    report = pushed(project, studio)
    assert (report.pushed, report.moved_meanwhile) == (0, 1)
    case.refresh_from_db()
    assert case.status == CaseStatus.SUBMITTED


def test_an_adopted_task_keeps_the_note_of_the_drafts_it_shows(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = predicted(project)
    first = {answer.kind: answer.pk for answer in case.answers.all()}
    studio.break_after = "/import"
    with pytest.raises(KeyboardInterrupt):
        pushed(project, studio)
    assert LabelStudioTask.objects.get().shown_answers == first
    add_drafts(case, model_version="newer")
    assert pushed(project, studio).pushed == 1
    assert LabelStudioTask.objects.get().shown_answers == first
    assert len(studio.task_of(case.pk)["predictions"]) == 1
