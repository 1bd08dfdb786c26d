"""CrashDesk's labelling form for Label Studio, built once for every project.

One video, one timeline with two labels, one yes/no question and three texts. The texts show only under "Yes":
what "No" means for them is fixed (annotations.cases.kinds.NEGATIVE_TEXT), so nobody has to type it.
"""

import hashlib
from typing import Final
from xml.etree import ElementTree as ET

from annotations.cases.kinds import Kind

VIDEO: Final = "video"
SEGMENTS: Final = "segments"
RECOGNITION: Final = "crash"
CRASH_LABEL: Final = "Crash"
PRE_CRASH_LABEL: Final = "Pre-crash"
YES: Final = "Yes"
NO: Final = "No"
TEXT_FIELDS: Final[dict[str, str]] = {
    "description": Kind.CRASH_DESCRIPTION,
    "cause": Kind.CAUSAL_REASONING,
    "prevention": Kind.PREVENTION_REASONING,
}
_ASKED: Final = {
    "description": ("Description", "What happens: who, does what, to whom?"),
    "cause": ("Cause", "Why did it happen?"),
    "prevention": ("Prevention", "What would have prevented it?"),
}


def labelling_config() -> str:
    """The form as Label Studio's XML. `$video`, `$fps`, `$name` and `$note` come from each task's data."""
    form = ET.Element("View")
    ET.SubElement(form, "Header", value="$name", size="4")
    ET.SubElement(form, "Header", value="$note", size="5")
    ET.SubElement(
        form, "Video", name=VIDEO, value="$video", frameRate="$fps", height="400", timelineHeight="110",
        defaultPlaybackSpeed="1", minPlaybackSpeed="0.25",
    )  # fmt: skip
    labels = ET.SubElement(form, "TimelineLabels", name=SEGMENTS, toName=VIDEO)
    ET.SubElement(labels, "Label", value=PRE_CRASH_LABEL, background="#F2A900", hotkey="1")
    ET.SubElement(labels, "Label", value=CRASH_LABEL, background="#D7263D", hotkey="2")
    ET.SubElement(form, "Header", value="Is there a crash in this video?", size="5")
    choices = ET.SubElement(
        form, "Choices", name=RECOGNITION, toName=VIDEO, choice="single", showInline="true", required="true",
        requiredMessage="Say whether there is a crash",
    )  # fmt: skip
    ET.SubElement(choices, "Choice", value=YES, hotkey="y")
    ET.SubElement(choices, "Choice", value=NO, hotkey="n")
    texts = ET.SubElement(
        form, "View", visibleWhen="choice-selected", whenTagName=RECOGNITION, whenChoiceValue=YES
    )  # fmt: skip
    for field, (title, hint) in _ASKED.items():
        ET.SubElement(texts, "Header", value=title, size="5")
        ET.SubElement(
            texts, "TextArea", name=field, toName=VIDEO, rows="3", maxSubmissions="1", editable="true",
            showSubmitButton="true", placeholder=hint,
        )  # fmt: skip
    ET.indent(form)
    return ET.tostring(form, encoding="unicode")


def config_hash(config: str) -> str:
    """SHA-256 of a form, to tell whether a project still has the current one."""
    return hashlib.sha256(config.encode()).hexdigest()
