"""Reading environment variables with help when one is missing or nonsense."""

import os
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured


def env_flag(name: str, default: bool) -> bool:
    """A yes/no variable: 1/0, true/false, yes/no. Raises ImproperlyConfigured on anything else."""
    raw = os.environ.get(name, "").strip().lower()
    if raw == "":
        return default
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name}={raw!r} is neither yes nor no; write {name}=1 or {name}=0")


def env_int(name: str, default: int, *, at_least: int | None = None) -> int:
    """A whole number. Raises ImproperlyConfigured on anything else, and on one below `at_least`."""
    raw = os.environ.get(name, "").strip()
    if raw == "":
        return default
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={raw!r} is not a whole number") from None
    if at_least is not None and value < at_least:
        raise ImproperlyConfigured(f"{name}={value} is too small; write {at_least} or more")
    return value


DATABASE_OPTIONS = frozenset(
    {"sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name"}
)


def database_settings(url: str) -> dict[str, object]:
    """Django's DATABASES entry for postgresql://user:password@host:port/name?sslmode=require.

    Raises ImproperlyConfigured, without the password, for other databases and for unknown options.
    """
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if parts.scheme not in {"postgresql", "postgres"} or not parts.path.strip("/"):
        raise ImproperlyConfigured(
            f"CRASHDESK_DATABASE_URL begins with {parts.scheme}:// and names host {parts.hostname}: CrashDesk runs on "
            "PostgreSQL; write postgresql://user:password@host:5432/crashdesk"
        )
    if unknown := sorted(set(options) - DATABASE_OPTIONS):
        raise ImproperlyConfigured(
            f"CRASHDESK_DATABASE_URL has unknown options {', '.join(unknown)}; "
            f"known: {', '.join(sorted(DATABASE_OPTIONS))}"
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


@dataclass(frozen=True)
class S3Location:
    """An S3-compatible bucket, from s3://bucket?endpoint=https://host&region=eu-west-1."""

    bucket: str
    endpoint: str | None
    region: str | None


def storage_location(url: str) -> S3Location | str:
    """CRASHDESK_STORAGE_URL as an S3 bucket, or as a local folder (file:///path or a plain path)."""
    parts = urlsplit(url)
    if parts.scheme == "s3":
        query = parse_qs(parts.query)
        return S3Location(
            bucket=parts.netloc,
            endpoint=query.get("endpoint", [None])[0],
            region=query.get("region", [None])[0],
        )
    if parts.scheme in {"", "file"}:
        return unquote(parts.path)
    raise ImproperlyConfigured(
        f"CRASHDESK_STORAGE_URL={url!r}: write file:///folder or s3://bucket?endpoint=https://host"
    )


def storage_backend(location: S3Location | str) -> dict[str, object]:
    """Django's STORAGES entry for a bucket or a local folder."""
    if isinstance(location, str):
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": location, "allow_overwrite": True},
        }
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": location.bucket,
            "endpoint_url": location.endpoint,
            "region_name": location.region,
            "file_overwrite": True,
            "signature_version": "s3v4",  # newer regions refuse addresses signed in the older way
        },
    }
