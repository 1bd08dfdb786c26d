"""What a task and a form in Label Studio say of themselves, against what CrashDesk made them to be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from annotations.corpora.models import Media
from annotations.labelstudio.config import labelling_config
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from crashdesk.api.errors import Problem

SIGNED_PATH: Final = "/api/labelstudio/media"
_EXTERNAL_ID = re.compile(r"case-(\d{1,18})(?:-pass-(\d{1,18}))?")


@dataclass(frozen=True)
class Key:
    """Which of our tasks a task in Label Studio is; `assignment_id` None: the case's own."""

    case_id: int
    assignment_id: int | None


def key_of(task: Mapping[str, Any]) -> Key | None:
    """By its `data.external_id`, or `data.case_id` where it has none (made before there was one). None: not ours."""
    data = task.get("data")
    if not isinstance(data, dict):
        return None
    external = data.get("external_id")
    if external is None:
        case_id = data.get("case_id")
        return Key(case_id, None) if isinstance(case_id, int) and 0 < case_id < 2**63 else None
    found = _EXTERNAL_ID.fullmatch(external) if isinstance(external, str) else None
    return Key(int(found[1]), int(found[2]) if found[2] else None) if found else None


def row_key(row: LabelStudioTask) -> Key:
    """The key that the row's task must have."""
    return Key(row.case_id, row.assignment_id)


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
