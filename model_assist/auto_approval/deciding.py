"""A running policy at work: which cases it approves unseen, which it leaves to people, and the job that does it."""

from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction

from annotations.cases.models import Answer, Case, CaseStatus
from annotations.reviews.by_policy import approve_by_policy
from annotations.reviews.draws import chance, draws_of
from annotations.reviews.models import CaseDraw
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.running import Running
from model_assist.auto_approval.candidates import Candidate, Setup, gold_cases, load
from model_assist.auto_approval.models import Outcome, Policy, PolicyDecision, PolicyState
from model_assist.auto_approval.monitoring import halt_if_due

BATCH: Final = 100
AUDIT: Final = "auto-approval audit"


def threshold_of(policy: Policy) -> float:
    """The score from which on it approves. Raises Problem where its certificate has none."""
    threshold = policy.certificate.threshold
    if threshold is None:
        raise Problem("not_certified", f"Policy {policy.version} has no threshold.")
    return threshold


def words_of(policy: Policy) -> str:
    """What every approved answer says of how it came to be approved. No seed: it would tell which cases are audited."""
    return (
        f"policy {policy.version} (id {policy.pk}), threshold {threshold_of(policy):.6g}, audit slice "
        f"{policy.audit_share:.3g}"
    )


def run(running: Running) -> dict[str, Any]:
    """The job. Decides about every predicted case that the policy has not decided about, batch by batch.

    It ends early where the policy stops, or where as many audited cases as it allows wait for people. Killed and
    started again it goes on where it was.
    """
    policy = Policy.objects.select_related("corpus", "guideline", "model_version", "certificate").get(
        pk=running.job.args["policy"]
    )
    counts = {outcome.value: 0 for outcome in Outcome}
    setup, waiting = Setup.of(policy), undecided(policy).count()
    done, ended = 0, ""
    while not ended:
        ended, decided = decide_some(policy, setup)
        for outcome in decided:
            counts[outcome] += 1
        done += len(decided)
        running.progress(
            done, max(waiting, done), f"{counts['approved']} approved, {counts['audit']} audited"
        )
    return {**counts, "ended": ended}


def undecided(policy: Policy) -> Any:
    """The predicted cases of its corpus and guideline that it has not decided about."""
    decided = PolicyDecision.objects.filter(policy=policy)
    return Case.objects.filter(
        corpus=policy.corpus_id, guideline=policy.guideline_id, status=CaseStatus.PREDICTED
    ).exclude(pk__in=decided.values("case"))


@transaction.atomic
def decide_some(policy: Policy, setup: Setup) -> tuple[str, list[str]]:
    """Decide about the next cases: (why there is nothing more to do now, or ""; the outcomes).

    The policy's row is locked meanwhile, so that whoever stops it waits for at most one batch, and nothing is approved
    afterwards.
    """
    locked = Policy.objects.select_for_update(of=("self",)).select_related("certificate").get(pk=policy.pk)
    if locked.state != PolicyState.RUNNING or halt_if_due(locked):
        return "stopped", []
    room = locked.most_open_audits - open_audits(locked)
    if room <= 0:
        return "audit_waits", []
    ids = list(undecided(locked).order_by("pk").values_list("pk", flat=True)[:BATCH])
    if not ids:
        return "nothing_left", []
    cases = {
        case.pk: case
        for case in Case.objects.filter(pk__in=ids).select_for_update(of=("self",)).order_by("pk")
    }
    draws, gold = (
        draws_of(cases.values()),
        set(gold_cases().filter(pk__in=ids).values_list("pk", flat=True)),
    )
    made: list[PolicyDecision] = []
    for candidate in sorted(load(setup, cases), key=lambda one: one.case_id):
        if room <= 0:
            break
        decision = _decide(locked, candidate, draws[candidate.case_id], gold=candidate.case_id in gold)
        if decision.outcome == Outcome.APPROVED:
            _approve(locked, cases[candidate.case_id], decision)
        room -= decision.outcome == Outcome.AUDIT
        made.append(decision)
    PolicyDecision.objects.bulk_create(made)
    _record(locked, made)
    return "", [decision.outcome for decision in made]


def open_audits(policy: Policy) -> int:
    """Cases drawn for its audit that people have not settled."""
    return policy.decisions.filter(outcome=Outcome.AUDIT, judged_at__isnull=True).count()


def _decide(policy: Policy, candidate: Candidate, draw: CaseDraw, *, gold: bool) -> PolicyDecision:
    """By rule, by score, by earlier draws, then by the audit's own draw, in this order."""
    decision = PolicyDecision(
        policy=policy, case_id=candidate.case_id, score=candidate.score, answers=candidate.answers
    )
    if candidate.status != CaseStatus.PREDICTED:
        decision.outcome, decision.reason = Outcome.REFUSED, f"the case is {candidate.status}"
    elif candidate.refused or candidate.score is None:
        decision.outcome, decision.reason = Outcome.REFUSED, candidate.refused
    elif gold:
        decision.outcome, decision.reason = Outcome.REFUSED, "a gold case"
    elif candidate.score < threshold_of(policy):
        decision.outcome = Outcome.BELOW
    elif kept := [name for name in ("blind", "double", "second") if getattr(draw, name)]:
        decision.outcome, decision.reason = Outcome.KEPT, f"drawn for people: {', '.join(kept)}"
    else:
        decision.draw = chance(policy.audit_seed, AUDIT, candidate.case_id)
        decision.outcome = Outcome.AUDIT if decision.draw < policy.audit_share else Outcome.APPROVED
    return decision


def _approve(policy: Policy, case: Case, decision: PolicyDecision) -> None:
    """Approve the answers that were looked at; what the room of reviews refuses is written down instead."""
    answers = Answer.objects.filter(pk__in=decision.answers.values())
    try:
        with transaction.atomic():
            approve_by_policy(case=case, answers=answers, policy=words_of(policy))
    except Problem as problem:
        decision.outcome, decision.reason, decision.draw = Outcome.REFUSED, problem.message[:300], None


def _record(policy: Policy, made: Sequence[PolicyDecision]) -> None:
    """One row per batch; each approved case has its own rows besides."""
    by_outcome: dict[str, list[int]] = {}
    for decision in made:
        by_outcome.setdefault(decision.outcome, []).append(decision.case_id)
    record(actor=None, verb="auto_approval.decided", subject=policy, data={"cases": by_outcome})
