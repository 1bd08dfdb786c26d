"""The Label Studio project of a corpus under a guideline: made once, found again, kept in line."""

import logging
from pathlib import Path
from typing import Any

import boto3
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac

from annotations.cases.models import Guideline
from annotations.corpora.models import Corpus
from annotations.labelstudio.client import Client, LabelStudioRefused
from annotations.labelstudio.client import client as default_client
from annotations.labelstudio.config import config_hash
from annotations.labelstudio.forms import ensure_form
from annotations.labelstudio.locks import provisioning
from annotations.labelstudio.media_links import signs
from annotations.labelstudio.models import LabelStudioAnnotation, LabelStudioForm, LabelStudioProject
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.environment import S3Location

logger = logging.getLogger(__name__)

FOLDERS = ("proxies", "videos")
"""Where proxies lie; a clip that browsers play as it is serves as its own proxy."""
VIEW_TITLE = "Review order"
RANK_FIELD = "review_rank"
SECRET_HEADER = "X-CrashDesk-Secret"
WEBHOOK_PATH = "/api/labelstudio/webhook"
WEBHOOK_ACTIONS = ["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED", "ANNOTATIONS_DELETED"]
MAX_TITLE = 50


def webhook_secret() -> str:
    """What Label Studio must send with a webhook. Any of its members can read it: the hook is only a hint."""
    return salted_hmac("labelstudio.webhook", "secret").hexdigest()


def marker(corpus: Corpus, guideline: Guideline, part: int = 1) -> str:
    """The line in a project's description by which this installation knows its own project."""
    installation = salted_hmac("labelstudio.installation", "id").hexdigest()[:12]
    line = f"crashdesk:{installation}:corpus-{corpus.pk}:guideline-{guideline.pk}"
    return line if part == 1 else f"{line}:part-{part}"


def has_marker(description: str | None, line: str) -> bool:
    """Whether a description holds the line itself, and not the line of another whose number begins the same."""
    return line in (description or "").split()


def ensure_project(
    *, corpus: Corpus, guideline: Guideline, by: User | None, part: int = 1, client: Client | None = None
) -> LabelStudioProject:
    """The project of this corpus and guideline, with the current form, storage, webhook and ordered view.

    Safe to call again, by several at once, and after a kill: an existing project is found by its stored id, or by its
    marker. One that has vanished from Label Studio is made anew and its tasks are forgotten. Raises Problem when Label
    Studio is down, refuses the form, or shows a foreign project under the stored id.
    """
    client = client or default_client()
    form = ensure_form(corpus=corpus, guideline=guideline, by=by)
    row = project_row(corpus, guideline, part)
    with provisioning(row.pk):
        row.refresh_from_db()
        shown = _find(row, client)
        if shown is None:
            shown = _create(row, form, client)
        elif row.form_id != form.pk or row.project_id != shown["id"]:
            client.patch(f"/api/projects/{shown['id']}/", _form_fields(form))
        attach_storage(shown["id"], client)
        _ensure_view(shown["id"], client)
        _ensure_webhook(shown["id"], client)
        return _save(row, shown=shown, form=form, by=by)


def project_row(corpus: Corpus, guideline: Guideline, part: int = 1) -> LabelStudioProject:
    """Our row of a part, whether or not it is in Label Studio yet."""
    title = title_of(corpus, guideline, part)
    return LabelStudioProject.objects.get_or_create(
        corpus=corpus, guideline=guideline, part=part, defaults={"title": title}
    )[0]


def title_of(corpus: Corpus, guideline: Guideline, part: int) -> str:
    """Label Studio takes 3 to 50 characters."""
    suffix = f" / {guideline.name} v{guideline.version}" + (f" ({part})" if part > 1 else "")
    return (corpus.name[: max(3, MAX_TITLE - len(suffix))] + suffix)[:MAX_TITLE]


def _find(row: LabelStudioProject, client: Client) -> dict[str, Any] | None:
    wanted = marker(row.corpus, row.guideline, row.part)
    if row.project_id is not None:
        try:
            project: dict[str, Any] = client.get(f"/api/projects/{row.project_id}/")
        except LabelStudioRefused as refused:
            if refused.http_status != 404:
                raise
        else:
            if has_marker(project["description"], wanted):
                return project
            message = (
                f"Label Studio's project {row.project_id} is not the one CrashDesk made for {row.corpus.name}: its "
                f"description lacks the line {wanted}. Put the line back, or delete the mapping in the admin."
            )
            raise Problem("labelstudio_foreign_project", message)
    page = 1
    while True:
        reply = client.get(
            "/api/projects", page=page, page_size=100, include="id,title,description,model_version"
        )
        for project in reply["results"]:
            if has_marker(project["description"], wanted):
                return project
        if not reply["next"]:
            return None
        page += 1


def _form_fields(form: LabelStudioForm) -> dict[str, Any]:
    return {
        "label_config": form.xml,
        "expert_instruction": form.instructions,
        "show_instruction": bool(form.guideline.text),
    }


def _create(row: LabelStudioProject, form: LabelStudioForm, client: Client) -> dict[str, Any]:
    client.post("/api/projects/validate/", {"label_config": form.xml})
    project: dict[str, Any] = client.post(
        "/api/projects",
        {
            "title": row.title,
            "description": f"Made by CrashDesk, which owns what is in here. Do not change this line: "
            f"{marker(row.corpus, row.guideline, row.part)}",
            **_form_fields(form),
            "sampling": "Sequential sampling",
            "show_skip_button": True,
            "enable_empty_annotation": False,
            "show_collab_predictions": True,
            "maximum_annotations": 1,
        },
    )
    return project


def attach_storage(project_id: int, client: Client) -> None:
    """Let Label Studio read the proxies: from the shared folders, or from the bucket with signed addresses."""
    if signs():
        return
    location = settings.STORAGE_LOCATION
    if isinstance(location, S3Location):
        kind, wanted = "s3", {f"CrashDesk {location.bucket}": _bucket(location)}
    else:
        kind, root = "localfiles", Path(location).resolve()
        wanted = {f"CrashDesk {name}": {"path": str(root / name)} for name in FOLDERS}
    there = {storage["title"] for storage in client.get(f"/api/storages/{kind}", project=project_id)}
    for title, body in wanted.items():
        if title in there:
            continue
        if "path" in body:
            Path(body["path"]).mkdir(parents=True, exist_ok=True)
        common = {"project": project_id, "title": title, "use_blob_urls": True}
        client.post(f"/api/storages/{kind}", common | body)


def _bucket(location: S3Location) -> dict[str, Any]:
    """Label Studio signs addresses itself, with the keys that CrashDesk itself uses."""
    body: dict[str, Any] = {"bucket": location.bucket, "presign": True, "presign_ttl": 60}
    if location.endpoint:
        body["s3_endpoint"] = location.endpoint
    if location.region:
        body["region_name"] = location.region
    keys = boto3.Session().get_credentials()
    if keys is not None:
        frozen = keys.get_frozen_credentials()
        body |= {"aws_access_key_id": frozen.access_key, "aws_secret_access_key": frozen.secret_key}
        if frozen.token:
            body["aws_session_token"] = frozen.token
    return body


def _ensure_view(project_id: int, client: Client) -> None:
    """A tab of the Data Manager in review order; "Label tasks as displayed" follows it even after a new ranking."""
    views = client.get("/api/dm/views", project=project_id)
    if any(view["data"].get("title") == VIEW_TITLE for view in views):
        return
    data = {
        "title": VIEW_TITLE,
        "type": "list",
        "target": "tasks",
        "ordering": [f"tasks:data.{RANK_FIELD}"],
        "filters": {"conjunction": "and", "items": []},
    }
    client.post("/api/dm/views", {"project": project_id, "data": data})


def webhook_body() -> dict[str, Any]:
    """The webhook as Label Studio is asked for it, but for the project."""
    return {
        "url": settings.PUBLIC_URL + WEBHOOK_PATH,
        "headers": {SECRET_HEADER: webhook_secret()},
        "actions": WEBHOOK_ACTIONS,
        "is_active": True,
        "send_payload": False,
        "send_for_all_actions": False,
    }


def _ensure_webhook(project_id: int, client: Client) -> None:
    """Ask for hints. Polling is what counts, so a Label Studio that refuses our address is only noted."""
    body = webhook_body()
    url = body["url"]
    wanted = {name: body[name] for name in ("url", "headers", "actions", "is_active")}
    for hook in client.get("/api/webhooks/", project=project_id):
        if hook["project"] == project_id and hook["url"] == url:
            if any(hook[name] != value for name, value in wanted.items()):
                client.patch(f"/api/webhooks/{hook['id']}/", wanted)
            return
    try:
        client.post("/api/webhooks/", body | {"project": project_id})
    except LabelStudioRefused as refused:
        if refused.http_status not in (400, 403):
            raise
        logger.warning("Label Studio takes no webhook to %s; polling alone must do: %s", url, refused.detail)


@transaction.atomic
def _save(
    row: LabelStudioProject, *, shown: dict[str, Any], form: LabelStudioForm, by: User | None
) -> LabelStudioProject:
    for other in LabelStudioProject.objects.filter(project_id=shown["id"]).exclude(pk=row.pk):
        forget(other, by=by)
    row = LabelStudioProject.objects.select_for_update().get(pk=row.pk)
    if row.project_id not in (None, shown["id"]):
        forget(row, by=by)
    if row.project_id is None:
        data = {"project_id": shown["id"], "part": row.part}
        record(actor=by, verb="labelstudio.project_made", subject=row, data=data)
    if row.form_id != form.pk and row.form_id is not None:
        record(actor=by, verb="labelstudio.form_changed", subject=row, data={"version": form.version})
    row.project_id, row.title, row.form = shown["id"], shown["title"][:MAX_TITLE], form
    row.config_hash = config_hash(form.xml)
    row.save()
    return row


@transaction.atomic
def forget(row: LabelStudioProject, *, by: User | None) -> None:
    """The project is gone from Label Studio: unlink it and its tasks. What was pulled from it stays."""
    lost = row.tasks.filter(task_id__isnull=False).update(task_id=None, sent_at=None, versions=[])
    gone = LabelStudioAnnotation.objects.filter(task__project=row, deleted_at__isnull=True)
    gone.update(deleted_at=timezone.now())
    record(
        actor=by,
        verb="labelstudio.project_lost",
        subject=row,
        data={"project_id": row.project_id, "tasks": lost},
    )
    row.project_id, row.polled_until, row.shown_model_version = None, None, ""
    row.save()
