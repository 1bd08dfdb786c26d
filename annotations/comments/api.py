"""Comments, their threads, and the inbox of whoever asks."""

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.cases.models import Case
from annotations.comments import services
from annotations.comments.models import Comment, Notice
from annotations.comments.reading import inbox, unread, visible_to
from annotations.comments.serializers import (
    ChangedSerializer,
    CommentSerializer,
    NewCommentSerializer,
    NoticeSerializer,
    ReadSerializer,
    ReturnSerializer,
    TextSerializer,
    WrittenCommentSerializer,
)
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from crashdesk.api.narrowed import who


class CommentFilter(django_filters.FilterSet):  # type: ignore[misc]
    open = django_filters.BooleanFilter(
        field_name="resolved_at", lookup_expr="isnull", label="not resolved; replies are always open"
    )

    class Meta:
        model = Comment
        fields = {
            "case": ["exact"],
            "case__corpus": ["exact"],
            "thread": ["exact", "isnull"],
            "author": ["exact"],
            "author__username": ["exact"],
        }


class CommentViewSet(viewsets.ReadOnlyModelViewSet[Comment]):
    """What people said about cases, oldest first. Whoever may look into a corpus may comment there."""

    queryset = Comment.objects.all()
    serializer_class = CommentSerializer
    filterset_class = CommentFilter
    lookup_value_regex = r"\d+"
    needs = {
        "create": Action.VIEW,
        "partial_update": Action.VIEW,
        "reply": Action.VIEW,
        "resolve": Action.VIEW,
        "reopen": Action.VIEW,
    }

    def get_queryset(self) -> QuerySet[Comment]:
        comments = super().get_queryset()
        if not getattr(self, "swagger_fake_view", False):
            comments = visible_to(who(self.request))
        return (
            comments.select_related("author", "resolved_by", "case")
            .prefetch_related("wordings")
            .order_by("id")
        )

    @extend_schema(request=NewCommentSerializer, responses={201: WrittenCommentSerializer})
    def create(self, request: Request) -> Response:
        """Write a remark on a case or on a moment of its clip."""
        given = self._given(NewCommentSerializer, request)
        made = services.comment_on(
            case=given["case"], text=given["text"], at_us=given["at_us"], by=who(request)
        )
        return Response(WrittenCommentSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=TextSerializer, responses=WrittenCommentSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Say it in other words. Only its author may; the earlier words stay readable."""
        comment = self.get_object()
        text = self._given(TextSerializer, request)["text"]
        made = services.edit(comment=comment, text=text, by=who(request))
        return Response(WrittenCommentSerializer(made).data)

    @extend_schema(request=TextSerializer, responses={201: WrittenCommentSerializer})
    @action(detail=True, methods=["post"])
    def reply(self, request: Request, pk: str) -> Response:
        """Answer in the comment's thread."""
        comment = self.get_object()
        text = self._given(TextSerializer, request)["text"]
        made = services.reply_to(comment=comment, text=text, by=who(request))
        return Response(WrittenCommentSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=CommentSerializer)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: str) -> Response:
        """Settle the thread: its author may, and whoever reviews there."""
        return Response(CommentSerializer(services.resolve(comment=self.get_object(), by=who(request))).data)

    @extend_schema(request=None, responses=CommentSerializer)
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, pk: str) -> Response:
        """The thread is not settled after all."""
        return Response(CommentSerializer(services.reopen(comment=self.get_object(), by=who(request))).data)

    def _given(self, form: Any, request: Request) -> dict[str, Any]:
        given = form(data=request.data, context=self.get_serializer_context())
        given.is_valid(raise_exception=True)
        found: dict[str, Any] = given.validated_data
        return found


class ReturnWithCommentView(APIView):
    needs = {"post": Action.APPROVE}

    @extend_schema(
        operation_id="cases_return_with_comment",
        request=ReturnSerializer,
        responses={201: WrittenCommentSerializer},
    )
    def post(self, request: Request, pk: int) -> Response:
        """Give the case back to whoever answered it and tell them why, at the moment it is about if there is one."""
        case = get_object_or_404(narrow(Case.objects.select_related("video__media"), who(request)), pk=pk)
        given = ReturnSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = services.return_with_comment(case=case, by=who(request), **given.validated_data)
        return Response(WrittenCommentSerializer(made).data, status=status.HTTP_201_CREATED)


class InboxViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Notice]):
    """What the person was told, newest first: mentions, replies, returned cases."""

    queryset = Notice.objects.all()
    serializer_class = NoticeSerializer
    filterset_fields = {"read_at": ["isnull"], "why": ["exact"], "comment__case": ["exact"]}
    needs = {"read": Action.VIEW}

    def get_queryset(self) -> QuerySet[Notice]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return (
            inbox(who(self.request))
            .select_related("comment__resolved_by")
            .prefetch_related("comment__wordings")
        )

    @extend_schema(request=ReadSerializer, responses=ChangedSerializer)
    @action(detail=False, methods=["post"])
    def read(self, request: Request) -> Response:
        """Mark lines, or all, as read or as unread again."""
        given = ReadSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        told = given.validated_data
        changed = services.mark_read(person=who(request), notices=told["ids"], read=told["read"])
        return Response({"changed": changed, "unread": unread(who(request))})
