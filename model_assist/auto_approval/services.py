"""Making, certifying, starting, stopping and undoing policies: every write that a person asks for."""

import random
from collections.abc import Mapping
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from annotations.cases.kinds import Kind
from annotations.cases.models import Guideline
from annotations.corpora.access import require
from annotations.corpora.models import Corpus
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import enqueue_once
from model_assist.auto_approval.certification import Promise, needed
from model_assist.auto_approval.errors import USUAL, problem_of
from model_assist.auto_approval.models import (
    Certificate,
    Evidence,
    Policy,
    PolicyState,
    StopReason,
)
from model_assist.calibration.models import Calibration
from model_assist.calibration.services import newest
from model_assist.registry.models import ModelVersion
from model_assist.registry.services import in_use

DRAW: Final = "auto_approval_draw"
CERTIFY: Final = "auto_approval_certify"
RUN: Final = "auto_approval_run"
UNDO: Final = "auto_approval_undo"
PREVIEW: Final = "auto_approval_preview"
NEEDS: Final = Action.ASSIGN
"""Who decides which people see a case decides as well which cases nobody sees: leads and admins."""

SAMPLE_BEARS: Final = 1
SAMPLE_TIMES: Final = 2


def sample_size_for(promise: Promise, *, attempt: int = 1) -> int:
    """A sample with which a threshold above half of the candidates bears one error; the usual size."""
    return SAMPLE_TIMES * needed(promise, attempt=attempt, wrong=SAMPLE_BEARS)


def attempt_of(policy: Policy) -> int:
    """The how-manieth time this will be that errors of this model, corpus and guideline are looked at, from 1."""
    looked = Certificate.objects.filter(
        policy__corpus=policy.corpus_id, policy__guideline=policy.guideline_id,
        policy__model_version=policy.model_version_id,
    )  # fmt: skip
    return looked.count() + 1


def calibrations_for(model_version: ModelVersion, kinds: Mapping[str, Any]) -> dict[str, Calibration]:
    """The calibrations that scores need: of every judged kind, and of recognition, which answers given unasked rest on.

    Raises Problem not_calibrated where one is missing.
    """
    held = newest(model_version)
    wanted = [kind for kind in Kind.values if kind in kinds or kind == Kind.CRASH_RECOGNITION]
    missing = [kind for kind in wanted if kind not in held]
    if missing:
        raise Problem(
            "not_calibrated",
            f"{model_version} is not calibrated for {', '.join(missing)}: its confidence cannot tell cases apart.",
            fields={"error_rules": [f"calibrate {kind}, or do not judge it" for kind in missing]},
        )
    return {kind: held[kind] for kind in wanted}


def check_settings(
    *, max_error: float, confidence: float, certify_at: float, audit_share: float, most_share: float,
    error_rules: Mapping[str, Any],
) -> None:  # fmt: skip
    """Raises Problem invalid (400) that names each setting that makes no sense."""
    wrong: dict[str, list[str]] = {}
    for name, value, low, high in (
        ("max_error", max_error, 0.001, 0.5), ("confidence", confidence, 0.5, 0.999),
        ("certify_at", certify_at, 0.1, 1.0), ("audit_share", audit_share, 0.01, 0.9),
        ("most_share", most_share, 0.01, 1.0),
    ):  # fmt: skip
        if not low <= value <= high:
            wrong[name] = [f"from {low:g} to {high:g}"]
    problems = [
        f"{kind}: {found}" for kind, given in error_rules.items() if (found := problem_of(kind, given))
    ]
    if Kind.CRASH_RECOGNITION not in error_rules:
        problems.append("crash_recognition must be judged: every other answer rests on it")
    if problems:
        wrong["error_rules"] = problems
    if wrong:
        raise Problem("invalid", "The policy's settings make no sense.", fields=wrong, status=400)


@transaction.atomic
def create(
    *,
    corpus: Corpus,
    guideline: Guideline,
    max_error: float,
    by: User | None,
    confidence: float = 0.95,
    certify_at: float = 0.5,
    error_rules: Mapping[str, Any] | None = None,
    evidence: str = Evidence.BLIND,
    most_share: float = 0.7,
    sample_size: int | None = None,
    audit_share: float = 0.1,
    most_open_audits: int = 50,
    patience: int = 1000,
    model_version: ModelVersion | None = None,
) -> Policy:
    """Set up a policy of the model in use and have its sample drawn; nothing is approved before it is certified and
    started. error_rules: see errors.py, default USUAL for all six kinds. Both seeds are drawn here and kept:
    nobody can choose a sample.

    Raises Problem: not_allowed, not_found, invalid, not_calibrated, sample_too_small (fields say how many are needed).
    """
    require(by, NEEDS, corpus)
    rules = dict(USUAL if error_rules is None else error_rules)
    check_settings(
        max_error=max_error, confidence=confidence, certify_at=certify_at, audit_share=audit_share,
        most_share=most_share, error_rules=rules,
    )  # fmt: skip
    version = model_version or in_use()
    held = calibrations_for(version, rules)
    chance = random.SystemRandom()
    _lock(corpus)
    last = Policy.objects.filter(corpus=corpus, guideline=guideline).aggregate(last=Max("version"))["last"]
    policy = Policy(
        corpus=corpus, guideline=guideline, model_version=version, version=(last or 0) + 1, max_error=max_error,
        confidence=confidence, certify_at=certify_at, error_rules=rules, evidence=evidence, most_share=most_share,
        sample_size=0, sample_seed=chance.randrange(2**31),
        audit_share=audit_share, audit_seed=chance.randrange(2**31),
        most_open_audits=most_open_audits, patience=patience, created_by=by,
        calibrations={kind: row.pk for kind, row in held.items()},
    )  # fmt: skip
    least = needed(policy.promise, attempt=attempt_of(policy))
    policy.sample_size = sample_size or sample_size_for(policy.promise, attempt=attempt_of(policy))
    if policy.sample_size < least:
        raise Problem(
            "sample_too_small",
            f"Even without any error {policy.sample_size} cases cannot show what is promised; it takes {least}.",
            fields={"sample_size": [f"at least {least}"]},
        )
    policy.save(force_insert=True)
    data = {
        "corpus": corpus.pk, "version": policy.version, "max_error": max_error, "confidence": confidence,
        "certify_at": certify_at, "error_rules": rules, "evidence": evidence, "most_share": most_share,
        "sample_size": policy.sample_size, "sample_seed": policy.sample_seed, "audit_share": audit_share,
        "audit_seed": policy.audit_seed, "model_version": version.name, "calibrations": policy.calibrations,
    }  # fmt: skip
    record(actor=by, verb="auto_approval.created", subject=policy, data=data)
    enqueue(DRAW, policy, by=by)
    return policy


def enqueue(kind: str, policy: Policy, *, by: User | None, **args: Any) -> Job:
    """The job of this kind for a policy, or the one that waits already."""
    return enqueue_once(
        kind, {"policy": policy.pk, "corpus": policy.corpus_id, **args}, by=by, group=policy.group
    )


def request_preview(
    *,
    corpus: Corpus,
    guideline: Guideline,
    max_error: float,
    by: User | None,
    confidence: float = 0.95,
    certify_at: float = 0.5,
    audit_share: float = 0.1,
    error_rules: Mapping[str, Any] | None = None,
) -> Job:
    """The job whose result says what such a policy of the model in use would do; nothing is drawn, nothing promised.

    Raises Problem: not_allowed, not_found, invalid, not_calibrated, no_model.
    """
    require(by, NEEDS, corpus)
    rules = dict(USUAL if error_rules is None else error_rules)
    check_settings(
        max_error=max_error, confidence=confidence, certify_at=certify_at, audit_share=audit_share, most_share=1.0,
        error_rules=rules,
    )  # fmt: skip
    version = in_use()
    calibrations_for(version, rules)
    args = {
        "corpus": corpus.pk, "guideline": guideline.pk, "model_version": version.pk, "error_rules": rules,
        "max_error": max_error, "confidence": confidence, "certify_at": certify_at, "audit_share": audit_share,
    }  # fmt: skip
    return enqueue_once(PREVIEW, args, by=by, group=f"auto_approval_preview:{corpus.pk}")


def request_certification(*, policy: Policy, by: User | None) -> Job:
    """Certify now, with what people have settled; each case of the sample that is still open counts as wrong.

    Once per policy. Raises Problem: not_allowed, not_found, not_collecting, not_drawn.
    """
    require(by, NEEDS, policy.corpus_id)
    if policy.state != PolicyState.COLLECTING:
        raise Problem("not_collecting", f"Policy {policy.version} is {policy.state}: it is certified once.")
    if policy.drawn_at is None:
        raise Problem("not_drawn", "Its sample is not drawn yet.")
    return enqueue(CERTIFY, policy, by=by)


def out_of_date(policy: Policy) -> tuple[str, str]:
    """Why the certificate no longer speaks of what the model says: (reason, in words); empty where it does."""
    current = newest(policy.model_version)
    changed = [
        kind for kind, pk in policy.calibrations.items() if kind not in current or current[kind].pk != pk
    ]
    if changed:
        return StopReason.RECALIBRATED, f"{policy.model_version} was calibrated anew for {', '.join(changed)}"
    used = ModelVersion.objects.filter(in_use=True).first()
    if used is None or used.pk != policy.model_version_id:
        return StopReason.NEW_MODEL, f"the model in use is {used or 'none'}, not {policy.model_version}"
    return "", ""


@transaction.atomic
def start(*, policy: Policy, by: User | None) -> Policy:
    """Let a certified policy approve cases, from now on; another one of the corpus and guideline is stopped.

    One that a person stopped may be started again while its certificate is current. Raises Problem: not_allowed,
    not_found, not_certified, and recalibrated or new_model where it must be certified again, as a new version.
    """
    require(by, NEEDS, policy.corpus_id)
    _lock(policy.corpus)
    policy = Policy.objects.select_for_update(of=("self",)).get(pk=policy.pk)
    if policy.state == PolicyState.RUNNING:
        return policy
    by_hand = policy.state == PolicyState.STOPPED and policy.stop_reason in (
        StopReason.BY_HAND,
        StopReason.REPLACED,
    )
    if policy.state != PolicyState.CERTIFIED and not by_hand:
        why = policy.stop_detail or policy.get_state_display()
        raise Problem("not_certified", f"Policy {policy.version} cannot be started: {why}.")
    reason, words = out_of_date(policy)
    if reason:
        raise Problem(reason, f"Policy {policy.version} must be certified again as a new version: {words}.")
    others = Policy.objects.filter(
        corpus=policy.corpus_id, guideline=policy.guideline_id, state=PolicyState.RUNNING
    )
    for other in others:
        halt(policy=other, reason=StopReason.REPLACED, detail=f"policy {policy.version} was started", by=by)
    policy.state, policy.started_at, policy.started_by = PolicyState.RUNNING, timezone.now(), by
    policy.stopped_at, policy.stopped_by, policy.stop_reason, policy.stop_detail = None, None, "", ""
    policy.save()
    record(
        actor=by, verb="auto_approval.started", subject=policy,
        data={"threshold": policy.certificate.threshold, "audit_share": policy.audit_share},
    )  # fmt: skip
    enqueue(RUN, policy, by=by)
    return policy


@transaction.atomic
def stop(*, policy: Policy, by: User | None, detail: str = "") -> Policy:
    """A person stops it, at once. Raises Problem: not_allowed, not_found, not_running."""
    require(by, NEEDS, policy.corpus_id)
    if not halt(policy=policy, reason=StopReason.BY_HAND, detail=detail.strip()[:500], by=by):
        raise Problem("not_running", f"Policy {policy.version} does not run.")
    policy.refresh_from_db()
    return policy


@transaction.atomic
def halt(
    *, policy: Policy, reason: str, detail: str, by: User | None = None, data: dict[str, Any] | None = None
) -> bool:
    """Stop a running policy; False where it does not run. From the commit on it approves nothing more."""
    stopped = Policy.objects.filter(pk=policy.pk, state=PolicyState.RUNNING).update(
        state=PolicyState.STOPPED, stopped_at=timezone.now(), stopped_by=by, stop_reason=reason,
        stop_detail=detail[:500],
    )  # fmt: skip
    if stopped:
        record(
            actor=by, verb="auto_approval.stopped", subject=policy,
            data={"reason": reason, "detail": detail, **(data or {})},
        )  # fmt: skip
    return bool(stopped)


@transaction.atomic
def request_undo(*, policy: Policy, reason: str, by: User | None) -> Job:
    """Give every case that this policy approved back to people: stops it first. The job tells of each case.

    Raises Problem: not_allowed, not_found, reason_needed.
    """
    require(by, NEEDS, policy.corpus_id)
    words = reason.strip()
    if not words:
        raise Problem("reason_needed", "Say why.", fields={"reason": ["must not be empty"]}, status=400)
    halt(policy=policy, reason=StopReason.BY_HAND, detail=f"undone: {words}", by=by)
    return enqueue(UNDO, policy, by=by, reason=words[:300])


def _lock(corpus: Corpus) -> None:
    """One at a time makes or starts policies of a corpus; held to the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"crashdesk.auto_approval:{corpus.pk}"])
