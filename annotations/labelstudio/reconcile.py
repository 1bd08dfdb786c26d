"""Comparing a whole project in Label Studio with what CrashDesk has of it: named, repaired where asked, or raised.

A poll sees what changed; this sees what is. It costs in proportion to the project, so it runs once a day, after
Label Studio was down, and when somebody asks. Nobody may poll meanwhile: repairs write into Label Studio what a
poll would take for a person's work.
"""

from collections import defaultdict
from typing import Any

from django.db import transaction
from django.utils import timezone

from annotations.cases.models import CaseStatus
from annotations.corpora.models import VideoFinding
from annotations.labelstudio.client import Client, LabelStudioRefused, task_filter
from annotations.labelstudio.discrepancies import Discrepancy, ReconcileReport
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.people import People
from annotations.labelstudio.provision import has_marker, marker
from annotations.labelstudio.pull import ID_BATCH, News, give_up_project, give_up_task, pages_of
from annotations.labelstudio.refusals import FINDING
from annotations.labelstudio.repairs import Repairs
from annotations.labelstudio.taking import Taking, take_task, time_of
from annotations.labelstudio.there import (
    FormState,
    data_trouble,
    form_state,
    heal_key,
    is_of,
    our_form,
    row_said,
)
from annotations.labelstudio.witnesses import Witnesses
from crashdesk.accounts.models import User
from crashdesk.audit.services import record
from crashdesk.jobs.running import Running


def reconcile(
    project: LabelStudioProject,
    *,
    client: Client,
    by: User | None,
    repair: bool,
    running: Running | None = None,
) -> ReconcileReport:
    """Compare everything, take in what polling missed, and with `repair` put right what can be put right.

    Call it while holding the lock of polls. Safe to kill and repeat: each repair is whole or not there. The report
    is kept on the project. Raises LabelStudioDown and LabelStudioRefused.
    """
    report = ReconcileReport(repair=repair)
    if project.project_id is not None:
        _Comparison(project, client, by, report, running).run()
    with transaction.atomic():
        project.checked_at, project.check_report, project.check_due = timezone.now(), report.data(), False
        project.save(update_fields=["checked_at", "check_report", "check_due"])
        if report.found:
            counts: dict[str, int] = defaultdict(int)
            for one in report.found:
                counts[one.code] += 1
            data = {"repair": repair, "found": dict(counts), "open": len(report.open)}
            record(actor=by, verb="labelstudio.reconciled", subject=project, data=data)
    return report


class _Comparison:
    """One run over one project."""

    def __init__(
        self,
        project: LabelStudioProject,
        client: Client,
        by: User | None,
        report: ReconcileReport,
        running: Running | None,
    ) -> None:
        self._project, self._client, self._by = project, client, by
        self._report, self._running = report, running
        self._people = People(client)
        self._repairs = Repairs(project, client, self._people, by)
        self._polled_until = project.polled_until
        self._went_back: list[tuple[LabelStudioTask, dict[str, Any], list[dict[str, Any]]]] = []

    def run(self) -> None:
        try:
            shown = self._client.get(f"/api/projects/{self._project.project_id}/")
        except LabelStudioRefused as refused:
            if refused.http_status != 404:
                raise
            self._project_gone()
            return
        wanted = marker(self._project.corpus, self._project.guideline, self._project.part)
        if not has_marker(shown["description"], wanted):
            self._find(
                "labelstudio_project_foreign", f"project {self._project.project_id} lacks the line {wanted}"
            )
            return
        if not self._form_is_ours(shown):
            return
        self._tasks()
        self._drop_stale_findings()

    def _find(self, code: str, message: str, **where: Any) -> None:
        self._report.found.append(Discrepancy(code, message, **where))

    def _project_gone(self) -> None:
        number = self._project.project_id
        settled = ""
        if self._report.repair:
            waiting = give_up_project(self._project)
            settled = f"{waiting} cases wait for the next push"
        message = f"project {number} is not in Label Studio any more"
        self._find("labelstudio_project_gone", message, settled=settled)

    def _form_is_ours(self, shown: dict[str, Any]) -> bool:
        """Whether the form's answers mean what they should, or do again. Tasks are compared only then."""
        ours = our_form(self._project)
        state = form_state(shown["label_config"], ours)
        if state == FormState.SAME:
            return True
        settled = self._repairs.form(ours, distrust=state == FormState.CHANGED) if self._report.repair else ""
        code = "labelstudio_form_changed" if state == FormState.CHANGED else "labelstudio_form_dressed"
        self._find(code, "the form is not the one CrashDesk gave the project", settled=settled)
        return bool(settled) or state == FormState.DRESSED

    def _tasks(self) -> None:
        linked = {row.task_id: row for row in self._project.tasks.filter(task_id__isnull=False)}
        taking = Taking(self._project, self._people, Witnesses(self._project, self._client))
        for page in pages_of(self._project, self._client, []):
            news = News(self._project, page)
            for task in page:
                linked.pop(task["id"], None)
                self._report.tasks += 1
                self._report.annotations += len(task["annotations"])
                self._task(task, news, taking)
            if self._running is not None:
                self._running.progress(self._report.tasks, None, f"{self._report.tasks} tasks compared")
        for row, task, refused in self._went_back:
            self._give_back(row, task, refused, taking)
        for row in self._really_gone(linked):
            self._task_gone(row)
        self._report.taken_in = taking.report.changes

    def _task(self, task: dict[str, Any], news: News, taking: Taking) -> None:
        row = news.row(task)
        if row is None:
            row = self._elsewhere(task)
            if row is None:
                where = {"task_id": task["id"]}
                self._find("labelstudio_task_foreign", f"task {task['id']} belongs to no case", **where)
                return
            if row.task_id is not None:
                self._duplicate(row, task, taking)
                return
        elif not is_of(row, task):
            self._reused(row, task)
            return
        heal_key(row, task)
        trouble = data_trouble(row, task["data"])
        if trouble:
            self._data_changed(row, task, trouble)
            return
        if news.has(task):
            self._take(row, task, taking)

    def _elsewhere(self, task: dict[str, Any]) -> LabelStudioTask | None:
        """The row of ours that a task claims to be, though it is linked to none or to another task."""
        rows = LabelStudioTask.objects.filter(project=self._project).select_related("case__video__media")
        return row_said(rows, task)

    def _take(self, row: LabelStudioTask, task: dict[str, Any], taking: Taking) -> None:
        before = taking.report.changes
        first = len(taking.report.refused)
        take_task(taking, task)
        where: dict[str, Any] = {"task_id": task["id"], "case_id": row.case_id}
        missed = self._polled_until is not None and time_of(task["updated_at"]) < self._polled_until
        if missed and taking.report.changes > before:
            message = f"task {task['id']} says something that no poll has seen"
            self._find("labelstudio_missed", message, settled="taken in", **where)
        refused = taking.report.refused[first:]
        if self._report.repair and any(one["code"] == "labelstudio_went_back" for one in refused):
            self._went_back.append((row, task, refused))
            return
        for one in refused:
            self._find(one["code"], one["message"], **where)

    def _give_back(
        self, row: LabelStudioTask, task: dict[str, Any], refused: list[dict[str, Any]], taking: Taking
    ) -> None:
        """After all tasks were read: what is given back to one must not hide what another has lost."""
        settled = self._repairs.annotations(row, task)
        again = self._client.get(f"/api/tasks/{task['id']}/")
        first = len(taking.report.refused)
        take_task(taking, {**task, "annotations": again["annotations"], "updated_at": again["updated_at"]})
        still = {one["message"] for one in taking.report.refused[first:]}
        for one in refused:
            done = settled if one["message"] not in still else ""
            self._find(one["code"], one["message"], settled=done, task_id=task["id"], case_id=row.case_id)

    def _duplicate(self, row: LabelStudioTask, task: dict[str, Any], taking: Taking) -> None:
        settled = self._repairs.duplicate(row, task) if self._report.repair else ""
        if settled and task["annotations"]:
            take_task(taking, task)
        message = f"tasks {row.task_id} and {task['id']} both show case {row.case_id}"
        where: dict[str, Any] = {"task_id": task["id"], "case_id": row.case_id}
        self._find("labelstudio_task_duplicate", message, settled=settled, **where)

    def _reused(self, row: LabelStudioTask, task: dict[str, Any]) -> None:
        settled = ""
        if self._report.repair:
            give_up_task(row.pk)
            settled = "the case waits for the next push"
        message = f"task {task['id']} was case {row.case_id}'s, and now says it is something else"
        where: dict[str, Any] = {"task_id": task["id"], "case_id": row.case_id}
        self._find("labelstudio_task_reused", message, settled=settled, **where)

    def _data_changed(self, row: LabelStudioTask, task: dict[str, Any], trouble: str) -> None:
        settled = self._repairs.data(row, task) if self._report.repair else ""
        where: dict[str, Any] = {"task_id": task["id"], "case_id": row.case_id}
        message = f"task {task['id']} was edited: {trouble}"
        self._find("labelstudio_data_changed", message, settled=settled, **where)

    def _really_gone(self, linked: dict[int | None, LabelStudioTask]) -> list[LabelStudioTask]:
        """Asked once more by number: a task made while the others were read was not among them."""
        ids = sorted(pk for pk in linked if pk is not None)
        for start in range(0, len(ids), ID_BATCH):
            wanted = task_filter("id", "in_list", "Number", ids[start : start + ID_BATCH])
            for page in pages_of(self._project, self._client, [wanted], fields="task_only"):
                for task in page:
                    linked.pop(task["id"], None)
        return list(linked.values())

    def _task_gone(self, row: LabelStudioTask) -> None:
        settled = ""
        if self._report.repair:
            waits = row.case.status == CaseStatus.IN_REVIEW
            give_up_task(row.pk)
            settled = "the case waits for the next push" if waits else "let go"
        message = f"task {row.task_id} of case {row.case_id} is not in Label Studio any more"
        where: dict[str, Any] = {"task_id": row.task_id, "case_id": row.case_id}
        self._find("labelstudio_task_gone", message, settled=settled, **where)

    def _drop_stale_findings(self) -> None:
        """Refusals on tasks that this project has no more: the annotation that was refused is gone with them."""
        findings = VideoFinding.objects.filter(
            video__cases__labelstudio_tasks__project=self._project, code=FINDING
        )
        named = {one.pk: one.data.get("task") for one in findings.distinct()}
        there: set[int] = set()
        ids = sorted({task for task in named.values() if isinstance(task, int)})
        for start in range(0, len(ids), ID_BATCH):
            wanted = task_filter("id", "in_list", "Number", ids[start : start + ID_BATCH])
            for page in pages_of(self._project, self._client, [wanted], fields="task_only"):
                there.update(task["id"] for task in page)
        elsewhere = LabelStudioTask.objects.exclude(project=self._project).filter(task_id__in=ids)
        there.update(pk for pk in elsewhere.values_list("task_id", flat=True) if pk is not None)
        VideoFinding.objects.filter(pk__in=[pk for pk, task in named.items() if task not in there]).delete()
