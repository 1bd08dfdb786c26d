"""Who is given nothing new: a person's newest gold scores against the plan's limit, corpus by corpus."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from annotations.corpora.access import require
from annotations.corpora.models import Corpus
from annotations.gold.models import GoldScore, Pause
from annotations.reviews.models import ReviewOutcome, ReviewPlan
from annotations.reviews.plans import current_plan
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record


@dataclass(frozen=True)
class Standing:
    """A person's newest gold scores in a corpus, oldest first, as far as they are judged by them."""

    plan: ReviewPlan
    scores: Sequence[GoldScore]

    @property
    def mean(self) -> float | None:
        """Their mean, 0 to 1; None without any."""
        return sum(one.score for one in self.scores) / len(self.scores) if self.scores else None

    @property
    def below(self) -> bool:
        """Whether they fall below the plan's limit; nobody is judged by fewer than the plan's window or entrance."""
        plan = self.plan
        fewest = min(plan.gold_window, plan.gold_entrance) if plan.gold_entrance else plan.gold_window
        return self.mean is not None and len(self.scores) >= fewest and self.mean < plan.gold_limit


def counted(person: User, corpus: int) -> list[GoldScore]:
    """The person's scores that count, oldest first; of a gold case answered more than once the newest."""
    rows = GoldScore.objects.filter(
        person=person, gold__case__corpus=corpus, counts=True, review__outcome=ReviewOutcome.SUBMITTED
    ).select_related("gold")
    newest = {one.gold.case_id: one for one in rows.order_by("answered_at", "id")}
    return sorted(newest.values(), key=lambda one: (one.answered_at, one.pk))


def standing(person: User, corpus: int) -> Standing:
    """Since the last lift of a pause, over the window of the corpus's newest plan."""
    plan = current_plan(corpus)
    lifted = Pause.objects.filter(person=person, corpus=corpus, lifted_at__isnull=False)
    since = lifted.order_by("-lifted_at").values_list("lifted_at", flat=True).first()
    scores = [one for one in counted(person, corpus) if since is None or one.answered_at > since]
    return Standing(plan, scores[-plan.gold_window :])


def open_pause(person: User, corpus: int) -> Pause | None:
    """The pause that holds the person in this corpus now."""
    return Pause.objects.filter(person=person, corpus=corpus, lifted_at__isnull=True).first()


def paused_in(person: User) -> set[int]:
    """The corpora (ids) in which the person is given nothing new."""
    held = Pause.objects.filter(person=person, lifted_at__isnull=True)
    return set(held.values_list("corpus_id", flat=True))


@transaction.atomic
def judge(*, person: User, corpus: int) -> Pause | None:
    """Pause the person in the corpus where their scores ask for it; the pause that holds them afterwards.

    An automatic pause whose ground is gone, because scores were edited, taken back or found wrong, is lifted by the
    system. What a lead paused only a lead lifts.
    """
    User.objects.select_for_update(no_key=True).get(pk=person.pk)  # one judgement at a time
    now, held = standing(person, corpus), open_pause(person, corpus)
    if held is None and now.below:
        return _pause(person, corpus, now)
    if held is None or held.paused_by_id is not None:
        return held
    if now.mean is None or now.mean >= now.plan.gold_limit:
        _lift(held, by=None, reason="the scores it was about are no longer below the limit")
        return None
    return held


def _pause(person: User, corpus: int, now: Standing) -> Pause:
    made = Pause.objects.create(
        person=person, corpus_id=corpus, plan=now.plan, mean=now.mean, scores=[one.pk for one in now.scores],
        reason=f"the mean of the last {len(now.scores)} gold cases is below {now.plan.gold_limit:.2f}",
    )  # fmt: skip
    record(
        actor=None, verb="person.paused", subject=made,
        data={"person": person.username, "mean": now.mean, "limit": now.plan.gold_limit, "scores": made.scores},
    )  # fmt: skip
    return made


def _lift(pause: Pause, *, by: User | None, reason: str) -> None:
    pause.lifted_at, pause.lifted_by, pause.lift_reason = timezone.now(), by, reason
    pause.save()
    record(
        actor=by, verb="person.pause_lifted", subject=pause,
        data={"person": pause.person.username, "reason": reason},
    )  # fmt: skip


@transaction.atomic
def pause(*, person: User, corpus: Corpus, reason: str, by: User) -> Pause:
    """A lead holds somebody in a corpus by hand. Problem: not_allowed, not_found, reason_needed, already_paused."""
    require(by, Action.ASSIGN, corpus)
    words = _words(reason)
    User.objects.select_for_update(no_key=True).get(pk=person.pk)
    if open_pause(person, corpus.pk) is not None:
        raise Problem("already_paused", f"{person.username} is paused in this corpus already.")
    made = Pause.objects.create(
        person=person, corpus=corpus, plan=current_plan(corpus), reason=words, paused_by=by
    )
    record(
        actor=by, verb="person.paused", subject=made, data={"person": person.username, "reason": words}
    )  # fmt: skip
    return made


@transaction.atomic
def lift(*, pause: Pause, reason: str, by: User) -> Pause:
    """Let the person go on; they are judged by what they answer from now on.

    Problem: not_allowed, not_found, reason_needed, not_paused (it was lifted meanwhile).
    """
    require(by, Action.ASSIGN, pause.corpus_id)
    words = _words(reason)
    held = Pause.objects.select_for_update(of=("self",)).select_related("person").get(pk=pause.pk)
    if held.lifted_at is not None:
        raise Problem("not_paused", f"{held.person.username} is not paused any more.")
    _lift(held, by=by, reason=words)
    return held


def _words(reason: str) -> str:
    words = reason.strip()
    if not words or len(words) > 300:
        message = "must not be empty" if not words else "at most 300 characters"
        raise Problem("reason_needed", "Say why, briefly.", fields={"reason": [message]}, status=400)
    return words
