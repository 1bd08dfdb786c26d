"""Parts, passes of assignments, blind cases, several pushes at once, and tasks that follow what changes."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.cases.workflow import move
from annotations.labelstudio import push, rows
from annotations.labelstudio.config import Form, config_hash, labelling_config
from annotations.labelstudio.external_ids import opaque_key
from annotations.labelstudio.forms import change_form
from annotations.labelstudio.models import LabelStudioForm, LabelStudioProject, LabelStudioTask
from annotations.labelstudio.provision import ensure_project
from annotations.labelstudio.push import (
    PushReport,
    deep_link,
    ensure_task,
    push_assignment,
    push_cases,
    task_for,
)
from annotations.labelstudio.refreshing import remove_doubles
from annotations.reviews.models import Assignment, AssignmentState, CaseDraw, Purpose, Way
from annotations.reviews.plans import current_plan, set_plan
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from tests.factories import NO_CRASH, add_drafts, make_case, make_user, make_video
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio


def predicted(project: LabelStudioProject) -> Case:
    return make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)


def pushed(project: LabelStudioProject, studio: FakeLabelStudio, **options: Any) -> PushReport:
    return push_cases(project, client=studio, by=None, **options)


def draw(case: Case, **what: bool) -> CaseDraw:
    chosen = {"blind": False, "double": False, "second": False} | what
    return CaseDraw.objects.create(case=case, plan=current_plan(case.corpus), **chosen)


def asked(case: Case, purpose: Purpose, person: User | None = None) -> Assignment:
    return Assignment.objects.create(
        case=case, person=person or make_user(Role.ANNOTATOR), purpose=purpose, way=Way.MANUAL
    )


# --- parts ------------------------------------------------------------------------------------------------


def test_a_corpus_is_split_before_a_project_is_too_large(
    project: LabelStudioProject, studio: FakeLabelStudio, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LABELSTUDIO_PART_SIZE = 3
    monkeypatch.setattr(push, "BATCH", 4)
    cases = [predicted(project) for _ in range(7)]
    assert pushed(project, studio).pushed == 7
    parts = [row.project.part for row in LabelStudioTask.objects.order_by("case")]
    assert parts == [1, 1, 1, 2, 2, 2, 3]
    assert len(studio.projects) == 3
    sizes = Counter(task["project"] for task in studio.all_tasks.values())
    assert sorted(sizes.values()) == [1, 3, 3]
    assert f"/projects/{studio.task_of(cases[6].pk)['project']}/" in (deep_link(cases[6]) or "")
    more = [predicted(project) for _ in range(3)]  # what comes later fills the last part, then opens another
    pushed(project, studio)
    assert [LabelStudioTask.objects.get(case=case).project.part for case in more] == [3, 3, 4]
    assert {shown["model_version"] for shown in studio.projects.values()} == {"tiny"}


def test_a_task_stays_in_its_part(
    project: LabelStudioProject, studio: FakeLabelStudio, settings: Any
) -> None:
    settings.LABELSTUDIO_PART_SIZE = 1
    first, second = predicted(project), predicted(project)
    pushed(project, studio)
    for case in (first, second):
        move(case, CaseStatus.PREDICTED, by=None)
    settings.LABELSTUDIO_PART_SIZE = 10
    assert pushed(project, studio).updated == 2
    assert [row.project.part for row in LabelStudioTask.objects.order_by("case")] == [1, 2]


def test_a_part_deleted_there_is_made_again_with_its_tasks(
    project: LabelStudioProject, studio: FakeLabelStudio, settings: Any
) -> None:
    settings.LABELSTUDIO_PART_SIZE = 2
    cases = [predicted(project) for _ in range(4)]
    pushed(project, studio)
    lost = LabelStudioProject.objects.get(part=2)
    assert lost.project_id is not None
    del studio.projects[lost.project_id]
    studio.all_tasks = {
        pk: task for pk, task in studio.all_tasks.items() if task["project"] != lost.project_id
    }
    assert pushed(project, studio).pushed == 2
    assert len(studio.all_tasks) == 4
    assert all(studio.task_of(case.pk) for case in cases)


# --- several at once, and claims ----------------------------------------------------------------------------


def claimed(project: LabelStudioProject, case: Case, *, seconds_ago: float) -> LabelStudioTask:
    return LabelStudioTask.objects.create(
        project=project,
        case=case,
        fps_num=30,
        fps_den=1,
        sent_at=timezone.now() - timedelta(seconds=seconds_ago),
    )


def test_what_another_push_has_in_hand_is_waited_for_not_sent(
    project: LabelStudioProject, studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = predicted(project)
    row = claimed(project, case, seconds_ago=1)

    def other_push_ends(seconds: float) -> None:
        studio.put(project.linked_id, {"external_id": row.external_id, "case_id": case.pk, "name": "x"})

    monkeypatch.setattr(push.time, "sleep", other_push_ends)
    report = pushed(project, studio)
    assert (report.adopted, len(studio.all_tasks)) == (1, 1)
    row.refresh_from_db()
    assert row.task_id in studio.all_tasks


def test_a_quiet_claim_is_taken_over(project: LabelStudioProject, studio: FakeLabelStudio) -> None:
    case = predicted(project)
    claimed(project, case, seconds_ago=rows.QUIET.total_seconds() + 1)
    report = pushed(project, studio)
    assert (report.pushed, report.adopted, len(studio.all_tasks)) == (1, 0, 1)
    row = LabelStudioTask.objects.get()
    assert row.versions == ["tiny"]
    assert set(row.shown_answers) == set(Kind.values)


def test_only_one_of_several_wins_a_claim(project: LabelStudioProject, studio: FakeLabelStudio) -> None:
    row = claimed(project, predicted(project), seconds_ago=3600)
    assert rows.claim([row]) == [row]
    assert rows.claim([row]) == []
    rows.renew_claims([row.pk])
    assert rows.claim([row]) == []


def test_a_task_that_was_made_twice_loses_the_untouched_copy(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case, other = predicted(project), predicted(project)
    pushed(project, studio)
    for doubled in (case, other):
        studio.put(project.linked_id, dict(studio.task_of(doubled.pk)["data"]))
    kept = {row.task_id for row in LabelStudioTask.objects.all()}
    extra = next(
        pk for pk, task in studio.all_tasks.items() if pk not in kept and task["data"]["case_id"] == other.pk
    )
    studio.all_tasks[extra]["annotations"] = [{"id": 1}]
    assert remove_doubles(LabelStudioTask.objects.all(), studio) == 1
    assert set(studio.all_tasks) == kept | {extra}
    assert AuditEvent.objects.filter(verb="labelstudio.double_removed").count() == 1


def test_a_number_given_anew_leaves_the_row_that_had_it(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = predicted(project)
    pushed(project, studio)
    old = LabelStudioTask.objects.get()
    newer = predicted(project)
    row = claimed(project, newer, seconds_ago=1)
    assert old.task_id is not None
    rows.link({row.pk: old.task_id}, at=timezone.now())
    old.refresh_from_db()
    row.refresh_from_db()
    assert (old.task_id, row.task_id is not None) == (None, True)
    assert case.pk != newer.pk


# --- passes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", [Purpose.DOUBLE, Purpose.GOLD])
def test_an_own_pass_gets_a_task_of_its_own(
    project: LabelStudioProject, studio: FakeLabelStudio, purpose: Purpose
) -> None:
    case = predicted(project)
    pushed(project, studio)
    Case.objects.filter(pk=case.pk).update(returned_reason="look again", review_rank=5)
    assignment = asked(case, purpose)
    report = pushed(project, studio)
    assert (report.passes, report.pushed) == (1, 0)
    row = LabelStudioTask.objects.get(assignment=assignment)
    task = studio.all_tasks[row.task_id or 0]
    assert task["data"]["external_id"] == row.external_id == opaque_key(case.pk, assignment.pk)
    assert task["data"]["note"] == ""  # nothing of the first pass
    assert task["predictions"][0]["model_version"] == "tiny"
    assert task_for(case, assignment.person) == row
    assert task_for(case, make_user()) == LabelStudioTask.objects.get(assignment=None)
    assert pushed(project, studio).passes == 0


def test_other_assignments_use_the_cases_own_task(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = predicted(project)
    assignment = asked(case, Purpose.ANNOTATE)
    row = push_assignment(assignment, by=None, client=studio)
    assert row.assignment is None
    assert task_for(case, assignment.person) == row
    case.refresh_from_db()
    assert case.status == CaseStatus.IN_REVIEW
    assert push_assignment(assignment, by=None, client=studio) == row
    assert len(studio.all_tasks) == 1


def test_a_pass_is_pushed_at_once_when_somebody_takes_it(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = predicted(project)
    pushed(project, studio)
    assignment = asked(case, Purpose.DOUBLE)
    assert task_for(case, assignment.person) is None
    row = push_assignment(assignment, by=assignment.person, client=studio)
    assert row.task_id in studio.all_tasks
    assert row.assignment == assignment


def test_closed_passes_are_not_pushed(project: LabelStudioProject, studio: FakeLabelStudio) -> None:
    case = predicted(project)
    pushed(project, studio)
    assignment = asked(case, Purpose.DOUBLE)
    Assignment.objects.filter(pk=assignment.pk).update(
        state=AssignmentState.RELEASED, closed_at=timezone.now()
    )
    assert pushed(project, studio).passes == 0


def test_a_case_that_needs_nobody_has_no_task_to_open(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = make_case(CaseStatus.APPROVED, video=make_video(project.corpus), guideline=project.guideline)
    with pytest.raises(Problem, match="is approved: there is nothing to answer"):
        ensure_task(case, by=None, client=studio)


# --- blind cases --------------------------------------------------------------------------------------------


def test_a_blind_case_gets_no_draft_now_or_later(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    blind, seen = predicted(project), predicted(project)
    draw(blind, blind=True)
    pushed(project, studio)
    assert studio.task_of(blind.pk)["predictions"] == []
    assert len(studio.task_of(seen.pk)["predictions"]) == 1
    for case in (blind, seen):
        move(case, CaseStatus.PREDICTED, by=None)
        add_drafts(case, model_version="better")
    pushed(project, studio)
    assert studio.task_of(blind.pk)["predictions"] == []
    assert len(studio.task_of(seen.pk)["predictions"]) == 2
    row = LabelStudioTask.objects.get(case=blind)
    assert (row.shown_answers, row.versions) == ({}, [])
    assignment = asked(blind, Purpose.DOUBLE)
    pushed(project, studio)
    own = LabelStudioTask.objects.get(assignment=assignment)
    assert studio.all_tasks[own.task_id or 0]["predictions"] == []


def test_every_pushed_case_has_been_drawn(project: LabelStudioProject, studio: FakeLabelStudio) -> None:
    case = predicted(project)
    pushed(project, studio)
    assert CaseDraw.objects.get().case == case


def test_a_case_whose_task_shows_drafts_is_not_drawn_blind(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = predicted(project)
    pushed(project, studio)
    CaseDraw.objects.all().delete()  # as of a task from before there were draws
    set_plan(corpus=project.corpus, by=make_user(Role.LEAD), blind_share=1.0)
    move(case, CaseStatus.PREDICTED, by=None)
    pushed(project, studio)
    assert not CaseDraw.objects.get().blind
    other = predicted(project)
    pushed(project, studio)
    assert CaseDraw.objects.get(case=other).blind


# --- drafts ---------------------------------------------------------------------------------------------------


def test_earlier_drafts_come_along_as_tabs(project: LabelStudioProject, studio: FakeLabelStudio) -> None:
    case = predicted(project)
    add_drafts(case, NO_CRASH, model_version="second")
    pushed(project, studio)
    made = studio.task_of(case.pk)["predictions"]
    assert [one["model_version"] for one in made] == ["tiny", "second"]
    assert LabelStudioTask.objects.get().versions == ["tiny", "second"]
    assert studio.projects[project.linked_id]["model_version"] == "second"


def test_a_version_that_speaks_again_replaces_itself(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = predicted(project)
    pushed(project, studio)
    before = studio.task_of(case.pk)["predictions"][0]["id"]
    move(case, CaseStatus.PREDICTED, by=None)
    Answer.objects.filter(case=case).update(prompt_version="older")
    newer = add_drafts(case, NO_CRASH)
    pushed(project, studio)
    (made,) = studio.task_of(case.pk)["predictions"]
    assert made["id"] != before
    assert LabelStudioTask.objects.get().shown_answers == {kind: one.pk for kind, one in newer.items()}


def test_no_version_is_named_where_it_would_show_an_earlier_draft(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    rolled_back, newest = predicted(project), predicted(project)
    for case, versions in ((rolled_back, ["b", "a"]), (newest, ["b"])):
        for version in versions:
            add_drafts(case, model_version=version)
    pushed(project, studio)
    assert studio.projects[project.linked_id]["model_version"] == ""
    assert studio.task_of(rolled_back.pk)["predictions"][-1]["model_version"] == "a"


def test_a_draft_that_does_not_fit_is_named_and_not_sent(
    project: LabelStudioProject, studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine, broken = predicted(project), predicted(project)
    kind = Kind.CRASH_LOCALIZATION
    real = push.gather

    def spoilt(*args: Any, **options: Any) -> Any:
        from dataclasses import replace

        items, rest = real(*args, **options)
        return [
            replace(one, problem=f"case {one.case.pk}: {kind}, field segments: it ends before it starts")
            if one.case == broken else one for one in items
        ], rest  # fmt: skip

    monkeypatch.setattr(push, "gather", spoilt)
    report = pushed(project, studio)
    assert report.pushed == 1
    assert report.refused == [
        {"case": broken.pk, "message": f"case {broken.pk}: {kind}, field segments: it ends before it starts"}
    ]
    assert [task["data"]["case_id"] for task in studio.all_tasks.values()] == [fine.pk]
    broken.refresh_from_db()
    assert broken.status == CaseStatus.PREDICTED
    with pytest.raises(Problem, match="field segments"):
        ensure_task(broken, by=None, client=studio)


def test_a_span_of_no_length_still_makes_a_range(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    said = {Kind.CRASH_LOCALIZATION: Said("valued", {"start_us": 4_999_999, "end_us": 4_999_999})}
    case = predicted(project)
    add_drafts(case, said, model_version="later")
    assert pushed(project, studio).refused == []


# --- forms ----------------------------------------------------------------------------------------------------


def test_a_reworded_form_takes_open_tasks_along_and_leaves_finished_ones(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    waiting, finished = predicted(project), predicted(project)
    pushed(project, studio)
    first = LabelStudioForm.objects.get()
    move(finished, CaseStatus.SUBMITTED, by=None)
    form = change_form(corpus=project.corpus, guideline=project.guideline, by=None, wording={"yes": "Ja"})
    studio.calls.clear()
    assert pushed(project, studio).migrated == 1
    assert LabelStudioTask.objects.get(case=waiting).form == form
    assert LabelStudioTask.objects.get(case=finished).form == first
    assert not [call for call in studio.calls if "predictions" in call]  # results are written as before
    assert pushed(project, studio).migrated == 0


def test_drafts_are_sent_again_where_results_were_written_differently(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    """As if an earlier CrashDesk had stored other labels in results."""
    case, annotated = predicted(project), predicted(project)
    pushed(project, studio)
    xml = labelling_config(Form({"crash": "Unfall"})).replace(' alias="Crash"', "")
    old = LabelStudioForm.objects.create(
        corpus=project.corpus, guideline=project.guideline, version=99, xml=xml, digest=config_hash(xml),
        names={"Unfall": "Crash"},
    )  # fmt: skip
    LabelStudioTask.objects.update(form=old)
    for one in (case, annotated):
        for region in studio.task_of(one.pk)["predictions"][0]["result"]:
            if region["value"].get("timelinelabels") == ["Crash"]:
                region["value"]["timelinelabels"] = ["Unfall"]
    studio.annotate(annotated.pk, [])
    assert pushed(project, studio).migrated == 2

    def labels(one: Case) -> set[str]:
        (made,) = studio.task_of(one.pk)["predictions"]
        return {label for region in made["result"] for label in region["value"].get("timelinelabels", [])}

    assert labels(case) == {"Crash", "Pre-crash"}
    assert labels(annotated) == {
        "Unfall",
        "Pre-crash",
    }  # somebody works on it: nothing is changed under their hands


# --- addresses of videos ------------------------------------------------------------------------------------


def test_addresses_are_renewed_before_they_end(
    project: LabelStudioProject, studio: FakeLabelStudio, settings: Any
) -> None:
    settings.LABELSTUDIO_MEDIA = "signed"
    case = predicted(project)
    pushed(project, studio)
    row = LabelStudioTask.objects.get()
    first = studio.task_of(case.pk)["data"]["video"]
    assert "/api/labelstudio/media/" in first
    assert pushed(project, studio).reordered == 0
    soon = timezone.now() + timedelta(days=2)
    LabelStudioTask.objects.update(media_until=soon)
    case.refresh_from_db()
    assert ensure_task(case, by=None, client=studio) == row
    row.refresh_from_db()
    assert row.media_until is not None
    assert row.media_until > soon
    LabelStudioTask.objects.update(media_until=soon)
    assert pushed(project, studio).reordered == 1


def test_switching_to_signed_addresses_reaches_tasks_that_are_there(
    project: LabelStudioProject, studio: FakeLabelStudio, settings: Any
) -> None:
    case = predicted(project)
    pushed(project, studio)
    assert studio.task_of(case.pk)["data"]["video"].startswith("/data/local-files/")
    settings.LABELSTUDIO_MEDIA = "signed"
    assert pushed(project, studio).reordered == 1
    assert "/api/labelstudio/media/" in studio.task_of(case.pk)["data"]["video"]


def test_provisioning_of_a_part_is_not_repeated(project: LabelStudioProject, studio: FakeLabelStudio) -> None:
    made = len(studio.projects)
    for _ in range(2):
        ensure_project(corpus=project.corpus, guideline=project.guideline, by=None, client=studio)
    assert len(studio.projects) == made
