"""Forms are versions; rewording one touches no result, and every result stays readable."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.cases.kinds import Kind
from annotations.cases.models import Guideline
from annotations.cases.rules import Said
from annotations.cases.services import add_import_answer
from annotations.corpora.models import Corpus
from annotations.labelstudio import forms
from annotations.labelstudio.config import (
    WORDING,
    Form,
    in_stored_names,
    labelling_config,
    names_of,
)
from annotations.labelstudio.forms import (
    change_form,
    current_form,
    ensure_form,
    frequent_sentences,
    in_todays_names,
    reading_names,
)
from annotations.labelstudio.models import LabelStudioForm
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from tests.factories import add_drafts, make_case, make_user, make_video

GERMAN = {"crash": "Unfall", "pre_crash": "Vorher", "yes": "Ja", "no": "Nein", "cause": "Ursache"}


def crash(label: str, choice: str) -> list[dict[str, object]]:
    return [
        {"from_name": "segments", "value": {"ranges": [{"start": 1, "end": 2}], "timelinelabels": [label]}},
        {"from_name": "crash", "value": {"choices": [choice]}},
    ]


def test_another_wording_shows_it_and_stores_the_same(corpus: Corpus, guideline: Guideline) -> None:
    form = ET.fromstring(labelling_config(Form(wording=GERMAN)))
    shown = [
        (one.attrib["value"], one.attrib["alias"]) for tag in ("Label", "Choice") for one in form.iter(tag)
    ]
    assert shown == [("Vorher", "Pre-crash"), ("Unfall", "Crash"), ("Ja", "Yes"), ("Nein", "No")]
    assert any(one.attrib["value"] == "Ursache" for one in form.iter("Header"))


def test_a_version_is_made_once_and_a_change_is_the_next(
    corpus: Corpus, guideline: Guideline, lead: User
) -> None:
    first = ensure_form(corpus=corpus, guideline=guideline, by=lead)
    assert ensure_form(corpus=corpus, guideline=guideline, by=lead) == first
    assert change_form(corpus=corpus, guideline=guideline, by=lead, wording={"yes": "Yes"}) == first
    second = change_form(corpus=corpus, guideline=guideline, by=lead, wording=GERMAN)
    assert (first.version, second.version) == (1, 2)
    back = change_form(corpus=corpus, guideline=guideline, by=lead, wording=dict.fromkeys(GERMAN, ""))
    assert (back.version, back.xml) == (3, first.xml)
    assert current_form(corpus, guideline) == back
    assert ensure_form(corpus=corpus, guideline=guideline, by=None) == back


def test_the_guidelines_text_becomes_the_instructions(corpus: Corpus, guideline: Guideline) -> None:
    guideline.text = "Watch <all> of it.\n\nThen answer."
    guideline.save()
    first = ensure_form(corpus=corpus, guideline=guideline, by=None)
    assert first.instructions.startswith("<p>Watch &lt;all&gt; of it.</p>\n\n<p>Then answer.</p>")
    guideline.text = "Watch it twice."
    guideline.save()
    assert ensure_form(corpus=corpus, guideline=guideline, by=None).version == first.version + 1


@pytest.mark.parametrize(
    ("wording", "words"),
    [
        ({"title": "x"}, "a form says no title"),
        ({"cause": "x" * 201}, "one line"),
        ({"cause": "a\nb"}, "one line"),
        ({"yes": "No"}, "four different words"),
        ({"yes": "No", "no": "Yes"}, "before"),
        ({"crash": "Pre-crash", "pre_crash": "Crash"}, "before"),
    ],
)
def test_wordings_that_cannot_be(
    corpus: Corpus, guideline: Guideline, wording: dict[str, str], words: str
) -> None:
    with pytest.raises(Problem) as caught:
        change_form(corpus=corpus, guideline=guideline, by=None, wording=wording)
    assert caught.value.code == "invalid_form"
    assert words in str(caught.value.fields)


def test_a_word_never_takes_on_another_meaning(corpus: Corpus, guideline: Guideline) -> None:
    change_form(corpus=corpus, guideline=guideline, by=None, wording={"crash": "Event"})
    change_form(corpus=corpus, guideline=guideline, by=None, wording={"crash": "Impact"})
    with pytest.raises(Problem, match="'Event' meant 'Crash' before"):
        change_form(corpus=corpus, guideline=guideline, by=None, wording={"pre_crash": "Event"})


def test_only_who_may_sync_changes_a_form(corpus: Corpus, guideline: Guideline) -> None:
    with pytest.raises(Problem, match="does not allow"):
        change_form(corpus=corpus, guideline=guideline, by=make_user(Role.ANNOTATOR), wording=GERMAN)
    assert not LabelStudioForm.objects.exists()


def test_results_of_every_version_are_read(corpus: Corpus, guideline: Guideline) -> None:
    change_form(corpus=corpus, guideline=guideline, by=None, wording=GERMAN)
    change_form(corpus=corpus, guideline=guideline, by=None, wording={"crash": "Zusammenstoß"})
    stored = crash("Crash", "No")
    for label, choice in [("Crash", "No"), ("Unfall", "Nein"), ("Zusammenstoß", "Nein")]:
        assert in_todays_names(crash(label, choice), corpus=corpus, guideline=guideline) == stored
    assert in_todays_names(crash("Bang", "No"), corpus=corpus, guideline=guideline) == crash("Bang", "No")
    assert reading_names(corpus, guideline)["Vorher"] == "Pre-crash"


words = st.text(st.characters(categories=["L", "N", "Zs", "P", "S"]), min_size=1, max_size=30).map(str.strip)


@given(words=st.lists(words.filter(bool), min_size=4, max_size=4, unique=True))
def test_whatever_the_words_a_result_comes_back_as_it_is_stored(words: list[str]) -> None:
    wording = dict(zip(["crash", "pre_crash", "yes", "no"], words, strict=True))
    xml = labelling_config(Form(wording=wording))
    stored = set(WORDING[name] for name in wording)
    if any(word in stored and word != WORDING[name] for name, word in wording.items()):
        return  # refused by change_form
    names = names_of(xml)
    made = crash(wording["crash"], wording["no"])
    assert in_stored_names(made, names) == crash("Crash", "No")
    assert in_stored_names(crash("Crash", "No"), names) == crash("Crash", "No")


@pytest.mark.parametrize("garbage", [None, "x", 3, [None], [{"value": 3}], [{"value": {"choices": 3}}], [3]])
def test_garbage_comes_back_as_it_is(garbage: object) -> None:
    assert in_stored_names(garbage, {"Ja": "Yes"}) == garbage


def test_a_form_that_is_not_ours_is_refused() -> None:
    with pytest.raises(ValueError, match="label 'Cat'"):
        names_of('<View><Labels name="a" toName="b"><Label value="Cat"/></Labels></View>')


def test_sentences_that_people_use_again_and_again_are_offered(
    corpus: Corpus, guideline: Guideline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "SUGGESTIONS", 2)
    said = (
        ["car hits car."] * 4
        + ["car hits truck."] * 3
        + ["bus hits car."] * 3
        + ["once."]
        + ["no collision."] * 5
    )
    for number, text in enumerate(said):
        case = make_case(video=make_video(corpus), guideline=guideline)
        add_import_answer(
            case=case, kind=Kind.CRASH_DESCRIPTION, said=Said("valued", {"text": text}), origin=f"file:{number}",
            raw_text=text,
        )  # fmt: skip
        add_drafts(case)  # a model says the same of every case: that does not count
    assert frequent_sentences(corpus) == {"description": ["car hits car.", "bus hits car."]}
    form = ensure_form(corpus=corpus, guideline=guideline, by=None)
    shortcuts = [one.attrib["value"] for one in ET.fromstring(form.xml).iter("Shortcut")]
    assert shortcuts == ["car hits car.", "bus hits car."]


def test_suggestions_stay_until_asked_again(corpus: Corpus, guideline: Guideline) -> None:
    first = ensure_form(corpus=corpus, guideline=guideline, by=None)
    for number in range(3):
        case = make_case(video=make_video(corpus), guideline=guideline)
        add_import_answer(
            case=case, kind=Kind.CAUSAL_REASONING, said=Said("valued", {"text": "Speeding."}), origin=f"f:{number}",
            raw_text="",
        )  # fmt: skip
    assert ensure_form(corpus=corpus, guideline=guideline, by=None) == first
    again = change_form(corpus=corpus, guideline=guideline, by=None, suggest_again=True)
    assert again.suggestions == {"cause": ["Speeding."]}
    mine = change_form(
        corpus=corpus, guideline=guideline, by=None, suggestions={"cause": [" Ran a  red light. ", ""]}
    )
    assert mine.suggestions == {"cause": ["Ran a red light."]}
    with pytest.raises(Problem, match="no text weather"):
        change_form(corpus=corpus, guideline=guideline, by=None, suggestions={"weather": ["Rain."]})
