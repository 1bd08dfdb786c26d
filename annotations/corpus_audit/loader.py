"""Reads a corpus from the database into columns: one pass over clips, one over answers, by server-side cursors."""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final

from django.db.models import BigIntegerField, Count, Exists, F, OuterRef, Q
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce

from annotations.cases.models import Answer, ApprovedAnswer, AuthorKind, Case, CaseStatus
from annotations.corpora.models import Corpus, DuplicateMember, RecordingOrigin, Video
from annotations.corpus_audit.columns import (
    APPROVED,
    BY_PERSON,
    IMPORTED,
    AnswerFacts,
    Builder,
    ClipFacts,
    Columns,
)
from annotations.datasets.models import DatasetRecord, DatasetVersion

CHUNK: Final = 5000
Step = Callable[[int, int, str], None]
_CLIP: Final = (
    "id", "name", "source", "recording", "recording_origin", "split", "media__sha256", "media__state",
    "media__container", "media__codec", "media__width", "media__height", "media__fps_num", "media__fps_den",
    "media__variable_rate", "media__duration_us", "media__frame_count",
    "metadata__declared", "metadata__inconsistent",
    "metadata__start_frame_in_recording", "metadata__end_frame_in_recording",
)  # fmt: skip


def load(corpus: Corpus, *, step: Step = lambda *_: None) -> Columns:
    """Everything the audit reads of a corpus. `step`: told how many of how many rows are read; may raise to stop."""
    videos = Video.objects.filter(corpus=corpus)
    answers = _answers(corpus)
    total = videos.count() + answers.count()
    cases, version = _cases(corpus), DatasetVersion.objects.filter(corpus=corpus).order_by("-id").first()
    splits = _version_splits(version)
    clusters, elsewhere = _clusters(corpus)
    builder = Builder(corpus.name, version=str(version) if version else "")
    again: dict[str, str] = {}  # one copy of each word that many rows repeat
    by_bytes: dict[str, list[int]] = {}
    read = 0
    rows = videos.values_list(*_CLIP).order_by()
    for row in rows.iterator(chunk_size=CHUNK):
        clip = _clip(row, again, cases=cases, splits=splits, clusters=clusters)
        builder.add_clip(clip)
        if clip.sha256:
            by_bytes.setdefault(clip.sha256, []).append(clip.video)
        read += 1
        if read % CHUNK == 0:
            step(read, total, "reading clips")
    for video, other, name, split in elsewhere:
        builder.add_elsewhere(video, corpus=other, name=name, split=split, why="cluster")
    _copies_elsewhere(corpus, builder, by_bytes)
    _recordings_elsewhere(corpus, builder)
    builder.end_clips()
    for video, kind, author, approved, number, state, text, start, end in answers.iterator(chunk_size=CHUNK):
        rank = APPROVED if approved else BY_PERSON if author == AuthorKind.PERSON else IMPORTED
        builder.add_answer(AnswerFacts(video, kind, rank, number, state, text, start, end))
        read += 1
        if read % CHUNK == 0:
            step(read, total, "reading answers")
    step(total, total, "all rows read")
    return builder.build()


def _answers(corpus: Corpus) -> Any:
    """Rows of answers that may count, as plain values; JSON is taken apart by the database."""
    approved = Exists(ApprovedAnswer.objects.filter(answer=OuterRef("pk")))
    return (
        Answer.objects.filter(case__corpus=corpus)
        .exclude(case__status=CaseStatus.EXCLUDED)
        .annotate(
            is_approved=approved,
            said=Coalesce(KT("value__label"), KT("value__text")),
            first_us=Cast(Coalesce(KT("value__start_us"), KT("value__at_us")), BigIntegerField()),
            last_us=Cast(KT("value__end_us"), BigIntegerField()),
        )
        .filter(~Q(author_kind=AuthorKind.MODEL) | Q(is_approved=True))
        .order_by()
        .values_list(
            "case__video_id", "kind", "author_kind", "is_approved", "id", "state", "said", "first_us", "last_us"
        )
    )  # fmt: skip


def _clip(
    row: tuple[Any, ...],
    again: dict[str, str],
    *,
    cases: Mapping[int, tuple[int, bool]],
    splits: Mapping[int, str],
    clusters: Mapping[int, str],
) -> ClipFacts:
    (video, name, source, recording, origin, split, sha256, state, container, codec, width, height, num, den,
     uneven, duration, frames, declared, inconsistent, place_from, place_to) = row  # fmt: skip
    case, excluded = cases.get(video, (None, False))

    def one(word: str | None) -> str:
        return again.setdefault(word, word) if word else ""

    declared_us, declared_frames = _declared(declared)
    return ClipFacts(
        video=video, name=name, case=case, source=one(source), recording=one(recording), recording_origin=one(origin),
        split=one(split), version_split=one(splits.get(video)), cluster=clusters.get(video, ""), excluded=excluded,
        sha256=sha256 or "", media_state=one(state), container=one(container), codec=one(codec), width=width,
        height=height, rate=(num, den) if num and den else None, variable_rate=bool(uneven), duration_us=duration,
        frames=frames, declared_duration_us=declared_us, declared_frames=declared_frames,
        inconsistent=_messages(inconsistent), place_us=_place(declared, place_from, place_to),
    )  # fmt: skip


def _rate(declared: Any) -> Fraction | None:
    """Frames per second of a record's {"fps": [10, 1], …}; None where it says none."""
    fps = declared.get("fps") if isinstance(declared, dict) else None
    if not (isinstance(fps, list) and len(fps) == 2 and all(_positive(part) for part in fps)):
        return None
    return Fraction(fps[0], fps[1])


def _declared(declared: Any) -> tuple[int | None, int | None]:
    """(microseconds, frames) of a record's {"frames": 50, "fps": [10, 1], …}; None for what it does not say."""
    if not isinstance(declared, dict):
        return None, None
    frames, length, rate = declared.get("frames"), declared.get("duration_us"), _rate(declared)
    frames = frames if _positive(frames) else None
    if _positive(length):
        return length, frames
    return (round(frames * 1_000_000 / rate) if frames and rate else None), frames


def _place(declared: Any, first: Any, end: Any) -> tuple[int, int] | None:
    """Microseconds of its recording from which and up to which a clip was cut, by its record's frames."""
    rate = _rate(declared)
    if rate is None or not _positive(end) or not (first == 0 or _positive(first)) or end <= first:
        return None
    return round(first * 1_000_000 / rate), round(end * 1_000_000 / rate)


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _messages(inconsistent: Any) -> tuple[str, ...]:
    """The sentences of [{"fields": […], "message": "…"}, …]."""
    if not isinstance(inconsistent, list):
        return ()
    return tuple(
        str(item.get("message") or ", ".join(map(str, item.get("fields", []))))[:300]
        for item in inconsistent
        if isinstance(item, dict)
    )


def _cases(corpus: Corpus) -> dict[int, tuple[int, bool]]:
    """Video id to (its newest case, whether all its cases are excluded)."""
    rows = (
        Case.objects.filter(corpus=corpus)
        .order_by("id")
        .values_list("video_id", "id", "status")
        .iterator(chunk_size=CHUNK)
    )
    found: dict[int, tuple[int, bool]] = {}
    for video, case, status in rows:
        _, excluded = found.get(video, (0, True))
        found[video] = case, excluded and status == CaseStatus.EXCLUDED
    return found


def _version_splits(version: DatasetVersion | None) -> dict[int, str]:
    if version is None:
        return {}
    rows = DatasetRecord.objects.filter(version=version).order_by().values_list("case__video_id", "split")
    return dict(rows.iterator(chunk_size=CHUNK))


def _clusters(corpus: Corpus) -> tuple[dict[int, str], list[tuple[int, str, str, str]]]:
    """Video id to its cluster's name (its first member's, no database id), and the members that lie in other corpora:
    (our video's id, corpus, name, split).
    """
    rows = (
        DuplicateMember.objects.filter(cluster__members__video__corpus=corpus)
        .order_by("cluster_id", "video__corpus__name", "video__name")
        .values_list("cluster_id", "video_id", "video__corpus_id", "video__corpus__name", "video__name", "video__split")
        .distinct()
    )  # fmt: skip
    members: dict[int, list[tuple[int, int, str, str, str]]] = {}
    for cluster, video, owner, name_of, name, split in rows.iterator(chunk_size=CHUNK):
        members.setdefault(cluster, []).append((video, owner, name_of, name, split))
    names: dict[int, str] = {}
    elsewhere: list[tuple[int, str, str, str]] = []
    for of_one in members.values():
        ours = [video for video, owner, *_ in of_one if owner == corpus.pk]
        _, _, first_corpus, first_name, _ = of_one[0]
        names.update(dict.fromkeys(ours, f"{first_corpus}: {first_name}"))
        others = [rest for _, owner, *rest in of_one if owner != corpus.pk]
        elsewhere += [(video, other, name, split) for video in ours for other, name, split in others]
    return names, elsewhere


def _copies_elsewhere(corpus: Corpus, builder: Builder, by_bytes: Mapping[str, list[int]]) -> None:
    ours = Video.objects.filter(corpus=corpus, media__isnull=False).values("media")
    rows = (
        Video.objects.exclude(corpus=corpus)
        .filter(media__in=ours)
        .order_by()
        .values_list("media__sha256", "corpus__name", "name", "split")
    )
    for sha256, other, name, split in rows.iterator(chunk_size=CHUNK):
        for video in by_bytes.get(sha256, []):
            builder.add_elsewhere(video, corpus=other, name=name, split=split, why="bytes")


def _recordings_elsewhere(corpus: Corpus, builder: Builder) -> None:
    """Recordings that other corpora name too; a clip's own name is no recording worth comparing."""
    named = Video.objects.exclude(recording_origin=RecordingOrigin.NAME).exclude(recording="")
    ours = named.filter(corpus=corpus).values("recording")
    rows = (
        named.exclude(corpus=corpus)
        .filter(recording__in=ours)
        .order_by()
        .values_list("recording", F("corpus__name"))
        .annotate(clips=Count("id"))
    )
    for recording, other, _ in rows.iterator(chunk_size=CHUNK):
        builder.recordings_elsewhere.setdefault(recording, set()).add(other)
