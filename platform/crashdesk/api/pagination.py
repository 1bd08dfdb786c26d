"""How every list of the API comes: pages of 50, up to 500 with ?page_size=, each with the address of the next."""

from typing import Any, cast

from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param
from rest_framework.views import APIView

from crashdesk.api.errors import Problem
from crashdesk.api.keyset import InvalidCursor, page_of

PAGE_SIZE, MAX_PAGE_SIZE = 50, 500


class KeysetPagination(BasePagination):
    """Follow `next` until it is null. A list is counted only when asked, because counting reads all of it.

    A view whose rows are wide says `late_rows = True`: see `rows` of page_of.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        """The rows of a QuerySet on the page that is asked for. Problem when the cursor is not one of this list."""
        asked = request.query_params
        if "page" in asked:
            raise Problem(
                "page_numbers_unsupported", "Lists have no page numbers: follow `next`.",
                fields={"page": ["is not understood; follow `next`"]}, status=400,
            )  # fmt: skip
        late = getattr(view, "late_rows", False) and getattr(view, "action", "") == "list"
        rows = cast(Any, view).get_queryset() if late else None
        size = _size(asked.get("page_size", ""))
        try:
            page = page_of(queryset, size=size, cursor=asked.get("cursor", ""), rows=rows)
        except InvalidCursor as error:
            raise Problem(
                "invalid_cursor", f"The cursor {error}.", fields={"cursor": [str(error)]}, status=400
            ) from error
        self.count: int | None = None
        if not page.next and not page.previous and not asked.get("cursor"):
            self.count = len(page.rows)
        elif asked.get("with_count", "").lower() in {"1", "true"}:
            self.count = queryset.count()
        self.next, self.previous = (_link(request, cursor) for cursor in (page.next, page.previous))
        return page.rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": self.next, "previous": self.previous, "count": self.count, "results": data})

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "format": "uri", "nullable": True}
        counted = "how many match; null unless they all came or with_count asked for it"
        return {
            "type": "object",
            "required": ["next", "previous", "count", "results"],
            "properties": {
                "next": link,
                "previous": link,
                "count": {"type": "integer", "nullable": True, "description": counted},
                "results": schema,
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        def parameter(name: str, description: str, **kind: Any) -> dict[str, Any]:
            return {
                "name": name,
                "in": "query",
                "required": False,
                "description": description,
                "schema": kind,
            }

        return [
            parameter("cursor", "where the page begins: given by `next` and `previous`", type="string"),
            parameter("page_size", f"rows a page, {PAGE_SIZE} unless told, at most {MAX_PAGE_SIZE}", type="integer"),
            parameter("with_count", "count all that match, which reads them all", type="boolean"),
        ]  # fmt: skip


def _size(text: str) -> int:
    """Rows a page; nonsense gives the usual number."""
    size = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    return min(size, MAX_PAGE_SIZE) or PAGE_SIZE


def _link(request: Request, cursor: str | None) -> str | None:
    if cursor is None:
        return None
    return replace_query_param(remove_query_param(request.build_absolute_uri(), "cursor"), "cursor", cursor)
