import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import CaseStatus
from annotations.cases.rules import Said
from annotations.reviews.models import Review
from crashdesk.accounts.models import User
from crashdesk.audit.models import AuditEvent
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.running import Running
from crashdesk.jobs.services import claim_next
from model_assist.suspects import searching
from model_assist.suspects.copies import offsets
from model_assist.suspects.models import Suspect, SuspectState
from model_assist.suspects.scoring import WRONG_AT_FIRST
from model_assist.suspects.searching import find
from model_assist.suspects.services import confirm, dismiss, start_search
from tests.factories import make_corpus, make_guideline, make_model_version, make_user
from tests.suspects_made import (
    NOON,
    bare_case,
    calibrate,
    cluster,
    label_case,
    model_answers,
    plant,
)

pytestmark = pytest.mark.django_db
YES, NO = (Said("valued", {"label": word}) for word in ("yes", "no"))
RECOGNITION, SPAN = Kind.CRASH_RECOGNITION.value, Kind.CRASH_LOCALIZATION.value


def span(start: float, end: float) -> Said:
    return Said("valued", {"start_us": round(start * 1e6), "end_us": round(end * 1e6)})


def search(job: Job) -> dict[str, object]:
    claimed = claim_next("data")
    assert claimed == job
    with Running(claimed) as running:
        return dict(searching.run(running) or {})


def scores(*cases: int) -> dict[tuple[int, str], float]:
    return {(one.label.case, one.label.kind): one.score.total for one in find(cases)}


def test_planted_wrong_labels_rank_on_top(lead: User) -> None:
    planted = plant(cases=120, wrong=15)
    found = search(start_search(corpus=planted.corpus, by=lead))
    ranked = [(one.case_id, one.kind) for one in Suspect.objects.order_by("-score", "id")]
    labels = found["labels"]
    assert isinstance(labels, int)
    by_chance = len(planted.wrong) / labels
    precision = {k: sum(one in planted.wrong for one in ranked[:k]) / k for k in (5, 10, 15)}
    assert precision[5] >= 0.8, precision
    assert precision[15] >= 0.5, precision
    assert precision[15] > 10 * by_chance
    recall = len(planted.wrong & set(ranked[: 3 * len(planted.wrong)])) / len(planted.wrong)
    assert recall >= 0.7


def test_each_source_adds_to_a_model_alone() -> None:
    """With second people and copies more of the planted labels come out on top than by the model alone."""

    def on_top(**shares: float) -> int:
        planted = plant(cases=60, wrong=10, seed=3, **shares)
        given = scores(*(case.pk for case in planted.cases))
        top = sorted(given, key=lambda one: -given[one])[:10]
        return len(planted.wrong & set(top))

    assert on_top(second_people=0.0, copies=0.0) < on_top(second_people=0.8, copies=0.5)


def test_a_model_that_is_not_calibrated_or_was_not_sure_says_little() -> None:
    guideline, corpus, person = make_guideline(), make_corpus(), make_user()
    sure, unsure, raw = (bare_case(corpus, guideline, name) for name in ("sure", "unsure", "raw"))
    judge, other = make_model_version("judge"), make_model_version("other")
    calibrate(judge, RECOGNITION)
    for case, version, confidence in ((sure, judge, 0.95), (unsure, judge, 0.55), (raw, other, 0.99)):
        label_case(case, person, {RECOGNITION: YES})
        model_answers(case, version, {RECOGNITION: NO}, {RECOGNITION: confidence})
    given = scores(sure.pk, unsure.pk, raw.pk)
    assert given[sure.pk, RECOGNITION] == pytest.approx(0.5)  # 1 to 19 at first, times 0.95 / 0.05
    assert given[unsure.pk, RECOGNITION] < 0.1
    assert given[raw.pk, RECOGNITION] == 0


def test_what_a_confidence_is_worth_counts_not_the_confidence() -> None:
    case, judge = bare_case(make_corpus(), make_guideline(), "clip"), make_model_version("judge")
    calibrate(judge, RECOGNITION, slope=0.0, intercept=0.0)
    label_case(case, make_user(), {RECOGNITION: YES})
    model_answers(case, judge, {RECOGNITION: NO}, {RECOGNITION: 0.99})
    assert scores(case.pk)[case.pk, RECOGNITION] == pytest.approx(WRONG_AT_FIRST)


def test_other_people_speak_against_a_label_but_not_the_one_whose_it_is() -> None:
    case, mine, other = bare_case(make_corpus(), make_guideline(), "clip"), make_user(), make_user()
    label_case(case, other, {RECOGNITION: NO}, approved=False, at=NOON.replace(hour=9))
    label_case(case, mine, {RECOGNITION: YES})
    (found,) = find([case.pk])
    assert found.score.total == found.score.people == pytest.approx(9 / 28)
    assert found.evidence["people"] == [{"name": other.username, "apart": 1.0, "right": 0.9}]


@pytest.mark.parametrize("purpose", ["second", "adjudicate"])
def test_a_second_look_is_no_second_opinion(purpose: str) -> None:
    case, other = bare_case(make_corpus(), make_guideline(), "clip"), make_user()
    label_case(case, other, {RECOGNITION: NO}, approved=False, at=NOON.replace(hour=9))
    label_case(case, make_user(), {RECOGNITION: YES})
    Review.objects.filter(reviewer=other).update(purpose=purpose)
    assert scores(case.pk)[case.pk, RECOGNITION] == 0


def test_copies_are_compared_in_the_clips_own_time() -> None:
    guideline, corpus, person = make_guideline(), make_corpus(), make_user()
    first, second, third = (bare_case(corpus, guideline, name, seconds=20) for name in ("a", "b", "c"))
    for case, said in ((first, span(5, 7)), (second, span(3, 5)), (third, span(8, 10))):
        label_case(case, person, {RECOGNITION: YES, SPAN: said})
    cluster(
        (first, {"nearest": second.video_id, "shift_us": 2_000_000, "similarity": 0.9}),
        (second, {"nearest": first.video_id, "shift_us": -2_000_000, "similarity": 0.9}),
        (third, {"nearest": second.video_id, "shift_us": 0, "similarity": 0.9}),
    )
    given = scores(first.pk, second.pk, third.pk)
    assert given[third.pk, SPAN] > 0.5  # both others say 3 to 5
    assert (
        given[first.pk, SPAN] == given[second.pk, SPAN] == pytest.approx(WRONG_AT_FIRST)
    )  # one for, one against
    assert given[first.pk, RECOGNITION] < 0.01


def test_what_lies_outside_of_a_shorter_copy_is_not_held_against_it() -> None:
    guideline, corpus, person = make_guideline(), make_corpus(), make_user()
    whole, tail = (
        bare_case(corpus, guideline, "whole", seconds=20),
        bare_case(corpus, guideline, "tail", seconds=5),
    )
    label_case(whole, person, {RECOGNITION: YES, SPAN: span(3, 5)})
    label_case(tail, person, {RECOGNITION: NO, SPAN: Said("absent", None)})
    cluster(
        (whole, {"nearest": tail.video_id, "shift_us": 10_000_000}),
        (tail, {"nearest": whole.video_id, "shift_us": -10_000_000}),
    )
    assert set(scores(whole.pk, tail.pk).values()) == {0}


def test_times_of_copies_that_lie_nobody_knows_how_are_left_out() -> None:
    guideline, corpus, person = make_guideline(), make_corpus(), make_user()
    cases = [bare_case(corpus, guideline, name) for name in ("a", "b")]
    for case, word, said in zip(cases, (YES, NO), (span(1, 2), span(8, 9)), strict=True):
        label_case(case, person, {RECOGNITION: word, SPAN: said})
    cluster(*((case, {"exact": False}) for case in cases))
    given = scores(*(case.pk for case in cases))
    assert {given[case.pk, SPAN] for case in cases} == {0}
    assert [given[case.pk, RECOGNITION] for case in cases] == pytest.approx(
        [0.7 / 0.3 / (19 + 0.7 / 0.3)] * 2
    )


def test_offsets_add_up_over_third_clips() -> None:
    assert offsets([(1, 2, 500), (3, 2, -100), (4, None, None)])[1, 3] == 600
    assert offsets([(1, 2, 500)]) == {(1, 2): 500, (2, 1): -500}


def test_a_search_again_finds_the_same_and_leaves_decisions_alone(lead: User) -> None:
    planted = plant(cases=20, wrong=6)
    first = search(start_search(corpus=planted.corpus, by=lead))
    assert first["new"] == first["suspects"] == Suspect.objects.count() > 2
    one, two = Suspect.objects.order_by("-score")[:2]
    dismiss(suspect=one, by=lead, reason="looked, is right")
    confirm(suspect=two, by=lead)
    second = search(start_search(corpus=planted.corpus, by=lead))
    assert (second["new"], second["gone"]) == (0, 0)
    states = dict(Suspect.objects.values_list("pk", "state"))
    assert (states[one.pk], states[two.pk]) == (SuspectState.DISMISSED, SuspectState.CONFIRMED)
    assert AuditEvent.objects.filter(verb="suspects.searched").count() == 2


def test_what_no_longer_counts_is_gone(lead: User) -> None:
    planted = plant(cases=12, wrong=4)
    search(start_search(corpus=planted.corpus, by=lead))
    before = Suspect.objects.filter(state=SuspectState.OPEN).count()
    planted.corpus.cases.update(status=CaseStatus.RETURNED)
    assert search(start_search(corpus=planted.corpus, by=lead))["gone"] == before > 0
    assert not Suspect.objects.filter(state=SuspectState.OPEN).exists()


def test_two_askers_make_one_job(lead: User) -> None:
    corpus = make_corpus()
    assert start_search(corpus=corpus, by=lead) == start_search(corpus=corpus, by=lead)
    assert Job.objects.filter(state=JobState.QUEUED).count() == 1
