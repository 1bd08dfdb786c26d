"""Turns every refusal into the one error body."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_exception_handler

from crashdesk.api.errors import Problem, error_body


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's hook. Unknown errors return None, so that a bug stays a 500."""
    if isinstance(error, Problem):
        return Response(error_body(error.code, error.message, error.fields), status=error.status)
    response = drf_exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        fields = error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}
        body = error_body("invalid", "Some fields are not valid.", fields)
    elif isinstance(error, Http404):
        body = error_body("not_found", "There is no such thing.")
    elif isinstance(error, PermissionDenied):
        body = error_body("permission_denied", "Your role does not allow this.")
    elif isinstance(error, exceptions.APIException):
        body = error_body(str(error.get_codes()), str(error.detail))
    else:
        body = error_body("error", str(error))
    response.data = body
    return response
