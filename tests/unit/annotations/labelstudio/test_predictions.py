"""What a task shows, and what is found wrong with a draft before Label Studio sees it."""

import copy
from fractions import Fraction
from typing import Any

import pytest
from label_studio_sdk.label_interface import LabelInterface

from annotations.cases.models import Answer
from annotations.corpora.media.timemap import ProxyMap, TimeMap
from annotations.labelstudio.config import Form, labelling_config
from annotations.labelstudio.predictions import Trouble, same_content, troubles, what_to_show
from tests.factories import CRASH, NO_CRASH, add_drafts, make_case

FRAMES = ProxyMap(TimeMap.constant(150, Fraction(30)), Fraction(30), 150)
FORM = labelling_config()


def answers() -> list[Answer]:
    case = make_case()
    add_drafts(case, NO_CRASH, model_version="old")
    add_drafts(case, model_version="new")
    return list(case.answers.order_by("id"))


@pytest.mark.django_db
def test_the_newest_draft_comes_last_and_earlier_versions_before_it() -> None:
    rows = answers()
    shown = what_to_show(rows, FRAMES, blind=False)
    assert shown.versions == ["old", "new"]
    assert shown.answers == {answer.kind: answer.pk for answer in rows if answer.model_version == "new"}
    assert len(shown.predictions[0]["result"]) == 4
    assert len(shown.predictions[1]["result"]) == len(CRASH)


@pytest.mark.django_db
def test_a_version_that_answered_again_has_one_tab_with_its_newest_words() -> None:
    case = make_case()
    first = add_drafts(case, model_version="a")
    add_drafts(case, model_version="b")
    Answer.objects.filter(pk__in=[one.pk for one in first.values()]).update(prompt_version="older")
    again = add_drafts(case, NO_CRASH, model_version="a")
    shown = what_to_show(list(case.answers.order_by("id")), FRAMES, blind=False)
    assert shown.versions == ["b", "a"]
    assert shown.answers == {kind: answer.pk for kind, answer in again.items()}


@pytest.mark.django_db
def test_only_so_many_earlier_versions() -> None:
    case = make_case()
    for number in range(7):
        add_drafts(case, model_version=f"v{number}")
    shown = what_to_show(list(case.answers.order_by("id")), FRAMES, blind=False)
    assert shown.versions == ["v2", "v3", "v4", "v5", "v6"]


@pytest.mark.django_db
def test_a_blind_case_shows_nothing_and_says_so() -> None:
    shown = what_to_show(answers(), FRAMES, blind=True)
    assert (shown.predictions, shown.answers) == ([], {})


@pytest.fixture
def made(db: None) -> dict[str, Any]:
    shown = what_to_show(answers(), FRAMES, blind=False)
    return copy.deepcopy(shown.predictions[-1])


def region(made: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [one for one in made["result"] if one["id"] == kind]
    return dict(found)


def test_what_we_make_fits_our_form_and_label_studio_says_so_too(made: dict[str, Any]) -> None:
    for form in (FORM, labelling_config(Form({"crash": "Unfall", "yes": "Ja"}, {"cause": ["Speeding."]}))):
        assert troubles(made, form, frame_count=150) == []
        assert LabelInterface(form).validate_prediction(made, return_errors=True) == []


@pytest.mark.parametrize(
    ("kind", "change", "field", "words"),
    [
        (
            "crash_localization",
            {"ranges": [{"start": 9, "end": 8}]},
            "segments",
            "ends at frame 8, before it starts",
        ),
        ("crash_localization", {"ranges": [{"start": 9, "end": 151}]}, "segments", "frames 1 to 150"),
        ("crash_localization", {"ranges": [{"start": 0, "end": 3}]}, "segments", "frames 0 to 3"),
        ("crash_localization", {"ranges": [{"start": 1.5, "end": 3}]}, "segments", "no whole numbers"),
        ("crash_localization", {"ranges": [{"start": True, "end": 3}]}, "segments", "no whole numbers"),
        ("crash_localization", {"ranges": []}, "segments", "not one range"),
        ("pre_crash_localization", {"timelinelabels": ["Bang"]}, "segments", "none of Crash, Pre-crash"),
        ("crash_recognition", {"choices": ["Maybe"]}, "crash", "none of No, Yes"),
        ("crash_recognition", {"choices": "Yes"}, "crash", "none of No, Yes"),
        ("causal_reasoning", {"text": "a string"}, "cause", "not a list of sentences"),
        ("causal_reasoning", {"text": [""]}, "cause", "not a list of sentences"),
    ],
)
def test_a_bad_value_is_named_by_kind_and_field(
    made: dict[str, Any], kind: str, change: dict[str, Any], field: str, words: str
) -> None:
    region(made, kind)["value"].update(change)
    (found,) = troubles(made, FORM, frame_count=150)
    assert (found.kind, found.field) == (kind, field)
    assert words in found.message
    assert str(found).startswith(f"{kind}, field {field}: ")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"from_name": "speed"}, "no such field"),
        ({"type": "choices"}, "the form has a textarea"),
        ({"to_name": "audio"}, "to video"),
        ({"value": None}, "no value"),
    ],
)
def test_a_region_that_belongs_nowhere(made: dict[str, Any], change: dict[str, Any], words: str) -> None:
    for one in made["result"]:
        if one["id"] == "causal_reasoning":
            one.update(change)
    (found,) = troubles(made, FORM, frame_count=150)
    assert found.kind == "causal_reasoning"
    assert words in found.message


def test_a_kind_is_known_by_its_place_too(made: dict[str, Any]) -> None:
    for one in made["result"]:
        one["id"] = "x"
        one["to_name"] = "audio"
    kinds = {found.kind for found in troubles(made, FORM, frame_count=150)}
    assert kinds == set(CRASH)


def test_troubles_read_well() -> None:
    assert str(Trouble("", "speed", "the form has no such field")) == (
        "a region, field speed: the form has no such field"
    )


def test_content_is_compared_without_what_label_studio_adds(made: dict[str, Any]) -> None:
    stored = copy.deepcopy(made) | {"id": 7, "created_at": "now"}
    for one in stored["result"]:
        one |= {"origin": "manual", "score": 0.1}
    assert same_content(made, stored)
    stored["result"][0]["value"] = {"choices": ["No"]}
    assert not same_content(made, stored)
