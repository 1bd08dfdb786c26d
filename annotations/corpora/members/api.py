"""The members of corpora: list, add, change, remove; and who may enter a corpus."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.corpora.access import OpenCorpusField, open_to
from annotations.corpora.members import services
from annotations.corpora.models import Access, Corpus
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.accounts.permissions import Action
from crashdesk.api.narrowed import OpenRows, who


class MembershipSerializer(serializers.ModelSerializer[Membership]):
    user = serializers.CharField(source="user.username", help_text="user name")
    corpus_name = serializers.CharField(source="corpus.name")
    created_by = serializers.CharField(source="created_by.username", allow_null=True, default=None)

    class Meta:
        model = Membership
        fields = ["id", "corpus", "corpus_name", "user", "role", "created_at", "created_by"]
        read_only_fields = fields


class NewMembershipSerializer(serializers.Serializer[None]):
    corpus = OpenCorpusField(action=Action.MANAGE_MEMBERS)
    user = serializers.SlugRelatedField(
        slug_field="username", queryset=User.objects.filter(is_active=True), help_text="user name"
    )
    role = serializers.ChoiceField(choices=Role.choices)


class RoleSerializer(serializers.Serializer[None]):
    role = serializers.ChoiceField(choices=Role.choices)


class AccessSerializer(serializers.ModelSerializer[Corpus]):
    access = serializers.ChoiceField(choices=Access.choices)

    class Meta:
        model = Corpus
        fields = ["id", "name", "access"]
        read_only_fields = ["id", "name"]


class MembershipViewSet(OpenRows, mixins.ListModelMixin, viewsets.GenericViewSet[Membership]):
    queryset = Membership.objects.select_related("user", "corpus", "created_by").order_by("id")
    serializer_class = MembershipSerializer
    filterset_fields = {"corpus": ["exact"], "user__username": ["exact"], "role": ["exact"]}
    lookup_value_regex = r"\d+"
    needs = {
        "create": Action.MANAGE_MEMBERS, "partial_update": Action.MANAGE_MEMBERS, "destroy": Action.MANAGE_MEMBERS,
    }  # fmt: skip

    def get_queryset(self) -> QuerySet[Membership]:
        rows: QuerySet[Membership] = super().get_queryset()
        return rows

    @extend_schema(request=NewMembershipSerializer, responses={201: MembershipSerializer})
    def create(self, request: Request) -> Response:
        """Make somebody a member of a corpus."""
        given = NewMembershipSerializer(data=request.data, context={"request": request})
        given.is_valid(raise_exception=True)
        told = given.validated_data
        made = services.add_member(
            corpus=told["corpus"], user=told["user"], role=Role(told["role"]), by=who(request)
        )
        return Response(MembershipSerializer(made).data, status=201)

    @extend_schema(request=RoleSerializer, responses=MembershipSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what a member is in the corpus."""
        membership: Any = self.get_object()
        given = RoleSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        role = Role(given.validated_data["role"])
        changed = services.change_role(membership=membership, role=role, by=who(request))
        return Response(MembershipSerializer(changed).data)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """End a membership. The last lead of a corpus hands over first."""
        membership: Any = self.get_object()
        services.remove_member(membership=membership, by=who(request))
        return Response(status=204)


class AccessView(APIView):
    needs = {"post": Action.MANAGE_MEMBERS}

    @extend_schema(operation_id="corpora_access", request=AccessSerializer, responses=AccessSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Close a corpus to all but its members, or open it to everyone who signs in."""
        corpus = get_object_or_404(open_to(who(request)), pk=pk)
        self.check_object_permissions(request, corpus)
        given = AccessSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        access = Access(given.validated_data["access"])
        return Response(
            AccessSerializer(services.set_access(corpus=corpus, access=access, by=who(request))).data
        )
