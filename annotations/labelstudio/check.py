"""Whether this Label Studio will do, looked at piece by piece, each with what to do where it will not.

Nothing is taken on trust: a project is made for the check, given what CrashDesk gives its own, and deleted again. One
that a killed check left behind is deleted by the next.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

import requests
from django.conf import settings
from django.core.files.storage import default_storage
from django.utils.crypto import salted_hmac

from annotations.corpora.models import Media, MediaState
from annotations.labelstudio.client import Client, LabelStudioDown, LabelStudioRefused
from annotations.labelstudio.config import CRASH_LABEL, SEGMENTS, VIDEO, labelling_config
from annotations.labelstudio.media_links import labelstudio_origin, signs, video_address
from annotations.labelstudio.provision import attach_storage, webhook_body
from annotations.labelstudio.tokens import is_personal
from crashdesk.api.errors import Problem
from crashdesk.environment import S3Location

TESTED_VERSION: Final = "1.23"
FLAG: Final = "fflag_feat_utc_210_prediction_validation_15082025"
TITLE: Final = "CrashDesk check"
TIMEOUT_SECONDS: Final = (3.05, 30)


class State(StrEnum):
    """`warning`: it works, but less well or less safely than it could. `skipped`: nothing to look at yet."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found, and what to do about it (empty when nothing)."""

    code: str
    state: State
    found: str
    advice: str = ""


def check_server(client: Client) -> list[Finding]:
    """Every finding, in order. What cannot be looked at because Label Studio is away or refuses us is left out."""
    findings: list[Finding] = []
    for look in (_reachable, _version, _token, _legacy_tokens):
        finding = look(client)
        findings.append(finding)
        if finding.state == State.ERROR and finding.code in ("reachable", "token"):
            return findings
    with _project(client) as project_id:
        looks: tuple[Callable[[Client, int], Finding], ...] = (_form, _validation, _webhooks, _media)
        findings += [look(client, project_id) for look in looks]
    return findings


def as_rows(findings: list[Finding]) -> list[dict[str, str]]:
    """For JSON."""
    return [asdict(finding) for finding in findings]


def _reachable(client: Client) -> Finding:
    try:
        answer = client.get("/health")
    except (LabelStudioDown, LabelStudioRefused) as problem:
        advice = "Start Label Studio, or let CRASHDESK_LABELSTUDIO_URL name the address where this machine reaches it."
        return Finding("reachable", State.ERROR, problem.message, advice)
    if not isinstance(answer, dict) or answer.get("status") != "UP":
        advice = "Let CRASHDESK_LABELSTUDIO_URL name a Label Studio."
        return Finding("reachable", State.ERROR, f"{client.url}/health says {str(answer)[:80]}", advice)
    return Finding("reachable", State.OK, f"{client.url} answers")


def _version(client: Client) -> Finding:
    try:
        said = client.get("/api/version")
    except Problem as problem:
        return Finding("version", State.WARNING, f"unknown: {problem.message}", "See the next lines.")
    version = str(said.get("release", "unknown")) if isinstance(said, dict) else "unknown"
    if version.startswith(f"{TESTED_VERSION}."):
        return Finding("version", State.OK, version)
    advice = (
        f"CrashDesk is tested with {TESTED_VERSION}; install that, or run `make test-services` against yours."
    )
    return Finding("version", State.WARNING, version, advice)


def _token(client: Client) -> Finding:
    try:
        me = client.get("/api/current-user/whoami")
    except Problem as problem:
        advice = (
            "Set CRASHDESK_LABELSTUDIO_EMAIL and CRASHDESK_LABELSTUDIO_PASSWORD of an account in Label Studio: "
            "CrashDesk then makes its own token. Or put a valid token into CRASHDESK_LABELSTUDIO_TOKEN."
        )
        return Finding("token", State.ERROR, problem.message, advice)
    return Finding("token", State.OK, f"signed in as {me.get('email')}")


def _legacy_tokens(client: Client) -> Finding:
    try:
        allowed = bool(client.get("/api/jwt/settings")["legacy_api_tokens_enabled"])
    except (Problem, KeyError, TypeError) as problem:
        advice = "Let CrashDesk use the account of the organisation's owner, who may see this setting."
        return Finding("legacy_tokens", State.WARNING, f"unknown: {problem}", advice)
    used = bool(settings.LABELSTUDIO_TOKEN) and not is_personal(settings.LABELSTUDIO_TOKEN)
    if allowed and not used:
        advice = "Nobody needs them for CrashDesk; the owner may switch them off (Organization, Access Token Settings)."
        return Finding("legacy_tokens", State.OK, "allowed, not used by CrashDesk", advice)
    if used and not allowed:
        advice = "Remove CRASHDESK_LABELSTUDIO_TOKEN: a legacy token is configured and refused; CrashDesk made its own."
        return Finding("legacy_tokens", State.WARNING, "switched off", advice)
    return Finding("legacy_tokens", State.OK, "allowed and used" if allowed else "switched off, not needed")


# --- with a project made for the check -------------------------------------------------------------------


def _marker() -> str:
    return f"crashdesk-check:{salted_hmac('labelstudio.installation', 'id').hexdigest()[:12]}"


@contextmanager
def _project(client: Client) -> Iterator[int]:
    for left in client.get("/api/projects", page_size=100, include="id,title,description")["results"]:
        if _marker() in (left["description"] or "").split():
            client.delete(f"/api/projects/{left['id']}/")
    made = client.post(
        "/api/projects",
        {
            "title": f"{TITLE} {secrets.token_hex(4)}",
            "description": _marker(),
            "label_config": labelling_config(),
        },
    )
    try:
        yield int(made["id"])
    finally:
        client.delete(f"/api/projects/{made['id']}/")


def _form(client: Client, project_id: int) -> Finding:
    try:
        client.post("/api/projects/validate/", {"label_config": labelling_config()})
    except LabelStudioRefused as refused:
        return Finding(
            "form", State.ERROR, refused.detail[:300], "Use a version that CrashDesk is tested with."
        )
    return Finding("form", State.OK, "CrashDesk's labelling form is accepted")


def _validation(client: Client, project_id: int) -> Finding:
    region = {
        "id": "bad", "from_name": SEGMENTS, "to_name": VIDEO, "type": "timelinelabels",
        "value": {"ranges": [{"start": 1, "end": 2}], "timelinelabels": [f"not {CRASH_LABEL}"]},
    }  # fmt: skip
    data = {"video": "x", "fps": 30.0, "name": "x", "note": ""}
    task = {"data": data, "predictions": [{"model_version": "check", "result": [region]}]}
    try:
        client.post(f"/api/projects/{project_id}/import", [task])
    except LabelStudioRefused as refused:
        if refused.http_status != 400:
            raise
        return Finding("prediction_validation", State.OK, "a draft that does not fit the form is refused")
    advice = (
        f"Start Label Studio with {FLAG}=true. CrashDesk checks its own drafts, but not what others bring in."
    )
    return Finding(
        "prediction_validation", State.WARNING, "drafts that do not fit the form are accepted", advice
    )


def _webhooks(client: Client, project_id: int) -> Finding:
    body = webhook_body() | {"project": project_id}
    try:
        client.post("/api/webhooks/", body)
    except LabelStudioRefused as refused:
        advice = (
            "Answers still arrive with the next poll. For hints at once, start Label Studio with "
            "SSRF_PROTECTION_ENABLED=false (or USE_DEFAULT_BANNED_SUBNETS=false), or let CRASHDESK_PUBLIC_URL be an "
            "address that is not private."
        )
        return Finding("webhooks", State.WARNING, f"{body['url']} is refused: {refused.detail[:200]}", advice)
    return Finding("webhooks", State.OK, f"{body['url']} is accepted")


def _media(client: Client, project_id: int) -> Finding:
    media = Media.objects.filter(state=MediaState.READY).order_by("-id").first()
    if media is None:
        return Finding(
            "media", State.SKIPPED, "there is no clip yet", "Run this again after the first import."
        )
    headers = {"Range": "bytes=0-1", "Origin": labelstudio_origin()}
    address, _ = video_address(media)
    if isinstance(settings.STORAGE_LOCATION, S3Location):
        address = default_storage.url(media.proxy_name)
        advice = (
            f"Let the bucket's CORS rules allow GET and HEAD from {labelstudio_origin()} with the header Range, and "
            "expose Content-Range and Content-Length."
        )
    elif signs():
        advice = "Let CRASHDESK_PUBLIC_URL be the address under which browsers reach CrashDesk."
    else:
        attach_storage(project_id, client)
        address, headers = client.url + address, headers | client.authorization()
        advice = (
            "Let Label Studio see CrashDesk's folder of clips: LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={settings.STORAGE_LOCATION}. Or set "
            "CRASHDESK_LABELSTUDIO_MEDIA=signed."
        )
    try:
        answer = requests.get(address, headers=headers, timeout=TIMEOUT_SECONDS, stream=True)
    except requests.RequestException as error:
        return Finding("media", State.ERROR, f"{address.split('?')[0]} does not answer: {error}", advice)
    with answer:
        return _judged(answer, address, advice, same_origin=address.startswith(client.url))


def _judged(answer: requests.Response, address: str, advice: str, *, same_origin: bool) -> Finding:
    where = address.split("?")[0]
    if answer.status_code == 200:
        found = f"{where} sends whole files only; without ranges nobody can seek"
        return Finding("media", State.ERROR, found, advice)
    if answer.status_code != 206:
        return Finding("media", State.ERROR, f"{where} answers {answer.status_code}", advice)
    allowed = answer.headers.get("Access-Control-Allow-Origin", "")
    if not same_origin and allowed not in ("*", labelstudio_origin()):
        found = f"{where} does not let pages of {labelstudio_origin()} read it (CORS)"
        return Finding("media", State.ERROR, found, advice)
    return Finding(
        "media", State.OK, f"{where} serves ranges" + ("" if same_origin else " and allows the page")
    )
