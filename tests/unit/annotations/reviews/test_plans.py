"""Plans are versions: what is kept, what is refused, who may."""

import pytest

from annotations.cases.kinds import Kind
from annotations.reviews.models import ReviewPlan
from annotations.reviews.plans import DEFAULT_THRESHOLDS, current_plan, set_plan
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import history
from tests.factories import make_corpus

pytestmark = pytest.mark.django_db


def test_a_corpus_nobody_planned_gets_a_plan_that_does_nothing() -> None:
    corpus = make_corpus()
    plan = current_plan(corpus)
    assert (plan.version, plan.created_by) == (1, None)
    shares = (plan.blind_share, plan.double_share, plan.second_share, plan.gold_share, plan.gold_entrance)
    assert set(shares) == {0}
    assert current_plan(corpus.pk) == plan
    assert ReviewPlan.objects.count() == 1


def test_a_change_is_a_new_version_that_keeps_the_rest(lead: User) -> None:
    corpus = make_corpus()
    first = set_plan(corpus=corpus, by=lead, blind_share=0.2, blind_seed=7)
    second = set_plan(corpus=corpus, by=lead, gold_share=0.1)
    assert (second.version, second.blind_share, second.blind_seed, second.gold_share) == (3, 0.2, 7, 0.1)
    first.refresh_from_db()
    assert first.gold_share == 0.0
    assert current_plan(corpus) == second
    assert history(second).get().data["changed"] == {"gold_share": 0.1, "gold_seed": second.gold_seed}


def test_nothing_new_is_no_new_version(lead: User) -> None:
    corpus = make_corpus()
    plan = set_plan(corpus=corpus, by=lead, double_share=0.5)
    assert set_plan(corpus=corpus, by=lead, double_share=0.5) == plan


def test_a_share_gets_a_recorded_seed_and_doubling_its_thresholds(lead: User) -> None:
    plan = set_plan(corpus=make_corpus(), by=lead, double_share=0.5)
    assert 0 < plan.double_seed < 2**53
    assert plan.blind_seed == 0
    assert plan.thresholds == DEFAULT_THRESHOLDS
    assert set_plan(corpus=plan.corpus, by=lead, double_share=0.4).double_seed == plan.double_seed
    without = set_plan(corpus=make_corpus(), by=lead, double_share=0.5, thresholds={})
    assert without.thresholds == {}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"blind_share": 1.5}, "blind_share"),
        ({"double_share": -0.1}, "double_share"),
        ({"gold_window": 0}, "gold_window"),
        ({"reservation_minutes": 0}, "reservation_minutes"),
        ({"strategy": "by_magic"}, "strategy"),
        ({"thresholds": {"mood": 0.5}}, "thresholds"),
        ({"thresholds": {Kind.CRASH_LOCALIZATION.value: 2}}, "thresholds"),
        ({"thresholds": [0.5]}, "thresholds"),
        ({"version": 9}, "version"),
    ],
)
def test_what_is_no_plan_is_refused_by_name(lead: User, fields: dict[str, object], named: str) -> None:
    corpus = make_corpus()
    with pytest.raises(Problem) as caught:
        set_plan(corpus=corpus, by=lead, **fields)
    assert (caught.value.status, list(caught.value.fields)) == (400, [named])
    assert current_plan(corpus).version == 1


def test_only_who_assigns_may_plan(reviewer: User) -> None:
    with pytest.raises(Problem) as caught:
        set_plan(corpus=make_corpus(), by=reviewer, blind_share=0.1)
    assert caught.value.status == 403
