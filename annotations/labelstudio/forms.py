"""The versions of a corpus's labelling form: which one counts, how it changes, and how older results are read.

A form is generated from the guideline (its text becomes the instructions), from the wording that a lead chose, and
from the sentences that people use again and again in the corpus. Nothing of a version is ever changed. No wording may
take on another meaning later, so that every result can be read whatever version it was made under.
"""

from collections.abc import Mapping
from typing import Any, Final

from django.db import transaction
from django.db.models import Count
from django.db.models.fields.json import KT
from django.utils.html import escape, linebreaks

from annotations.cases.kinds import NEGATIVE_TEXT
from annotations.cases.models import Answer, AuthorKind, Guideline
from annotations.corpora.access import require
from annotations.corpora.models import Corpus
from annotations.labelstudio.config import (
    STORED,
    TEXT_FIELDS,
    WORDING,
    Form,
    config_hash,
    in_stored_names,
    labelling_config,
    names_of,
)
from annotations.labelstudio.models import LabelStudioForm
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record

MAX_WORDING: Final = 200
SUGGESTIONS: Final = 6
"""Sentences offered per text at most."""
SUGGESTION_USES: Final = 3
"""A sentence must have been said of so many cases ..."""
SUGGESTION_SHARE: Final = 0.01
"""... and of this share of the cases that have such a text."""
SUGGESTION_LENGTH: Final = 120
"""Longer sentences are no help as a button. Characters."""

_INSTRUCTIONS: Final = """\
<ul>
<li><b>{crash}</b>: from the first frame of contact to the last frame that still belongs to the crash.</li>
<li><b>{pre_crash}</b>: its first frame is the first visible sign of what is coming; where it ends does not matter.</li>
<li><b>{no}</b> hides the texts: without a crash there is nothing to write.</li>
</ul>
"""


def current_form(corpus: Corpus, guideline: Guideline) -> LabelStudioForm | None:
    """The newest version, or None before the first push."""
    return LabelStudioForm.objects.filter(corpus=corpus, guideline=guideline).order_by("-version").first()


@transaction.atomic
def ensure_form(*, corpus: Corpus, guideline: Guideline, by: User | None) -> LabelStudioForm:
    """The version that counts. A new one is made where there is none, or where CrashDesk now generates another."""
    held = current_form(corpus, guideline)
    if held is not None and held.digest == _digest(held.wording, held.suggestions, guideline):
        return held
    return _next_version(
        corpus, guideline, by,
        wording=held.wording if held else {},
        suggestions=held.suggestions if held else frequent_sentences(corpus),
    )  # fmt: skip


@transaction.atomic
def change_form(
    *,
    corpus: Corpus,
    guideline: Guideline,
    by: User | None,
    wording: Mapping[str, str] | None = None,
    suggestions: Mapping[str, list[str]] | None = None,
    suggest_again: bool = False,
) -> LabelStudioForm:
    """A version with other words; the same version when nothing is different. What is not given stays.

    `wording`: names of config.WORDING, an empty word takes the default. `suggest_again` counts the sentences anew.
    The next push brings it to Label Studio. Raises Problem invalid_form (fields says what), not_allowed, not_found.
    """
    require(by, Action.SYNC, corpus)
    before = ensure_form(corpus=corpus, guideline=guideline, by=by)
    said = _merged(before.wording, wording or {})
    offered = before.suggestions if suggestions is None else _checked_suggestions(suggestions)
    if suggest_again:
        offered = frequent_sentences(corpus)
    if _digest(said, offered, guideline) == before.digest:
        return before
    return _next_version(corpus, guideline, by, wording=said, suggestions=offered)


def _next_version(
    corpus: Corpus,
    guideline: Guideline,
    by: User | None,
    *,
    wording: dict[str, str],
    suggestions: dict[str, list[str]],
) -> LabelStudioForm:
    Corpus.objects.select_for_update(no_key=True).get(pk=corpus.pk)  # one version at a time
    held, digest = current_form(corpus, guideline), _digest(wording, suggestions, guideline)
    if held is not None and held.digest == digest:
        return held
    xml = labelling_config(Form(wording, suggestions))
    names = names_of(xml)
    _refuse_other_meanings(names, reading_names(corpus, guideline))
    made = LabelStudioForm.objects.create(
        corpus=corpus, guideline=guideline, version=held.version + 1 if held else 1, xml=xml, digest=digest,
        wording=wording, suggestions=suggestions, names=names, instructions=instructions(guideline, wording),
        made_by=by,
    )  # fmt: skip
    record(actor=by, verb="labelstudio.form_made", subject=made, data={"version": made.version})
    return made


def _digest(wording: Mapping[str, str], suggestions: Mapping[str, list[str]], guideline: Guideline) -> str:
    form = Form(wording, suggestions)
    return config_hash(labelling_config(form) + instructions(guideline, wording))


def instructions(guideline: Guideline, wording: Mapping[str, str]) -> str:
    """What people read before they label, as HTML: the guideline's text and how this form is meant."""
    form = Form(wording)
    how = _INSTRUCTIONS.format(**{name: escape(form.says(name)) for name in STORED})
    return (linebreaks(guideline.text, autoescape=True) if guideline.text else "") + how


def reading_names(corpus: Corpus, guideline: Guideline) -> dict[str, str]:
    """Every label and choice that any version of the form could have put into a result, to what it means."""
    names: dict[str, str] = {}
    for held in LabelStudioForm.objects.filter(corpus=corpus, guideline=guideline).values_list(
        "names", flat=True
    ):
        names.update(held)
    return names


def in_todays_names(result: Any, *, corpus: Corpus, guideline: Guideline) -> Any:
    """An annotation's `result`, made under whatever version, as annotations.labelstudio.conversion reads it."""
    return in_stored_names(result, reading_names(corpus, guideline))


def _refuse_other_meanings(names: Mapping[str, str], held: Mapping[str, str]) -> None:
    for word, meant in names.items():
        if held.get(word, meant) != meant or (word in STORED.values() and word != meant):
            message = (
                f"{word!r} meant {held.get(word, word)!r} before; results made then could no longer be read."
            )
            raise Problem("invalid_form", message, fields={"wording": [message]}, status=400)


def _merged(before: Mapping[str, str], wording: Mapping[str, str]) -> dict[str, str]:
    wrong: dict[str, list[str]] = {}
    for name, word in wording.items():
        if name not in WORDING:
            wrong[name] = [f"a form says no {name}; it says {', '.join(WORDING)}"]
        elif not isinstance(word, str) or len(word) > MAX_WORDING or len(word.splitlines()) > 1:
            wrong[name] = [f"must be one line of up to {MAX_WORDING} characters"]
    if wrong:
        raise Problem("invalid_form", "The form cannot be worded like this.", fields=wrong, status=400)
    given = {name: word.strip() for name, word in wording.items()}
    said = {name: word for name, word in {**before, **given}.items() if word and word != WORDING[name]}
    if len({said.get(name) or WORDING[name] for name in STORED}) < len(STORED):
        message = "The two labels and the two choices need four different words."
        raise Problem("invalid_form", message, fields={"wording": [message]}, status=400)
    return said


def _checked_suggestions(suggestions: Mapping[str, list[str]]) -> dict[str, list[str]]:
    unknown = sorted(suggestions.keys() - TEXT_FIELDS.keys())
    if unknown:
        message = f"There is no text {', '.join(unknown)}; there are {', '.join(TEXT_FIELDS)}."
        raise Problem("invalid_form", message, fields={"suggestions": [message]}, status=400)
    return {
        name: list(dict.fromkeys(" ".join(one.split()) for one in sentences if one.strip()))
        for name, sentences in suggestions.items()
    }


def frequent_sentences(corpus: Corpus) -> dict[str, list[str]]:
    """Per text of the form, what people and imported files say of many cases of the corpus, most frequent first.

    Drafts of models do not count: a form must not repeat to people what a model says.
    """
    offered = {}
    for name, kind in TEXT_FIELDS.items():
        said = Answer.objects.filter(
            case__corpus=corpus,
            kind=kind,
            state="valued",
            author_kind__in=[AuthorKind.PERSON, AuthorKind.IMPORT],
        )
        counted = (
            said.exclude(value__text=NEGATIVE_TEXT[kind])
            .values(text=KT("value__text"))
            .annotate(cases=Count("case", distinct=True))
            .filter(cases__gte=SUGGESTION_USES)
            .order_by("-cases", "text")
        )
        least = SUGGESTION_SHARE * said.aggregate(cases=Count("case", distinct=True))["cases"]
        found = [
            row["text"] for row in counted[: 5 * SUGGESTIONS]
            if row["cases"] >= least and len(row["text"]) <= SUGGESTION_LENGTH and "\n" not in row["text"]
        ]  # fmt: skip
        if found:
            offered[name] = found[:SUGGESTIONS]
    return offered
