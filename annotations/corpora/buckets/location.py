"""Where a bucket is, as one address: s3://bucket/folder?endpoint=https://host&region=name. No database here."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from crashdesk.api.errors import Problem


@dataclass(frozen=True)
class BucketLocation:
    """A bucket, or a folder in one. `prefix` is empty or ends with a slash; no endpoint means AWS."""

    bucket: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None

    @property
    def url(self) -> str:
        """The one way to write it."""
        folder = f"/{quote(self.prefix.rstrip('/'))}" if self.prefix else ""
        told = {"endpoint": self.endpoint, "region": self.region}
        query = urlencode({name: value for name, value in told.items() if value}, safe=":/")
        return f"s3://{self.bucket}{folder}" + (f"?{query}" if query else "")

    def holds(self, other: "BucketLocation") -> bool:
        """Whether `other` lies in this one, on the same server."""
        return (
            (self.bucket, self.endpoint) == (other.bucket, other.endpoint)
            and other.region in {None, self.region}
            and other.prefix.startswith(self.prefix)
        )


def parse_location(url: str) -> BucketLocation:
    """Read an address; Problem invalid_bucket_url (400) when it is none."""
    try:
        parts = urlsplit(url.strip())
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise _invalid(str(error)) from error
    told = dict(query)
    folder = unquote(parts.path).strip("/")
    if parts.scheme != "s3" or not parts.netloc or "@" in parts.netloc or ":" in parts.netloc:
        raise _invalid("must begin with s3://bucket")
    if len(told) != len(query) or told.keys() - {"endpoint", "region"} or parts.fragment:
        raise _invalid("may tell endpoint and region after the question mark, nothing else")
    if "\x00" in folder or any(part in {"", ".", ".."} for part in folder.split("/") if folder):
        raise _invalid("names a folder that cannot be one")
    endpoint = told.get("endpoint")
    if endpoint is not None:
        server = urlsplit(endpoint)
        if server.scheme not in {"http", "https"} or not server.hostname or server.username or server.query:
            raise _invalid("has an endpoint that is not http://host or https://host")
        endpoint = endpoint.rstrip("/")
    return BucketLocation(parts.netloc, f"{folder}/" if folder else "", endpoint, told.get("region") or None)


def allowed_location(url: str, *, roots: Iterable[str]) -> BucketLocation:
    """Read an address that must lie in one of `roots`; what it does not say of the server is taken from there.

    Problem invalid_bucket_url, or bucket_not_allowed (403).
    """
    wanted = parse_location(url)
    known = [parse_location(root) for root in roots]
    for root in known:
        full = replace(wanted, endpoint=wanted.endpoint or root.endpoint, region=wanted.region or root.region)
        if root.holds(full):
            return full
    where = ", ".join(root.url for root in known) or "nowhere: CRASHDESK_BUCKET_ROOTS is empty"
    raise Problem(
        "bucket_not_allowed",
        f"Buckets are read from {where}.",
        fields={"url": ["is not allowed"]},
        status=403,
    )


def _invalid(what: str) -> Problem:
    return Problem("invalid_bucket_url", f"The bucket's address {what}.", fields={"url": [what]}, status=400)
