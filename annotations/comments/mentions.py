"""Who is meant by "@name" in a comment."""

import re
from typing import Final

from django.db.models.functions import Lower

from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may_in

NAME: Final = re.compile(r"(?<![\w@.+-])@([\w.+-][\w.@+-]{0,149})")
"""As Django allows user names; not inside a word, so that a mail address mentions nobody."""
CLOSING: Final = ".-+@"


def names(text: str) -> list[str]:
    """What is written after "@", once each, as written: the end of a sentence may still hang on it."""
    return list(dict.fromkeys(NAME.findall(text)))


def readings(name: str) -> list[str]:
    """The user names that may be meant, longest first: "ann.b." may be "ann.b." or "ann.b"."""
    found = [name]
    while name and name[-1] in CLOSING:
        name = name[:-1]
        found.append(name)
    return [one for one in found if one]


def meant(text: str, *, corpus_id: int) -> tuple[list[User], list[str]]:
    """The people a text names who may look into the corpus, and the names that are nobody's there.

    Capitals make no difference.
    """
    written = names(text)
    wanted = {reading.lower() for name in written for reading in readings(name)}
    known: dict[str, User] = {}
    for one in User.objects.annotate(lower=Lower("username")).filter(lower__in=wanted).order_by("-pk"):
        known[one.username.lower()] = one
    people: dict[int, User] = {}
    strangers = []
    for name in written:
        found = [known[reading.lower()] for reading in readings(name) if reading.lower() in known]
        user = found[0] if found else None
        if user is not None and may_in(user, Action.VIEW, corpus_id):
            people[user.pk] = user
        else:
            strangers.append(readings(name)[-1])
    return list(people.values()), strangers
