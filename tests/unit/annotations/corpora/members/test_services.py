"""Who may make whom a member, and that no corpus is locked with nobody inside who may open it."""

import pytest

from annotations.corpora.members.services import add_member, change_role, remove_member, set_access
from annotations.corpora.models import Access, Corpus
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.accounts.permissions import role_in
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from tests.factories import make_corpus, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def corpus() -> Corpus:
    return make_corpus()


def told(corpus: Corpus) -> list[tuple[str, str, dict[str, str]]]:
    rows = AuditEvent.objects.filter(corpus_id=corpus.pk).order_by("id")
    return list(rows.values_list("actor", "verb", "data"))


def test_a_lead_adds_changes_and_removes_and_every_step_is_in_the_log(corpus: Corpus, lead: User) -> None:
    person = make_user(Role.ANNOTATOR)
    made = add_member(corpus=corpus, user=person, role=Role.REVIEWER, by=lead)
    assert (made.created_by, role_in(person, corpus.pk)) == (lead, Role.REVIEWER)
    change_role(membership=made, role=Role.ENGINEER, by=lead)
    assert role_in(person, corpus.pk) == Role.ENGINEER
    remove_member(membership=made, by=lead)
    assert role_in(person, corpus.pk) == Role.ANNOTATOR
    assert told(corpus) == [
        (lead.username, "member.added", {"user": person.username, "role": "reviewer"}),
        (
            lead.username,
            "member.role_changed",
            {"user": person.username, "role": "engineer", "was": "reviewer"},
        ),
        (lead.username, "member.removed", {"user": person.username, "role": "engineer"}),
    ]


def test_nobody_is_a_member_twice(corpus: Corpus, lead: User) -> None:
    add_member(corpus=corpus, user=lead, role=Role.LEAD, by=lead)
    with pytest.raises(Problem) as refused:
        add_member(corpus=corpus, user=lead, role=Role.REVIEWER, by=lead)
    assert (refused.value.code, refused.value.fields) == (
        "already_a_member",
        {"user": ["is a member already"]},
    )
    assert Membership.objects.get().role == Role.LEAD


@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.REVIEWER, Role.ENGINEER])
def test_only_who_manages_members_does(corpus: Corpus, lead: User, role: Role) -> None:
    member = add_member(corpus=corpus, user=make_user(), role=Role.REVIEWER, by=lead)
    by = make_user(role)
    for attempt in (
        lambda: add_member(corpus=corpus, user=by, role=Role.LEAD, by=by),
        lambda: change_role(membership=member, role=Role.LEAD, by=by),
        lambda: remove_member(membership=member, by=by),
        lambda: set_access(corpus=corpus, access=Access.MEMBERS, by=by),
    ):
        with pytest.raises(Problem) as refused:
            attempt()
        assert (refused.value.code, refused.value.status) == ("not_allowed", 403)


def test_only_an_admin_makes_and_unmakes_admins(corpus: Corpus, lead: User, admin: User) -> None:
    person = make_user()
    with pytest.raises(Problem, match="Only an admin"):
        add_member(corpus=corpus, user=person, role=Role.ADMIN, by=lead)
    made = add_member(corpus=corpus, user=person, role=Role.ADMIN, by=admin)
    with pytest.raises(Problem, match="Only an admin"):
        change_role(membership=made, role=Role.REVIEWER, by=lead)
    with pytest.raises(Problem, match="Only an admin"):
        remove_member(membership=made, by=lead)
    other = add_member(corpus=corpus, user=make_user(), role=Role.REVIEWER, by=person)
    assert change_role(membership=other, role=Role.ADMIN, by=person).role == Role.ADMIN


def test_the_last_lead_hands_over_before_leaving(corpus: Corpus, admin: User) -> None:
    one, two = make_user(), make_user()
    mine = add_member(corpus=corpus, user=one, role=Role.LEAD, by=admin)
    for attempt in (
        lambda: remove_member(membership=mine, by=one),
        lambda: change_role(membership=mine, role=Role.ENGINEER, by=one),
    ):
        with pytest.raises(Problem) as refused:
            attempt()
        assert refused.value.code == "last_lead"
    add_member(corpus=corpus, user=two, role=Role.LEAD, by=one)
    remove_member(membership=mine, by=one)
    assert [member.user for member in Membership.objects.filter(corpus=corpus)] == [two]


def test_a_lead_who_cannot_sign_in_any_more_is_none(corpus: Corpus, admin: User) -> None:
    one, gone = make_user(), make_user()
    mine = add_member(corpus=corpus, user=one, role=Role.LEAD, by=admin)
    add_member(corpus=corpus, user=gone, role=Role.LEAD, by=admin)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    with pytest.raises(Problem) as refused:
        remove_member(membership=mine, by=one)
    assert refused.value.code == "last_lead"
    remove_member(membership=mine, by=admin)
    assert not Membership.objects.filter(user=one).exists()


def test_a_corpus_is_closed_only_with_a_lead_inside(corpus: Corpus, lead: User) -> None:
    with pytest.raises(Problem) as refused:
        set_access(corpus=corpus, access=Access.MEMBERS, by=lead)
    assert refused.value.code == "lead_needed"
    add_member(corpus=corpus, user=lead, role=Role.LEAD, by=lead)
    stranger = make_user(Role.LEAD)
    assert set_access(corpus=corpus, access=Access.MEMBERS, by=lead).access == Access.MEMBERS
    assert role_in(stranger, corpus.pk) is None
    with pytest.raises(Problem) as hidden:
        set_access(corpus=corpus, access=Access.EVERYONE, by=stranger)
    assert (hidden.value.code, hidden.value.status) == ("not_found", 404)
    set_access(corpus=corpus, access=Access.EVERYONE, by=lead)
    assert role_in(stranger, corpus.pk) == Role.LEAD
    closed, opened = told(corpus)[1:]
    assert closed[1:] == ("corpus.access_changed", {"access": "members", "was": "everyone"})
    assert opened[1:] == ("corpus.access_changed", {"access": "everyone", "was": "members"})


def test_saying_what_is_so_already_changes_and_logs_nothing(corpus: Corpus, lead: User) -> None:
    mine = add_member(corpus=corpus, user=lead, role=Role.LEAD, by=lead)
    before = len(told(corpus))
    change_role(membership=mine, role=Role.LEAD, by=lead)
    set_access(corpus=corpus, access=Access.EVERYONE, by=lead)
    assert len(told(corpus)) == before
