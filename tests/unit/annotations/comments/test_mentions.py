"""Who is meant by "@name"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.comments.mentions import meant, names, readings
from crashdesk.accounts.models import Membership, Role, User
from tests.assign_made import planned_corpus

pytestmark = pytest.mark.django_db


def person(name: str) -> User:
    return User.objects.create(username=name, email=f"{name}@x.example", role=Role.ANNOTATOR)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("@ann look", ["ann"]),
        ("look, @ann.", ["ann."]),
        ("(@ann, @bob)", ["ann", "bob"]),
        ("@ann and @ann", ["ann"]),
        ("write to ann@example.org", []),
        ("@@ann", []),
        ("nobody @ all", []),
        ("line\n@ann", ["ann"]),
    ],
)
def test_what_is_written_after_at(text: str, found: list[str]) -> None:
    assert names(text) == found


def test_the_end_of_a_sentence_is_no_part_of_a_name() -> None:
    assert readings("ann.b..") == ["ann.b..", "ann.b.", "ann.b"]


@given(
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20),
    st.sampled_from(["", ".", ",", "!", ")", "..."]),
)
def test_a_plain_name_is_found_whatever_follows(name: str, after: str) -> None:
    (found,) = names(f"see @{name}{after} there")
    assert name in readings(found)


def test_only_people_who_may_look_are_meant() -> None:
    corpus = planned_corpus()
    inside, outside, gone = person("ann"), person("bob"), person("cleo")
    User.objects.filter(pk=gone.pk).update(is_active=False)
    corpus.access = "members"
    corpus.save()
    Membership.objects.create(user=inside, corpus=corpus, role=Role.ANNOTATOR)
    told, strangers = meant(f"@Ann. @{outside.username} @cleo @nobody!", corpus_id=corpus.pk)
    assert told == [inside]
    assert strangers == ["bob", "cleo", "nobody"]


def test_the_longest_name_that_exists_is_meant() -> None:
    corpus = planned_corpus()
    short, dotted = person("ann"), person("ann.")
    assert meant("ask @ann.", corpus_id=corpus.pk)[0] == [dotted]
    assert meant("ask @ann", corpus_id=corpus.pk)[0] == [short]
