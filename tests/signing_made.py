"""People, passes and Label Studio's numbers for tests of the guard, and stand-ins for its sign-in forms."""

import base64
import itertools
import json
import threading
import zlib
from dataclasses import dataclass, field

from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone

from annotations.cases.models import Case
from annotations.labelstudio.accounts.models import BrowserSession, Member
from annotations.labelstudio.client import Client
from annotations.labelstudio.doors import Keys
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.people import address_of
from annotations.reviews.models import Assignment, AssignmentState, Purpose, Way
from crashdesk.accounts.models import User

_numbers = itertools.count(1000)


def cookie(uid: str, labelstudio_id: int, *, packed: bool = True) -> str:
    """What Django's signed-cookie sessions look like from outside; the signature is of no use to anybody here."""
    said = json.dumps({"uid": uid, "last_login": 1.5, "_auth_user_id": str(labelstudio_id)}).encode()
    raw = base64.urlsafe_b64encode(zlib.compress(said) if packed else said).rstrip(b"=").decode()
    return f"{'.' if packed else ''}{raw}:1xVJOp:EcZ14LV6uotSfJ3HlyMTetTcvZLFkuxzxjm67H"


def make_member(user: User) -> Member:
    return Member.objects.create(user=user, labelstudio_id=next(_numbers), address=address_of(user, 1))


def sign_in(user: User) -> BrowserSession:
    """A browser of this person, signed in to both."""
    member = Member.objects.filter(user=user).first() or make_member(user)
    desk = SessionStore()
    desk[HASH_SESSION_KEY] = user.get_session_auth_hash()
    desk.create()
    uid = f"uid-{next(_numbers)}"
    assert member.labelstudio_id is not None
    return BrowserSession.objects.create(
        member=member, desk_session=desk.session_key or "", uid=uid, csrf_cookie="c" * 32,
        session_cookie=cookie(uid, member.labelstudio_id),
    )  # fmt: skip


def make_project(case: Case) -> LabelStudioProject:
    """The project in which the case is on show."""
    found = LabelStudioProject.objects.filter(corpus=case.corpus, guideline=case.guideline).first()
    return found or LabelStudioProject.objects.create(
        corpus=case.corpus, guideline=case.guideline, project_id=next(_numbers), title="t", config_hash="h"
    )


def make_task(case: Case, assignment: Assignment | None = None) -> LabelStudioTask:
    return LabelStudioTask.objects.create(
        project=make_project(case),
        case=case,
        assignment=assignment,
        task_id=next(_numbers),
        fps_num=30,
        fps_den=1,
    )


def make_assignment(
    case: Case,
    person: User,
    purpose: Purpose = Purpose.ANNOTATE,
    state: AssignmentState = AssignmentState.OPEN,
) -> Assignment:
    closed = None if state == AssignmentState.OPEN else timezone.now()
    return Assignment.objects.create(
        case=case, person=person, purpose=purpose, state=state, way=Way.MANUAL, closed_at=closed
    )


@dataclass
class Doors:
    """Label Studio's accounts, by address: what its sign-in and sign-up forms know. `renamed` is what PATCH set."""

    passwords: dict[str, str] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)
    log_ins: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def log_in(self, _client: Client, address: str, password: str) -> Keys | None:
        with self.lock:
            self.log_ins += 1
            return self._keys(address) if self.passwords.get(address) == password else None

    def sign_up(self, _client: Client, address: str, password: str) -> Keys | None:
        with self.lock:
            if address in self.passwords:
                return None
            self.passwords[address], self.ids[address] = password, next(_numbers)
            return self._keys(address)

    def _keys(self, address: str) -> Keys:
        uid = f"uid-{next(_numbers)}"
        return Keys(cookie(uid, self.ids[address]), "csrf", uid, self.ids[address])
