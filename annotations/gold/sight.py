"""Who must not see what of a case.

Gold cases look open to whoever is measured by them, second passes are blind, and the control arm has no draft while
somebody may still answer it: an answer can be edited until the case is settled.
"""

from functools import cached_property
from typing import Final

from django.db.models import Q

from annotations.cases.models import ApprovedAnswer, Case, CaseStatus
from annotations.cases.sight import Sight, Veil
from annotations.gold.models import GoldCase
from annotations.reviews.models import (
    Assignment,
    AssignmentState,
    CaseDraw,
    Purpose,
    Review,
    ReviewOutcome,
)
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import standing

BEFORE_SUBMISSION: Final = (
    CaseStatus.NEW, CaseStatus.READY, CaseStatus.PREDICTING, CaseStatus.PREDICTED, CaseStatus.IN_REVIEW,
    CaseStatus.RETURNED,
)  # fmt: skip
CONTESTED: Final = (CaseStatus.DISPUTED, CaseStatus.ADJUDICATING)
SETTLED: Final = (CaseStatus.APPROVED, CaseStatus.EXCLUDED)
DECIDING: Final = (Purpose.SECOND, Purpose.ADJUDICATE)
"""What is asked of somebody who has not answered the case and decides about what others answered."""


class WorkersSight(Sight):
    """Reads what it needs when it is first asked, so that a page of cases costs a few queries."""

    def __init__(self, person: User) -> None:
        super().__init__(person)
        self._standing = standing(person)

    def _may(self, action: Action, corpus_id: int) -> bool:
        return action in self._standing.allowed(corpus_id)

    @cached_property
    def _gold(self) -> dict[int, Assignment | None]:
        """The gold cases that must look like any other to this person, with what they were asked."""
        asked = {
            one.case_id: one
            for one in Assignment.objects.filter(
                person=self.person,
                purpose=Purpose.GOLD,
                state__in=[AssignmentState.OPEN, AssignmentState.DONE],
            ).order_by("id")
        }
        marked = GoldCase.objects.filter(Q(unmarked_at__isnull=True) | Q(case__in=list(asked)))
        found: dict[int, int] = dict(marked.values_list("case_id", "case__corpus_id"))
        known = self._known(list(found))
        return {
            case: asked.get(case)
            for case, corpus in found.items()
            if case not in known
            and not self._may(Action.ASSIGN, corpus)
            and (case in asked or not self._may(Action.APPROVE, corpus))
        }

    def _known(self, cases: list[int]) -> set[int]:
        """Those that the person answered or approved themselves, and so never gets as gold."""
        own = Review.objects.filter(reviewer=self.person, case__in=cases).exclude(purpose=Purpose.GOLD)
        approved = ApprovedAnswer.objects.filter(approved_by=self.person, case__in=cases)
        return {*own.values_list("case_id", flat=True), *approved.values_list("case_id", flat=True)}

    def masked(self) -> set[int]:
        """The gold cases."""
        return set(self._gold)

    def shown_as(self, case_id: int) -> str:
        """In review for as long as the person has not answered it, submitted ever after."""
        asked = self._gold.get(case_id)
        done = asked is not None and asked.state == AssignmentState.DONE
        return CaseStatus.SUBMITTED if done else CaseStatus.IN_REVIEW

    def of(self, case: Case) -> Veil:
        """What is shown of this case: the strictest of the three reasons to hide something."""
        draw = CaseDraw.objects.filter(case=case).first()
        if case.pk in self._gold:
            asked = self._gold[case.pk]
            at = (asked.closed_at or asked.assigned_at) if asked is not None else None
            drafts = not (draw is not None and draw.blind)
            return Veil(self.shown_as(case.pk), at, drafts=drafts, others=False, outcome=False)
        blind = draw is not None and draw.blind and self._may_not_see_drafts(case)
        alone = draw is not None and draw.double and self._is_blind_to_others(case)
        leads = self._may(Action.ASSIGN, case.corpus_id)
        return Veil(drafts=not blind, others=not alone, outcome=leads)

    def _may_not_see_drafts(self, case: Case) -> bool:
        """Everybody until it is submitted; until it is settled, who answered it, is asked to or may come to be."""
        if case.status in BEFORE_SUBMISSION:
            return True
        if case.status in SETTLED:
            return False
        if not self._may(Action.APPROVE, case.corpus_id):
            return True
        answered = Review.objects.filter(case=case, reviewer=self.person).exclude(purpose__in=DECIDING)
        asked = Assignment.objects.filter(case=case, person=self.person, state=AssignmentState.OPEN)
        return answered.exists() or asked.exclude(purpose__in=DECIDING).exists()

    def _is_blind_to_others(self, case: Case) -> bool:
        """Until both have answered, whoever may still answer; until it is decided, the two themselves."""
        one_of_two = Review.objects.filter(
            case=case, reviewer=self.person, outcome=ReviewOutcome.SUBMITTED,
            purpose__in=[Purpose.ANNOTATE, Purpose.DOUBLE],
        ).exists()  # fmt: skip
        if case.status in CONTESTED:
            return one_of_two
        if case.status not in BEFORE_SUBMISSION:
            return False
        asked = Assignment.objects.filter(
            case=case, person=self.person, state=AssignmentState.OPEN,
            purpose__in=[Purpose.ANNOTATE, Purpose.DOUBLE],
        )  # fmt: skip
        return one_of_two or not self._may(Action.ASSIGN, case.corpus_id) or asked.exists()
