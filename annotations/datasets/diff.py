"""What changed between two dataset versions, label by label."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from annotations.cases.kinds import Kind
from annotations.datasets.models import DatasetRecord, DatasetVersion
from crashdesk.api.errors import Problem


@dataclass(frozen=True)
class Change:
    """One clip's answer before and after; each holds state and value."""

    video: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True)
class Moved:
    """A clip that changed its split."""

    video: str
    before: str
    after: str


@dataclass(frozen=True)
class Diff:
    """From version `a` to version `b`: video names, and per kind the answers that say something else.

    `reapproved` counts clips whose answers say the same but were written or approved anew, or whose facts
    (bytes, source, recording, licence) changed.
    """

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    changed: dict[str, list[Change]] = field(default_factory=lambda: {kind: [] for kind in Kind.values})
    reapproved: int = 0
    unchanged: int = 0


def diff(a: DatasetVersion, b: DatasetVersion) -> Diff:
    """What became different from `a` to `b`. Raises Problem for versions of two corpora."""
    if a.corpus_id != b.corpus_id:
        raise Problem(
            "different_corpora", f"{a} and {b} are of two corpora and cannot be compared.", status=400
        )
    before, after = ({record.content["video"]: record for record in _records(version)} for version in (a, b))
    changed: dict[str, list[Change]] = {kind: [] for kind in Kind.values}
    moved = []
    reapproved = unchanged = 0
    for video in sorted(before.keys() & after.keys()):
        old, new = before[video], after[video]
        if old.split != new.split:
            moved.append(Moved(video, old.split, new.split))
        says = [(kind, _said(old, kind), _said(new, kind)) for kind in Kind.values]
        differing = [(kind, was, is_now) for kind, was, is_now in says if was != is_now]
        for kind, was, is_now in differing:
            changed[kind].append(Change(video, was, is_now))
        if not differing:
            reapproved += old.content != new.content
            unchanged += old.content == new.content
    return Diff(
        added=sorted(after.keys() - before.keys()),
        removed=sorted(before.keys() - after.keys()),
        moved=moved,
        changed=changed,
        reapproved=reapproved,
        unchanged=unchanged,
    )


def previous(version: DatasetVersion) -> DatasetVersion | None:
    """The version of the same corpus that was frozen before this one."""
    earlier = DatasetVersion.objects.filter(corpus_id=version.corpus_id, number__lt=version.number)
    return earlier.order_by("-number").first()


def _records(version: DatasetVersion) -> QuerySet[DatasetRecord]:
    return DatasetRecord.objects.filter(version=version).only("split", "content")


def _said(record: DatasetRecord, kind: str) -> dict[str, Any]:
    answer = record.content["answers"][kind]
    return {"state": answer["state"], "value": answer["value"]}
