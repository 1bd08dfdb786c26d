"""What a task and a form in Label Studio say of themselves, against what CrashDesk made them to be."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, cast
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from django.db.models import QuerySet

from annotations.corpora.models import Media
from annotations.labelstudio.config import labelling_config
from annotations.labelstudio.external_ids import opaque_key, read_spoken, spoken_key
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from crashdesk.api.errors import Problem

SIGNED_PATH: Final = "/api/labelstudio/media"


def key_of(task: Mapping[str, Any]) -> str | None:
    """Its `data.external_id`; where it has none, what its `data.case_id` was called then. None: not ours."""
    data = task.get("data")
    if not isinstance(data, dict):
        return None
    external = data.get("external_id")
    if external is not None:
        return external if isinstance(external, str) and external else None
    case_id = _number(data.get("case_id"))
    return spoken_key(case_id, None) if case_id is not None else None


def names_of(row: LabelStudioTask) -> tuple[str, str, str]:
    """Every key by which the row's task may be known in Label Studio, the one that counts first.

    The others: of a Label Studio restored from before the key changed, of a CrashDesk restored from before that.
    """
    return row.external_id, opaque_key(*row.key), spoken_key(*row.key)


def is_of(row: LabelStudioTask, task: Mapping[str, Any]) -> bool:
    """Whether the task says that it is the row's."""
    key = key_of(task)
    return key is not None and (key == row.external_id or key in names_of(row))


def heal_key(row: LabelStudioTask, task: Mapping[str, Any]) -> bool:
    """Where the row's task goes by another of its keys, let its data be sent again, by a push or by the beat.

    One database was restored from before the key changed. Whether the row was not marked yet; it is saved.
    """
    if not row.data_digest or key_of(task) == row.external_id:
        return False
    row.data_digest = ""
    row.save(update_fields=["data_digest"])
    return True


def row_said(rows: QuerySet[LabelStudioTask], task: Mapping[str, Any]) -> LabelStudioTask | None:
    """The row among these whose task it says it is."""
    key = key_of(task)
    if key is None:
        return None
    found = rows.filter(external_id=key).first()
    spoken = read_spoken(key)
    if found is None and spoken is not None:
        found = rows.filter(case=spoken[0], assignment=spoken[1]).first()
    case_id = _number(task["data"].get("case_id"))
    if found is None and spoken is None and case_id is not None:
        found = next((row for row in rows.filter(case=case_id) if is_of(row, task)), None)
    return found


def _number(value: object) -> int | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63
    return cast(int, value) if fits else None


def data_trouble(row: LabelStudioTask, data: Mapping[str, Any]) -> str:
    """What in the task's data is not as it was sent, in words; empty when nothing that matters is.

    The frame rate and the video decide what a frame number means. Names, notes and ranks may be edited freely.
    """
    fps = data.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or float(fps) != float(row.fps):
        return f"its frame rate is {str(fps)[:40]} and was sent as {float(row.fps):g}"
    media, video = row.case.video.media, data.get("video")
    if media is not None and (not isinstance(video, str) or not _shows(video, media)):
        return f"its video is {str(video)[:120]!r}"
    return ""


def _shows(address: str, media: Media) -> bool:
    """Whether an address leads to this clip: by the proxy's name, or as one that CrashDesk signed for it."""
    plain = unquote(address)
    return media.proxy_name in plain or f"{SIGNED_PATH}/{media.sha256}/" in plain


class FormState(StrEnum):
    """How a project's form compares with the one we gave it."""

    SAME = "same"
    DRESSED = "dressed"
    CHANGED = "changed"


_MATTERS: Final[dict[str, tuple[str, ...]]] = {
    "Video": ("name", "value", "frameRate"),
    "TimelineLabels": ("name", "toName"),
    "Choices": ("name", "toName", "choice"),
    "TextArea": ("name", "toName", "maxSubmissions"),
    "View": ("visibleWhen", "whenTagName", "whenChoiceValue"),
}
_DRESS: Final = {"Header", "Style", "Shortcut", "Text", "HyperText"}


def form_state(shown: str, ours: str) -> FormState:
    """SAME: word for word. DRESSED: other words, colours or keys, but results mean what they meant. CHANGED: else."""
    if shown.strip() == ours.strip():
        return FormState.SAME
    try:
        same = essence(shown) == essence(ours)
    except ET.ParseError:
        return FormState.CHANGED
    return FormState.DRESSED if same else FormState.CHANGED


def essence(form: str) -> list[tuple[str, ...]]:
    """What of a form decides how a result is read: fields, labels, choices, the frame rate and what hides what.

    Raises xml.etree.ElementTree.ParseError.
    """
    found: list[tuple[str, ...]] = []
    for element in ET.fromstring(form).iter():
        if element.tag in ("Label", "Choice"):
            found.append((element.tag, element.get("alias") or element.get("value") or ""))
        elif element.tag in _MATTERS:
            parts = tuple(element.get(name, "") for name in _MATTERS[element.tag])
            if element.tag != "View" or any(parts):
                found.append((element.tag, *parts))
        elif element.tag not in _DRESS:
            found.append((element.tag, element.get("name", "")))
    return found


def our_form(project: LabelStudioProject) -> str:
    """The form that the project was given last."""
    return project.form.xml if project.form is not None else labelling_config()


class FormChanged(Problem):
    """Somebody edited the project's form so that results may mean something else."""


def check_form(project: LabelStudioProject, shown: Mapping[str, Any]) -> None:
    """`shown`: the project as Label Studio describes it. Raises FormChanged."""
    if form_state(str(shown.get("label_config", "")), our_form(project)) == FormState.CHANGED:
        raise FormChanged(
            "labelstudio_form_changed",
            f"The labelling form of {project.title} was edited in Label Studio, so that its answers may mean something "
            "else. Nothing is taken from there until the form is put back: reconcile with repair.",
        )
