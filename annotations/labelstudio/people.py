"""Who is whom: CrashDesk's people as members of Label Studio, and Label Studio's users as CrashDesk's people.

A person's account there is made when they first need it, by signing up with the owner's invite link, because accounts
made by Label Studio's API can never sign in. Its address is CrashDesk's own invention, so that it survives every change
of name or e-mail; its password is derived from CrashDesk's secret key and kept nowhere.
"""

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac

from annotations.labelstudio.accounts.models import BrowserSession, Member
from annotations.labelstudio.client import Client, LabelStudioRefused
from annotations.labelstudio.doors import Keys, log_in, sign_up
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record

SYSTEM_REVIEWER = "labelstudio"
MAX_NAME = 100
MAX_GENERATION = 50


class People:
    """Label Studio user ids to CrashDesk users, by their addresses, which are asked for once.

    The number alone proves nothing: a Label Studio restored from a backup gives it to the next who signs up.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._emails: dict[int, str] | None = None

    def user(self, labelstudio_id: int | None) -> User:
        """The person whose account has that number's address, else the user with the same e-mail address.

        Without either: the account `labelstudio` stands for Label Studio's owner and for nobody in particular;
        anybody else gets an annotator account under their address that cannot sign in until given a password.
        """
        # Only addresses are remembered: an account made in a transaction can go with it.
        if labelstudio_id is None:
            return reviewer_of("")
        if self._emails is None or labelstudio_id not in self._emails:
            self._emails = {person["id"]: person["email"] or "" for person in self._client.get("/api/users")}
            self._emails.setdefault(labelstudio_id, "")
        if not self._emails[labelstudio_id]:
            member = Member.objects.filter(labelstudio_id=labelstudio_id).select_related("user").first()
            if member is not None:  # the account is gone from there; whose it was is known here
                return member.user
        return reviewer_of(self._emails[labelstudio_id])


def reviewer_of(email: str) -> User:
    """The CrashDesk user with this address, or the account that stands in (see People.user)."""
    if email:
        member = Member.objects.filter(address__iexact=email).select_related("user").first()
        if member is not None:
            return member.user
    known = User.objects.filter(email__iexact=email).order_by("id").first() if email else None
    if known is not None:
        return known
    if not email or email.lower() == settings.LABELSTUDIO_EMAIL.lower():
        return reviewer_account(SYSTEM_REVIEWER, email)
    return reviewer_account(email[:150], email)


@transaction.atomic
def reviewer_account(username: str, email: str) -> User:
    """An annotator without a usable password, made on first use."""
    user, created = User.objects.get_or_create(
        username=username, defaults={"email": email, "role": Role.ANNOTATOR, "password": "!"}
    )
    if created:
        user.set_unusable_password()
        user.save(update_fields=["password"])
        record(actor=None, verb="user.created", subject=user, data={"role": user.role, "from": "labelstudio"})
    return user


def address_of(user: User, generation: int) -> str:
    """What Label Studio knows the person by. `.invalid` never resolves (RFC 2606), so no mail goes anywhere."""
    installation = salted_hmac("labelstudio.installation", "id").hexdigest()[:12]
    return f"person-{user.pk}-{generation}@{installation}.crashdesk.invalid"


def derived_password(member: Member) -> str:
    """The account's password: HMAC-SHA-256 of its address under CrashDesk's secret key. Never stored, never shown."""
    return salted_hmac("labelstudio.member", member.address, algorithm="sha256").hexdigest()


def name_of(user: User) -> str:
    """What others see of the person in Label Studio."""
    return (user.get_full_name() or user.username)[:MAX_NAME]


def enter(*, user: User, client: Client) -> tuple[Member, Keys]:
    """The person's account and the cookies of a fresh session in it; made when there is none yet.

    Safe to repeat after a kill, and for many at once: whoever comes second waits for the first and finds its account.
    Raises Problem: person_inactive; LabelStudioDown and LabelStudioRefused.
    """
    if not user.is_active:
        raise Problem("person_inactive", f"{user.username} may not sign in.", status=403)
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        member = _current(user)
        while True:
            keys = _keys(member, client)
            if keys is not None:
                break
            member = _next_generation(member)
        _follow_name(member, user, client)
    return member, keys


def _current(user: User) -> Member:
    """The account in use. One made under another secret key is given up: its address is not ours any more."""
    last = Member.objects.filter(user=user).order_by("-generation").first()
    if last is None:
        return Member.objects.create(user=user, generation=1, address=address_of(user, 1))
    if last.removed_at is not None or last.address != address_of(user, last.generation):
        return _next_generation(last)
    return last


def _next_generation(member: Member) -> Member:
    if member.generation >= MAX_GENERATION:
        raise Problem(
            "labelstudio_sign_in",
            f"Label Studio refused {MAX_GENERATION} accounts of {member.user.username}.",
            status=502,
        )
    Member.objects.filter(pk=member.pk, removed_at__isnull=True).update(removed_at=timezone.now())
    generation = member.generation + 1
    return Member.objects.create(
        user=member.user, generation=generation, address=address_of(member.user, generation)
    )


def _keys(member: Member, client: Client) -> Keys | None:
    """Sign in, or sign up where there is no such account. None: it exists, and its password is another."""
    password = derived_password(member)
    keys = log_in(client, member.address, password)
    if keys is None:
        if member.labelstudio_id is not None:
            return None
        keys = sign_up(client, member.address, password)
        if keys is None:
            return None
    if member.labelstudio_id != keys.labelstudio_id:
        # A Label Studio made anew counts from one again: the number may have been somebody else's.
        Member.objects.filter(labelstudio_id=keys.labelstudio_id).update(labelstudio_id=None)
        first = member.labelstudio_id is None
        member.labelstudio_id = keys.labelstudio_id
        member.save(update_fields=["labelstudio_id"])
        if first:
            data = {"labelstudio_id": keys.labelstudio_id, "generation": member.generation}
            record(actor=None, verb="labelstudio.member_made", subject=member.user, data=data)
    return keys


def _follow_name(member: Member, user: User, client: Client) -> None:
    name = name_of(user)
    if member.shown_name == name:
        return
    client.patch(f"/api/users/{member.labelstudio_id}/", {"first_name": name, "last_name": ""})
    member.shown_name = name
    member.save(update_fields=["shown_name"])


def follow_people(*, client: Client) -> dict[str, int]:
    """Bring Label Studio's members in line with CrashDesk's people: new names, and nobody who has left.

    Whoever is inactive here loses the membership there; should they come back, they get a new account. Returns how
    many were `renamed` and `removed`.
    """
    done = {"renamed": 0, "removed": 0}
    members = Member.objects.filter(removed_at__isnull=True, labelstudio_id__isnull=False)
    for member in members.select_related("user"):
        if not member.user.is_active:
            done["removed"] += _remove(member, client)
        elif member.shown_name != name_of(member.user):
            _follow_name(member, member.user, client)
            done["renamed"] += 1
    return done


def _remove(member: Member, client: Client) -> int:
    """Take the account out of Label Studio's organisation; without one Label Studio shows it nothing."""
    organization = client.get("/api/current-user/whoami")["active_organization"]
    try:
        client.delete(f"/api/organizations/{organization}/memberships/{member.labelstudio_id}/")
    except LabelStudioRefused as refused:
        if refused.http_status != 404:
            raise
    with transaction.atomic():
        now = timezone.now()
        removed = Member.objects.filter(pk=member.pk, removed_at__isnull=True).update(removed_at=now)
        BrowserSession.objects.filter(member=member, ended_at__isnull=True).update(ended_at=now)
        if removed:
            data = {"labelstudio_id": member.labelstudio_id}
            record(actor=None, verb="labelstudio.member_removed", subject=member.user, data=data)
    return removed


def labelstudio_ids(user: User) -> set[int]:
    """Every id Label Studio has known this person by."""
    ids = Member.objects.filter(user=user, labelstudio_id__isnull=False).order_by(F("generation"))
    return {pk for pk in ids.values_list("labelstudio_id", flat=True) if pk is not None}
