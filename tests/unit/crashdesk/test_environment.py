"""What the environment's variables mean, and what is said when they are nonsense."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from crashdesk.environment import S3Location, database_settings, env_flag, env_int, storage_location


def test_a_database_address_with_its_options() -> None:
    found = database_settings("postgresql://ada:p%40ss@db.example:5433/crashdesk?sslmode=require")
    assert (found["USER"], found["PASSWORD"], found["HOST"]) == ("ada", "p@ss", "db.example")
    assert (found["PORT"], found["NAME"], found["OPTIONS"]) == ("5433", "crashdesk", {"sslmode": "require"})


@pytest.mark.parametrize(
    "url", ["mysql://ada:secret@db/x", "postgresql://ada:secret@db/", "postgresql://ada:secret@db/x?ssl=1"]
)
def test_a_bad_database_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        database_settings(url)
    assert "secret" not in str(refusal.value)


def test_storage_is_a_folder_or_a_bucket() -> None:
    assert storage_location("file:///srv/media") == "/srv/media"
    assert storage_location("/srv/media") == "/srv/media"
    assert storage_location("s3://clips?endpoint=https://s3.example&region=eu") == S3Location(
        "clips", "https://s3.example", "eu"
    )
    with pytest.raises(ImproperlyConfigured, match="s3://bucket"):
        storage_location("ftp://host/x")


def test_flags_and_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRASHDESK_X", "yes")
    assert env_flag("CRASHDESK_X", False) is True
    assert env_flag("CRASHDESK_ABSENT", True) is True
    with pytest.raises(ImproperlyConfigured, match="whole number"):
        env_int("CRASHDESK_X", 1)
    monkeypatch.setenv("CRASHDESK_X", "12")
    assert env_int("CRASHDESK_X", 1) == 12
    with pytest.raises(ImproperlyConfigured, match="neither yes nor no"):
        env_flag("CRASHDESK_X", False)
