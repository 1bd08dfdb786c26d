"""Drawing a policy's sample, and certifying it once people have answered: the two jobs before it may run."""

import hashlib
import math
import random
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from django.db import transaction
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.reviews.draws import draws_of
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.running import Running
from model_assist.auto_approval import certification
from model_assist.auto_approval.candidates import Candidate, Setup, load, population
from model_assist.auto_approval.certification import Look, needed
from model_assist.auto_approval.judging import EXCLUDED, judge
from model_assist.auto_approval.models import Certificate, Evidence, Policy, PolicyState, SampleCase
from model_assist.auto_approval.services import attempt_of

STEPS: Final = 500
CHUNK: Final = 2000
FIRST: Final = 0
"""The review rank of the sample: before whatever a selection round has ranked."""

OPEN: Final = [CaseStatus.PREDICTED, CaseStatus.IN_REVIEW]


def draw(running: Running) -> dict[str, Any]:
    """The job. Draws the sample of a policy at random from the surest of its candidates, none of which anybody has
    settled, and lets people see those first. With blind evidence the sample is the control arm among them.

    A sample that cannot show the promise refuses the policy. Done again, it changes nothing.
    """
    policy = Policy.objects.select_related("corpus", "guideline", "model_version").get(
        pk=running.job.args["policy"]
    )
    if policy.drawn_at is not None or policy.state != PolicyState.COLLECTING:
        return {"sample": policy.sample.count()}
    setup = Setup.of(policy)
    ids = list(population(setup).order_by("pk").values_list("pk", flat=True))
    sure: list[Candidate] = []
    for number, candidate in enumerate(load(setup, ids), start=1):
        if not candidate.refused and candidate.score is not None:
            sure.append(candidate)
        running.progress(number, len(ids), f"{len(sure)} of {number} cases could be approved unseen")
    running.check(fresh=True)
    top = surest(sure, policy.most_share)
    return _keep(policy, top, drawn(policy, top), answered=len(ids), sure=len(sure))


def surest(candidates: Sequence[Candidate], share: float) -> list[Candidate]:
    """The share of them with the highest scores, all that tie with the last of them included, in order of their ids."""
    scores = sorted((one.score or 0.0 for one in candidates), reverse=True)
    if not scores:
        return []
    floor = scores[max(1, math.ceil(share * len(scores))) - 1]
    return sorted((one for one in candidates if (one.score or 0.0) >= floor), key=lambda one: one.case_id)


def drawn(policy: Policy, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The sample: any `sample_size` of them by the policy's seed, or with blind evidence the whole control arm."""
    if policy.evidence == Evidence.ANY:
        size = min(policy.sample_size, len(candidates))
        return random.Random(policy.sample_seed).sample(list(candidates), size)
    arm: set[int] = set()
    for start in range(0, len(candidates), CHUNK):
        some = [one.case_id for one in candidates[start : start + CHUNK]]
        draws = draws_of(Case.objects.filter(pk__in=some))
        arm |= {case_id for case_id, draw in draws.items() if draw.blind}
    return [one for one in candidates if one.case_id in arm]


@transaction.atomic
def _keep(
    policy: Policy, top: Sequence[Candidate], sample: Sequence[Candidate], *, answered: int, sure: int
) -> dict[str, Any]:
    locked = Policy.objects.select_for_update(of=("self",)).get(pk=policy.pk)
    if locked.drawn_at is not None:
        return {"sample": locked.sample.count()}
    scores = np.sort(np.array([one.score for one in top], np.float64))
    steps = np.linspace(0, len(scores) - 1, min(len(scores), STEPS + 1)).round().astype(int)
    locked.drawn_at, locked.sample_size = timezone.now(), len(sample)
    locked.answered, locked.sure, locked.candidates = answered, sure, len(top)
    locked.scores = scores[steps].tolist() if len(scores) else []
    least = needed(locked.promise, attempt=attempt_of(locked))
    if len(sample) < least:
        locked.state = PolicyState.REFUSED
        arm = "of the control arm " if locked.evidence == Evidence.BLIND else ""
        locked.stop_detail = (
            f"Only {len(sample)} cases {arm}could be drawn from {len(top)} candidates; even without any error it takes "
            f"{least} to show the promise."
        )
    locked.save()
    SampleCase.objects.bulk_create(
        [SampleCase(policy=locked, case_id=one.case_id, score=one.score) for one in sample], batch_size=2000
    )
    first = Case.objects.filter(pk__in=[one.case_id for one in sample], status__in=OPEN)
    first.update(review_rank=FIRST)
    data = {
        "answered": answered, "sure": sure, "candidates": len(top), "sample": len(sample), "seed": locked.sample_seed,
        "needed": least, "refused": locked.stop_detail,
    }  # fmt: skip
    record(actor=None, verb="auto_approval.sample_drawn", subject=locked, data=data)
    return {"sample": len(sample), "candidates": len(top), "answered": answered, "needed": least}


def certify(running: Running) -> dict[str, Any]:
    """The job. Looks at the errors in the sample and keeps a certificate, once; a case still open counts as wrong."""
    policy = Policy.objects.select_related("corpus", "guideline", "model_version").get(
        pk=running.job.args["policy"]
    )
    judge(policy, policy.sample.all())
    running.check(fresh=True)
    return settle(policy, job_id=running.job.pk)


@transaction.atomic
def settle(policy: Policy, *, job_id: int | None = None) -> dict[str, Any]:
    """Walk the row of thresholds on what is known of the sample, write the certificate, and certify or refuse."""
    policy = Policy.objects.select_for_update(of=("self",)).get(pk=policy.pk)
    held = Certificate.objects.filter(policy=policy).first()
    if held is not None:
        return {"certificate": held.pk, "threshold": held.threshold}
    if policy.drawn_at is None or policy.state != PolicyState.COLLECTING:
        raise Problem(
            "not_collecting", f"Policy {policy.version} is {policy.state}; there is nothing to certify."
        )
    rows = list(policy.sample.order_by("case_id"))
    attempt = attempt_of(policy)
    looks, tries = look(policy, rows, attempt=attempt)
    chosen = certification.chosen(looks)
    certificate = Certificate.objects.create(
        policy=policy, attempt=attempt, delta=policy.promise.delta(attempt),
        threshold=None if chosen is None else chosen.threshold, looks=[one.as_json() for one in looks], tries=tries,
        sample=len(rows), unsettled=sum(row.wrong is None for row in rows),
        excluded=sum(row.wrong_kinds == [EXCLUDED] for row in rows), standing=_standing(rows, chosen),
        evidence_hash=evidence_hash(rows), job_id=job_id,
    )  # fmt: skip
    policy.state = PolicyState.CERTIFIED if chosen else PolicyState.REFUSED
    policy.stop_detail = "" if chosen else _why_none(looks)
    policy.save(update_fields=["state", "stop_detail"])
    data = {
        "certificate": certificate.pk, "attempt": attempt, "delta": certificate.delta, "sample": len(rows),
        "threshold": certificate.threshold, "looks": certificate.looks, "evidence_hash": certificate.evidence_hash,
    }  # fmt: skip
    record(
        actor=None,
        verb="auto_approval.certified" if chosen else "auto_approval.refused",
        subject=policy,
        data=data,
    )
    return {"certificate": certificate.pk, "threshold": certificate.threshold}


def look(policy: Policy, rows: Sequence[SampleCase], *, attempt: int) -> tuple[list[Look], int]:
    """The looks at the sample in the row's order, and how long the row is. An open case counts as wrong."""
    scores = np.array(policy.scores, np.float64)
    row = certification.thresholds(scores, sample=len(rows), promise=policy.promise, attempt=attempt)
    looks = certification.walk(
        row, population=scores, scores=np.array([one.score for one in rows], np.float64),
        wrong=np.array([one.wrong is not False for one in rows], bool), promise=policy.promise, attempt=attempt,
    )  # fmt: skip
    return looks, len(row)


def _standing(rows: Sequence[SampleCase], chosen: Look | None) -> dict[str, Any]:
    """By what the reviewer had in view, settled cases and errors at or above the threshold (of all, without one)."""
    least = chosen.threshold if chosen else -math.inf
    settled = [one for one in rows if one.wrong is not None and (one.score or 0.0) >= least]
    return {
        name: {
            "cases": sum(one.blind is blind for one in settled),
            "wrong": sum(bool(one.wrong) for one in settled if one.blind is blind),
        }
        for name, blind in (("blind", True), ("drafted", False))
    }


def _why_none(looks: Sequence[Look]) -> str:
    if not looks:
        return "The sample is too small for any threshold."
    told = "; ".join(f"{one.wrong} of {one.cases} among the surest {one.coverage:.0%}" for one in looks)
    return f"Too many were wrong to show the promise at any threshold: {told}."


def evidence_hash(rows: Sequence[SampleCase]) -> str:
    """SHA-256 over the lines "case score wrong" (1, 0, or ? for an open one) in order of the cases."""
    told = {None: "?", True: "1", False: "0"}
    lines = [f"{row.case_id} {row.score!r} {told[row.wrong]}\n" for row in rows]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
