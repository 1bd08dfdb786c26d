"""Which corpus an audited object belongs to, told by the database's own foreign keys.

The corpus of a review is that of its case, of a case its own. The way there is the shortest one over foreign keys that
are never NULL; a model that has no such way belongs to the site, and one where two ways as short say different things
(a verdict on two videos) names its own in `corpus_path`, "" for none.
"""

from collections.abc import Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models

CORPUS = "corpora.corpus"


@cache
def corpus_path(model: type[models.Model]) -> str:
    """Where the corpus's id is from a row of this model, e.g. "case__corpus_id"; "" where it belongs to none."""
    own: str | None = getattr(model, "corpus_path", None)
    if own is not None:
        return own
    if model._meta.label_lower == CORPUS:
        return "id"
    try:
        model._meta.get_field("corpus_id")
    except FieldDoesNotExist:
        pass
    else:
        return "corpus_id"
    ways: list[tuple[str, type[models.Model]]] = [("", model)]
    seen = {model}
    while ways:
        further = []
        for way, at in ways:
            for field in at._meta.concrete_fields:
                target: Any = field.related_model
                if target is None or field.null:
                    continue
                if target._meta.label_lower == CORPUS:
                    return f"{way}{field.attname}"
                if target not in seen:
                    seen.add(target)
                    further.append((f"{way}{field.name}__", target))
        ways = further
    return ""


def corpus_of(subject: models.Model) -> int | None:
    """The id of the corpus that this object belongs to; None for one of the site."""
    path = corpus_path(type(subject))
    found: int | None = attrgetter(path.replace("__", "."))(subject) if path else None
    return found


def corpora_of(model: type[models.Model], ids: Sequence[int]) -> dict[int, int | None]:
    """The corpus of each of these rows by their id. One that is gone belongs to none."""
    path = corpus_path(model)
    if not path or path == "id":
        return {pk: pk if path else None for pk in ids}
    return dict.fromkeys(ids) | dict(model._base_manager.filter(pk__in=ids).values_list("pk", path))
