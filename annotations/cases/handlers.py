"""The long work of this room."""

from annotations.cases.arrivals import upload_gave_up, upload_work
from annotations.cases.bucket_sync import sync_work
from annotations.cases.fetching import fetch_gave_up, fetch_work
from annotations.cases.intake import import_work
from annotations.cases.media_handler import media_gave_up, media_work
from crashdesk.accounts.permissions import Action
from crashdesk.jobs.registry import register

register("import", queue="data", run=import_work)
register("media", queue="media", run=media_work, gave_up=media_gave_up)
register("upload", queue="data", run=upload_work, needs=Action.IMPORT, gave_up=upload_gave_up)
register("bucket_sync", queue="data", run=sync_work, needs=Action.IMPORT)
register("fetch", queue="data", run=fetch_work, needs=Action.IMPORT, gave_up=fetch_gave_up)
