"""CrashDesk's one settings file. Every choice is an environment variable with an embedded default.

See docs/deploy.md for the table of variables; deploy/compose.yaml sets them for a server.
"""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from crashdesk.embedded import config as embedded
from crashdesk.environment import (
    database_settings,
    env_flag,
    env_int,
    storage_backend,
    storage_location,
)

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = embedded.load_config()
HOME = EMBEDDED.home

DEBUG = env_flag("CRASHDESK_DEBUG", False)
SECRET_KEY = os.environ.get("CRASHDESK_SECRET_KEY") or embedded.secrets(HOME).django_secret_key
ALLOWED_HOSTS = os.environ.get("CRASHDESK_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = [o for o in os.environ.get("CRASHDESK_TRUSTED_ORIGINS", "").split(",") if o]
PORT = EMBEDDED.port
PUBLIC_URL = os.environ.get("CRASHDESK_PUBLIC_URL", f"http://127.0.0.1:{PORT}").rstrip("/")

INSTALLED_APPS = [
    "crashdesk.accounts",
    "crashdesk.audit",
    "crashdesk.jobs",
    "crashdesk.embedded",
    "crashdesk.demo",
    "annotations.corpora",
    "annotations.cases",
    "annotations.reviews",
    "annotations.comments",
    "annotations.gold",
    "annotations.effort",
    "annotations.labelstudio",
    "annotations.labelstudio.accounts",
    "annotations.datasets",
    "annotations.quality",
    "annotations.corpus_audit",
    "model_assist.registry",
    "model_assist.predictions",
    "model_assist.calibration",
    "model_assist.training",
    "model_assist.selection",
    "model_assist.auto_approval",
    "model_assist.suspects",
    "frontend",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "crashdesk.accounts.scope.remember_while_reading",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "crashdesk.urls"
WSGI_APPLICATION = "crashdesk.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": database_settings(
        os.environ.get("CRASHDESK_DATABASE_URL") or embedded.embedded_database_url(EMBEDDED)
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
# Label Studio on the same host uses Django's default cookie names, and cookies ignore ports.
SESSION_COOKIE_NAME = "crashdesk_session"
CSRF_COOKIE_NAME = "crashdesk_csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = HOME / "static"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

STORAGE_LOCATION = storage_location(os.environ.get("CRASHDESK_STORAGE_URL") or str(HOME / "media"))
STORAGES = {
    "default": storage_backend(STORAGE_LOCATION),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

# Only these folders may be read by an import that names a path on the server.
IMPORT_ROOTS = [
    Path(p).resolve()
    for p in os.environ.get("CRASHDESK_IMPORT_ROOTS", str(HOME / "incoming")).split(os.pathsep)
    if p
]

# Clips that arrive over the network: by upload, from a bucket, from an address that an imported file names.
UPLOAD_MAX_BYTES = env_int("CRASHDESK_UPLOAD_MAX_MB", 4096) * 1024**2
UPLOAD_EXPIRE_HOURS = env_int("CRASHDESK_UPLOAD_EXPIRE_HOURS", 48)
# Only buckets (or folders in them) named here may be read, e.g. s3://clips/dashcam?endpoint=https://host&region=name
BUCKET_ROOTS = [
    root.strip() for root in os.environ.get("CRASHDESK_BUCKET_ROOTS", "").split(",") if root.strip()
]
FETCH_URLS = env_flag("CRASHDESK_FETCH_URLS", False)
FETCH_MAX_BYTES = env_int("CRASHDESK_FETCH_MAX_MB", 2048) * 1024**2
FETCH_TIMEOUT_SECONDS = env_int("CRASHDESK_FETCH_TIMEOUT_SECONDS", 600)

CELERY_BROKER_URL = os.environ.get("CRASHDESK_BROKER_URL") or embedded.embedded_broker_url(EMBEDDED)
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "data"
if CELERY_BROKER_URL.startswith("amqp"):
    CELERY_TASK_DEFAULT_QUEUE_TYPE = "quorum"
    CELERY_WORKER_DETECT_QUORUM_QUEUES = True
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {"confirm_publish": True}
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600}
# `tick` is read by every worker but the GPU's, so that no long job of one queue can hold it up.
CELERY_BEAT_SCHEDULE = {
    "reap-jobs": {
        "task": "crashdesk.jobs.tasks.tick",
        "schedule": 2.0,
        "options": {"queue": "tick", "expires": 10},
    },
    "expire-uploads": {
        "task": "annotations.corpora.tasks.expire_uploads",
        "schedule": 600.0,
        "options": {"queue": "data", "expires": 300},
    },
    "expire-assignments": {
        "task": "annotations.reviews.tasks.expire_assignments",
        "schedule": 30.0,
        "options": {"queue": "data", "expires": 30},
    },
    "share-out-cases": {
        "task": "annotations.gold.tasks.share_out",
        "schedule": 30.0,
        "options": {"queue": "data", "expires": 30},
    },
    "follow-people": {
        "task": "annotations.labelstudio.accounts.tasks.follow",
        "schedule": 60.0,
        "options": {"queue": "sync", "expires": 60},
    },
    "score-gold": {
        "task": "annotations.gold.tasks.score_due",
        "schedule": 60.0,
        "options": {"queue": "data", "expires": 50},
    },
    "poll-label-studio": {
        "task": "annotations.labelstudio.tasks.poll",
        "schedule": float(env_int("CRASHDESK_POLL_SECONDS", 3)),
        "options": {"queue": "sync", "expires": 30},
    },
    "auto-approval": {
        "task": "model_assist.auto_approval.tasks.look",
        "schedule": 60.0,
        "options": {"queue": "data", "expires": 50},
    },
    "check-label-studio": {
        "task": "annotations.labelstudio.tasks.check",
        "schedule": 30.0,
        "options": {"queue": "sync", "expires": 25},
    },
    "renew-tasks": {
        "task": "annotations.labelstudio.tasks.renew_tasks",
        "schedule": 60.0,
        "options": {"queue": "sync", "expires": 55},
    },
}

# A pause longer than this between two moments of activity is idle time (docs/effort.md); the past is read anew by it.
ACTIVITY_IDLE_SECONDS = env_int("CRASHDESK_ACTIVITY_IDLE_SECONDS", 60, at_least=1)

# A worker that has not renewed its claim for this long has lost the job.
JOB_LEASE_SECONDS = env_int("CRASHDESK_JOB_LEASE_SECONDS", 20)
JOB_MAX_ATTEMPTS = env_int("CRASHDESK_JOB_MAX_ATTEMPTS", 3)
MEDIA_TIMEOUT_SECONDS = env_int("CRASHDESK_MEDIA_TIMEOUT_SECONDS", 300)
MEDIA_MEMORY_MB = env_int("CRASHDESK_MEDIA_MEMORY_MB", 4096)

# The model: a path or hub id of a native video_llama_3 checkpoint, and the folder of its adapters.
MODEL_BASE = os.environ.get("CRASHDESK_MODEL", str(HOME / "model" / "base"))
MODEL_ADAPTERS = Path(os.environ.get("CRASHDESK_ADAPTERS", str(HOME / "model" / "adapters")))

# How a worker runs it: see docs/workers.md. 0 clips per batch: as many as the model's own settings say.
CLIPS_PER_BATCH = env_int("CRASHDESK_CLIPS_PER_BATCH", 0, at_least=0)
FRAMES_TIMEOUT_SECONDS = env_int("CRASHDESK_FRAMES_TIMEOUT_SECONDS", 60, at_least=1)
# Vision features kept on disk, so that other questions and adapters need no decoding; 0 MB keeps none.
FEATURE_CACHE = Path(os.environ.get("CRASHDESK_FEATURE_CACHE") or HOME / "features")
FEATURE_CACHE_BYTES = env_int("CRASHDESK_FEATURE_CACHE_MB", 0, at_least=0) * 1024**2

LABELSTUDIO_URL = (
    os.environ.get("CRASHDESK_LABELSTUDIO_URL") or embedded.embedded_labelstudio_url(EMBEDDED)
).rstrip("/")
LABELSTUDIO_PUBLIC_URL = os.environ.get("CRASHDESK_LABELSTUDIO_PUBLIC_URL", LABELSTUDIO_URL).rstrip("/")
if os.environ.get("CRASHDESK_LABELSTUDIO_URL"):
    LABELSTUDIO_EMAIL = os.environ.get("CRASHDESK_LABELSTUDIO_EMAIL", "")
    LABELSTUDIO_PASSWORD = os.environ.get("CRASHDESK_LABELSTUDIO_PASSWORD", "")
    LABELSTUDIO_TOKEN = os.environ.get("CRASHDESK_LABELSTUDIO_TOKEN", "")
    if not (LABELSTUDIO_TOKEN or (LABELSTUDIO_EMAIL and LABELSTUDIO_PASSWORD)):
        raise ImproperlyConfigured(
            "CRASHDESK_LABELSTUDIO_URL names an external Label Studio; also set CRASHDESK_LABELSTUDIO_EMAIL and "
            "CRASHDESK_LABELSTUDIO_PASSWORD of the account that CrashDesk is to use, or CRASHDESK_LABELSTUDIO_TOKEN "
            "to a token of it"
        )
else:
    LABELSTUDIO_EMAIL = embedded.LABELSTUDIO_EMAIL
    LABELSTUDIO_PASSWORD = embedded.secrets(HOME).labelstudio_password
    LABELSTUDIO_TOKEN = embedded.secrets(HOME).labelstudio_token
# A Label Studio elsewhere may not see our folder of clips: it gets signed addresses. See docs/labelstudio.md.
LABELSTUDIO_MEDIA = os.environ.get("CRASHDESK_LABELSTUDIO_MEDIA") or (
    "signed" if os.environ.get("CRASHDESK_LABELSTUDIO_URL") else "storage"
)
if LABELSTUDIO_MEDIA not in {"signed", "storage"}:
    raise ImproperlyConfigured(f"CRASHDESK_LABELSTUDIO_MEDIA={LABELSTUDIO_MEDIA!r}: write signed or storage")
LABELSTUDIO_MEDIA_DAYS = env_int("CRASHDESK_LABELSTUDIO_MEDIA_DAYS", 14, at_least=1)
# Label Studio's own pages slow down with a project's size; a corpus with more cases gets several projects.
LABELSTUDIO_PART_SIZE = env_int("CRASHDESK_LABELSTUDIO_PART_SIZE", 4500, at_least=1)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["crashdesk.api.permissions.RolePermission"],
    "DEFAULT_PAGINATION_CLASS": "crashdesk.api.pagination.KeysetPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "crashdesk.api.handler.exception_handler",
    "DEFAULT_THROTTLE_RATES": {"token": "60/min"},
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "CrashDesk",
    "DESCRIPTION": "Human-in-the-loop labelling of traffic-crash video.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "ImportFormatEnum": "annotations.corpora.models.ImportFormat",
        "ExportFormatEnum": "annotations.datasets.models.ExportFormat",
        "SplitEnum": "annotations.datasets.models.Split",
        "JobStateEnum": "crashdesk.jobs.models.JobState",
        "DisputeStateEnum": "annotations.reviews.models.DisputeState",
        "AnswerStateEnum": "annotations.cases.kinds.AnswerState",
        "KindEnum": "annotations.cases.kinds.Kind",
        "OutcomeEnum": "annotations.reviews.models.ReviewOutcome",
        "PolicyEvidenceEnum": "model_assist.auto_approval.models.Evidence",
        "PolicyOutcomeEnum": "model_assist.auto_approval.models.Outcome",
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": os.environ.get("CRASHDESK_LOG_LEVEL", "INFO")},
    "loggers": {"faiss.loader": {"level": "WARNING"}},  # it tells how it was built each time
}
