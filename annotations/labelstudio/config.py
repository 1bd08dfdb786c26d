"""CrashDesk's labelling form for Label Studio, generated from a guideline's wording and frequent sentences.

One video, one timeline with two labels, one yes/no question and three texts. The texts show only under "Yes":
what "No" means for them is fixed (annotations.cases.kinds.NEGATIVE_TEXT), so nobody has to type it.

What a result says and what people read are two things. The names of fields, labels and choices in a result never
change; another wording is put on screen with Label Studio's `alias` the other way round: `value` is what is shown,
`alias` is what is stored. So rewording a form touches no annotation, finished or not.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
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
KIND_FIELDS: Final[dict[str, str]] = {
    Kind.CRASH_RECOGNITION: RECOGNITION,
    Kind.CRASH_LOCALIZATION: SEGMENTS,
    Kind.PRE_CRASH_LOCALIZATION: SEGMENTS,
    **{kind: name for name, kind in TEXT_FIELDS.items()},
}
"""Kind to the field of the form that asks for it."""

WORDING: Final[dict[str, str]] = {
    "crash": CRASH_LABEL,
    "pre_crash": PRE_CRASH_LABEL,
    "yes": YES,
    "no": NO,
    "question": "Is there a crash in this video?",
    "required": "Say whether there is a crash",
    "description": "Description",
    "description_hint": "What happens: who, does what, to whom?",
    "cause": "Cause",
    "cause_hint": "Why did it happen?",
    "prevention": "Prevention",
    "prevention_hint": "What would have prevented it?",
}
"""Everything people read on the form, unless a corpus says it differently."""

STORED: Final[dict[str, str]] = {"crash": CRASH_LABEL, "pre_crash": PRE_CRASH_LABEL, "yes": YES, "no": NO}
"""What stands in results for the four wordings that can be chosen; never changed."""


@dataclass(frozen=True)
class Form:
    """What varies from form to form. `suggestions`: field of TEXT_FIELDS to sentences, the most frequent first."""

    wording: Mapping[str, str] = field(default_factory=dict)
    suggestions: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def says(self, name: str) -> str:
        return self.wording.get(name) or WORDING[name]


def labelling_config(form: Form | None = None) -> str:
    """The form as Label Studio's XML. `$video`, `$fps`, `$name` and `$note` come from each task's data."""
    form = form or Form()
    root = ET.Element("View")
    ET.SubElement(root, "Header", value="$name", size="4")
    ET.SubElement(root, "Header", value="$note", size="5")
    ET.SubElement(
        root, "Video", name=VIDEO, value="$video", frameRate="$fps", height="400", timelineHeight="110",
        defaultPlaybackSpeed="1", minPlaybackSpeed="0.25",
    )  # fmt: skip
    labels = ET.SubElement(root, "TimelineLabels", name=SEGMENTS, toName=VIDEO)
    ET.SubElement(labels, "Label", _shown(form, "pre_crash") | {"background": "#F2A900", "hotkey": "1"})
    ET.SubElement(labels, "Label", _shown(form, "crash") | {"background": "#D7263D", "hotkey": "2"})
    ET.SubElement(root, "Header", value=form.says("question"), size="5")
    choices = ET.SubElement(
        root, "Choices", name=RECOGNITION, toName=VIDEO, choice="single", showInline="true", required="true",
        requiredMessage=form.says("required"),
    )  # fmt: skip
    ET.SubElement(choices, "Choice", _shown(form, "yes") | {"hotkey": "y"})
    ET.SubElement(choices, "Choice", _shown(form, "no") | {"hotkey": "n"})
    texts = ET.SubElement(
        root, "View", visibleWhen="choice-selected", whenTagName=RECOGNITION, whenChoiceValue=YES
    )  # fmt: skip
    for name in TEXT_FIELDS:
        ET.SubElement(texts, "Header", value=form.says(name), size="5")
        area = ET.SubElement(
            texts, "TextArea", name=name, toName=VIDEO, rows="3", maxSubmissions="1", editable="true",
            showSubmitButton="true", placeholder=form.says(f"{name}_hint"),
        )  # fmt: skip
        for sentence in form.suggestions.get(name, ()):
            ET.SubElement(area, "Shortcut", value=sentence)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _shown(form: Form, name: str) -> dict[str, str]:
    """`value` is what people read; `alias`, where that differs, is what stands in the result."""
    shown, stored = form.says(name), STORED[name]
    return {"value": shown} if shown == stored else {"value": shown, "alias": stored}


def config_hash(config: str) -> str:
    """SHA-256 of a form, to tell whether a project still has the current one."""
    return hashlib.sha256(config.encode()).hexdigest()


def names_of(config: str) -> dict[str, str]:
    """What may stand in a result made under this form, and what it means: shown wording and alias to stored name.

    Raises ValueError when the XML is not a form of ours: a label or choice without an alias that we never stored.
    """
    found: dict[str, str] = {}
    stored = set(STORED.values())
    for element in ET.fromstring(config).iter():
        if element.tag not in ("Label", "Choice"):
            continue
        shown = element.attrib.get("value", "")
        meant = element.attrib.get("alias") or shown
        if meant not in stored:
            raise ValueError(f"the form has the {element.tag.lower()} {shown!r}, which means nothing here")
        found[shown] = found[meant] = meant
    return found


def in_stored_names(result: Any, names: Mapping[str, str]) -> Any:
    """A result with its labels and choices as they are stored now. `names`: from an older or another form.

    Whatever is no list of regions, or has names that nobody knows, comes back as it is: reading it names the trouble.
    """
    if not isinstance(result, list) or all(known == meant for known, meant in names.items()):
        return result
    return [_renamed(region, names) for region in result]


def _renamed(region: Any, names: Mapping[str, str]) -> Any:
    value = region.get("value") if isinstance(region, dict) else None
    if not isinstance(value, dict):
        return region
    changed = {}
    for part in ("timelinelabels", "choices"):
        said = value.get(part)
        if isinstance(said, list):
            changed[part] = [names.get(one, one) if isinstance(one, str) else one for one in said]
    return {**region, "value": {**value, **changed}}
