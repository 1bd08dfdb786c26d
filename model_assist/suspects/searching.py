"""The search for suspects, as a job: all labels of a corpus against the models, other people and copies of the clip."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.corpora.models import Corpus
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.running import Running
from model_assist.suspects.copies import Copies
from model_assist.suspects.labels import (
    SUBMITTED,
    Label,
    Models,
    decided_cases,
    labels_of,
    opinions_of,
    people_against,
)
from model_assist.suspects.models import Suspect, SuspectState
from model_assist.suspects.scoring import LEAST, Score, Witness, score

AT_ONCE: Final = 500
_SHOWN_WITNESSES: Final = 10


@dataclass
class Tally:
    """What a search found. `labels`: looked at; `asked`: how many of them each source says something of."""

    cases: int = 0
    labels: int = 0
    suspects: int = 0
    new: int = 0
    gone: int = 0
    asked: dict[str, int] = field(default_factory=lambda: {"model": 0, "people": 0, "duplicates": 0})


@dataclass(frozen=True)
class Found:
    """A label with what speaks against it."""

    label: Label
    score: Score
    evidence: dict[str, Any]


def find(cases: Sequence[int], *, models: Models | None = None) -> list[Found]:
    """Every label of these cases, with its score; nothing is written."""
    labels = labels_of(cases)
    opinions, copies, decided = opinions_of(cases), Copies(cases), decided_cases(cases)
    said_by_models = (models or Models()).against(labels)
    found = []
    for label in labels:
        model = said_by_models.get((label.case, label.kind))
        people = (
            [] if label.case in decided else people_against(label, opinions.get((label.case, label.kind), []))
        )
        duplicates = copies.against(label)
        given = score(model=model, people=people, duplicates=duplicates)
        evidence = {
            "model": _told(model) if model else None,
            "people": [_told(one) for one in people[:_SHOWN_WITNESSES]],
            "duplicates": [_told(one) for one in duplicates[:_SHOWN_WITNESSES]],
        }
        found.append(Found(label, given, evidence))
    return found


def _told(witness: Witness) -> dict[str, Any]:
    return {"name": witness.name, "apart": round(witness.apart, 4), "right": round(witness.right, 4)}


def run(running: Running) -> dict[str, Any]:
    """The job. args: corpus. Its result is the Tally. Safe to start twice: what was found before is found again."""
    corpus = Corpus.objects.filter(pk=running.job.args["corpus"]).first()
    if corpus is None:
        raise Problem("corpus_missing", f"There is no corpus {running.job.args['corpus']} any more.")
    begun = timezone.now()
    labelled = Case.objects.filter(corpus=corpus, status__in=[CaseStatus.APPROVED, *SUBMITTED])
    cases = list(labelled.order_by("pk").values_list("pk", flat=True))
    models, tally = Models(), Tally()
    for start in range(0, len(cases), AT_ONCE):
        running.progress(start, len(cases), f"{start} of {len(cases)} cases, {tally.suspects} suspects")
        part = cases[start : start + AT_ONCE]
        _write(find(part, models=models), tally)
        tally.cases += len(part)
    running.check(fresh=True)
    with transaction.atomic():
        tally.gone = _forget(corpus, begun)
        record(actor=running.job.created_by, verb="suspects.searched", subject=corpus, data=asdict(tally))
    running.progress(len(cases), len(cases), f"{tally.suspects} suspects among {tally.labels} labels")
    return asdict(tally)


@transaction.atomic
def _write(found: Sequence[Found], tally: Tally) -> None:
    """New suspects are added, open ones brought up to date; what a person has decided stays as it was decided on."""
    tally.labels += len(found)
    for one in found:
        for name, part in (
            ("model", one.score.model), ("people", one.score.people), ("duplicates", one.score.duplicates),
        ):  # fmt: skip
            tally.asked[name] += part is not None
    suspected = [one for one in found if one.score.total >= LEAST]
    tally.suspects += len(suspected)
    known = {
        (row.case_id, row.answer_id): row
        for row in Suspect.objects.select_for_update().filter(case__in={one.label.case for one in suspected})
    }
    now, fresh, again = timezone.now(), [], []
    for one in suspected:
        row = known.get((one.label.case, one.label.answer))
        if row is None:
            row = Suspect(case_id=one.label.case, answer_id=one.label.answer, kind=one.label.kind)
            fresh.append(row)
        elif row.state in (SuspectState.OPEN, SuspectState.GONE):
            again.append(row)
        else:
            continue
        row.state, row.approved, row.seen_at = SuspectState.OPEN, one.label.approved, now
        row.score, row.evidence = one.score.total, one.evidence
        row.by_model, row.by_people, row.by_duplicates = (
            one.score.model, one.score.people, one.score.duplicates,
        )  # fmt: skip
    Suspect.objects.bulk_create(fresh)
    Suspect.objects.bulk_update(
        again, ["state", "approved", "seen_at", "score", "evidence", "by_model", "by_people", "by_duplicates"]
    )
    tally.new += len(fresh)


def _forget(corpus: Corpus, begun: datetime) -> int:
    """Open suspects that this search did not find again."""
    left = Suspect.objects.filter(case__corpus=corpus, state=SuspectState.OPEN, seen_at__lt=begun)
    return left.update(state=SuspectState.GONE)
