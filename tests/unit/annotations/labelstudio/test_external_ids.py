"""Keys of tasks tell nothing, are drawn alike after a restore, and older ones are still understood."""

import base64
import importlib
import re
from collections import Counter
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.utils.crypto import salted_hmac

from annotations.cases.models import Case, CaseStatus
from annotations.labelstudio.external_ids import drawn_rank, opaque_key, read_spoken, spoken_key
from annotations.labelstudio.items import data_digest
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.pull import pull_project
from annotations.labelstudio.push import PushReport, ensure_task, find_tasks, push_assignment, push_cases
from annotations.labelstudio.reconcile import reconcile
from annotations.labelstudio.refreshing import remove_doubles
from annotations.labelstudio.there import is_of, key_of, row_said
from annotations.reviews.models import Assignment, Purpose, Way
from tests.factories import make_case, make_user, make_video
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio

fill = importlib.import_module("annotations.labelstudio.migrations.0008_fill_external_ids")


@pytest.fixture
def case(project: LabelStudioProject, studio: FakeLabelStudio) -> Case:
    case = make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
    push(project, studio)
    return case


def push(project: LabelStudioProject, studio: FakeLabelStudio) -> PushReport:
    return push_cases(project, client=studio, by=None)


def found(project: LabelStudioProject, studio: FakeLabelStudio, *, repair: bool = False) -> list[str]:
    studio.later(30)
    report = reconcile(project, client=studio, by=None, repair=repair)
    return [one.code.removeprefix("labelstudio_") for one in report.found]


def gold(case: Case, studio: FakeLabelStudio) -> LabelStudioTask:
    asked = Assignment.objects.create(case=case, person=make_user(), purpose=Purpose.GOLD, way=Way.MANUAL)
    return push_assignment(asked, by=None, client=studio)


def named_as_before(row: LabelStudioTask, studio: FakeLabelStudio) -> None:
    """A row and a task made before keys were opaque."""
    row.external_id = spoken_key(*row.key)
    row.save()
    studio.all_tasks[row.task_id or 0]["data"]["external_id"] = row.external_id


# --- keys ------------------------------------------------------------------------------------------------------------


def test_a_key_has_one_form_and_depends_on_case_pass_and_secret(settings: Any) -> None:
    pairs = [(case, one) for case in range(1, 40) for one in (None, *range(1, 25))]
    keys = {pair: opaque_key(*pair) for pair in pairs}
    assert len(set(keys.values())) == len(pairs)
    assert all(re.fullmatch("[a-z2-7]{16}", key) for key in keys.values())
    assert not any(read_spoken(key) for key in keys.values())
    assert opaque_key(12, 3) != opaque_key(1, 23)
    whole = salted_hmac("labelstudio.external_id", "12:3", algorithm="sha256").digest()
    assert opaque_key(12, 3) == base64.b32encode(whole)[:16].decode().lower()
    settings.SECRET_KEY = "another"
    assert not {opaque_key(*pair) for pair in pairs} & set(keys.values())


@pytest.mark.parametrize("pair", [(7, None), (7, 12)])
def test_a_spoken_key_is_read_back(pair: tuple[int, int | None]) -> None:
    assert read_spoken(spoken_key(*pair)) == pair


@pytest.mark.parametrize(
    "text", ["case-", "case-7-pass-", "case-7-pass-x", "my case-7", "case-7 ", "Case-7", ""]
)
def test_anything_else_is_no_spoken_key(text: str) -> None:
    assert read_spoken(text) is None


def test_no_two_rows_have_one_key(project: LabelStudioProject, case: Case) -> None:
    other = make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
    key = LabelStudioTask.objects.get().external_id
    row = LabelStudioTask(project=project, case=other, fps_num=30, fps_den=1, external_id=key)
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save()


def test_what_a_gold_task_says_looks_like_what_any_task_says(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    row = gold(case, studio)
    shown, own = studio.all_tasks[row.task_id or 0]["data"], studio.all_tasks[_own(case).task_id or 0]["data"]
    assert {name for name in own if own[name] != shown[name]} == {"external_id"}
    assert (row.external_id, _own(case).external_id) == (shown["external_id"], own["external_id"])
    assert len(shown["external_id"]) == len(own["external_id"]) == 16
    assert str(row.assignment_id) not in {shown["external_id"], own["external_id"]}


@pytest.mark.parametrize("before", [None, 700])
def test_a_gold_task_has_a_rank_where_others_have(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, before: int | None
) -> None:
    Case.objects.filter(pk=case.pk).update(status=CaseStatus.APPROVED, review_rank=before)
    for rank in (1, 3):
        other = make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
        Case.objects.filter(pk=other.pk).update(review_rank=rank)
    make_case(CaseStatus.PREDICTED, video=make_video(project.corpus))  # another guideline
    Case.objects.exclude(guideline=project.guideline).update(review_rank=5000)
    row = gold(case, studio)
    shown = studio.all_tasks[row.task_id or 0]["data"]["review_rank"]
    assert shown in {"0000001", "0000002", "0000003"}
    assert row.assignment_id is not None
    assert int(shown) == drawn_rank(case.pk, row.assignment_id, 3)
    assert push(project, studio).reordered == 0


def test_drawn_ranks_are_spread_over_all_there_are() -> None:
    drawn = Counter(drawn_rank(case, 2 * case, 10) for case in range(2000))
    assert set(drawn) == set(range(1, 11))
    assert min(drawn.values()) > 100  # 200 each; six standard deviations are 80


def _own(case: Case) -> LabelStudioTask:
    return LabelStudioTask.objects.get(case=case, assignment__isnull=True)


# --- rows of before ----------------------------------------------------------------------------------------------


def test_rows_of_before_keep_the_key_that_their_tasks_have(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    own, passed = _own(case), gold(case, studio)

    fill.keep_old_keys(apps, None)
    own.refresh_from_db()
    passed.refresh_from_db()
    assert own.external_id == f"case-{case.pk}"
    assert passed.external_id == f"case-{case.pk}-pass-{passed.assignment_id}"


def test_tasks_of_before_are_known_pushed_on_and_pulled(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    row = _own(case)
    named_as_before(row, studio)
    Case.objects.filter(pk=case.pk).update(review_rank=3)
    assert push(project, studio).reordered == 1
    task = studio.task_of(case.pk)
    assert (task["data"]["external_id"], task["data"]["review_rank"]) == (f"case-{case.pk}", "0000003")
    assert find_tasks(project, [case.pk], studio) == {case.pk: task["id"]}
    studio.annotate(case.pk, task["predictions"][0]["result"])
    assert pull_project(project, client=studio).submitted == 1
    assert found(project, studio) == []


def test_a_task_without_a_key_is_the_one_of_its_case(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    task = studio.task_of(case.pk)
    del task["data"]["external_id"]
    assert key_of(task) == f"case-{case.pk}"
    studio.annotate(case.pk, task["predictions"][0]["result"])
    assert pull_project(project, client=studio).submitted == 1
    assert found(project, studio) == []


@pytest.mark.parametrize(
    "data", [None, {}, {"external_id": 7}, {"external_id": "", "case_id": 1}, {"case_id": True}, {"case_id": -1},
             {"case_id": 2**63}, {"case_id": "1"}],
)  # fmt: skip
def test_other_tasks_are_nobodys(db: None, data: object) -> None:
    task = {"id": 1, "data": data}
    assert key_of(task) is None
    assert row_said(LabelStudioTask.objects.all(), task) is None


def test_what_is_sent_again_gets_a_key_that_tells_nothing(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    row = gold(case, studio)
    del studio.all_tasks[row.task_id or 0]  # a push of before was killed before it had sent it
    LabelStudioTask.objects.filter(pk=row.pk).update(
        external_id=spoken_key(*row.key), task_id=None, sent_at=None
    )
    assert push(project, studio).passes == 1
    row.refresh_from_db()
    assert row.external_id == opaque_key(*row.key)
    task = studio.all_tasks[row.task_id or 0]
    assert task["data"]["external_id"] == row.external_id
    assert row.data_digest == data_digest(task["data"])


def test_a_row_of_a_worker_of_before_is_understood_and_healed(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    old = _own(case)
    named_as_before(old, studio)
    names = [
        one.column for one in LabelStudioTask._meta.concrete_fields if one.name not in ("id", "external_id")
    ]
    with connection.cursor() as cursor:  # as a release that knows no keys writes it
        cursor.execute(
            f"WITH old AS (DELETE FROM labelstudio_labelstudiotask RETURNING {', '.join(names)}) "
            f"INSERT INTO labelstudio_labelstudiotask ({', '.join(names)}) SELECT * FROM old"
        )
    row = _own(case)
    assert re.fullmatch("[0-9a-f-]{36}", row.external_id)
    assert row.pk != old.pk
    studio.annotate(case.pk, studio.task_of(case.pk)["predictions"][0]["result"])
    assert pull_project(project, client=studio).submitted == 1
    row.refresh_from_db()
    assert (found(project, studio), row.data_digest) == ([], "")
    ensure_task(case, by=None, client=studio)
    assert studio.task_of(case.pk)["data"]["external_id"] == row.external_id


# --- one side restored from a backup ------------------------------------------------------------------------------


def test_a_crashdesk_restored_from_before_the_push_knows_its_tasks_again(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.annotate(case.pk, studio.task_of(case.pk)["predictions"][0]["result"])
    answered = studio.task_of(case.pk)["id"]
    LabelStudioTask.objects.all().delete()
    Case.objects.filter(pk=case.pk).update(status=CaseStatus.PREDICTED)
    assert found(project, studio) == ["task_foreign"]
    assert push(project, studio).pushed == 1
    assert found(project, studio, repair=True) == ["task_duplicate"]
    assert _own(case).task_id == answered
    case.refresh_from_db()
    assert case.status == CaseStatus.SUBMITTED
    assert found(project, studio) == []


def test_a_killed_push_of_a_restored_crashdesk_adopts_what_is_there(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    task = studio.task_of(case.pk)["id"]
    LabelStudioTask.objects.update(task_id=None, sent_at=None)
    Case.objects.filter(pk=case.pk).update(status=CaseStatus.PREDICTED)
    assert push(project, studio).adopted == 1
    assert _own(case).task_id == task


@pytest.mark.parametrize("older", ["labelstudio", "crashdesk"])
def test_either_side_may_still_use_the_key_of_before(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, older: str
) -> None:
    row, task = _own(case), studio.task_of(case.pk)
    if older == "labelstudio":
        task["data"]["external_id"] = spoken_key(*row.key)
    else:
        row.external_id = spoken_key(*row.key)
        row.save()
    assert is_of(row, task)
    assert row_said(LabelStudioTask.objects.all(), task) == row
    assert find_tasks(project, [case.pk], studio) == {case.pk: task["id"]}
    assert found(project, studio) == []
    LabelStudioTask.objects.update(task_id=None, sent_at=None)
    studio.annotate(case.pk, task["predictions"][0]["result"])
    assert pull_project(project, client=studio, full=True).submitted == 1
    assert remove_doubles([_own(case)], studio) == 0


def test_a_task_with_another_passes_key_is_not_the_cases(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    passed = gold(case, studio)
    task = studio.all_tasks[_own(case).task_id or 0]
    task["data"]["external_id"] = passed.external_id
    assert not is_of(_own(case), task)
    assert row_said(LabelStudioTask.objects.all(), task) == passed
    assert found(project, studio) == ["task_reused"]
