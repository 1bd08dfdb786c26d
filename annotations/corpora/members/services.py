"""Adding people to a corpus, changing what they are there, removing them, and closing a corpus to all others.

A corpus for members only always keeps a member who may manage it, so that nobody locks the door from outside: whoever
would be the last one to leave is told to hand over first. Admins of the site enter everywhere and may do it.
"""

from django.db import IntegrityError, transaction

from annotations.corpora.access import require
from annotations.corpora.models import Access, Corpus
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.accounts.permissions import ALLOWED, Action, role_in
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record


@transaction.atomic
def add_member(*, corpus: Corpus, user: User, role: Role, by: User) -> Membership:
    """Give somebody a role in a corpus. Problem: not_allowed, not_found, already_a_member, not_yours_to_give."""
    _hold(corpus, by)
    _may_give(corpus.pk, role, by)
    try:
        with transaction.atomic():
            made = Membership.objects.create(corpus=corpus, user=user, role=role, created_by=by)
    except IntegrityError as error:
        raise Problem(
            "already_a_member", f"{user.username} is a member of {corpus} already.",
            fields={"user": ["is a member already"]},
        ) from error  # fmt: skip
    record(actor=by, verb="member.added", subject=made, data={"user": user.username, "role": role.value})
    return made


@transaction.atomic
def change_role(*, membership: Membership, role: Role, by: User) -> Membership:
    """Change what a member is. Problem: not_allowed, not_found, last_lead, not_yours_to_give."""
    _hold(membership.corpus, by)
    held = _still_there(membership)
    was = Role(held.role)
    if was == role:
        return held
    for one in (was, role):
        _may_give(held.corpus_id, one, by)
    if not _leads(role):
        _keeps_a_lead(held, by)
    held.role = role
    held.save(update_fields=["role"])
    data = {"user": held.user.username, "role": role.value, "was": was.value}
    record(actor=by, verb="member.role_changed", subject=held, data=data)
    return held


@transaction.atomic
def remove_member(*, membership: Membership, by: User) -> None:
    """End a membership. Problem: not_allowed, not_found, last_lead, not_yours_to_give."""
    _hold(membership.corpus, by)
    held = _still_there(membership)
    _may_give(held.corpus_id, Role(held.role), by)
    _keeps_a_lead(held, by)
    record(
        actor=by, verb="member.removed", subject=held, data={"user": held.user.username, "role": held.role}
    )
    held.delete()


@transaction.atomic
def set_access(*, corpus: Corpus, access: Access, by: User) -> Corpus:
    """Close a corpus to all but its members, or open it to everyone. Problem: not_allowed, not_found, lead_needed."""
    held = _hold(corpus, by)
    if held.access == access:
        return held
    if access == Access.MEMBERS and not _led(held.pk):
        raise Problem(
            "lead_needed", "Nobody among the members may manage this corpus: add a lead first.",
            fields={"access": ["needs a lead among the members"]},
        )  # fmt: skip
    was, held.access = held.access, access
    held.save(update_fields=["access"])
    record(actor=by, verb="corpus.access_changed", subject=held, data={"access": access.value, "was": was})
    return held


def _hold(corpus: Corpus, by: User) -> Corpus:
    """The corpus, locked: changes of its members come one after the other."""
    held = Corpus.objects.select_for_update().get(pk=corpus.pk)
    require(by, Action.MANAGE_MEMBERS, held)
    return held


def _still_there(membership: Membership) -> Membership:
    found = Membership.objects.select_related("user", "corpus").filter(pk=membership.pk).first()
    if found is None:
        raise Problem("not_found", "They are no member any more.", status=404)
    return found


def _may_give(corpus_id: int, role: Role, by: User) -> None:
    """Only an admin makes or unmakes admins; whoever manages the members gives all other roles."""
    if role == Role.ADMIN and role_in(by, corpus_id) != Role.ADMIN:
        raise Problem("not_yours_to_give", "Only an admin makes or unmakes admins.", status=403)


def _leads(role: Role) -> bool:
    return Action.MANAGE_MEMBERS in ALLOWED[role]


def _led(corpus_id: int, *, without: int | None = None) -> bool:
    """Whether some member, other than that membership, may manage the corpus."""
    leading = [role for role in Role if _leads(role)]
    members = Membership.objects.filter(corpus=corpus_id, role__in=leading, user__is_active=True)
    return (members if without is None else members.exclude(pk=without)).exists()


def _keeps_a_lead(leaving: Membership, by: User) -> None:
    if not _leads(Role(leaving.role)) or by.role == Role.ADMIN:
        return
    if not _led(leaving.corpus_id, without=leaving.pk):
        raise Problem(
            "last_lead",
            f"{leaving.user.username} is the last lead of {leaving.corpus}: make another member a lead first.",
        )
