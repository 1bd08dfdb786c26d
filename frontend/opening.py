"""The way from CrashDesk into Label Studio and out again: signed in there without a second password."""

from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LogoutView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from annotations.cases.models import Case
from annotations.corpora.access import open_to
from annotations.gold.asking import barred
from annotations.labelstudio.accounts.models import BrowserSession
from annotations.labelstudio.client import client
from annotations.labelstudio.doors import CSRF_COOKIE, SESSION_COOKIE
from annotations.labelstudio.guard_facts import Facts
from annotations.labelstudio.models import LabelStudioTask
from annotations.labelstudio.push import push_assignment, task_for
from annotations.labelstudio.sessions import end_sessions, open_session, public_url
from annotations.reviews.assignments import assign, begin, open_assignment
from annotations.reviews.models import Assignment, Purpose, Strategy, Way
from annotations.reviews.plans import current_plan
from crashdesk.accounts.models import Role, User
from crashdesk.accounts.permissions import Action, may_in
from crashdesk.accounts.scope import not_found
from crashdesk.api.errors import Problem
from frontend.access import person
from frontend.pages import page

TOO_SOON_SECONDS: Final = 20
"""A session so young that does not work will not work when it is made again."""


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def review(request: HttpRequest, pk: int) -> HttpResponse:
    """Open a case in Label Studio to answer it: it is taken for the person when nobody has it.

    Another site can lead a browser here: then the person is asked first, and says so by a POST.
    """
    if request.method != "POST" and request.headers.get("Sec-Fetch-Site") == "cross-site":
        return page(request, "frontend/opening/ask.html", {"case": pk, "page": "cases"})
    user = person(request)
    try:
        case = Case.objects.filter(pk=pk, corpus__in=open_to(user)).first()
        if case is None:
            raise not_found()
        assignment, refusal = _taken(case, user)
        task = task_for(case, user)
        if refusal is not None and not (task is not None and _may_look(task, user)):
            raise refusal
        if assignment is not None:
            task = push_assignment(assignment, by=user)
            begin(assignment)
        if task is None or task.project.project_id is None:
            message = f"Case {case.pk} is not in Label Studio: nobody has answered it there."
            raise Problem("not_in_labelstudio", message)
        return _enter(request, f"/projects/{task.project.project_id}/data?task={task.task_id}")
    except Problem as problem:
        return _explained(request, problem, case=pk)


@require_safe
@login_required
@never_cache
def labelstudio(request: HttpRequest) -> HttpResponse:
    """Go (back) into Label Studio: `next` is the address there, `renew` says that the session did not work."""
    wanted = request.GET.get("next", "")
    if not _is_local(wanted):
        wanted = "/projects/" if person(request).role == Role.ADMIN else ""
    try:
        if not wanted:
            return redirect("cases")
        return _enter(request, wanted, renew="renew" in request.GET)
    except Problem as problem:
        return _explained(request, problem)


class Leave(LogoutView):
    """Signing out of CrashDesk is signing out of Label Studio: the guard refuses the session from then on."""

    @method_decorator(never_cache)
    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.method == "POST" and request.user.is_authenticated:
            end_sessions(user=request.user, desk_session=request.session.session_key)
        response = super().dispatch(request, *args, **kwargs)
        if request.method == "POST":
            for name in (SESSION_COOKIE, CSRF_COOKIE):
                if name in request.COOKIES:
                    response.delete_cookie(name)
        return response


def _taken(case: Case, user: User) -> tuple[Assignment | None, Problem | None]:
    """What the person is asked to do with the case, taking it when it is free; else why they cannot have it."""
    held = open_assignment(case, user)
    if held is not None:
        return held, None
    plan = current_plan(case.corpus_id)
    leads = may_in(user, Action.ASSIGN, case.corpus_id)
    refusal = _nothing_new(case, user, shared_out=plan.strategy != Strategy.PULL and not leads)
    if refusal is not None:
        return None, refusal
    for purpose in (Purpose.ANNOTATE, Purpose.DOUBLE):
        try:
            taken = assign(
                case=case,
                person=user,
                purpose=purpose,
                way=Way.TAKEN,
                by=user,
                minutes=plan.reservation_minutes,
            )
        except Problem as problem:
            refusal = refusal or problem
        else:
            return taken, None
    return None, refusal if leads else _not_free(case)


def _nothing_new(case: Case, user: User, *, shared_out: bool) -> Problem | None:
    """Why the person takes no case of this corpus by themselves, if so: what holds for the queue holds here."""
    if case.corpus_id in barred(user):
        message = "You are given no case of this corpus by its number now. Take the next one from your work."
        return Problem("nothing_new", message)
    if shared_out:
        return Problem("shared_out", "The cases of this corpus are given to people; nobody takes them.")
    return None


def _not_free(case: Case) -> Problem:
    """The same words whatever the reason is: the reason would tell a gold case from any other."""
    message = f"Case {case.pk} is not free for you: somebody else has it, or it needs nobody any more."
    return Problem("not_free", message)


def _may_look(task: LabelStudioTask, user: User) -> bool:
    return user.role == Role.ADMIN or Facts(user, query={}, task=task.task_id).sees_task()


def _enter(request: HttpRequest, address: str, *, renew: bool = False) -> HttpResponse:
    """Send the browser to an address in Label Studio with the cookies of the person's session there."""
    base = public_url(request.get_host())
    user, key = person(request), request.session.session_key or ""
    if renew:
        _refuse_circles(user, key)
    session = open_session(user=user, desk_session=key, client=client(), renew=renew)
    response = HttpResponseRedirect(base + address)
    secure = urlsplit(settings.LABELSTUDIO_PUBLIC_URL).scheme == "https"
    response.set_cookie(SESSION_COOKIE, session.session_cookie, httponly=True, samesite="Lax", secure=secure)
    response.set_cookie(CSRF_COOKIE, session.csrf_cookie, samesite="Lax", secure=secure)
    return response


def _refuse_circles(user: User, desk_session: str) -> None:
    """Label Studio sends whoever it does not know back here; once is enough."""
    last = BrowserSession.objects.filter(member__user=user, desk_session=desk_session).order_by("-id").first()
    if last is not None and (timezone.now() - last.started_at).total_seconds() < TOO_SOON_SECONDS:
        message = (
            "Label Studio does not accept the sign-in that CrashDesk has just made. Does your browser keep cookies, "
            "and does no other program on this host name use the cookies sessionid and csrftoken?"
        )
        raise Problem("labelstudio_sign_in", message, status=502)


def _is_local(address: str) -> bool:
    """Whether it is a path and query, and nothing that a browser could take for another host."""
    plain = all(" " < letter < "\x7f" and letter != "\\" for letter in address)
    return plain and address.startswith("/") and not address.startswith("//")


def _explained(request: HttpRequest, problem: Problem, *, case: int | None = None) -> HttpResponse:
    context = {"problem": problem, "case": case, "page": "cases"}
    response = page(request, "frontend/opening/problem.html", context)
    response.status_code = problem.status
    return response
