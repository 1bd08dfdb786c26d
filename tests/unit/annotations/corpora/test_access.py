"""Who may enter which corpus."""

import pytest

from annotations.corpora.access import narrow, open_to, require
from annotations.corpora.models import Access, Corpus, Video
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.accounts.permissions import ALLOWED, Action, may_in, may_somewhere, role_in
from crashdesk.api.errors import Problem
from tests.factories import make_corpus, make_user, make_video

pytestmark = pytest.mark.django_db


def closed_corpus() -> Corpus:
    corpus = make_corpus()
    Corpus.objects.filter(pk=corpus.pk).update(access=Access.MEMBERS)
    return Corpus.objects.get(pk=corpus.pk)


def join(user: User, corpus: Corpus, role: Role) -> None:
    Membership.objects.create(user=user, corpus=corpus, role=role)


@pytest.mark.parametrize("role", [role for role in Role if role != Role.ADMIN])
def test_a_corpus_of_everyone_knows_each_person_by_their_role_on_the_site(role: Role) -> None:
    user, everyones, members = make_user(role), make_corpus(), closed_corpus()
    assert role_in(user, everyones.pk) == role
    assert role_in(user, members.pk) is None
    assert list(open_to(user)) == [everyones]


def test_a_membership_says_more_than_the_role_on_the_site_be_it_higher_or_lower() -> None:
    lead, annotator = make_user(Role.LEAD), make_user(Role.ANNOTATOR)
    everyones, members = make_corpus(), closed_corpus()
    join(lead, everyones, Role.ANNOTATOR)
    join(annotator, members, Role.LEAD)
    assert role_in(lead, everyones.pk) == Role.ANNOTATOR
    assert not may_in(lead, Action.APPROVE, everyones.pk)
    assert may_in(annotator, Action.APPROVE, members.pk)
    assert not may_in(annotator, Action.APPROVE, everyones.pk)
    assert list(open_to(lead, Action.APPROVE)) == []
    assert list(open_to(annotator, Action.APPROVE)) == [members]


def test_an_admin_of_the_site_is_admin_everywhere_and_somebody_inactive_nowhere() -> None:
    admin, everyones, members = make_user(Role.ADMIN), make_corpus(), closed_corpus()
    join(admin, everyones, Role.ANNOTATOR)
    assert role_in(admin, everyones.pk) == role_in(admin, members.pk) == Role.ADMIN
    assert set(open_to(admin, Action.TRAIN)) == {everyones, members}
    admin.is_active = False
    assert role_in(admin, everyones.pk) is None
    assert list(open_to(admin)) == []
    assert not may_somewhere(admin, Action.VIEW)


def test_every_role_in_a_corpus_opens_it_for_what_the_role_allows_and_nothing_else() -> None:
    corpus = closed_corpus()
    for role in Role:
        user = make_user(Role.ANNOTATOR)
        join(user, corpus, role)
        for action in Action:
            allowed = action in ALLOWED[role]
            assert may_in(user, action, corpus.pk) == allowed, (role, action)
            assert open_to(user, action).filter(pk=corpus.pk).exists() == allowed, (role, action)


def test_whether_somebody_may_do_something_at_all_asks_their_memberships_too() -> None:
    user, corpus = make_user(Role.ANNOTATOR), closed_corpus()
    assert may_somewhere(user, Action.REVIEW)
    assert not may_somewhere(user, Action.TRAIN)
    join(user, corpus, Role.ENGINEER)
    assert may_somewhere(user, Action.TRAIN)


def test_requiring_says_not_found_of_what_one_may_not_see_and_not_allowed_of_what_one_may() -> None:
    user, everyones, members = make_user(Role.ANNOTATOR), make_corpus(), closed_corpus()
    require(user, Action.REVIEW, everyones)
    require(None, Action.APPROVE, members)
    with pytest.raises(Problem) as refused:
        require(user, Action.APPROVE, everyones)
    assert (refused.value.code, refused.value.status) == ("not_allowed", 403)
    for nothing in (members, members.pk, 999_999_999):
        with pytest.raises(Problem) as hidden:
            require(user, Action.VIEW, nothing)
        assert (hidden.value.code, hidden.value.status) == ("not_found", 404)


def test_lists_are_narrowed_by_known_ids_and_only_where_something_is_closed() -> None:
    user, mine, other = make_user(Role.LEAD), make_video(), make_video()
    everything = Video.objects.all()
    assert narrow(everything, user) is everything
    Corpus.objects.filter(pk=other.corpus_id).update(access=Access.MEMBERS)
    assert list(narrow(everything, user)) == [mine]
    assert list(narrow(everything, make_user(Role.ADMIN))) == [mine, other]
    assert list(narrow(everything, make_user(Role.ANNOTATOR), action=Action.IMPORT)) == []
