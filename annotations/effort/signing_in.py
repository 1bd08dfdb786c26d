"""Activity told from Label Studio's pages, which are another origin: there a ticket stands in for our session."""

from typing import Any, Final, cast
from urllib.parse import urlsplit

from django.conf import settings
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.effort.tickets import Ticket, read
from crashdesk.accounts.models import User

REALM: Final = 'Ticket realm="activity"'


class PlainJSONParser(JSONParser):
    """JSON that calls itself text: so a browser may send it to another origin without asking first, also on leaving."""

    media_type = "text/plain"


class TicketAuthentication(BaseAuthentication):
    """By `ticket` in the body (annotations.effort.tickets). A ticket is no cookie, so nothing can be forged with it."""

    def authenticate(self, request: Request) -> tuple[User, Ticket] | None:
        """None where there is no ticket; AuthenticationFailed (401) where it is no good."""
        given = request.data.get("ticket") if isinstance(request.data, dict) else None
        if not given:
            return None
        ticket = read(given) if isinstance(given, str) else None
        if ticket is None:
            raise AuthenticationFailed("The ticket is no good any more.")
        return ticket.user, ticket

    def authenticate_header(self, request: Request) -> str:
        return REALM


def labelstudio_origin() -> str:
    """The one other origin whose pages may read our answers."""
    parts = urlsplit(settings.LABELSTUDIO_PUBLIC_URL)
    return f"{parts.scheme}://{parts.netloc}"


class OpenToLabelStudio:
    """Of a view: lets Label Studio's pages, and no others, read the answer. A mixin to put first."""

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = cast(Any, super()).finalize_response(request, response, *args, **kwargs)
        response["Vary"] = ", ".join(filter(None, [response.get("Vary"), "Origin"]))
        if request.headers.get("Origin") == labelstudio_origin():
            response["Access-Control-Allow-Origin"] = labelstudio_origin()
            response["Access-Control-Allow-Credentials"] = "true"
        return response
