"""What the guard's needs mean, looked up in CrashDesk's own records; Label Studio is asked only about fresh drafts and
annotations that no poll has brought home yet."""

import base64
import json
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlencode

from django.conf import settings
from django.db.models import Q, QuerySet

from annotations.cases.models import CaseStatus
from annotations.corpora.access import open_to
from annotations.corpora.models import Video
from annotations.gold.sight import BEFORE_SUBMISSION
from annotations.labelstudio.accounts.models import Member
from annotations.labelstudio.client import LabelStudioRefused, client
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.people import labelstudio_ids
from annotations.reviews.late import asked_of, takes_answer
from annotations.reviews.models import Assignment, AssignmentState, Purpose
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may_in
from crashdesk.environment import S3Location

PASSED = frozenset(("page", "page_size", "project"))
CORRECTABLE = (CaseStatus.IN_REVIEW, CaseStatus.SUBMITTED, CaseStatus.RETURNED)
"""Where a case stands while whoever answered it may still correct themselves."""
BLIND = (Purpose.ANNOTATE, Purpose.DOUBLE, Purpose.GOLD)
ANSWERING = (Purpose.ANNOTATE, Purpose.SECOND)
UNDECIDED = Q(case__draw__double=True, case__status__in=BEFORE_SUBMISSION)
"""Tasks of cases that two people answer, while a pass is missing."""


class Facts:
    """One person and the things a request names."""

    def __init__(
        self,
        user: User,
        *,
        query: dict[str, list[str]],
        project: int | None = None,
        task: int | None = None,
        annotation: int | None = None,
        draft: int | None = None,
    ) -> None:
        self.user, self.query = user, query
        self.project_id = project if project is not None else _only(query.get("project"))
        self.task_id, self.annotation_id, self.draft_id = task, annotation, draft

    # --- projects ---------------------------------------------------------------------------------

    def open_project(self) -> bool:
        """A project of a corpus that the person may look into, and not Label Studio's own stream of tasks."""
        project = self._project()
        if project is None or "labeling" in self.query:
            return False
        return may_in(self.user, Action.VIEW, project.corpus_id)

    def oversees_project(self) -> bool:
        """Whether all its tasks may be listed for the person: they approve or synchronise, and nothing there is or may
        become theirs to answer blind."""
        project = self._project()
        if project is None or not self._oversees(project.corpus_id):
            return False
        if self._may_come_second(project.corpus_id) and project.tasks.filter(UNDECIDED).exists():
            return False
        mine = Assignment.objects.filter(person=self.user, state=AssignmentState.OPEN, purpose__in=BLIND)
        return not mine.filter(case__corpus=project.corpus_id).exists()

    def own_tasks_query(self) -> str:
        """The query of a list narrowed to the person's own tasks. Label Studio reads an empty selection as all."""
        project = self._project()
        tasks = self._own_tasks().filter(project=project).order_by("task_id")
        ids = [pk for pk in tasks.values_list("task_id", flat=True) if pk is not None] or [0]
        selected = {"selectedItems": {"all": False, "included": ids}}
        kept = [(name, value) for name, values in self.query.items() if name in PASSED for value in values]
        return urlencode([*kept, ("query", json.dumps(selected, separators=(",", ":")))])

    def _project(self) -> LabelStudioProject | None:
        if self.project_id is None:
            return None
        return LabelStudioProject.objects.filter(project_id=self.project_id).first()

    def _oversees(self, corpus_id: int) -> bool:
        return any(may_in(self.user, action, corpus_id) for action in (Action.APPROVE, Action.SYNC))

    def _may_come_second(self, corpus_id: int) -> bool:
        """Whether the queue may give the person a second pass: then a first one must not be seen before. Who assigns
        sees everything, and chooses somebody else."""
        return may_in(self.user, Action.REVIEW, corpus_id) and not may_in(self.user, Action.ASSIGN, corpus_id)

    # --- tasks ------------------------------------------------------------------------------------

    def sees_task(self) -> bool:
        task = self._task(self.task_id)
        if task is None:
            return False
        if self._own_tasks().filter(pk=task.pk).exists() or self._answers(task):
            return True
        blind = Assignment.objects.filter(
            case=task.case_id, person=self.user, state=AssignmentState.OPEN, purpose__in=BLIND
        )
        if blind.exists() or not self._oversees(task.project.corpus_id):
            return False
        undecided = LabelStudioTask.objects.filter(UNDECIDED, pk=task.pk)
        return not (self._may_come_second(task.project.corpus_id) and undecided.exists())

    def answers_task(self) -> bool:
        return self._answers(self._task(self.task_id))

    def _answers(self, task: LabelStudioTask | None) -> bool:
        if task is None or not may_in(self.user, Action.REVIEW, task.project.corpus_id):
            return False
        if task.assignment is not None:
            theirs = task.assignment.person_id == self.user.pk
            done = task.assignment.state == AssignmentState.DONE
            return theirs and not done and takes_answer(task.assignment)
        asked = asked_of(task.case, self.user, ANSWERING)
        if asked is None:
            return False
        return asked.state != AssignmentState.DONE or task.case.status in CORRECTABLE

    def _own_tasks(self) -> QuerySet[LabelStudioTask]:
        """Tasks of the passes that the person makes or has made, in corpora where they still may."""
        held = Assignment.objects.filter(
            person=self.user, state__in=(AssignmentState.OPEN, AssignmentState.DONE)
        )
        whole = Q(assignment__isnull=True, case__in=held.filter(purpose__in=ANSWERING).values("case"))
        own = Q(assignment__in=held)
        open_here = open_to(self.user, Action.REVIEW)
        return LabelStudioTask.objects.filter(
            whole | own,
            task_id__isnull=False,
            project__project_id__isnull=False,
            project__corpus__in=open_here,
        )

    def _task(self, task_id: int | None) -> LabelStudioTask | None:
        rows = LabelStudioTask.objects.filter(task_id=task_id, project__project_id__isnull=False)
        return rows.select_related("project", "case__video__media", "assignment__case").first()

    # --- annotations and drafts -------------------------------------------------------------------

    def sees_annotation(self) -> bool:
        task, ids = self._annotation()
        if task is None:
            return False
        self.task_id = task.task_id
        return self.sees_task() and (self._mine(ids) or self._oversees(task.project.corpus_id))

    def owns_annotation(self) -> bool:
        task, ids = self._annotation()
        if self.task_id is not None and (task is None or task.task_id != self.task_id):
            return False
        return self._mine(ids) and self._answers(task)

    def owns_draft(self) -> bool:
        assert self.draft_id is not None
        try:
            task_id, address = draft_facts(self.draft_id)
        except UnknownDraft:
            return False
        if not Member.objects.filter(user=self.user, address=address).exists():
            return False
        return self._answers(self._task(task_id))

    def _annotation(self) -> tuple[LabelStudioTask | None, int | None]:
        """Its task, and the Label Studio id of whoever made it."""
        found = _ask(f"/api/annotations/{self.annotation_id}/")
        if found is None:
            return None, None
        by = found.get("completed_by")
        by = by.get("id") if isinstance(by, dict) else by
        return self._task(found.get("task")), by

    def _mine(self, labelstudio_id: int | None) -> bool:
        return labelstudio_id in labelstudio_ids(self.user)

    # --- clips ------------------------------------------------------------------------------------

    def open_clip(self) -> bool:
        """`d` names the file below the shared folder."""
        name = (self.query.get("d") or [""])[-1]
        return bool(name) and self._clips(name).exists()

    def clip_of_task(self) -> bool:
        """`fileuri` names the file in the bucket: base64, or as it is where it is none, as Label Studio reads it."""
        task = self._task(self.task_id)
        media = task.case.video.media if task is not None else None
        if task is None or media is None or not self.sees_task():
            return False
        given = (self.query.get("fileuri") or [""])[-1]
        try:
            asked = base64.urlsafe_b64decode(given.encode()).decode()
        except ValueError:
            asked = unquote(given)
        location = settings.STORAGE_LOCATION
        return isinstance(location, S3Location) and asked == f"s3://{location.bucket}/{media.proxy_name}"

    def _clips(self, name: str) -> QuerySet[Video]:
        return Video.objects.filter(media__proxy_name=name, corpus__in=open_to(self.user, Action.VIEW))

    @staticmethod
    def bearer_may_pass(token: str) -> bool:
        """Whether an access token (a JWT) claims to be somebody who is none of CrashDesk's people. Label Studio itself
        refuses a false claim."""
        try:
            packed = token.split(".")[1]
            said: Any = json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
            claimed = int(said["user_id"])
        except (ValueError, IndexError, KeyError, TypeError):
            return False
        return not Member.objects.filter(labelstudio_id=claimed).exists()


@lru_cache(maxsize=4096)
def draft_facts(draft_id: int) -> tuple[int | None, str]:
    """The task of a draft and the address of whoever wrote it. Neither ever changes."""
    found = _ask(f"/api/drafts/{draft_id}/")
    if found is None:
        raise UnknownDraft
    return found.get("task"), str(found.get("user") or "")


class UnknownDraft(Exception):
    """Label Studio has no such draft (yet): not to be remembered."""


def _ask(path: str) -> dict[str, Any] | None:
    """What Label Studio itself says; None when it knows nothing there, or does not answer."""
    try:
        found: dict[str, Any] = client().get(path)
    except LabelStudioRefused as refused:
        if refused.http_status == 404:
            return None
        raise
    return found


def _only(values: list[str] | None) -> int | None:
    """A query's number, where exactly one is given."""
    if values is None or len(values) != 1 or not values[0].isdecimal() or len(values[0]) > 10:
        return None
    return int(values[0])
