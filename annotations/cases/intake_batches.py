"""Writing a batch of imported rows: videos, cases and answers in one transaction, nothing twice."""

import hashlib
from collections.abc import Sequence
from typing import Final

from django.db import transaction

from annotations.cases.intake_tally import Tally
from annotations.cases.kinds import TIME_KINDS, AnswerState, Kind, value_problem
from annotations.cases.models import Answer, AuthorKind, Case, Guideline, prompt_version
from annotations.cases.services import settle_media
from annotations.corpora.importers.rows import GivenAnswer, Rejection, VideoRow
from annotations.corpora.media_store import Stored, ensure_media, ensure_videos, unattended_media
from annotations.corpora.models import Corpus, MediaState, Severity, SourceRecord, Video, VideoFinding
from crashdesk.accounts.models import User
from crashdesk.audit.services import record_many
from crashdesk.jobs.services import enqueue_many

ABSENT_ORIGIN: Final = "import:absent"


def origin_of(raw_text: str) -> str:
    """The stable key of an imported answer: the same words for the same clip and kind are the same answer."""
    return f"import:{hashlib.sha256(raw_text.encode()).hexdigest()[:24]}"


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
    enqueue_many("media", [{"media_id": pk} for pk in waiting], by=by, group=group)
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
def take_answers(rows: Sequence[VideoRow], *, cases: dict[str, Case], tally: Tally) -> list[Rejection]:
    """Write the answers of rows whose clips have cases; returns the answers that cannot be ones."""
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
    held: dict[tuple[int, str], dict[str, bool]] = {}
    for case_id, kind, origin, created_at in Answer.objects.filter(
        case__in={cases[row.name].pk for row, _ in wanted}, kind__in={given.kind for _, given in wanted},
        author_kind=AuthorKind.IMPORT,
    ).values_list("case_id", "kind", "origin", "created_at"):  # fmt: skip
        held.setdefault((case_id, kind), {})[origin] = tally.is_new(created_at)
    new: list[Answer] = []
    for row, given in wanted:
        case, origin = cases[row.name], origin_of(given.raw_text)
        origins = held.setdefault((case.pk, given.kind), {})
        tally.rows[given.kind][row.source] += 1
        if origin in origins:
            tally.answers["new" if origins[origin] else "known"] += 1
            continue
        tally.answers["new"] += 1
        tally.answers["changed"] += bool(origins.keys() - {ABSENT_ORIGIN})
        origins[origin] = True
        new.append(
            Answer(
                case=case, kind=given.kind, state=AnswerState.VALUED, value=given.value,
                author_kind=AuthorKind.IMPORT, origin=origin, raw_text=given.raw_text,
                prompt_version=prompt_version(given.prompt) if given.prompt else "",
            )
        )  # fmt: skip
    Answer.objects.bulk_create(new, ignore_conflicts=True)
    _note_spans(wanted, cases=cases, tally=tally)
    return rejected


@transaction.atomic
def keep_records(rows: Sequence[VideoRow], *, format: str, cases: dict[str, Case]) -> None:  # noqa: A002
    """Keep what the files literally say of the clips that were taken; a newer reading of a file replaces an older."""
    records = {
        (row.name, row.file): SourceRecord(
            video_id=cases[row.name].video_id, format=format, file=row.file, row=row.row, record=row.record
        )
        for row in rows
        if row.record is not None
    }
    SourceRecord.objects.bulk_create(
        records.values(), update_conflicts=True, unique_fields=["video", "format", "file"],
        update_fields=["row", "record", "read_at"],
    )  # fmt: skip


def _note_spans(
    said: Sequence[tuple[VideoRow, GivenAnswer]], *, cases: dict[str, Case], tally: Tally
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
def take_absences(cases: Sequence[Case], *, spoilt: set[tuple[str, str]], tally: Tally) -> None:
    """Write "absent" for both kinds of time where the imported recognition is "no" and no time was imported.

    `spoilt`: (clip name, kind) of rejected rows, which said something, so that nothing is made up in their place.
    """
    held: dict[tuple[int, str], Answer] = {}
    wanted = [Kind.CRASH_RECOGNITION, *TIME_KINDS]
    answers = Answer.objects.filter(case__in=cases, kind__in=wanted, author_kind=AuthorKind.IMPORT).order_by(
        "id"
    )
    for answer in answers:
        held[answer.case_id, answer.kind] = answer
    new = []
    for case in cases:
        recognition = held.get((case.pk, Kind.CRASH_RECOGNITION))
        if recognition is None or recognition.value != {"label": "no"}:
            continue
        for kind in TIME_KINDS:
            time = held.get((case.pk, kind))
            if time is None and (case.video.name, kind) not in spoilt:
                new.append(
                    Answer(case=case, kind=kind, state=AnswerState.ABSENT, value=None,
                           author_kind=AuthorKind.IMPORT, origin=ABSENT_ORIGIN)
                )  # fmt: skip
                tally.answers["new_absent"] += 1
            elif time is not None and time.origin == ABSENT_ORIGIN and tally.is_new(time.created_at):
                tally.answers["new_absent"] += 1
    Answer.objects.bulk_create(new, ignore_conflicts=True)
