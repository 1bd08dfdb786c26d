import pytest

from annotations.cases.models import Case, CaseStatus
from annotations.cases.workflow import TRANSITIONS, InvalidMove, move, sources_of
from crashdesk.accounts.models import User
from crashdesk.audit.models import AuditEvent
from tests.factories import make_case

pytestmark = pytest.mark.django_db


def case_in(status: CaseStatus) -> Case:
    case = make_case()
    reason = "x" if status == CaseStatus.EXCLUDED else ""
    Case.objects.filter(pk=case.pk).update(status=status, excluded_reason=reason)
    case.refresh_from_db()
    return case


def test_every_status_has_its_row_in_the_table() -> None:
    assert set(TRANSITIONS) == set(CaseStatus)


def test_every_status_can_be_reached_and_left() -> None:
    reached = {to for targets in TRANSITIONS.values() for to in targets}
    assert reached == set(CaseStatus)
    assert all(TRANSITIONS.values())


@pytest.mark.parametrize("to", list(CaseStatus))
@pytest.mark.parametrize("source", list(CaseStatus))
def test_a_case_moves_along_the_table_and_nowhere_else(
    source: CaseStatus, to: CaseStatus, lead: User
) -> None:
    case = case_in(source)
    before = set(AuditEvent.objects.values_list("pk", flat=True))
    reason = "because" if to in (CaseStatus.EXCLUDED, CaseStatus.RETURNED) else ""
    if to in TRANSITIONS[source]:
        move(case, to, by=lead, reason=reason)
        event = AuditEvent.objects.exclude(pk__in=before).get()
        assert (event.verb, event.actor, event.subject_id) == (f"case.{to.value}", lead.username, case.pk)
        assert event.data == {"from": source.value, "reason": reason}
    else:
        with pytest.raises(InvalidMove) as refused:
            move(case, to, by=lead, reason=reason)
        assert refused.value.code == "invalid_move"
        assert not AuditEvent.objects.exclude(pk__in=before).exists()
    case.refresh_from_db()
    assert case.status == (to if to in TRANSITIONS[source] else source)


def test_the_reason_stays_with_the_status_it_explains() -> None:
    case = case_in(CaseStatus.SUBMITTED)
    move(case, CaseStatus.RETURNED, by=None, reason="look again")
    assert (case.returned_reason, case.excluded_reason) == ("look again", "")
    move(case, CaseStatus.EXCLUDED, by=None, reason="no")
    assert (case.returned_reason, case.excluded_reason) == ("", "no")
    move(case, CaseStatus.NEW, by=None)
    assert (case.returned_reason, case.excluded_reason) == ("", "")


def test_a_move_goes_by_what_the_database_holds_not_by_what_the_caller_believes() -> None:
    case = case_in(CaseStatus.READY)
    stale = Case.objects.get(pk=case.pk)
    move(case, CaseStatus.EXCLUDED, by=None, reason="gone")
    with pytest.raises(InvalidMove):
        move(stale, CaseStatus.IN_REVIEW, by=None)
    assert stale.status == CaseStatus.EXCLUDED


def test_sources_are_the_table_read_backwards() -> None:
    for to in CaseStatus:
        assert set(sources_of(to)) == {source for source, targets in TRANSITIONS.items() if to in targets}
