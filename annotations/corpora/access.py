"""Who may enter which corpus: crashdesk.accounts.scope, said in terms of corpora."""

from operator import attrgetter
from typing import Any, cast

from django.db.models import QuerySet
from rest_framework import serializers

from annotations.corpora.models import Corpus
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow, require_in

__all__ = ["OpenCorpusField", "OpenField", "narrow", "open_to", "require"]


def open_to(user: User, action: Action = Action.VIEW) -> QuerySet[Corpus]:
    """The corpora in which this person may do it: `.filter(corpus__in=open_to(user))`. Long lists use `narrow`."""
    return narrow(Corpus.objects.all(), user, "pk", action=action)


def require(user: User | None, action: Action, corpus: Corpus | int) -> None:
    """Refuse what the person may not do in the corpus. None is the system, which may do everything.

    Problem: not_found (404) when they may not even look into it, not_allowed (403) when they may only not do this.
    """
    require_in(user, action, corpus if isinstance(corpus, int) else corpus.pk)


class OpenField(serializers.PrimaryKeyRelatedField[Any]):
    """The id of something of a corpus, for a request's body. What the person may not see does not exist; Problem
    not_allowed where they may see it and not do `action`. The serializer's context says who asks: the request, or `by`.

    `path`: where the corpus's id is from the rows of the queryset, e.g. "version__corpus_id".
    """

    def __init__(self, *, action: Action, path: str, **kwargs: Any) -> None:
        self.action, self.path = action, path
        super().__init__(**kwargs)

    def get_queryset(self) -> QuerySet[Any]:
        return narrow(cast(QuerySet[Any], super().get_queryset()), self._person(), self.path)

    def to_internal_value(self, data: Any) -> Any:
        found = super().to_internal_value(data)
        require_in(self._person(), self.action, attrgetter(self.path.replace("__", "."))(found))
        return found

    def _person(self) -> User:
        person: User = self.context["by"] if "by" in self.context else self.context["request"].user
        return person


class OpenCorpusField(OpenField):
    """The id of a corpus in which the person may do `action`."""

    def __init__(self, *, action: Action, **kwargs: Any) -> None:
        super().__init__(action=action, path="pk", queryset=Corpus.objects.all(), **kwargs)
