"""Writing a batch of imported rows: videos, cases and answers in one transaction, nothing twice."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from django.db import transaction

from annotations.cases.intake_tally import Tally
from annotations.cases.kinds import TIME_KINDS, AnswerState, Kind, value_problem
from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus, Guideline, prompt_version
from annotations.cases.services import settle_media
from annotations.corpora.importers.rows import GivenAnswer, Rejection, VideoRow
from annotations.corpora.media_store import (
    PlainVideo,
    Stored,
    ensure_media,
    ensure_videos,
    plain_videos,
    unattended_media,
)
from annotations.corpora.models import Corpus, MediaState, Severity, SourceRecord, Video, VideoFinding
from crashdesk.accounts.models import User
from crashdesk.audit.services import record_ids, record_many
from crashdesk.bulk import AnyOf, Replace, insert_rows
from crashdesk.jobs.services import enqueue_many

ABSENT_ORIGIN: Final = "import:absent"


class Taken(NamedTuple):
    """What became of a row's clip."""

    case_id: int
    video_id: int


def origin_of(given: GivenAnswer) -> str:
    """The stable key of an imported answer: the same words, read in the same way, are the same answer.

    The value takes part because options say how words are read: "1" is a yes under one column mapping and a no under
    the next, which corrects it.
    """
    said = f"{given.raw_text}\n{json.dumps(given.value, sort_keys=True)}"
    return f"import:{hashlib.sha256(said.encode()).hexdigest()[:24]}"


Restated = dict[tuple[int, str], str]
"""What an import says again of (case id, kind): the origin of an older answer, where another one has come since."""


def _said_in(origin: str) -> str:
    """The origin of the words that an answer repeats: its own, unless `restate_answers` wrote it."""
    return ":".join(origin.split(":")[:2])


@transaction.atomic
def take_rows(
    rows: Sequence[VideoRow], *, corpus: Corpus, guideline: Guideline, stored: dict[str, Stored], tally: Tally,
    group: str, by: User | None,
) -> dict[str, Taken]:  # fmt: skip
    """take_videos by ids. Rows of annotation files mostly bring no bytes and change nothing of their video: they are
    written without an object or a lock each."""
    videos = plain_videos(corpus, [row for row in rows if row.name not in stored])
    cases = _plain_cases(videos, corpus=corpus, guideline=guideline, by=by)
    taken = {}
    for name, (case_id, created_at) in cases.items():
        video = videos[name]
        tally.video_of(video.pk, video.created_at, video.media and (video.media[0], video.media[2]))
        tally.case(case_id, created_at)
        taken[name] = Taken(case_id, video.pk)
    rest = [row for row in rows if row.name not in taken]
    if rest:
        made = take_videos(
            rest, corpus=corpus, guideline=guideline, stored=stored, tally=tally, group=group, by=by
        )
        taken |= {name: Taken(case.pk, case.video_id) for name, case in made.items()}
    return taken


def _plain_cases(
    videos: Mapping[str, PlainVideo], *, corpus: Corpus, guideline: Guideline, by: User | None
) -> dict[str, tuple[int, datetime]]:
    """Id and time of these videos' cases by name, made where missing. Left out are those that settle_media or a new
    job must see to: of pending media, of media that came without the case following, and of other imports' making."""
    names = {video.pk: name for name, video in videos.items()}
    ours = Case.objects.filter(AnyOf("video_id", names, kind="bigint"), guideline=guideline)
    found: dict[str, tuple[int, datetime]] = {}
    known = set()
    for video_id, pk, created_at, status, lacks_media in ours.values_list(
        "video_id", "pk", "created_at", "status", "lacks_media"
    ):
        known.add(video_id)
        media = videos[names[video_id]].media
        pending = media is not None and (media[1] == MediaState.PENDING or status == CaseStatus.NEW)
        if lacks_media == (media is None) and not pending:
            found[names[video_id]] = pk, created_at
    missing = [(pk, True) for pk, name in names.items() if pk not in known and videos[name].media is None]
    made = insert_rows(
        Case, ["video", "lacks_media"], missing, same={"corpus": corpus.pk, "guideline": guideline.pk},
        returning=["video", "id", "created_at"],
    )  # fmt: skip
    record_ids(actor=by, verb="case.created", model=Case, ids=[pk for _, pk, _ in made])
    return found | {names[video_id]: (pk, created_at) for video_id, pk, created_at in made}


@transaction.atomic
def take_videos(
    rows: Sequence[VideoRow], *, corpus: Corpus, guideline: Guideline, stored: dict[str, Stored], tally: Tally,
    group: str, by: User | None,
) -> dict[str, Case]:  # fmt: skip
    """The case of each row's clip by name, with video, media and the media's job made where missing.

    A job that was cancelled or failed for good is missing too: media still pending get another one.

    `stored`: the bytes of the rows that have any, by name, already in the store.
    """
    by_sha, new_media = ensure_media(list(stored.values()))
    videos = ensure_videos(corpus, rows, {name: by_sha[item.sha256] for name, item in stored.items()})
    waiting = new_media + unattended_media(videos.values(), but=new_media)
    enqueue_many("media", [{"media_id": pk} for pk in waiting], by=by, group=group, corpus_id=corpus.pk)
    cases = _ensure_cases(list(videos.values()), corpus=corpus, guideline=guideline, by=by)
    for video in videos.values():
        tally.video(video)
    for case in cases.values():
        tally.case(case.pk, case.created_at)
    return {name: cases[video.pk] for name, video in videos.items()}


def _ensure_cases(
    videos: Sequence[Video], *, corpus: Corpus, guideline: Guideline, by: User | None
) -> dict[int, Case]:
    """The cases of these videos under this guideline by video id, in line with their media."""
    ours = Case.objects.filter(guideline=guideline, video__in=[video.pk for video in videos])
    known = set(ours.values_list("video_id", flat=True))
    missing = [
        Case(corpus=corpus, video=video, guideline=guideline, lacks_media=video.media_id is None)
        for video in videos
        if video.pk not in known
    ]
    if missing:
        Case.objects.bulk_create(missing, ignore_conflicts=True)
    by_id = {video.pk: video for video in videos}
    cases = {case.video_id: case for case in ours.order_by("id")}
    made = [case for video_id, case in cases.items() if video_id not in known]
    record_many(actor=by, verb="case.created", subjects=made)
    for video_id, case in cases.items():
        case.video = by_id[video_id]
        examined = case.video.media is not None and case.video.media.state != MediaState.PENDING
        if examined or case.lacks_media != (case.video.media_id is None):
            settle_media(case, by=by)
    return cases


@transaction.atomic
def take_answers(
    rows: Sequence[VideoRow], *, cases: Mapping[str, Taken], tally: Tally, restated: Restated
) -> list[Rejection]:
    """Write the answers of rows whose clips have cases; returns the answers that cannot be ones.

    `restated` is kept through an import: at its end `restate_answers` writes what it says last, and only that, or files
    that contradict each other would add answers whenever they are imported.
    """
    rejected: list[Rejection] = []
    wanted: list[tuple[VideoRow, GivenAnswer]] = []
    for row in rows:
        for given in row.answers:
            if problem := value_problem(given.kind, AnswerState.VALUED, given.value):
                rejected.append(
                    Rejection(row.file, row.row, "answer", problem, name=row.name, kind=given.kind)
                )
            else:
                wanted.append((row, given))
    if not wanted:
        return rejected
    held: dict[tuple[int, str], dict[str, bool]] = {}
    newest: dict[tuple[int, str], str] = {}
    for _, case_id, kind, origin, created_at in sorted(Answer.objects.filter(
        AnyOf("case_id", {cases[row.name].case_id for row, _ in wanted}, kind="bigint"),
        kind__in={given.kind for _, given in wanted}, author_kind=AuthorKind.IMPORT,
    ).order_by().values_list("id", "case_id", "kind", "origin", "created_at")):  # fmt: skip
        newest[case_id, kind] = _said_in(origin)
        held.setdefault((case_id, kind), {})[_said_in(origin)] = tally.is_new(created_at)
    versions: dict[str, str] = {"": ""}
    new = []
    for row, given in wanted:
        case_id, origin = cases[row.name].case_id, origin_of(given)
        key = case_id, given.kind
        origins = held.setdefault(key, {})
        tally.rows[given.kind][row.source] += 1
        restated.pop(key, None)
        if origin in origins:
            tally.answers["new" if origins[origin] else "known"] += 1
            if newest[key] != origin:
                restated[key] = origin
            continue
        tally.answers["new"] += 1
        tally.answers["changed"] += bool(origins.keys() - {ABSENT_ORIGIN})
        origins[origin], newest[key] = True, origin
        if given.prompt not in versions:
            versions[given.prompt] = prompt_version(given.prompt)
        new.append((case_id, given.kind, given.value, origin, given.raw_text, versions[given.prompt]))
    insert_rows(
        Answer, ["case", "kind", "value", "origin", "raw_text", "prompt_version"], new,
        same={"state": AnswerState.VALUED, "author_kind": AuthorKind.IMPORT},
    )  # fmt: skip
    _note_spans(wanted, cases=cases, tally=tally)
    return rejected


@transaction.atomic
def restate_answers(restated: Restated, *, tally: Tally) -> None:
    """Write answers anew that an import has taken back to what an older one said: the newest counts."""
    earlier: dict[tuple[int, str], list[Answer]] = {}
    for answer in Answer.objects.filter(
        AnyOf("case_id", {case_id for case_id, _ in restated}, kind="bigint"), author_kind=AuthorKind.IMPORT
    ).order_by("id"):
        key = answer.case_id, answer.kind
        if restated.get(key) == _said_in(answer.origin):
            earlier.setdefault(key, []).append(answer)
    new = [
        (case_id, kind, said[0].value, f"{said[0].origin}:{len(said) + 1}", said[0].raw_text, said[0].prompt_version)
        for (case_id, kind), said in earlier.items()
    ]  # fmt: skip
    insert_rows(
        Answer, ["case", "kind", "value", "origin", "raw_text", "prompt_version"], new,
        same={"state": AnswerState.VALUED, "author_kind": AuthorKind.IMPORT},
    )  # fmt: skip
    tally.answers.update(new=len(new), changed=len(new), known=-len(new))


@transaction.atomic
def keep_records(rows: Sequence[VideoRow], *, format: str, cases: Mapping[str, Taken]) -> None:  # noqa: A002
    """Keep what the files literally say of the clips that were taken; a newer reading of a file replaces an older."""
    records = {
        (row.name, row.file): (cases[row.name].video_id, row.file, row.row, row.record)
        for row in rows
        if row.record is not None
    }
    insert_rows(
        SourceRecord, ["video", "file", "row", "record"], records.values(), same={"format": format},
        replace=Replace(key=["video", "format", "file"], fields=["row", "record"]),
    )  # fmt: skip


def _note_spans(
    said: Sequence[tuple[VideoRow, GivenAnswer]], *, cases: Mapping[str, Taken], tally: Tally
) -> None:
    """Name spans that have no length or end before they start; take the names back where a newer import is right."""
    findings = []
    sound: list[int] = []
    for row, given in said:
        if given.kind != Kind.CRASH_LOCALIZATION:
            continue
        start, end = given.value["start_us"], given.value["end_us"]
        video_id = cases[row.name].video_id
        if start < end:
            sound.append(video_id)
            continue
        code, severity, what = (
            ("span_zero_length", Severity.INFO, "has no length")
            if start == end
            else ("span_reversed", Severity.WARNING, "ends before it starts")
        )
        tally.findings[code] += 1
        findings.append(
            VideoFinding(
                video_id=video_id, code=code, subject=Kind.CRASH_LOCALIZATION, severity=severity,
                message=f"the imported crash span {given.raw_text.strip()[:60]!r} {what}",
                data={"start_us": start, "end_us": end, "file": row.file, "row": row.row},
            )
        )  # fmt: skip
    if not sound and not findings:
        return
    codes = ["span_zero_length", "span_reversed"]
    VideoFinding.objects.filter(video__in=sound, code__in=codes, subject=Kind.CRASH_LOCALIZATION).delete()
    VideoFinding.objects.bulk_create(findings, ignore_conflicts=True)


@transaction.atomic
def take_absences(cases: Sequence[tuple[int, str]], *, spoilt: set[tuple[str, str]], tally: Tally) -> None:
    """Write "absent" for both kinds of time where the imported recognition is "no" and no time was imported.

    `cases`: id and clip's name. `spoilt`: (clip's name, kind) of rejected rows, which said something, so that nothing
    is made up in their place.
    """
    imported = Answer.objects.filter(author_kind=AuthorKind.IMPORT).order_by("id")
    recognition = dict(
        imported.filter(
            AnyOf("case_id", [pk for pk, _ in cases], kind="bigint"), kind=Kind.CRASH_RECOGNITION
        ).values_list("case_id", "value")
    )
    without = [(pk, name) for pk, name in cases if recognition.get(pk) == {"label": "no"}]
    times = {
        (case_id, kind): (origin, created_at)
        for case_id, kind, origin, created_at in imported.filter(
            AnyOf("case_id", [pk for pk, _ in without], kind="bigint"), kind__in=TIME_KINDS
        ).values_list("case_id", "kind", "origin", "created_at")
    }
    new = []
    for case_id, name in without:
        for kind in TIME_KINDS:
            time = times.get((case_id, kind))
            if time is None and (name, kind) not in spoilt:
                new.append((case_id, kind))
                tally.answers["new_absent"] += 1
            elif time is not None and time[0] == ABSENT_ORIGIN and tally.is_new(time[1]):
                tally.answers["new_absent"] += 1
    insert_rows(
        Answer, ["case", "kind"], new,
        same={"state": AnswerState.ABSENT, "author_kind": AuthorKind.IMPORT, "origin": ABSENT_ORIGIN},
    )  # fmt: skip
