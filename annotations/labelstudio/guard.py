"""What a member may do in Label Studio: one table, and everything that is not in it is refused.

Label Studio Community gives every member every right: to delete a project, to read and change what others said, to see
the answers of gold cases. So each request is first put to `decide`, by nginx (auth_request, deploy/nginx.conf) or by
Label Studio's own WSGI layer (crashdesk.embedded.labelstudio_site). See docs/adr/0012-a-guard-before-label-studio.md.
What each need means is in annotations.labelstudio.guard_facts.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from django.conf import settings
from django.utils.crypto import constant_time_compare

from annotations.labelstudio.doors import read_session
from annotations.labelstudio.guard_facts import Facts
from annotations.labelstudio.key import door_key
from annotations.labelstudio.sessions import live_session
from crashdesk.accounts.models import Role
from crashdesk.api.errors import Problem


class Need(StrEnum):
    """What a request must have to pass."""

    NOBODY = "nobody"
    """Anybody at all, signed in or not."""
    MEMBER = "member"
    """A person who is signed in from CrashDesk."""
    PROJECT = "project"
    """The project (in the path or the query) shows a corpus that is open to the person."""
    OWN_TASKS = "own tasks"
    """As PROJECT; whoever does not oversee the corpus gets the list of their own tasks only."""
    SEE_TASK = "see task"
    """The case is or was theirs to answer, or they oversee the corpus and neither are nor may be asked to answer this
    case blind."""
    ANSWER_TASK = "answer task"
    """The case is theirs to answer now."""
    SEE_ANNOTATION = "see annotation"
    """It is their own, or they oversee the corpus."""
    OWN_ANNOTATION = "own annotation"
    """It is their own, and the case is theirs to answer now."""
    OWN_DRAFT = "own draft"
    """It is their own, and the case is theirs to answer now."""
    CLIP = "clip"
    """The file is the clip of a corpus that is open to the person."""
    CLIP_OF_TASK = "clip of task"
    """As SEE_TASK, and the file is that task's clip."""


@dataclass(frozen=True)
class Rule:
    """One line of the table. `path` must match as a whole, without a slash at the end."""

    methods: frozenset[str]
    path: re.Pattern[str]
    need: Need
    why: str


def _rule(methods: str, path: str, need: Need, why: str) -> Rule:
    pattern = path.replace("<project>", r"(?P<project>\d{1,10})").replace("<task>", r"(?P<task>\d{1,10})")
    pattern = pattern.replace("<annotation>", r"(?P<annotation>\d{1,10})").replace(
        "<draft>", r"(?P<draft>\d{1,10})"
    )
    return Rule(frozenset(methods.split()), re.compile(pattern, re.ASCII), need, why)


READ: Final = "GET HEAD"
TABLE: Final[tuple[Rule, ...]] = (
    _rule(READ, r"/(static|react-app|label-studio-frontend|dm)/.*", Need.NOBODY, "the interface's own files"),
    _rule(
        READ, r"/(favicon\.ico|sw\.js|sw-fallback\.js|health)", Need.NOBODY, "files, and whether it is alive"
    ),
    _rule("POST", r"/api/token/refresh", Need.NOBODY, "scripts: a personal token is the proof itself"),
    _rule("GET POST", r"/logout", Need.NOBODY, "leaving"),
    _rule(READ, r"/projects/<project>/data", Need.PROJECT, "the page that a deep link opens"),
    _rule(READ, r"/api/version", Need.MEMBER, "asked by every page"),
    _rule(READ, r"/api/current-user/whoami", Need.MEMBER, "asked by every page"),
    _rule("GET PATCH", r"/api/current-user/hotkeys", Need.MEMBER, "their own keys"),
    _rule("GET POST PATCH", r"/api/current-user/product-tour", Need.MEMBER, "which hints they have seen"),
    _rule(READ, r"/api/users", Need.MEMBER, "names at annotations; addresses say nothing"),
    _rule(READ, r"/api/projects/<project>", Need.PROJECT, "the form and its settings, to read"),
    _rule(READ, r"/api/projects/<project>/label-stream-history", Need.PROJECT, "their own history"),
    _rule(READ, r"/api/(ml|label_links)", Need.PROJECT, "asked by the labelling page; empty"),
    _rule(READ, r"/api/dm/(columns|views|project)", Need.PROJECT, "asked by the labelling page"),
    _rule(READ, r"/api/tasks", Need.OWN_TASKS, "the list beside the labelling page"),
    _rule(READ, r"/api/tasks/<task>", Need.SEE_TASK, "the task, its drafts and annotations"),
    _rule("POST", r"/api/tasks/<task>/annotations", Need.ANSWER_TASK, "submit, skip"),
    _rule("POST", r"/api/tasks/<task>/drafts", Need.ANSWER_TASK, "unsaved edits"),
    _rule("POST", r"/api/tasks/<task>/annotations/<annotation>/drafts", Need.OWN_ANNOTATION, "unsaved edits"),
    _rule(READ, r"/api/annotations/<annotation>", Need.SEE_ANNOTATION, "one annotation"),
    _rule("PATCH DELETE", r"/api/annotations/<annotation>", Need.OWN_ANNOTATION, "submit again, withdraw"),
    _rule("GET PATCH DELETE", r"/api/drafts/<draft>", Need.OWN_DRAFT, "unsaved edits"),
    _rule(READ, r"/data/local-files", Need.CLIP, "the clip, from a folder"),
    _rule(READ, r"/tasks/<task>/(resolve|presign)", Need.CLIP_OF_TASK, "the clip, from a bucket"),
)


@dataclass(frozen=True)
class Asked:
    """A request as it came to Label Studio. `uri`: path and query, encoded as sent; `cookies`: by name."""

    method: str
    uri: str
    cookies: dict[str, str] = field(default_factory=dict)
    authorization: str = ""
    api_key: str = ""
    key: str = ""

    @property
    def path(self) -> str:
        """As Label Studio routes it: decoded once, and a slash at the end makes no difference there."""
        return unquote(urlsplit(self.uri).path, errors="strict").removesuffix("/") or "/"

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.uri).query, keep_blank_values=True)


@dataclass(frozen=True)
class Verdict:
    """`status`: 204 may pass, 401 not signed in, 403 may not. `query` replaces the request's own where it is given."""

    status: int
    reason: str = ""
    query: str | None = None
    leads_to: str = ""
    """Where CrashDesk's own pages go on; a page is sent there instead of being refused."""
    renew: bool = False
    back: str = ""
    """The address in Label Studio to come back to after signing in."""

    @property
    def passes(self) -> bool:
        return self.status == 204


PASSES: Final = Verdict(204)
SIGN_IN: Final = "/labelstudio"
WORK: Final = "/work"


def rule_for(method: str, path: str) -> Rule | None:
    """The table's line for a request; None: nobody but the owner may."""
    for rule in TABLE:
        if method in rule.methods and rule.path.fullmatch(path):
            return rule
    return None


def decide(asked: Asked) -> Verdict:
    """Whether this request may reach Label Studio. Never raises for what a request says."""
    if asked.key and constant_time_compare(asked.key, door_key()):
        return PASSES
    try:
        path = asked.path
    except UnicodeDecodeError:
        return Verdict(403, "The address cannot be read.")
    if not asked.uri.startswith("/") or asked.uri.startswith("//") or not _is_plain(path):
        return Verdict(403, "The address cannot be read.")
    rule = rule_for(asked.method, path)
    if rule is not None and rule.need == Need.NOBODY:
        return PASSES
    if asked.authorization or asked.api_key:
        return _by_token(asked)
    return _by_session(asked, rule, path)


def _is_plain(path: str) -> bool:
    """No part of it is empty, `.` or `..`: a proxy may choose where it goes by what these come to, Label Studio not."""
    return path == "/" or not {"", ".", ".."} & set(path.split("/")[1:])


def _by_token(asked: Asked) -> Verdict:
    """A script. Members have no tokens, because nobody lets them read or make one; only the owner's is left.

    A token and somebody's session together are refused: Label Studio falls back to the session where the token is
    void. It gives a session of nobody to whoever comes by token, and scripts bring that back.
    """
    if read_session(asked.cookies.get("sessionid", "")) is not None:
        return Verdict(403, "A token or a session, not both.")
    kind, _, token = asked.authorization.partition(" ")
    token = asked.api_key or token
    if asked.api_key or kind == "Token":
        given = settings.LABELSTUDIO_TOKEN
        if given and constant_time_compare(token, given):
            return PASSES
    elif kind == "Bearer" and Facts.bearer_may_pass(token):
        return PASSES
    return Verdict(403, "CrashDesk does not know this token. Sign in from CrashDesk.")


def _by_session(asked: Asked, rule: Rule | None, path: str) -> Verdict:
    said = read_session(asked.cookies.get("sessionid", ""))
    session = live_session(said) if said is not None else None
    if path in (
        "/user/login",
        "/user/signup",
    ):  # Label Studio's own answer to a session that it does not know
        back = (asked.query.get("next") or ["/projects/"])[0]
        return Verdict(401, "Sign in from CrashDesk.", leads_to=SIGN_IN, back=back, renew=session is not None)
    if session is None:
        return Verdict(401, "Sign in from CrashDesk.", leads_to=SIGN_IN, back=asked.uri)
    user = session.member.user
    if user.role == Role.ADMIN:
        return PASSES
    if rule is None:
        return Verdict(403, "CrashDesk does not allow this in Label Studio.", leads_to=WORK)
    match = rule.path.fullmatch(path)
    numbers = {name: int(value) for name, value in (match.groupdict() if match else {}).items() if value}
    try:
        return _answer(Facts(user, query=asked.query, **numbers), rule.need)
    except Problem as problem:  # Label Studio was asked whose it is, and did not say
        return Verdict(403, problem.message)


def _answer(facts: Facts, need: Need) -> Verdict:
    if need == Need.OWN_TASKS:
        if not facts.open_project():
            return Verdict(403, "This project is not open to you.")
        return PASSES if facts.oversees_project() else Verdict(204, query=facts.own_tasks_query())
    if need == Need.MEMBER:
        return PASSES
    checks: dict[Need, tuple[Callable[[], bool], str]] = {
        Need.PROJECT: (facts.open_project, "This project is not open to you."),
        Need.SEE_TASK: (facts.sees_task, "This case is not yours."),
        Need.ANSWER_TASK: (facts.answers_task, "This case is not yours to answer now."),
        Need.SEE_ANNOTATION: (facts.sees_annotation, "This annotation is somebody else's."),
        Need.OWN_ANNOTATION: (facts.owns_annotation, "This annotation is not yours to change now."),
        Need.OWN_DRAFT: (facts.owns_draft, "This draft is not yours to change now."),
        Need.CLIP: (facts.open_clip, "This clip is not open to you."),
        Need.CLIP_OF_TASK: (facts.clip_of_task, "This clip is not that of your case."),
    }
    check, refusal = checks[need]
    return PASSES if check() else Verdict(403, refusal, leads_to=WORK)
