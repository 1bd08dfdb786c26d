"""What a real Label Studio says when somebody has been at it: told apart from people's work, and put right.

A restored backup is played with Label Studio's own rows: those of the annotations are put back as they were, the
tasks' times and the counters of ids with them.
"""

import json
from contextlib import closing
from typing import Any

import psycopg2
import pytest
import requests

from annotations.cases.models import Answer, Case, CaseStatus
from annotations.corpora.models import VideoFinding
from annotations.labelstudio.client import Client, Reply
from annotations.labelstudio.discrepancies import ReconcileReport
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.pull import pull_project
from annotations.labelstudio.push import push_cases
from annotations.labelstudio.reconcile import reconcile
from annotations.reviews.models import AnswerChange, Assignment, Purpose, Review, ReviewOutcome, Way
from crashdesk.embedded.config import labelstudio_database_url
from crashdesk.embedded.labelstudio import LabelStudio
from tests.factories import make_user
from tests.integration.test_labelstudio import (
    _signed_up,
    pulled,
    region,
    shown,
    status,
    submit,
    task_id,
)

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.django_db]


def compared(project: LabelStudioProject, client: Client, *, repair: bool = False) -> ReconcileReport:
    return reconcile(project, client=client, by=None, repair=repair)


def codes(report: ReconcileReport) -> list[str]:
    return sorted(one.code.removeprefix("labelstudio_") for one in report.found)


def repaired(project: LabelStudioProject, client: Client, *expected: str) -> None:
    """Named without repair, put right with it, and then nothing is left that a poll or a comparison would find."""
    assert codes(compared(project, client)) == sorted(expected)
    report = compared(project, client, repair=True)
    assert (codes(report), report.open) == (sorted(expected), [])
    assert codes(compared(project, client)) == []
    assert pulled(project, client, full=True).changes == 0


class Backup:
    """The annotations of a project as Label Studio's database has them now, to be put back later."""

    def __init__(self, server: LabelStudio, project: LabelStudioProject) -> None:
        self._url, self._project = labelstudio_database_url(server.config), project.linked_id
        self._held = {
            "task_completion": self._rows(
                "SELECT row_to_json(c) FROM task_completion c WHERE project_id = %s"
            ),
            "task": self._rows(
                "SELECT json_build_object('id', id, 'updated_at', updated_at) FROM task WHERE project_id = %s"
            ),
        }

    def _rows(self, sql: str) -> list[Any]:
        with closing(psycopg2.connect(self._url)) as link, link, link.cursor() as cursor:
            cursor.execute(sql, [self._project])
            return [row[0] for row in cursor.fetchall()]

    def restore(self) -> None:
        with closing(psycopg2.connect(self._url)) as link, link, link.cursor() as cursor:
            cursor.execute("SELECT conrelid::regclass::text, attname FROM pg_constraint "
                           "JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1] "
                           "WHERE confrelid = 'task_completion'::regclass")  # fmt: skip
            for table, column in cursor.fetchall():
                ours = "(SELECT id FROM task_completion WHERE project_id = %s)"
                cursor.execute(f"DELETE FROM {table} WHERE {column} IN {ours}", [self._project])
            cursor.execute("DELETE FROM task_completion WHERE project_id = %s", [self._project])
            for row in self._held["task_completion"]:
                cursor.execute(
                    "INSERT INTO task_completion SELECT * FROM json_populate_record(NULL::task_completion, %s)",
                    [json.dumps(row)],
                )
            for row in self._held["task"]:
                cursor.execute(
                    "UPDATE task SET updated_at = %s WHERE id = %s", [row["updated_at"], row["id"]]
                )
            cursor.execute(
                "SELECT setval(pg_get_serial_sequence('task_completion', 'id'), "
                "(SELECT coalesce(max(id), 0) + 1 FROM task_completion), false)"
            )


def test_a_restored_backup_loses_nobodys_work(
    server: LabelStudio, project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    answered, edited_later, deleted_later, skipped = cases[:4]
    kept = submit(client, edited_later, shown(client, edited_later))
    gone = submit(client, deleted_later, shown(client, deleted_later))
    pulled(project, client)
    backup = Backup(server, project)

    result = shown(client, answered)
    region(result, "segments", "Crash")["ranges"][0]["end"] += 3
    submit(client, answered, result)
    client.patch(f"/api/annotations/{kept}/", {"result": result})
    client.delete(f"/api/annotations/{gone}/")
    submit(client, skipped, [], was_cancelled=True)
    pulled(project, client)
    before = _reviews()
    assert [status(case) for case in cases[:4]] == ["submitted", "submitted", "in_review", "in_review"]

    backup.restore()
    assert pulled(project, client).changes == 0
    report = pulled(project, client, full=True)
    assert {refused["code"] for refused in report.refused} == {"labelstudio_went_back"}
    assert (report.changes, _reviews()) == (0, before)
    stranger = submit(client, cases[4], shown(client, cases[4]))  # under a number that had been used
    repaired(project, client, *["went_back"] * 4)
    assert status(cases[4]) == CaseStatus.SUBMITTED
    assert client.get(f"/api/annotations/{stranger}/")["task"] == task_id(cases[4])
    lost = client.get(f"/api/tasks/{task_id(answered)}/")["annotations"]
    assert [one["result"] for one in lost] == [result]
    after = {key: what for key, what in _reviews().items() if key[0] != cases[4].pk}
    assert sorted(after.values()) == sorted(before.values())


def _reviews() -> dict[tuple[int, int], tuple[Any, ...]]:
    """What every review says, whatever number its annotation has."""
    return {
        (review.case_id, review.pk): (
            review.case_id, review.outcome, review.reviewer_id,
            tuple(sorted(review.answers.values_list("pk", flat=True))),
        )
        for review in Review.objects.all()
    }  # fmt: skip


class Killed(Client):
    """Dies right after an annotation was given back, before anything was written down."""

    def call(self, method: str, path: str, **options: Any) -> Reply:
        reply = super().call(method, path, **options)
        if method == "POST" and path.endswith("/annotations"):
            raise KeyboardInterrupt
        return reply


def test_a_repair_killed_half_way_gives_nothing_back_twice(
    server: LabelStudio, project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    backup = Backup(server, project)
    submit(client, cases[0], shown(client, cases[0]))
    pulled(project, client)
    backup.restore()
    with pytest.raises(KeyboardInterrupt):
        compared(project, Killed(client.url, client._token), repair=True)
    report = compared(project, client, repair=True)
    assert report.open == []
    assert len(client.get(f"/api/tasks/{task_id(cases[0])}/")["annotations"]) == 1
    assert codes(compared(project, client)) == []
    assert Review.objects.filter(outcome=ReviewOutcome.SUBMITTED).count() == 1


def test_deleted_tasks_and_a_deleted_project(
    project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    submit(client, cases[0], shown(client, cases[0]))
    pulled(project, client)
    for case in cases[:2]:
        client.delete(f"/api/tasks/{task_id(case)}/")
    repaired(project, client, "task_gone", "task_gone")
    assert [status(case) for case in cases[:3]] == ["submitted", "predicted", "in_review"]
    client.delete(f"/api/projects/{project.project_id}/")
    report = compared(project, client, repair=True)
    assert (codes(report), report.open) == (["project_gone"], [])
    assert [status(case) for case in cases[:3]] == ["submitted", "predicted", "predicted"]
    assert push_cases(project, client=client, by=None).pushed == 5
    project.refresh_from_db()
    assert codes(compared(project, client)) == []


def test_a_task_that_became_another(project: LabelStudioProject, client: Client, cases: list[Case]) -> None:
    data = client.get(f"/api/tasks/{task_id(cases[0])}/")["data"]
    stolen = task_id(cases[0])
    client.patch(f"/api/tasks/{stolen}/", {"data": {**data, "external_id": "mine", "case_id": None}})
    submit(client, cases[0], shown(client, cases[0]))
    assert [refused["code"] for refused in pulled(project, client).refused] == ["labelstudio_task_reused"]
    report = compared(project, client, repair=True)
    assert (codes(report), report.open) == (["task_reused"], [])
    assert codes(compared(project, client)) == ["task_foreign"]
    assert push_cases(project, client=client, by=None).pushed == 1
    assert task_id(cases[0]) != stolen


def test_a_copied_task(project: LabelStudioProject, client: Client, cases: list[Case]) -> None:
    data = client.get(f"/api/tasks/{task_id(cases[0])}/")["data"]
    client.post(f"/api/projects/{project.project_id}/import", [{"data": data}])
    repaired(project, client, "task_duplicate")


def test_an_edited_form_and_an_edited_task(
    project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    by_form, by_data = cases[:2]
    address = f"/api/projects/{project.project_id}/"
    ours = client.get(address)["label_config"]
    client.patch(address, {"label_config": ours.replace('frameRate="$fps"', 'frameRate="25"')})
    first = submit(client, by_form, shown(client, by_form))
    assert "form_changed" in codes(compared(project, client))
    assert not Review.objects.exists()
    report = compared(project, client, repair=True)
    assert "form_changed" in codes(report)
    assert client.get(address)["label_config"] == ours
    assert codes(compared(project, client)) == ["distrusted"]

    data = client.get(f"/api/tasks/{task_id(by_data)}/")["data"]
    client.patch(f"/api/tasks/{task_id(by_data)}/", {"data": {**data, "fps": 25}})
    second = submit(client, by_data, shown(client, by_data))
    assert "labelstudio_data_changed" in {one["code"] for one in pulled(project, client).refused}
    compared(project, client, repair=True)
    assert client.get(f"/api/tasks/{task_id(by_data)}/")["data"]["fps"] == 30
    assert codes(compared(project, client)) == ["distrusted", "distrusted"]
    assert not Answer.objects.filter(author_kind="person").exists()
    for case, pk in ((by_form, first), (by_data, second)):
        LabelStudioTask.objects.filter(case=case).update(distrusted_until=None)
        client.patch(f"/api/annotations/{pk}/", {"result": shown(client, case)})
    assert pulled(project, client).submitted == 2
    assert not VideoFinding.objects.exists()


def test_two_people_on_one_task_and_an_edit_by_another(
    project: LabelStudioProject, client: Client, cases: list[Case]
) -> None:
    ann, ben = make_user(), make_user()
    sessions = {person: _signed_up(client, person.email) for person in (ann, ben)}

    def ask(person: Any, method: str, path: str, body: Any) -> Any:
        browser: requests.Session = sessions[person]
        headers = {"X-CSRFToken": browser.cookies["csrftoken"], "Referer": client.url}
        answer = browser.request(method, client.url + path, json=body, headers=headers, timeout=30)
        assert answer.status_code < 300, answer.text[:300]
        return answer.json()

    case, task = cases[0], f"/api/tasks/{task_id(cases[0])}/annotations"
    result = shown(client, case)
    first = ask(ann, "POST", task, {"result": result})
    region(result, "segments", "Crash")["ranges"][0]["end"] += 3
    ask(ben, "POST", task, {"result": result})
    report = pulled(project, client)
    assert (report.submitted, [one["code"] for one in report.refused]) == (1, ["labelstudio_two_people"])
    assert case.reviews.get().reviewer == ann
    assert set(AnswerChange.objects.values_list("change", flat=True)) == {"accepted"}

    other = cases[1]
    mine = ask(ann, "POST", f"/api/tasks/{task_id(other)}/annotations", {"result": shown(client, other)})
    pulled(project, client)
    ask(ben, "PATCH", f"/api/annotations/{mine['id']}/", {"result": result})
    assert "labelstudio_two_people" in {one["code"] for one in pulled(project, client).refused}
    Assignment.objects.create(case=other, person=ben, purpose=Purpose.SECOND, way=Way.MANUAL)
    assert pulled(project, client, full=True).submitted == 1
    assert [review.reviewer for review in other.reviews.order_by("id")] == [ann, ben]
    edited = AnswerChange.objects.get(review__reviewer=ben, change="edited")
    assert (edited.start_shift_us, edited.end_shift_us) == (0, 100_000)
    assert first["completed_by"] == mine["completed_by"]
    for browser in sessions.values():
        browser.close()


def test_drafts_say_nothing(project: LabelStudioProject, client: Client, cases: list[Case]) -> None:
    body = {"result": shown(client, cases[0]), "lead_time": 3.0}
    client.post(f"/api/tasks/{task_id(cases[0])}/drafts", body)
    assert pull_project(project, client=client, full=True).changes == 0
    annotation = submit(client, cases[1], shown(client, cases[1]))
    pulled(project, client)
    client.post(f"/api/tasks/{task_id(cases[1])}/annotations/{annotation}/drafts", body)
    assert pull_project(project, client=client, full=True).changes == 0
    assert codes(compared(project, client)) == []
    assert Review.objects.count() == 1
