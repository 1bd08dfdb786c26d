"""Template filters of the pages."""

from django import template

from frontend import times

register = template.Library()


@register.filter
def words(value: str) -> str:
    """A code name as words: 'in_review' -> 'In review'."""
    return value.replace("_", " ").capitalize()


@register.filter
def us(value: int | None) -> str:
    """Microseconds as seconds with milliseconds and the unit; an em dash when unknown."""
    return "—" if value is None else times.instant(value)


@register.filter
def percent(value: float | None) -> str:
    """A share of 0 to 1 as a whole percentage; an em dash when unknown."""
    return "—" if value is None else f"{round(value * 100)} %"


@register.filter
def get(mapping: dict[str, object], key: str) -> object:
    """mapping[key], or an empty string."""
    return mapping.get(key, "")


CASE_WORDS = {
    "created": "created the case",
    "assigned": "assigned it",
    "taken": "took it",
    "handed back": "handed it back to its annotator",
    "released": "released it",
    "reservation expired": "let a reservation expire",
}


@register.filter
def history_words(verb: str) -> str:
    """An audit verb about the case itself: 'case.in_review' -> 'set it to in review'; others as they are."""
    subject, _, what = verb.partition(".")
    what = what.replace("_", " ")
    if subject != "case":
        return f"{subject.replace('_', ' ')} {what}"
    return CASE_WORDS.get(what, f"moved it to {what}")
