"""Freezing approved answers into a dataset version, checking that it still is what was frozen, and exporting it."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Max, QuerySet

from annotations.cases.kinds import Kind
from annotations.cases.models import (
    ApprovedAnswer,
    AuthorKind,
    Case,
    CaseStatus,
    Guideline,
    prompt_version,
)
from annotations.cases.rules import Said, check
from annotations.corpora.models import Corpus, DuplicateMember
from annotations.datasets.exporters import crashchat, parquet
from annotations.datasets.exporters.facts import Step, VersionFacts
from annotations.datasets.models import DatasetRecord, DatasetVersion, Export, ExportFormat
from annotations.datasets.records import (
    ContentChanged,
    Lineage,
    Record,
    RecordAnswer,
    approved_unseen,
    content_hash,
    header_line,
    order_of,
    utc_text,
)
from annotations.datasets.splits import Member, assign, check_shares, identities
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record as audit
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import enqueue
from crashdesk.storage import files

EXPORTERS: Final[Mapping[str, ModuleType]] = {
    ExportFormat.CRASHCHAT: crashchat,
    ExportFormat.PARQUET: parquet,
}
_BATCH: Final = 1000
Freezing = Callable[[int, int, str], None]
_AUTHOR_OF_ANSWER: Final = (
    "answer__author_kind",
    "answer__author__username",
    "answer__model_version",
    "answer__origin",
)
_AUTHOR_OF_DRAFT: Final = (
    "answer__draft__author_kind",
    "answer__draft__author__username",
    "answer__draft__model_version",
    "answer__draft__origin",
)


@transaction.atomic
def freeze(
    *,
    corpus: Corpus,
    guideline: Guideline,
    note: str = "",
    split_seed: int = 0,
    val_share: float = 0.1,
    test_share: float = 0.1,
    by: User | None,
    step: Freezing = lambda done, total, message: None,
) -> DatasetVersion:
    """Copy every approved case of the corpus under the guideline into a new, immutable version.

    `step(done, total, message)` is told how far it is and may raise to stop: then nothing is written.

    Footage that an earlier version of this corpus with the same split parameters holds keeps its split. What a
    policy approved unseen goes to train only, or is left out where its footage is in val or test already.
    Approved cases without six approved answers are left out and named in the audit row. Raises Problem when
    the shares are impossible, no case is complete, a case breaks a rule that blocks approval, or nothing has
    changed since the guideline's newest version.
    """
    _check_shares(val_share, test_share)
    corpus = Corpus.objects.select_for_update(no_key=True).get(pk=corpus.pk)  # one freeze of it at a time
    complete, left_out = _complete_cases(corpus, guideline, step)
    if not complete:
        raise Problem(
            "nothing_approved",
            f"{corpus} has no approved case with all six answers under {guideline}, so there is nothing to freeze.",
        )
    _refuse_broken_rules(complete)
    records = _records(complete, corpus, guideline)
    alike = DuplicateMember.objects.filter(video__corpus=corpus)
    clusters = dict(alike.values_list("video__name", "cluster_id"))
    splits = assign(
        (_member(content, clusters) for content in records.values()),
        seed=split_seed,
        val_share=val_share,
        test_share=test_share,
        earlier=_earlier_splits(corpus, split_seed, val_share, test_share),
    )
    unseen = [case_id for case_id, content in records.items() if content["video"] not in splits]
    records = {case_id: content for case_id, content in records.items() if content["video"] in splits}
    if not records:
        raise Problem(
            "nothing_approved",
            f"All {len(unseen)} approved cases were approved by a policy, and their footage is in val or test.",
        )
    found = content_hash(
        header_line(split_seed=split_seed, val_share=val_share, test_share=test_share),
        ((splits[content["video"]], content) for content in records.values()),
    )
    newest = DatasetVersion.objects.filter(corpus=corpus, guideline=guideline).first()
    if newest is not None and newest.content_hash == found:
        raise Problem(
            "nothing_changed",
            f"{newest} already holds exactly these answers in these splits.",
            fields={"version": [newest.pk]},
        )
    version = DatasetVersion.objects.create(
        corpus=corpus,
        guideline=guideline,
        number=(DatasetVersion.objects.filter(corpus=corpus).aggregate(last=Max("number"))["last"] or 0) + 1,
        note=note,
        split_seed=split_seed,
        val_share=val_share,
        test_share=test_share,
        content_hash=found,
        record_count=len(records),
        unseen_count=sum(approved_unseen(content) for content in records.values()),
        unseen_left_out=len(unseen),
        created_by=by,
    )
    ordered = sorted(records, key=lambda found: order_of(records[found]))  # ids keep this order
    for first in range(0, len(ordered), _BATCH):
        step(first, len(ordered), f"{first} records written")
        DatasetRecord.objects.bulk_create(
            DatasetRecord(
                version=version,
                case_id=case_id,
                split=splits[records[case_id]["video"]],
                content=records[case_id],
            )
            for case_id in ordered[first : first + _BATCH]
        )
    audit(
        actor=by,
        verb="dataset.frozen",
        subject=version,
        data={
            "content_hash": found, "records": len(records), "incomplete_cases": left_out,
            "approved_by_policy": version.unseen_count, "policy_cases_left_out": unseen,
        },
    )  # fmt: skip
    return version


def _check_shares(val_share: float, test_share: float) -> None:
    try:
        check_shares(val_share=val_share, test_share=test_share)
    except ValueError as error:
        raise Problem("invalid_shares", str(error), fields={"val_share": [str(error)]}, status=400) from error


def request_freeze(
    *, corpus: Corpus, guideline: Guideline, note: str, split_seed: int, val_share: float, test_share: float,
    by: User | None,
) -> Job:  # fmt: skip
    """The job that freezes a version, its result {"dataset_version": id}. Problem at once for impossible shares and
    where no case is approved; what only the answers tell, the job tells."""
    _check_shares(val_share, test_share)
    if not Case.objects.filter(corpus=corpus, guideline=guideline, status=CaseStatus.APPROVED).exists():
        raise Problem(
            "nothing_approved", f"{corpus} has no approved case under {guideline}: nothing to freeze."
        )
    args = {
        "corpus": corpus.pk, "guideline": guideline.pk, "note": note, "split_seed": split_seed,
        "val_share": val_share, "test_share": test_share,
    }  # fmt: skip
    return enqueue("freeze", args, by=by, group=f"freeze:{corpus.pk}")


@dataclass(frozen=True, slots=True)
class _Approved:
    """An approved case with its six answers as the record will hold them."""

    case_id: int
    video: str
    sha256: str | None
    source: str
    recording: str
    duration_us: int | None
    answers: dict[str, RecordAnswer]


def _complete_cases(
    corpus: Corpus, guideline: Guideline, step: Freezing
) -> tuple[list[_Approved], list[int]]:
    """Approved cases with their six answers, and the ids of those that lack some.

    The cases are locked: none can be returned, and so none of their answers replaced, before this commits.
    Plain rows, not models: a corpus has a hundred thousand answers.
    """
    rows = (
        Case.objects.filter(corpus=corpus, guideline=guideline, status=CaseStatus.APPROVED)
        .select_for_update(no_key=True, of=("self",))
        .order_by("pk")
        .values_list(
            "pk",
            "video__name",
            "video__media__sha256",
            "video__source",
            "video__recording",
            "video__media__duration_us",
        )
    )
    cases = {row[0]: _Approved(*row, answers={}) for row in rows}
    total = len(cases) * len(Kind)
    for number, (case_id, kind, answer) in enumerate(_approved_answers(corpus, guideline)):
        if number % _BATCH == 0:
            step(min(number, total), total, f"{number} approved answers read")
        if case_id in cases:
            cases[case_id].answers[kind] = answer
    six = set(Kind.values)
    complete = [case for case in cases.values() if case.answers.keys() == six]
    return complete, [case_id for case_id, case in cases.items() if case.answers.keys() != six]


def _approved_answers(corpus: Corpus, guideline: Guideline) -> Iterator[tuple[int, str, RecordAnswer]]:
    """(case id, kind, answer with lineage) of every approved answer, whatever its case's status."""
    rows = ApprovedAnswer.objects.filter(case__corpus=corpus, case__guideline=guideline).values_list(
        "case_id",
        "kind",
        "approved_at",
        "approved_by__username",
        "answer_id",
        "answer__state",
        "answer__value",
        "answer__created_at",
        "answer__adapter",
        "answer__prompt_version",
        *_AUTHOR_OF_ANSWER,
        "answer__draft_id",
        *_AUTHOR_OF_DRAFT,
        "policy",
    )
    for row in rows.iterator(chunk_size=_BATCH):
        case_id, kind, approved_at, approved_by, answer_id, state, value, created_at, adapter, prompt = row[
            :10
        ]
        answered_by, draft_id, drafted_by, policy = row[10:14], row[14], row[15:19], row[19]
        lineage: Lineage = {
            "answer_id": answer_id,
            "author_kind": answered_by[0],
            "author": _author(*answered_by),
            "adapter": adapter,
            "prompt_version": prompt,
            "answered_at": utc_text(created_at),
            "draft_answer_id": draft_id,
            "draft_author_kind": drafted_by[0] or "",
            "draft_author": _author(*drafted_by) if draft_id else "",
            "approved_at": utc_text(approved_at),
            "approved_by": approved_by or policy,
        }
        if policy:
            lineage["approved_unseen"] = True
        yield case_id, kind, {"state": state, "value": value, "lineage": lineage}


def _author(kind: str, username: str | None, model_version: str, origin: str) -> str:
    return {AuthorKind.PERSON: username or "", AuthorKind.MODEL: model_version}.get(AuthorKind(kind), origin)


def _refuse_broken_rules(complete: list[_Approved]) -> None:
    broken: dict[str, list[str]] = {}
    for case in complete:
        said = {kind: Said(answer["state"], answer["value"]) for kind, answer in case.answers.items()}
        messages = [
            finding.message for finding in check(said, duration_us=case.duration_us) if finding.blocks
        ]
        if messages:
            broken[case.video] = messages
    if broken:
        raise Problem(
            "broken_rules",
            f"{len(broken)} approved cases contradict themselves; return and correct them first.",
            fields=broken,
        )


def _records(complete: list[_Approved], corpus: Corpus, guideline: Guideline) -> dict[int, Record]:
    """The record of every case, by case id."""
    prompts = {prompt.kind: prompt.version for prompt in guideline.prompts.all()}
    if missing := set(Kind.values) - set(prompts):
        raise Problem(
            "guideline_incomplete", f"{guideline} has no question for {', '.join(sorted(missing))}."
        )
    return {
        case.case_id: {
            "corpus": corpus.name,
            "licence": corpus.licence,
            "video": case.video,
            "sha256": case.sha256,
            "source": case.source,
            "recording": case.recording,
            "duration_us": case.duration_us,
            "guideline": {"name": guideline.name, "version": guideline.version, "prompts": prompts},
            "answers": case.answers,
        }
        for case in complete
    }


def _member(content: Record, clusters: Mapping[str, int]) -> Member:
    label = content["answers"][Kind.CRASH_RECOGNITION]["value"] or {}
    name = content["video"]
    crash = label.get("label") == "yes"
    cluster = clusters.get(name)
    return Member(name, content["recording"], content["sha256"], crash, cluster, approved_unseen(content))


def _earlier_splits(corpus: Corpus, seed: int, val_share: float, test_share: float) -> dict[str, str]:
    """Identity of footage -> the split it was last in, over this corpus's versions with the same parameters."""
    rows = (
        DatasetRecord.objects.filter(
            version__corpus=corpus,
            version__split_seed=seed,
            version__val_share=val_share,
            version__test_share=test_share,
        )
        .order_by("pk")
        .values_list("content__video", "content__recording", "content__sha256", "split")
    )
    return {name: split for *clip, split in rows.iterator() for name in identities(*clip)}


def rows_of(version: DatasetVersion) -> Iterator[tuple[str, dict[str, Any]]]:
    """(split, record) of a version in canonical order, streamed from the database."""
    rows = DatasetRecord.objects.filter(version=version).order_by("pk").values_list("split", "content")
    return iter(rows.iterator(chunk_size=_BATCH))


def recomputed_hash(version: DatasetVersion) -> str:
    """The content hash of what is stored now."""
    header = header_line(
        split_seed=version.split_seed, val_share=version.val_share, test_share=version.test_share
    )
    return content_hash(header, rows_of(version))


def verify(version: DatasetVersion) -> bool:
    """Whether the stored records still are what was frozen."""
    return recomputed_hash(version) == version.content_hash


def prompts_of(version: DatasetVersion) -> dict[str, str]:
    """Kind to the question's words. Raises Problem when the words are not those of the frozen prompt versions."""
    first = DatasetRecord.objects.filter(version=version).order_by("pk").first()
    frozen = first.content["guideline"]["prompts"] if first else {}
    texts = dict(version.guideline.prompts.values_list("kind", "text"))
    changed = sorted(kind for kind, name in frozen.items() if prompt_version(texts.get(kind, "")) != name)
    if changed:
        raise Problem(
            "prompts_changed",
            f"The questions of {version.guideline} have changed since {version}: {', '.join(changed)}.",
        )
    return texts


def facts_of(version: DatasetVersion) -> VersionFacts:
    """What the exporters write besides the records. Raises Problem as `prompts_of`."""
    return VersionFacts(
        number=version.number,
        content_hash=version.content_hash,
        note=version.note,
        split_seed=version.split_seed,
        val_share=version.val_share,
        test_share=version.test_share,
        record_count=version.record_count,
        frozen_at=utc_text(version.created_at),
        guideline=str(version.guideline),
        prompts=prompts_of(version),
    )


def request_export(*, version: DatasetVersion, export_format: str, by: User | None) -> Job:
    """The job that writes a version in a format; one that is under way already is handed back as it is."""
    args = {"version": version.pk, "format": export_format, "by": by.pk if by else None}
    same: QuerySet[Job] = Job.objects.filter(
        kind="export",
        state__in=[JobState.QUEUED, JobState.RUNNING],
        args__version=version.pk,
        args__format=export_format,
    )
    return same.first() or enqueue(
        "export", args, by=by, group=f"dataset_version:{version.pk}", corpus_id=version.corpus_id
    )


def export(
    *, version: DatasetVersion, export_format: str, by: User | None, step: Step = lambda done: None
) -> Export:
    """Write a version in a format and store the file, or find the one that is stored already.

    `step` is told how many records are written and may raise to stop. Raises Problem when the stored records
    are not what was frozen.
    """
    done = Export.objects.filter(version=version, format=export_format).first()
    if done is not None and default_storage.exists(done.storage_name):
        return done
    exporter = EXPORTERS[export_format]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"export{exporter.SUFFIX}"
        try:
            exporter.write(path, facts_of(version), rows_of(version), step=step)
        except ContentChanged as error:
            raise Problem("content_changed", f"{version} is not what was frozen: {error}.") from error
        with path.open("rb") as stream:
            sha256, size = files.sha256_of(stream)
        name = files.put(files.content_name("exports", sha256, exporter.SUFFIX), path)
    return _note_export(version, export_format, name=name, sha256=sha256, size=size, by=by)


@transaction.atomic
def _note_export(
    version: DatasetVersion, export_format: str, *, name: str, sha256: str, size: int, by: User | None
) -> Export:
    made, created = Export.objects.update_or_create(
        version=version,
        format=export_format,
        defaults={"storage_name": name, "sha256": sha256, "size": size},
        create_defaults={"storage_name": name, "sha256": sha256, "size": size, "created_by": by},
    )
    audit(
        actor=by,
        verb="dataset.exported" if created else "dataset.exported_again",
        subject=version,
        data={"format": export_format, "sha256": sha256, "bytes": size},
    )
    return made
