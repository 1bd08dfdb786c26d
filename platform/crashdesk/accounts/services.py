"""Creating people."""

from django.db import transaction
from rest_framework.authtoken.models import Token

from crashdesk.accounts.models import Role, User
from crashdesk.audit.services import record


@transaction.atomic
def ensure_user(*, username: str, email: str, role: Role, password: str, by: User | None) -> User:
    """The user of that name with this role and password, created when absent. Admins may enter Django's admin."""
    user, created = User.objects.get_or_create(username=username, defaults={"email": email})
    user.email, user.role = email, role
    user.is_staff = user.is_superuser = role == Role.ADMIN
    if not user.check_password(password):
        user.set_password(password)
    user.save()
    if created:
        record(actor=by, verb="user.created", subject=user, data={"role": role})
    return user


def api_token(user: User) -> str:
    """The person's API token, made on first use."""
    return str(Token.objects.get_or_create(user=user)[0].key)
