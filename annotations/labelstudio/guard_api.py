"""The question that stands before every request to Label Studio: may it pass?"""

from urllib.parse import urlencode

from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.labelstudio.guard import Asked, decide
from annotations.labelstudio.sessions import desk_url


class GuardView(APIView):
    """Asked by nginx (auth_request) and by Label Studio's WSGI layer, with the headers of the request in question.

    Says nothing about anything but that request: whoever holds its cookies could as well have sent it there.
    """

    permission_classes = [AllowAny]
    authentication_classes = []

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """204 may pass, 401 sign in first, 403 may not. `X-CrashDesk-Query`: pass it on with this query instead."""
        head = request.headers
        asked = Asked(
            method=head.get("X-Original-Method", ""),
            uri=head.get("X-Original-URI", ""),
            cookies=request.COOKIES,
            authorization=head.get("Authorization", ""),
            api_key=head.get("X-Api-Key", ""),
            key=head.get("X-CrashDesk-Key", ""),
        )
        verdict = decide(asked)
        response = Response(status=verdict.status)
        if verdict.reason:
            response["X-CrashDesk-Reason"] = verdict.reason.encode("ascii", "replace").decode()
        if verdict.query is not None:
            response["X-CrashDesk-Query"] = verdict.query
        if verdict.leads_to:
            where = desk_url(head.get("X-Original-Host", "")) + verdict.leads_to
            query = {"next": verdict.back} | ({"renew": "1"} if verdict.renew else {})
            response["X-CrashDesk-Location"] = f"{where}?{urlencode(query)}" if verdict.back else where
        return response
