import pytest

from annotations.corpora.buckets.location import BucketLocation, allowed_location, parse_location
from crashdesk.api.errors import Problem

ROOT = "s3://clips/dashcam?endpoint=https://store.example&region=eu-west-1"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("s3://clips", BucketLocation("clips")),
        ("s3://clips/", BucketLocation("clips")),
        ("s3://clips/a/b%20c", BucketLocation("clips", "a/b c/")),
        ("s3://clips/a/?region=eu-west-1", BucketLocation("clips", "a/", None, "eu-west-1")),
        ("s3://clips?endpoint=http://h:9000/", BucketLocation("clips", "", "http://h:9000")),
        (ROOT, BucketLocation("clips", "dashcam/", "https://store.example", "eu-west-1")),
    ],
)
def test_an_address_is_read_and_written(url: str, wanted: BucketLocation) -> None:
    assert parse_location(url) == wanted
    assert parse_location(wanted.url) == wanted


@pytest.mark.parametrize(
    "url",
    [
        "", "clips", "https://clips", "s3://", "s3://user:pw@clips", "s3://clips:9000", "s3://clips/a/../b",
        "s3://clips/a//b", "s3://clips?secret=x", "s3://clips?endpoint=ftp://h", "s3://clips?endpoint=http://u:p@h",
        "s3://clips?region=a&region=b", "s3://clips#x", "s3://clips/a%00b", "s3://clips?nonsense", "s3://[clips",
    ],
)  # fmt: skip
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_location(url)
    assert (caught.value.code, caught.value.status) == ("invalid_bucket_url", 400)


@pytest.mark.parametrize("url", [ROOT, "s3://clips/dashcam", "s3://clips/dashcam/2024/"])
def test_what_an_address_does_not_say_comes_from_its_root(url: str) -> None:
    found = allowed_location(url, roots=["s3://others", ROOT])
    assert (found.endpoint, found.region) == ("https://store.example", "eu-west-1")
    assert found.prefix.startswith("dashcam/")


@pytest.mark.parametrize(
    "url",
    [
        "s3://clips", "s3://clips/dash", "s3://clips/dashcam2", "s3://private/dashcam",
        "s3://clips/dashcam?endpoint=http://169.254.169.254", "s3://clips/dashcam?region=us-east-1",
    ],
)  # fmt: skip
def test_an_address_outside_the_roots_is_refused(url: str) -> None:
    with pytest.raises(Problem) as caught:
        allowed_location(url, roots=[ROOT])
    assert (caught.value.code, caught.value.status) == ("bucket_not_allowed", 403)
    assert "s3://clips/dashcam" in caught.value.message


def test_no_roots_means_no_buckets() -> None:
    with pytest.raises(Problem, match="CRASHDESK_BUCKET_ROOTS is empty"):
        allowed_location("s3://clips", roots=[])
