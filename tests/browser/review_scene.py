"""A corpus in the middle of its review, with all that the pages of the workflow can show."""

from collections.abc import Mapping

import numpy as np
from django.utils import timezone

from annotations.cases.kinds import Kind
from annotations.cases.models import CaseStatus
from annotations.cases.rules import Said
from annotations.comments.services import comment_on, reply_to, return_with_comment
from annotations.corpora.models import Access, Corpus, Media
from annotations.gold.services import unmark
from annotations.labelstudio.discrepancies import Discrepancy, ReconcileReport
from annotations.labelstudio.models import LabelStudioProject
from annotations.reviews.adjudication import approve_decided, claim, rule
from annotations.reviews.changes import Change
from annotations.reviews.models import Choice, Dispute
from annotations.reviews.plans import current_plan, set_plan
from crashdesk.accounts.models import Membership, Role, User
from model_assist.suspects.searching import Tally, _write, find
from tests.assign_made import drafted, given, in_review, people, planned_corpus
from tests.disputes_made import answer, make_dispute
from tests.effort_made import Worked, drawn_case, many_reviews, moments, submit
from tests.factories import (
    CRASH,
    make_case,
    make_corpus,
    make_guideline,
    make_model_version,
    make_user,
    make_video,
)
from tests.gold_made import WRONG, answer_gold, make_gold
from tests.suspects_made import NOON, bare_case, calibrate, label_case, model_answers

SPAN, RECOGNITION = Kind.CRASH_LOCALIZATION, Kind.CRASH_RECOGNITION
EARLY: Mapping[str, Said] = {**CRASH, SPAN: Said("valued", {"start_us": 1_200_000, "end_us": 1_800_000})}
LATE: Mapping[str, Said] = {
    **CRASH,
    SPAN: Said("valued", {"start_us": 2_200_000, "end_us": 2_800_000}),
    Kind.CAUSAL_REASONING: Said("valued", {"text": "Ice on the bridge."}),
}


def nothing_yet() -> list[str]:
    """A corpus without a clip; the addresses of the workflow's pages."""
    corpus = make_corpus("Bare fields")
    return [
        "/work", "/inbox", f"/board?corpus={corpus.pk}", f"/board?corpus={corpus.pk}&show=held",
        f"/corpora/{corpus.pk}/plan", f"/corpora/{corpus.pk}/members", f"/corpora/{corpus.pk}/policy",
        f"/corpora/{corpus.pk}/label-studio", "/disputes", f"/gold?corpus={corpus.pk}", "/agreement", "/effort",
        "/suspects", "/audit-log?verb=nothing.like.it",
    ]  # fmt: skip


def at_work(lead: User, clip: Media) -> list[str]:
    """Fill every page of the workflow; their addresses, as the lead opens them."""
    return [
        *_queue(lead),
        *_disputes(lead, clip),
        *_gold(lead),
        *_effort(),
        _suspects(),
        _sync(),
        "/audit-log",
    ]


def _queue(lead: User) -> list[str]:
    """Cases for the lead themselves and for two others, one of them returned, comments, a member, a case of others."""
    corpus, (ann, ben) = planned_corpus(), people(2)
    Membership.objects.create(corpus=corpus, user=lead, role=Role.LEAD)
    Membership.objects.create(corpus=corpus, user=ann, role=Role.ANNOTATOR)
    Corpus.objects.filter(pk=corpus.pk).update(access=Access.MEMBERS)
    Membership.objects.create(corpus=corpus, user=ben, role=Role.REVIEWER)
    waiting = [in_review(case) for case in drafted(corpus, 5)]
    for case, person in zip(waiting, (lead, ann, ben, ben), strict=False):
        given(case, person, minutes=90 if person == ben else None)
    back = make_case(CaseStatus.IN_REVIEW, video=make_video(corpus))
    given(back, lead)
    answer(back, lead)
    return_with_comment(case=back, text="The span begins too late.", by=ben, at_us=1_000_000)
    talk = comment_on(
        case=waiting[1], text=f"Is this one crash or two, @{lead.username}?", by=ann, at_us=400_000
    )
    reply_to(comment=talk, text="Two, I think.", by=ben)
    answered = make_case(CaseStatus.IN_REVIEW, video=make_video(corpus))
    given(answered, lead)
    answer(answered, lead)
    board = f"/board?corpus={corpus.pk}"
    return [
        "/work", "/inbox", board, f"{board}&show=held", f"/corpora/{corpus.pk}/plan", f"/corpora/{corpus.pk}/members",
        f"/cases/{waiting[1].pk}", f"/review/{waiting[2].pk}",
    ]  # fmt: skip


def _disputes(lead: User, clip: Media) -> list[str]:
    """One that the lead decides and is half through, one that is free, one that is decided."""
    mine, free, over = (make_dispute(EARLY, LATE, media=clip) for _ in range(3))
    claim(dispute=mine, by=lead)
    rule(dispute=mine, kind=SPAN, choice=Choice.SECOND, by=lead)
    claim(dispute=over, by=lead, names=True)
    for kind in (SPAN, Kind.CAUSAL_REASONING):
        rule(dispute=over, kind=kind, choice=Choice.FIRST, by=lead)
    approve_decided(dispute=Dispute.objects.get(pk=over.pk), by=lead)
    return ["/disputes", *(f"/disputes/{one.pk}" for one in (mine, free, over))]


def _gold(lead: User) -> list[str]:
    """Three gold cases, one of them retired; somebody who does well, and somebody who is paused."""
    corpus = planned_corpus(gold_entrance=2, gold_share=0.2, gold_limit=0.8, gold_window=2)
    golds = make_gold(current_plan(corpus), 3)
    good, paused = people(2)
    for person, said in ((good, CRASH), (paused, WRONG)):
        answer_gold(person, said)
        answer_gold(person, said)
    set_plan(corpus=corpus, by=lead, blind_share=0.3, double_share=0.2)
    unmark(gold=golds[2], by=lead, reason="too well known")
    return [f"/gold?corpus={corpus.pk}", f"/corpora/{corpus.pk}/plan", f"/board?corpus={corpus.pk}"]


def _effort() -> list[str]:
    """One corpus with a control to tell the saving from, and one without."""
    corpus, guideline, draw = make_corpus("Ring road"), make_guideline(), np.random.default_rng(5)
    persons = people(2)
    reviews = [
        Worked(persons[n // 2 % 2], (60 if n < 40 else 40) * (1 + 0.1 * draw.normal()), n < 40, CRASH)
        for n in range(90)
    ]
    many_reviews(corpus, guideline, reviews, draft=CRASH)
    alone = make_corpus("No control")
    for number in range(3):
        case = drawn_case(alone, guideline, blind=False)
        moments(persons[0], case, [30 + number, 10])
        submit(case, persons[0], changes={SPAN: Change("edited", 0.25, -500_000, 1_000_000)})
    return [f"/effort?corpus={corpus.pk}", f"/effort?corpus={alone.pk}&from=soon"]


def _suspects() -> str:
    """Approved as a crash; a model and somebody else said no."""
    case, judge = bare_case(make_corpus(), make_guideline(), "a clip of doubt"), make_model_version("judge")
    no, yes = Said("valued", {"label": "no"}), Said("valued", {"label": "yes"})
    calibrate(judge, RECOGNITION)
    model_answers(case, judge, {RECOGNITION: no}, {RECOGNITION: 0.9})
    label_case(case, make_user(), {RECOGNITION: no}, approved=False, at=NOON.replace(hour=9))
    label_case(case, make_user(), {RECOGNITION: yes})
    _write(find([case.pk]), Tally())
    return "/suspects"


def _sync() -> str:
    """Disagreements of two kinds, of which one is settled."""
    corpus = make_corpus("Out of step")
    case = make_case(video=make_video(corpus))
    report = ReconcileReport(
        repair=False,
        tasks=3,
        found=[
            Discrepancy("labelstudio_task_gone", "task 12 is not there", task_id=12, case_id=case.pk),
            Discrepancy("labelstudio_task_gone", "task 13 is not there", task_id=13, settled="let go"),
            Discrepancy("labelstudio_two_people", "ann has answered, and so has ben", case_id=case.pk),
        ],
    )
    LabelStudioProject.objects.create(
        corpus=corpus, guideline=case.guideline, project_id=7, title="Out of step / six tasks v1", config_hash="",
        checked_at=timezone.now(), check_report=report.data(),
    )  # fmt: skip
    return f"/corpora/{corpus.pk}/label-studio"
