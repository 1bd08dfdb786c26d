"""What a task shows of what models said: the newest draft, earlier ones beside it, checked before they are sent.

Label Studio copies one prediction into the editor and lists the others as tabs that nobody can write in. It checks
little, and by default nothing: a draft that does not fit the form would be shown wrongly or not at all.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from xml.etree import ElementTree as ET

from annotations.cases.models import Answer, AuthorKind
from annotations.cases.rules import Said
from annotations.cases.services import drafts_among
from annotations.corpora.media.timemap import ProxyMap
from annotations.labelstudio import config
from annotations.labelstudio.conversion import Draft, to_regions

EARLIER: Final = 4
"""Earlier model versions that get a tab, the newest ones."""
IMPORTED: Final = "imported"
"""The version of drafts that came with a file."""


@dataclass(frozen=True)
class Shown:
    """What a task shows. `predictions`: the one to start from comes last. `answers`: kind to answer id of that one."""

    predictions: list[dict[str, Any]] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)

    @property
    def versions(self) -> list[str]:
        return [made["model_version"] for made in self.predictions]


def what_to_show(rows: Sequence[Answer], frames: ProxyMap, *, blind: bool) -> Shown:
    """`rows`: all answers of one case that are no person's, by id. Nothing of them where the case is `blind`."""
    if blind:
        return Shown()
    chosen = drafts_among(rows)
    newest = prediction(chosen, frames)
    if newest is None:
        return Shown([], {kind: answer.pk for kind, answer in chosen.items()})
    earlier = []
    for version, answers in _by_version(rows).items():
        made = prediction(answers, frames) if version != newest["model_version"] else None
        if made is not None:
            earlier.append(made)
    return Shown([*earlier[-EARLIER:], newest], {kind: answer.pk for kind, answer in chosen.items()})


def _by_version(rows: Iterable[Answer]) -> dict[str, dict[str, Answer]]:
    """Model version to its newest answers by kind; the version that spoke last comes last."""
    found: dict[str, dict[str, Answer]] = {}
    for answer in rows:
        if answer.author_kind == AuthorKind.MODEL:
            answers = found.pop(answer.model_version, {})
            found[answer.model_version] = answers | {answer.kind: answer}
    return found


def prediction(answers: Mapping[str, Answer], frames: ProxyMap) -> dict[str, Any] | None:
    """The answers as one Label Studio prediction, or None when there is nothing to show.

    Its version names every model that had a part; its score is the lowest confidence among the answers.
    """
    found = {
        kind: Draft(Said(answer.state, answer.value), answer.confidence) for kind, answer in answers.items()
    }
    regions = to_regions(found, frames)
    if not regions:
        return None
    versions = sorted({answer.model_version or IMPORTED for answer in answers.values()})
    made: dict[str, Any] = {"model_version": "+".join(versions), "result": regions}
    scores = [answer.confidence for answer in answers.values() if answer.confidence is not None]
    if scores:
        made["score"] = round(min(scores), 4)
    return made


def same_content(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two predictions show the same regions, however Label Studio has stored them."""

    def content(made: Mapping[str, Any]) -> str:
        kept = ("id", "from_name", "to_name", "type", "value")
        regions = [{name: region.get(name) for name in kept} for region in made.get("result") or []]
        return json.dumps(regions, sort_keys=True)

    return content(one) == content(other)


# --- checks before sending ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Control:
    """A field of a form. `allowed`: what its regions may be labelled or answered with; empty for texts."""

    shape: str
    to_name: str
    allowed: frozenset[str]


@lru_cache(maxsize=64)
def controls_of(xml: str) -> Mapping[str, Control]:
    """The fields of a form by name. Raises xml.etree.ElementTree.ParseError on what is no XML."""
    return {
        element.attrib["name"]: Control(
            shape=element.tag.lower(),
            to_name=element.attrib["toName"],
            allowed=frozenset(
                child.attrib.get("alias") or child.attrib.get("value", "")
                for child in element
                if child.tag in ("Label", "Choice")
            ),
        )
        for element in ET.fromstring(xml).iter()
        if "toName" in element.attrib
    }


@dataclass(frozen=True)
class Trouble:
    """Why a draft cannot be shown: the answer's kind ("" when unknown), the form's field, and a sentence."""

    kind: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind or 'a region'}, field {self.field}: {self.message}"


def troubles(made: Mapping[str, Any], xml: str, *, frame_count: int) -> list[Trouble]:
    """Everything about a prediction that does not fit the form, or a clip of so many frames. Empty: it may be sent.

    Stricter than Label Studio, which takes ranges that end before they start and frames that are no whole numbers.
    """
    controls, found = controls_of(xml), []
    for region in made["result"]:
        name = str(region.get("from_name"))
        control = controls.get(name)
        message = "the form has no such field" if control is None else _trouble(region, control, frame_count)
        if message:
            found.append(Trouble(_kind(region), name, message))
    return found


def _kind(region: Mapping[str, Any]) -> str:
    name, value = region.get("from_name"), region.get("value")
    labels = value.get("timelinelabels") if isinstance(value, dict) else None
    if name == config.SEGMENTS and region.get("id") not in config.KIND_FIELDS:
        known = {config.CRASH_LABEL: "crash_localization", config.PRE_CRASH_LABEL: "pre_crash_localization"}
        return known.get(labels[0] if isinstance(labels, list) and labels else "", "")
    if region.get("id") in config.KIND_FIELDS:
        return str(region["id"])
    fields = {field: kind for kind, field in config.KIND_FIELDS.items() if field != config.SEGMENTS}
    return str(fields.get(str(name), ""))


def _trouble(region: Mapping[str, Any], control: Control, frame_count: int) -> str:
    value = region.get("value")
    if region.get("type") != control.shape:
        return f"it is a {region.get('type')}, the form has a {control.shape}"
    if region.get("to_name") != control.to_name:
        return f"it belongs to {region.get('to_name')}, the form's field to {control.to_name}"
    if not isinstance(value, dict):
        return "it has no value"
    if control.shape == "timelinelabels":
        return _unknown(value.get("timelinelabels"), control) or _range_trouble(
            value.get("ranges"), frame_count
        )
    if control.shape == "choices":
        return _unknown(value.get("choices"), control)
    text = value.get("text")
    if not isinstance(text, list) or not text or not all(isinstance(part, str) and part for part in text):
        return "the text is not a list of sentences"
    return ""


def _unknown(said: Any, control: Control) -> str:
    if not isinstance(said, list) or len(said) != 1 or said[0] not in control.allowed:
        return f"{str(said)[:60]} is none of {', '.join(sorted(control.allowed))}"
    return ""


def _range_trouble(ranges: Any, frame_count: int) -> str:
    if not isinstance(ranges, list) or len(ranges) != 1 or not isinstance(ranges[0], dict):
        return "it is not one range"
    start: Any = ranges[0].get("start")
    end: Any = ranges[0].get("end")
    if not _is_frame(start) or not _is_frame(end):
        return f"frames {str(start)[:20]} to {str(end)[:20]} are no whole numbers"
    if end < start:
        return f"it ends at frame {end}, before it starts at {start}"
    if start < 1 or end > frame_count:
        return f"frames {start} to {end} of a clip with frames 1 to {frame_count}"
    return ""


def _is_frame(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
