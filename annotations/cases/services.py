"""Guidelines, cases and answers: every write of this room. Answers are only ever added."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import Max

from annotations.cases.kinds import Kind, value_problem
from annotations.cases.models import (
    Answer,
    ApprovedAnswer,
    AuthorKind,
    Case,
    CaseStatus,
    Guideline,
    Prompt,
    prompt_version,
)
from annotations.cases.rules import Said
from annotations.cases.workflow import move
from annotations.corpora.models import Media, MediaState, Video
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record

UNUSABLE_CLIP: Final = "unusable clip: "


@transaction.atomic
def ensure_guideline(*, name: str, prompts: Mapping[str, str], by: User | None) -> Guideline:
    """The newest version of this guideline with exactly these prompts; a new version when the words differ."""
    wanted = {kind: prompt_version(text) for kind, text in prompts.items()}
    for guideline in Guideline.objects.filter(name=name).prefetch_related("prompts"):
        if {prompt.kind: prompt.version for prompt in guideline.prompts.all()} == wanted:
            return guideline
    last = Guideline.objects.filter(name=name).aggregate(last=Max("version"))["last"] or 0
    guideline = Guideline.objects.create(name=name, version=last + 1, created_by=by)
    Prompt.objects.bulk_create(
        Prompt(guideline=guideline, kind=kind, text=text, version=wanted[kind])
        for kind, text in prompts.items()
    )
    record(actor=by, verb="guideline.created", subject=guideline, data={"prompts": wanted})
    return guideline


@transaction.atomic
def ensure_case(*, video: Video, guideline: Guideline, by: User | None) -> tuple[Case, bool]:
    """The case of this video under this guideline, and whether it is new. Ready at once when its media is."""
    case, created = Case.objects.get_or_create(
        video=video,
        guideline=guideline,
        defaults={"corpus_id": video.corpus_id, "lacks_media": video.media_id is None},
    )
    if created:
        record(actor=by, verb="case.created", subject=case)
    settle_media(case, by=by)
    return case, created


@transaction.atomic
def settle_media(case: Case, *, by: User | None) -> None:
    """Bring a case in line with its video's media: ready when that is, excluded when it is unusable."""
    media = case.video.media
    if case.lacks_media != (media is None):
        Case.objects.filter(pk=case.pk).update(lacks_media=media is None)
        case.refresh_from_db()
    if media is None or case.status != CaseStatus.NEW:
        return
    if media.state == MediaState.READY:
        move(case, CaseStatus.READY, by=by)
    elif media.state == MediaState.UNUSABLE:
        codes = case.video.findings.filter(severity="error").values_list("code", flat=True)
        move(case, CaseStatus.EXCLUDED, by=by, reason=f"{UNUSABLE_CLIP}{', '.join(codes)}")


def settle_media_of(media: Media, *, by: User | None) -> None:
    """settle_media for every case that shows this media."""
    for case in Case.objects.filter(video__media=media).select_related("video__media"):
        settle_media(case, by=by)


@dataclass(frozen=True)
class ModelProvenance:
    """Where a model's answer came from; `frames` holds fps, times in microseconds, size and reader."""

    model_version: str
    adapter: str
    prompt_version: str
    raw_text: str
    confidence: float | None
    confidence_detail: dict[str, Any] = field(default_factory=dict)
    frames: dict[str, Any] = field(default_factory=dict)


def _check(kind: str, said: Said) -> None:
    problem = (
        f"unknown kind {kind!r}" if kind not in Kind.values else value_problem(kind, said.state, said.value)
    )
    if problem:
        raise Problem("invalid_answer", f"{kind}: {problem}", fields={kind: [problem]}, status=400)


def _add(answer: Answer) -> tuple[Answer, bool]:
    """Insert, or find the row that a unique key says is already there."""
    _check(answer.kind, Said(answer.state, answer.value))
    same = Answer.objects.filter(case=answer.case, kind=answer.kind)
    if answer.author_kind == AuthorKind.MODEL:
        same = same.filter(
            author_kind=AuthorKind.MODEL,
            model_version=answer.model_version,
            prompt_version=answer.prompt_version,
        )
    else:
        same = same.filter(origin=answer.origin)
    try:
        with transaction.atomic():
            answer.save(force_insert=True)
    except IntegrityError:
        found = same.first()
        if found is None:
            raise
        return found, False
    return answer, True


@transaction.atomic
def add_model_answer(
    *, case: Case, kind: str, said: Said, provenance: ModelProvenance, reason: str = ""
) -> tuple[Answer, bool]:
    """Write a model's answer once per (case, kind, model version, prompt version); (answer, written now?)."""
    return _add(
        Answer(
            case=case, kind=kind, state=said.state, value=said.value, reason=reason[:300],
            author_kind=AuthorKind.MODEL, raw_text=provenance.raw_text, confidence=provenance.confidence,
            confidence_detail=provenance.confidence_detail, model_version=provenance.model_version,
            adapter=provenance.adapter, prompt_version=provenance.prompt_version, frames=provenance.frames,
        )
    )  # fmt: skip


@transaction.atomic
def add_import_answer(
    *, case: Case, kind: str, said: Said, origin: str, raw_text: str, prompt_version: str = ""
) -> tuple[Answer, bool]:
    """Write an answer that came with an imported file, once per origin."""
    return _add(
        Answer(
            case=case, kind=kind, state=said.state, value=said.value, author_kind=AuthorKind.IMPORT, origin=origin,
            raw_text=raw_text, prompt_version=prompt_version,
        )
    )  # fmt: skip


@transaction.atomic
def add_person_answer(
    *, case: Case, kind: str, said: Said, by: User, origin: str, draft: Answer | None
) -> tuple[Answer, bool]:
    """Write what a person said, once per origin, with the draft they started from."""
    answer, written = _add(
        Answer(
            case=case, kind=kind, state=said.state, value=said.value, author_kind=AuthorKind.PERSON, author=by,
            origin=origin, draft=draft,
        )
    )  # fmt: skip
    if written:
        record(actor=by, verb="answer.written", subject=case, data={"kind": kind, "answer": answer.pk})
    return answer, written


def said_by(answers: Iterable[Answer]) -> dict[str, Said]:
    """Answers as the rules see them, by kind."""
    return {answer.kind: Said(answer.state, answer.value) for answer in answers}


def drafts(case: Case, *, model_version: str | None = None) -> dict[str, Answer]:
    """What a reviewer starts from, by kind: the newest model answer, or the imported one where no model has spoken."""
    rows = Answer.objects.filter(case=case).exclude(author_kind=AuthorKind.PERSON).order_by("id")
    return drafts_among(rows, model_version=model_version)


def drafts_among(rows: Iterable[Answer], *, model_version: str | None = None) -> dict[str, Answer]:
    """drafts() of answers at hand: all of one case, by id, none of a person."""
    chosen: dict[str, Answer] = {}
    for answer in rows:
        if model_version and answer.author_kind == AuthorKind.MODEL and answer.model_version != model_version:
            continue
        held = chosen.get(answer.kind)
        if held is None or answer.author_kind == AuthorKind.MODEL or held.author_kind == AuthorKind.IMPORT:
            chosen[answer.kind] = answer
    return chosen


@transaction.atomic
def point_approved(*, case: Case, answers: Iterable[Answer], by: User | None, policy: str = "") -> None:
    """Let these answers count for the case. Earlier pointers are replaced; the answers themselves stay.

    `policy`: in words, the auto-approval policy that decided, where no person has.
    """
    before = dict(ApprovedAnswer.objects.filter(case=case).values_list("kind", "answer_id"))
    after = {answer.kind: answer.pk for answer in answers}
    ApprovedAnswer.objects.filter(case=case).delete()
    ApprovedAnswer.objects.bulk_create(
        ApprovedAnswer(case=case, kind=kind, answer_id=answer_id, approved_by=by, policy=policy)
        for kind, answer_id in after.items()
    )
    data = {"before": before, "after": after} | ({"policy": policy} if policy else {})
    record(actor=by, verb="answers.approved", subject=case, data=data)
