"""Which CrashDesk user a Label Studio user is."""

from django.conf import settings
from django.db import transaction

from annotations.labelstudio.client import Client
from crashdesk.accounts.models import Role, User
from crashdesk.audit.services import record

SYSTEM_REVIEWER = "labelstudio"


class People:
    """Label Studio user ids to CrashDesk users; asks Label Studio only when somebody is unknown."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._emails: dict[int, str] | None = None

    def user(self, labelstudio_id: int | None) -> User:
        """The user with the same e-mail address.

        Without one: the account `labelstudio` stands for Label Studio's owner and for nobody in particular;
        anybody else gets an annotator account under their address that cannot sign in until given a password.
        """
        # Only addresses are remembered: an account made in a transaction can go with it.
        if labelstudio_id is None:
            return reviewer_of("")
        if self._emails is None or labelstudio_id not in self._emails:
            self._emails = {person["id"]: person["email"] or "" for person in self._client.get("/api/users")}
            self._emails.setdefault(labelstudio_id, "")
        return reviewer_of(self._emails[labelstudio_id])


def reviewer_of(email: str) -> User:
    """The CrashDesk user with this address, or the account that stands in (see People.user)."""
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
