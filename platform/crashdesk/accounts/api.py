"""Who am I, and a token for scripts."""

from typing import cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import ScopedRateThrottle
from rest_framework.views import APIView

from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may
from crashdesk.accounts.services import api_token
from crashdesk.api.errors import Problem


class MeSerializer(serializers.Serializer[User]):
    username = serializers.CharField()
    email = serializers.EmailField()
    role = serializers.CharField()
    allowed = serializers.SerializerMethodField()

    def get_allowed(self, user: User) -> list[str]:
        return sorted(action.value for action in Action if may(user, action))


class CredentialsSerializer(serializers.Serializer[None]):
    username = serializers.CharField()
    password = serializers.CharField(trim_whitespace=False)


class TokenSerializer(serializers.Serializer[None]):
    token = serializers.CharField()


class MeView(APIView):
    permission_classes = [IsAuthenticated]

    @extend_schema(responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """The signed-in person, their role and what it allows."""
        return Response(MeSerializer(cast(User, request.user)).data)


class TokenView(APIView):
    permission_classes = [AllowAny]
    authentication_classes = []
    throttle_classes = [ScopedRateThrottle]
    throttle_scope = "token"

    @extend_schema(request=CredentialsSerializer, responses=TokenSerializer)
    def post(self, request: Request) -> Response:
        """Exchange a user name and password for an API token (header `Authorization: Token …`)."""
        credentials = CredentialsSerializer(data=request.data)
        credentials.is_valid(raise_exception=True)
        user = User.objects.filter(username=credentials.validated_data["username"], is_active=True).first()
        if user is None:  # take as long as for a known name, so that the time tells nothing
            User().set_password(credentials.validated_data["password"])
        if user is None or not user.check_password(credentials.validated_data["password"]):
            raise Problem("credentials_refused", "No such user name and password.", status=401)
        return Response({"token": api_token(user)})
