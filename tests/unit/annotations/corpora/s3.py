"""A local S3-compatible server (moto), reached over HTTP as any other, that counts what is asked of it."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from pytest_django import Settings

from crashdesk.environment import S3Location, storage_backend, storage_location

BUCKET = "clips"


@dataclass
class S3Server:
    """`asked` counts calls of this process's clients by operation, e.g. GetObject."""

    endpoint: str
    client: Any
    asked: Counter[str] = field(default_factory=Counter)

    @property
    def location(self) -> S3Location:
        found = storage_location(f"s3://{BUCKET}?endpoint={self.endpoint}&region=us-east-1")
        assert isinstance(found, S3Location)
        return found

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def stored_keys(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=BUCKET)
        return [item["Key"] for item in found.get("Contents", [])]


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A fresh server with an empty bucket `clips`."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        requests.post(f"{endpoint}/moto-api/reset", timeout=10).raise_for_status()  # kept per process
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        found = S3Server(endpoint, client)
        _count_calls(found, monkeypatch)
        yield found
    finally:
        server.stop()


def _count_calls(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.client

    real: Callable[..., Any] = botocore.client.BaseClient._make_api_call

    def counted(self: Any, operation: str, told: Any) -> Any:
        if self is not server.client:
            server.asked[operation] += 1
        return real(self, operation, told)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)


def use_as_store(server: S3Server, settings: Settings) -> None:
    """Let the bucket be the default storage."""
    location = server.location
    settings.STORAGE_LOCATION = location
    settings.STORAGES = {**settings.STORAGES, "default": storage_backend(location)}
