"""One error body for every refusal: {"error": {"code", "message", "fields"}}."""

from typing import Any


class Problem(Exception):
    """A refusal that a person can act on. Services raise it; the API turns it into the error body.

    code: a stable snake_case word; message: one sentence; fields: what is wrong where; status: HTTP status.
    """

    def __init__(
        self, code: str, message: str, *, fields: dict[str, Any] | None = None, status: int = 409
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.fields, self.status = code, message, fields or {}, status


def error_body(code: str, message: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "fields": fields or {}}}
