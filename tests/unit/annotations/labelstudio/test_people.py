"""Accounts in Label Studio: made once, found again, given up when they are of no use any more."""

import threading
from typing import Any

import pytest
from django.db import connection

from annotations.labelstudio import people
from annotations.labelstudio.accounts.models import BrowserSession, Member
from annotations.labelstudio.client import Client, LabelStudioDown
from annotations.labelstudio.people import People, derived_password, enter, follow_people, reviewer_of
from annotations.labelstudio.sessions import end_sessions, open_session
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from tests.factories import make_user
from tests.signing_made import Doors


class Owner(Client):
    """The owner's calls, noted; the organisation has number 1."""

    def __init__(self) -> None:
        super().__init__("http://label-studio.example", "token")
        self.calls: list[tuple[str, str, Any]] = []

    def get(self, path: str, **params: Any) -> Any:
        return {"active_organization": 1} if path.endswith("whoami") else []

    def patch(self, path: str, body: Any) -> Any:
        self.calls.append(("PATCH", path, body))

    def delete(self, path: str) -> None:
        self.calls.append(("DELETE", path, None))


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def doors(monkeypatch: pytest.MonkeyPatch) -> Doors:
    made = Doors()
    monkeypatch.setattr(people, "log_in", made.log_in)
    monkeypatch.setattr(people, "sign_up", made.sign_up)
    return made


@pytest.mark.django_db
def test_an_account_is_made_once_and_its_password_is_kept_nowhere(doors: Doors, owner: Owner) -> None:
    user = make_user(Role.ANNOTATOR)
    member, _ = enter(user=user, client=owner)
    again, _ = enter(user=user, client=owner)
    assert again.pk == member.pk
    assert list(doors.passwords) == [member.address]
    password = derived_password(member)
    assert doors.passwords[member.address] == password
    assert len(password) == 64
    kept = [str(value) for row in Member.objects.values() for value in row.values()]
    kept += [str(value) for row in AuditEvent.objects.values() for value in row.values()]
    assert not [text for text in kept if password in text]
    assert user.email.split("@")[0] not in member.address
    assert AuditEvent.objects.filter(verb="labelstudio.member_made").count() == 1
    assert People(owner).user(member.labelstudio_id) == user
    assert reviewer_of(member.address) == user


@pytest.mark.django_db
def test_an_account_whose_making_was_interrupted_is_found_again(doors: Doors, owner: Owner) -> None:
    user = make_user(Role.ANNOTATOR)
    address = people.address_of(user, 1)
    before = Member(user=user, address=address)
    doors.sign_up(owner, address, derived_password(before))
    member, _ = enter(user=user, client=owner)
    assert (member.address, member.labelstudio_id) == (address, doors.ids[address])


@pytest.mark.django_db
def test_a_changed_password_or_secret_key_means_a_new_account(
    doors: Doors, owner: Owner, settings: Any
) -> None:
    user = make_user(Role.ANNOTATOR)
    first, _ = enter(user=user, client=owner)
    doors.passwords[first.address] = "changed there"
    second, _ = enter(user=user, client=owner)
    assert (second.generation, second.labelstudio_id != first.labelstudio_id) == (2, True)
    settings.SECRET_KEY = "another"
    third, _ = enter(user=user, client=owner)
    assert third.generation == 3
    assert [People(owner).user(one.labelstudio_id) for one in (first, second, third)] == [user] * 3
    assert Member.objects.filter(removed_at__isnull=True).get() == third


@pytest.mark.django_db
def test_names_and_departures_are_followed(doors: Doors, owner: Owner) -> None:
    ada, ben = make_user(Role.ANNOTATOR), make_user(Role.REVIEWER)
    session = open_session(user=ben, desk_session="desk", client=owner)
    member, _ = enter(user=ada, client=owner)
    assert follow_people(client=owner) == {"renamed": 0, "removed": 0}
    User.objects.filter(pk=ada.pk).update(first_name="Ada", last_name="Lovelace")
    User.objects.filter(pk=ben.pk).update(is_active=False)
    owner.calls.clear()
    assert follow_people(client=owner) == {"renamed": 1, "removed": 1}
    assert owner.calls == [
        ("DELETE", f"/api/organizations/1/memberships/{session.member.labelstudio_id}/", None),
        ("PATCH", f"/api/users/{member.labelstudio_id}/", {"first_name": "Ada Lovelace", "last_name": ""}),
    ]
    session.refresh_from_db()
    assert session.ended_at is not None
    ben.refresh_from_db()
    with pytest.raises(Problem, match="may not sign in"):
        enter(user=ben, client=owner)
    assert follow_people(client=owner) == {"renamed": 0, "removed": 0}
    ben.is_active = True
    ben.save()
    back, _ = enter(user=ben, client=owner)
    assert back.generation == 2


@pytest.mark.django_db
def test_a_number_that_label_studio_gives_anew_is_the_new_ones(doors: Doors, owner: Owner) -> None:
    ada, ben = make_user(Role.ANNOTATOR), make_user(Role.ANNOTATOR)
    old, _ = enter(user=ada, client=owner)
    doors.passwords.clear()  # Label Studio was made anew: it counts from the start again
    doors.ids[people.address_of(ben, 1)] = old.labelstudio_id or 0
    doors.passwords[people.address_of(ben, 1)] = derived_password(Member(address=people.address_of(ben, 1)))
    new, _ = enter(user=ben, client=owner)
    assert new.labelstudio_id == old.labelstudio_id
    assert People(owner).user(new.labelstudio_id) == ben
    renewed, _ = enter(user=ada, client=owner)
    assert renewed.labelstudio_id not in (None, new.labelstudio_id)


@pytest.mark.django_db
def test_a_session_is_used_again_renewed_and_ended(doors: Doors, owner: Owner) -> None:
    user = make_user(Role.ANNOTATOR)
    first = open_session(user=user, desk_session="one", client=owner)
    assert open_session(user=user, desk_session="one", client=owner) == first
    other = open_session(user=user, desk_session="two", client=owner)
    assert other != first
    renewed = open_session(user=user, desk_session="one", client=owner, renew=True)
    first.refresh_from_db()
    assert (renewed != first, first.ended_at is None) == (True, False)
    BrowserSession.objects.filter(pk=renewed.pk).update(started_at="2020-01-01T00:00Z")
    assert open_session(user=user, desk_session="one", client=owner) != renewed
    assert end_sessions(user=user, desk_session="two") == 1
    assert end_sessions(user=user) == 1


@pytest.mark.django_db
def test_a_label_studio_that_is_down_leaves_nothing_half_done(
    monkeypatch: pytest.MonkeyPatch, owner: Owner
) -> None:
    def down(*_: Any) -> None:
        raise LabelStudioDown("labelstudio_down", "It does not answer.", status=503)

    monkeypatch.setattr(people, "log_in", down)
    with pytest.raises(LabelStudioDown):
        enter(user=make_user(), client=owner)
    assert not Member.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_many_at_once_get_one_account(doors: Doors, owner: Owner) -> None:
    user = make_user(Role.ANNOTATOR)
    together, found = threading.Barrier(4), []

    def come() -> None:
        try:
            together.wait(timeout=10)
            found.append(enter(user=user, client=owner)[0].pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert set(found) == {Member.objects.get().pk}
    assert len(doors.passwords) == 1
