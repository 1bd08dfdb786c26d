"""Addresses of videos, and keys of before, are renewed by themselves where somebody may still see them."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as configured
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.corpora.models import Media, MediaState
from annotations.labelstudio import renewing
from annotations.labelstudio.client import LabelStudioRefused
from annotations.labelstudio.external_ids import opaque_key, spoken_key
from annotations.labelstudio.items import data_digest
from annotations.labelstudio.media_links import renew_before
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.pull import pull_project
from annotations.labelstudio.push import ensure_task, find_tasks, push_assignment, push_cases
from annotations.labelstudio.reconcile import reconcile
from annotations.labelstudio.tasks import renew_tasks
from annotations.labelstudio.there import is_of
from annotations.reviews.models import Assignment, AssignmentState, Purpose, Way
from crashdesk import locks
from tests.factories import make_case, make_user, make_video
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio


@pytest.fixture(autouse=True)
def signed(settings: Any) -> None:
    settings.LABELSTUDIO_MEDIA = "signed"
    settings.LABELSTUDIO_MEDIA_DAYS = 14


@pytest.fixture
def cases(project: LabelStudioProject, studio: FakeLabelStudio) -> list[Case]:
    made = [
        make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
        for _ in range(3)
    ]
    push_cases(project, client=studio, by=None)
    return made


def ends(rows: Any, *, days: float) -> None:
    """As if these had been sent so long ago that their addresses end in so many days."""
    rows.update(media_until=timezone.now() + timedelta(days=days))


def videos(studio: FakeLabelStudio) -> dict[int, str]:
    return {pk: task["data"]["video"] for pk, task in studio.all_tasks.items()}


def patches(studio: FakeLabelStudio) -> int:
    return sum(call.startswith("PATCH /api/tasks/") for call in studio.calls)


def test_the_beat_renews_what_is_about_to_end_once(studio: FakeLabelStudio, cases: list[Case]) -> None:
    task = configured.CELERY_BEAT_SCHEDULE["renew-tasks"]
    assert task["task"] == renew_tasks.name
    assert task["options"]["queue"] == "sync"
    first = LabelStudioTask.objects.get(case=cases[0])
    ends(LabelStudioTask.objects.filter(pk=first.pk), days=2)
    ends(LabelStudioTask.objects.exclude(pk=first.pk), days=6)
    studio.all_tasks[first.task_id or 0]["data"]["video"] = "old"
    before = videos(studio)
    assert renew_tasks() == 1
    after = videos(studio)
    assert {pk for pk in after if after[pk] != before[pk]} == {first.task_id}
    assert "/api/labelstudio/media/" in after[first.task_id or 0]
    first.refresh_from_db()
    assert first.media_until is not None
    assert first.media_until > renew_before()
    studio.calls.clear()
    assert renew_tasks() == 0
    assert studio.calls == []


def test_what_ends_first_comes_first_and_no_run_is_long(
    studio: FakeLabelStudio, cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, case in enumerate(cases):
        ends(LabelStudioTask.objects.filter(case=case), days=3 - number)
    turns = []
    for _ in cases:
        assert renewing.renew(client=studio, at_most=1) == 1
        due = LabelStudioTask.objects.filter(media_until__lt=renew_before())
        turns.append(set(due.values_list("case", flat=True)))
    assert turns == [{cases[0].pk, cases[1].pk}, {cases[0].pk}, set()]


def test_finished_work_is_left_alone_and_an_open_pass_is_not(
    studio: FakeLabelStudio, project: LabelStudioProject, cases: list[Case]
) -> None:
    asked = [
        Assignment.objects.create(case=case, person=make_user(), purpose=Purpose.GOLD, way=Way.MANUAL)
        for case in cases[:2]
    ]
    rows = [push_assignment(one, by=None, client=studio) for one in asked]
    Assignment.objects.filter(pk=asked[1].pk).update(state=AssignmentState.DONE, closed_at=timezone.now())
    Case.objects.update(status=CaseStatus.APPROVED)
    ends(LabelStudioTask.objects.all(), days=1)
    assert renewing.renew(client=studio) == 1
    rows[0].refresh_from_db()
    assert rows[0].media_until is not None
    assert rows[0].media_until > renew_before()


def test_a_killed_run_goes_on_where_it_was(studio: FakeLabelStudio, cases: list[Case]) -> None:
    ends(LabelStudioTask.objects.all(), days=1)
    studio.calls.clear()
    studio.die_at(1, carried_out=True)  # the second task was renewed, and nobody lived to note it
    with pytest.raises(KeyboardInterrupt):
        renewing.renew(client=studio)
    studio.die_at(None)
    assert renewing.renew(client=studio) == 2
    assert patches(studio) == 4
    assert renewing.renew(client=studio) == 0


def test_a_project_that_is_pushed_is_left_to_the_next_run(
    studio: FakeLabelStudio, project: LabelStudioProject, cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends(LabelStudioTask.objects.all(), days=1)
    asked: list[tuple[int, ...]] = []

    def taken(*key: int) -> Any:
        asked.append(key)
        return _Taken()

    with monkeypatch.context() as patch:
        patch.setattr(locks, "only_one", taken)
        studio.calls.clear()
        assert renewing.renew(client=studio) == 0
    assert asked
    assert {key[-1] for key in asked} == {project.pk}
    assert studio.calls == []
    assert renewing.renew(client=studio) == 3


class _Taken:
    """A lock that somebody else has."""

    def __enter__(self) -> bool:
        return False

    def __exit__(self, *_: object) -> None:
        """Nothing was held."""


def test_while_label_studio_is_down_nothing_is_said_and_nothing_lost(
    studio: FakeLabelStudio, cases: list[Case], caplog: pytest.LogCaptureFixture
) -> None:
    ends(LabelStudioTask.objects.all(), days=1)
    studio.down = True
    assert renew_tasks() == 0
    assert [one for one in caplog.records if one.levelname != "INFO"] == []
    studio.down = False
    assert renew_tasks() == 3


def refuse(
    studio: FakeLabelStudio, row: LabelStudioTask, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is sent for this row's task, from now on until the patch is undone."""
    answer = studio._answer

    def refusing(method: str, path: str, params: dict[str, Any], body: Any) -> Any:
        if (method, path) == ("PATCH", f"/api/tasks/{row.task_id}/"):
            raise LabelStudioRefused("labelstudio_refused", f"{status}: no", http_status=status, detail="no")
        return answer(method, path, params, body)

    monkeypatch.setattr(studio, "_answer", refusing)


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_refusal_is_told_and_stops_no_other_task_or_project(
    studio: FakeLabelStudio,
    cases: list[Case],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    other = make_case(CaseStatus.PREDICTED)
    elsewhere = LabelStudioProject.objects.create(
        corpus=other.corpus, guideline=other.guideline, title="another", project_id=987
    )
    push_cases(elsewhere, client=studio, by=None)
    ends(LabelStudioTask.objects.all(), days=1)
    refuse(studio, LabelStudioTask.objects.get(case=cases[0]), status, monkeypatch)
    assert renewing.renew(client=studio) == 3
    assert caplog.text.count(f"{status}: no") == 1


def test_what_is_refused_comes_last_until_it_is_taken(
    studio: FakeLabelStudio, cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends(LabelStudioTask.objects.all(), days=2)
    row = LabelStudioTask.objects.get(case=cases[1])
    ends(LabelStudioTask.objects.filter(pk=row.pk), days=1)
    with monkeypatch.context() as patch:
        refuse(studio, row, 400, patch)
        assert [renewing.renew(client=studio, at_most=1) for _ in range(4)] == [0, 1, 1, 0]
    row.refresh_from_db()
    assert row.refused_at is not None
    assert renewing.renew(client=studio, at_most=1) == 1
    row.refresh_from_db()
    assert row.refused_at is None


def test_where_crashdesk_is_refused_no_task_is_blamed(
    studio: FakeLabelStudio,
    cases: list[Case],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ends(LabelStudioTask.objects.all(), days=1)
    refuse(studio, LabelStudioTask.objects.get(case=cases[0]), 401, monkeypatch)
    studio.calls.clear()
    assert renewing.renew(client=studio) == 0
    assert (patches(studio), "401: no" in caplog.text) == (1, True)
    assert not LabelStudioTask.objects.filter(refused_at__isnull=False).exists()


def test_a_task_that_is_gone_is_left_to_the_comparison(
    studio: FakeLabelStudio, project: LabelStudioProject, cases: list[Case]
) -> None:
    LabelStudioProject.objects.update(check_due=False)
    ends(LabelStudioTask.objects.all(), days=1)
    row = LabelStudioTask.objects.get(case=cases[0])
    del studio.all_tasks[row.task_id or 0]
    assert renewing.renew(client=studio) == 2
    number, project_row = row.task_id, LabelStudioProject.objects.get()
    row.refresh_from_db()
    assert (row.task_id, row.media_until, project_row.check_due) == (number, None, True)
    studio.calls.clear()
    assert renewing.renew(client=studio) == 0
    assert studio.calls == []


def test_a_clip_that_is_gone_holds_nobody_up(studio: FakeLabelStudio, cases: list[Case]) -> None:
    ends(LabelStudioTask.objects.all(), days=1)
    ends(LabelStudioTask.objects.filter(case=cases[0]), days=0.5)
    Media.objects.filter(videos__cases=cases[0]).update(state=MediaState.UNUSABLE)
    assert [renewing.renew(client=studio, at_most=1) for _ in cases] == [1, 1, 0]


# --- keys of before -----------------------------------------------------------------------------------------------


def named_as_before(rows: Any, studio: FakeLabelStudio) -> None:
    for row in rows:
        key = spoken_key(*row.key)
        data = studio.all_tasks[row.task_id]["data"]
        data["external_id"] = key
        LabelStudioTask.objects.filter(pk=row.pk).update(external_id=key, data_digest=data_digest(data))


def keys(studio: FakeLabelStudio) -> set[str]:
    return {task["data"]["external_id"] for task in studio.all_tasks.values()}


@pytest.fixture
def passes(studio: FakeLabelStudio, cases: list[Case]) -> list[LabelStudioTask]:
    """One that is open and one that is done."""
    asked = [
        Assignment.objects.create(case=case, person=make_user(), purpose=Purpose.GOLD, way=Way.MANUAL)
        for case in cases[:2]
    ]
    made = [push_assignment(one, by=None, client=studio) for one in asked]
    Assignment.objects.filter(pk=asked[1].pk).update(state=AssignmentState.DONE, closed_at=timezone.now())
    return made


def test_open_tasks_and_all_passes_get_keys_that_tell_nothing(
    studio: FakeLabelStudio, cases: list[Case], passes: list[LabelStudioTask]
) -> None:
    Case.objects.filter(pk=cases[2].pk).update(status=CaseStatus.APPROVED)
    named_as_before(LabelStudioTask.objects.all(), studio)
    assert renew_tasks() == 4
    kept = spoken_key(cases[2].pk, None)  # settled, and the case's own
    assert {key for key in keys(studio) if key.startswith("case-")} == {kept}
    assert keys(studio) == set(LabelStudioTask.objects.values_list("external_id", flat=True))
    renamed = LabelStudioTask.objects.exclude(case=cases[2])
    assert keys(studio) - {kept} == {opaque_key(*row.key) for row in renamed}
    studio.calls.clear()
    assert renew_tasks() == 0
    assert studio.calls == []


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("call", [0, 2, 4])
def test_killed_while_keys_change_no_task_is_lost(
    studio: FakeLabelStudio, project: LabelStudioProject, cases: list[Case], passes: list[LabelStudioTask],
    call: int, carried_out: bool,
) -> None:  # fmt: skip
    named_as_before(LabelStudioTask.objects.all(), studio)
    studio.die_at(call, carried_out=carried_out)
    with pytest.raises(KeyboardInterrupt):
        renew_tasks()
    studio.die_at(None)
    studio.later(30)
    assert reconcile(project, client=studio, by=None, repair=False).found == []
    assert len(find_tasks(project, [case.pk for case in cases], studio)) == 3
    renew_tasks()
    assert not any(key.startswith("case-") for key in keys(studio))
    assert push_cases(project, client=studio, by=None).pushed == 0
    assert len(studio.all_tasks) == 5


def test_addresses_come_before_keys(studio: FakeLabelStudio, cases: list[Case]) -> None:
    named_as_before(LabelStudioTask.objects.all(), studio)
    ends(LabelStudioTask.objects.filter(case=cases[2]), days=1)
    assert renewing.renew(client=studio, at_most=1) == 1
    assert not LabelStudioTask.objects.filter(media_until__lt=renew_before()).exists()
    assert all(key.startswith("case-") for key in keys(studio))
    assert renewing.renew(client=studio, at_most=2) == 2
    assert renewing.renew(client=studio, at_most=2) == 1
    assert not any(key.startswith("case-") for key in keys(studio))


def test_opened_while_keys_change_a_task_still_gets_its_new_one(
    studio: FakeLabelStudio, cases: list[Case]
) -> None:
    row = LabelStudioTask.objects.get(case=cases[0])
    named_as_before([row], studio)
    ends(LabelStudioTask.objects.filter(pk=row.pk), days=1)
    studio.before(f"/api/tasks/{row.task_id}/", renew_tasks)  # between what is read and what is sent
    ensure_task(cases[0], by=None, client=studio)
    assert studio.task_of(cases[0].pk)["data"]["external_id"] == spoken_key(*row.key)
    assert renew_tasks() == 1
    assert studio.task_of(cases[0].pk)["data"]["external_id"] == opaque_key(*row.key)
    assert renew_tasks() == 0


@pytest.mark.parametrize("seen_by", ["comparison", "poll", "push"])
def test_a_restored_label_studio_is_given_the_keys_again(
    studio: FakeLabelStudio, project: LabelStudioProject, cases: list[Case], passes: list[LabelStudioTask],
    seen_by: str,
) -> None:  # fmt: skip
    own = dict(LabelStudioTask.objects.values_list("task_id", "external_id"))
    for row in LabelStudioTask.objects.all():
        studio.all_tasks[row.task_id or 0]["data"]["external_id"] = spoken_key(*row.key)
    studio.later(30)
    if seen_by == "comparison":
        assert reconcile(project, client=studio, by=None, repair=False).found == []
    elif seen_by == "poll":
        for task in studio.all_tasks.values():  # somebody skips it
            now = studio.later()
            said = {
                "result": [],
                "completed_by": 1,
                "was_cancelled": True,
                "created_at": now,
                "updated_at": now,
            }
            task["annotations"].append({"id": 900 + task["id"], **said})
            task["updated_at"] = now
        pull_project(project, client=studio)
    else:
        Case.objects.update(status=CaseStatus.PREDICTED)
        push_cases(project, client=studio, by=None)
    renew_tasks()
    there = {pk: task["data"]["external_id"] for pk, task in studio.all_tasks.items()}
    pushed = {*own} - {row.task_id for row in passes}  # a push looks only at the tasks of cases that wait
    assert {pk for pk in there if there[pk] == own[pk]} == (pushed if seen_by == "push" else {*own})
    studio.calls.clear()
    assert renew_tasks() == 0
    assert patches(studio) == 0


def test_with_another_secret_tasks_keep_the_keys_they_have(
    studio: FakeLabelStudio, project: LabelStudioProject, cases: list[Case], settings: Any
) -> None:
    before = keys(studio)
    settings.SECRET_KEY = "another"
    LabelStudioTask.objects.update(data_digest="")
    assert renew_tasks() == 3
    assert keys(studio) == before == set(LabelStudioTask.objects.values_list("external_id", flat=True))
    assert all(is_of(row, studio.all_tasks[row.task_id or 0]) for row in LabelStudioTask.objects.all())
