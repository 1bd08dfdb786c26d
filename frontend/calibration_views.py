"""The page of a model version's calibrations."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from frontend import calibration
from frontend.pages import page
from model_assist.registry.models import ModelVersion


@require_safe
@login_required
@ensure_csrf_cookie
def calibration_page(request: HttpRequest, pk: int) -> HttpResponse:
    """What this model's confidence is worth, kind by kind."""
    model = get_object_or_404(ModelVersion, pk=pk)
    context = {
        "model": model,
        "cards": calibration.cards(model),
        "job": calibration.open_job(model),
        "failed": calibration.failed_job(model),
        "page": "home",
    }
    return page(request, "frontend/calibration.html", context)
