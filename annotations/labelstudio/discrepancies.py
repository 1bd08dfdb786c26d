"""Where CrashDesk and Label Studio disagree: the kinds there are, what each means, and what a repair does about it."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from annotations.labelstudio.models import LabelStudioProject

SHOWN_AT_MOST: Final = 500


@dataclass(frozen=True)
class Kind:
    """`repair` is empty where a person must decide."""

    title: str
    meaning: str
    repair: str = ""


KINDS: Final[dict[str, Kind]] = {
    "labelstudio_project_gone": Kind(
        "Project deleted",
        "Somebody deleted the project in Label Studio. What was pulled from it stays; nobody can work on its cases.",
        "Its cases in review wait for the next push, which makes the project and their tasks anew.",
    ),
    "labelstudio_project_foreign": Kind(
        "Another project under our number",
        "The project's description lacks the line by which CrashDesk knows it: Label Studio was set up anew, or went "
        "back in time, or the description was edited. Nothing is read from a project that may be somebody else's.",
    ),
    "labelstudio_form_changed": Kind(
        "Labelling form edited",
        "The form was edited in Label Studio so that answers may mean something else. Nothing is taken from the "
        "project until it is put back.",
        "The form is put back. Annotations saved meanwhile are not believed until they are saved once more.",
    ),
    "labelstudio_form_dressed": Kind(
        "Labelling form reworded",
        "Words, colours or keys of the form were edited in Label Studio. Answers still mean what they meant.",
        "The form is put back.",
    ),
    "labelstudio_task_gone": Kind(
        "Task deleted",
        "Somebody deleted the task in Label Studio, or its database went back to before it was made. Reviews that came "
        "from it stay.",
        "Its case, where it is in review, waits for the next push, which makes the task anew.",
    ),
    "labelstudio_task_reused": Kind(
        "Task number used again",
        "The task that was this case's says now that it is something else: Label Studio gave its number to another "
        "task, or somebody edited its data.",
        "The case lets go of that task and waits for the next push. Nothing is taken from the task for this case.",
    ),
    "labelstudio_task_duplicate": Kind(
        "Two tasks for one case",
        "The case is shown twice in Label Studio: the task was copied, or imported by hand. Only one counts.",
        "The one without annotations is deleted. Where both have some, people must decide which to delete.",
    ),
    "labelstudio_task_foreign": Kind(
        "Task that is not ours",
        "Somebody added a task to the project by hand. It belongs to no case, and its annotations go nowhere.",
    ),
    "labelstudio_data_changed": Kind(
        "Task data edited",
        "The frame rate or the video in the task's data was edited, so that its frame numbers mean other moments.",
        "The data is put back. Annotations saved meanwhile are not believed until they are saved once more.",
    ),
    "labelstudio_distrusted": Kind(
        "Saved under an edited form or task",
        "Frame numbers or labels of this annotation may mean something else. Somebody must look at it in Label Studio "
        "and save it again.",
    ),
    "labelstudio_missed": Kind(
        "Change that polling missed",
        "Label Studio was killed between saving an annotation and noting the time of the change. It is taken in now.",
        "Nothing is left to do.",
    ),
    "labelstudio_went_back": Kind(
        "Label Studio went back in time",
        "An annotation is older than our copy, gone without having been deleted, back after it was deleted, or its "
        "number means another one: an older database was restored. CrashDesk's reviews are as they were.",
        "Label Studio gets back what CrashDesk has: lost and older annotations as they were taken in; what had been "
        "deleted is deleted again.",
    ),
    "labelstudio_two_people": Kind(
        "Two people on one task", "Both answered the same task, and the later answer does not count."
    ),
    "labelstudio_wrong_person": Kind(
        "Answered by the wrong person", "The case was somebody else's to answer; this answer does not count."
    ),
    "labelstudio_wrong_task": Kind(
        "Answered on the wrong task",
        "The person has a task of their own for this case; only that one counts.",
    ),
    "labelstudio_assignment_ended": Kind(
        "Answered too late", "The assignment had been released or had expired; this answer does not count."
    ),
}
OTHER: Final = Kind("Annotation not taken", "What Label Studio says here cannot be taken in as an answer.")


@dataclass(frozen=True)
class Discrepancy:
    """One disagreement. `settled` says what was done about it; empty where it still stands."""

    code: str
    message: str
    task_id: int | None = None
    case_id: int | None = None
    annotation_id: int | None = None
    settled: str = ""

    @property
    def kind(self) -> Kind:
        return KINDS.get(self.code, OTHER)


@dataclass
class ReconcileReport:
    """What a comparison of one whole project found. `tasks` and `annotations`: how many were compared."""

    repair: bool
    tasks: int = 0
    annotations: int = 0
    taken_in: int = 0
    found: list[Discrepancy] = field(default_factory=list)

    @property
    def open(self) -> list[Discrepancy]:
        """What still stands."""
        return [one for one in self.found if not one.settled]

    def data(self) -> dict[str, Any]:
        """As it is kept on the project: everything counted, of the single ones the first 500."""
        return {
            "repair": self.repair, "tasks": self.tasks, "annotations": self.annotations, "taken_in": self.taken_in,
            "found": len(self.found), "open": len(self.open),
            "single": [asdict(one) for one in sorted(self.found, key=lambda one: bool(one.settled))[:SHOWN_AT_MOST]],
        }  # fmt: skip


def last_report(project: LabelStudioProject) -> list[Discrepancy]:
    """What the last comparison of the project found; empty before the first one."""
    return [Discrepancy(**one) for one in project.check_report.get("single", [])]
