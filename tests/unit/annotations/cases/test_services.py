import pytest
from django.db import IntegrityError, transaction

from annotations.cases.default_prompts import DEFAULT_PROMPTS
from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, ApprovedAnswer, Case, CaseStatus, Guideline, prompt_version
from annotations.cases.rules import Said
from annotations.cases.services import (
    ModelProvenance,
    add_import_answer,
    add_model_answer,
    add_person_answer,
    drafts,
    ensure_case,
    ensure_guideline,
    point_approved,
    said_by,
    settle_media_of,
)
from annotations.cases.workflow import move
from annotations.corpora.models import Media, MediaState, VideoFinding
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from tests.factories import add_drafts, make_case, make_guideline, make_media, make_video

pytestmark = pytest.mark.django_db
YES, NO = Said("valued", {"label": "yes"}), Said("valued", {"label": "no"})
RECOGNITION = Kind.CRASH_RECOGNITION


def provenance(model_version: str = "m1", prompt: str = "p1") -> ModelProvenance:
    return ModelProvenance(
        model_version=model_version, adapter="a", prompt_version=prompt, raw_text="Yes", confidence=0.5
    )


def test_the_default_prompts_ask_for_every_kind_and_for_the_fixed_texts() -> None:
    assert set(DEFAULT_PROMPTS) == set(Kind.values)
    assert "'no collision.'" in DEFAULT_PROMPTS[Kind.CRASH_DESCRIPTION]
    assert len(set(DEFAULT_PROMPTS.values())) == 6


def test_a_guideline_gets_a_new_version_only_for_new_words() -> None:
    first = ensure_guideline(name="g", prompts={RECOGNITION: "Crash?"}, by=None)
    assert ensure_guideline(name="g", prompts={RECOGNITION: "Crash?"}, by=None) == first
    second = ensure_guideline(name="g", prompts={RECOGNITION: "A crash?"}, by=None)
    assert (first.version, second.version) == (1, 2)
    assert ensure_guideline(name="g", prompts={RECOGNITION: "Crash?"}, by=None) == first
    assert ensure_guideline(name="other", prompts={RECOGNITION: "Crash?"}, by=None).version == 1
    assert second.prompts.get().version == prompt_version("A crash?")
    assert Guideline.objects.count() == 3


def test_a_case_is_made_once_and_ready_when_its_media_is() -> None:
    video, guideline = make_video(), make_guideline()
    case, created = ensure_case(video=video, guideline=guideline, by=None)
    assert (created, case.status, case.lacks_media) == (True, CaseStatus.READY, False)
    assert ensure_case(video=video, guideline=guideline, by=None) == (case, False)


def test_a_case_without_media_waits_for_it() -> None:
    video = make_video(media=None)
    case, _ = ensure_case(video=video, guideline=make_guideline(), by=None)
    assert (case.status, case.lacks_media) == (CaseStatus.NEW, True)
    media = make_media(state=MediaState.PENDING, proxy_name="")
    video.media = media
    video.save()
    settle_media_of(media, by=None)
    case.refresh_from_db()
    assert (case.status, case.lacks_media) == (CaseStatus.NEW, False)
    Media.objects.filter(pk=media.pk).update(state=MediaState.READY, proxy_name="p")
    settle_media_of(media, by=None)
    case.refresh_from_db()
    assert case.status == CaseStatus.READY


def test_unusable_media_exclude_the_case_with_the_reason() -> None:
    video = make_video(media=make_media(state=MediaState.UNUSABLE))
    VideoFinding.objects.create(video=video, code="truncated", severity="error", message="m")
    VideoFinding.objects.create(video=video, code="too_small", severity="info", message="m")
    case, _ = ensure_case(video=video, guideline=make_guideline(), by=None)
    assert (case.status, case.excluded_reason) == (CaseStatus.EXCLUDED, "unusable clip: truncated")


def test_media_do_not_move_a_case_that_somebody_works_on() -> None:
    case = make_case(CaseStatus.IN_REVIEW)
    assert case.video.media is not None
    settle_media_of(case.video.media, by=None)
    case.refresh_from_db()
    assert case.status == CaseStatus.IN_REVIEW


def test_a_model_answers_once_per_version_and_prompt() -> None:
    case = make_case()
    first, written = add_model_answer(case=case, kind=RECOGNITION, said=YES, provenance=provenance())
    assert written
    assert add_model_answer(case=case, kind=RECOGNITION, said=NO, provenance=provenance()) == (first, False)
    for other in (provenance("m2"), provenance(prompt="p2")):
        assert add_model_answer(case=case, kind=RECOGNITION, said=NO, provenance=other)[1]
    assert case.answers.count() == 3


def test_an_import_and_a_person_answer_once_per_origin(reviewer: User) -> None:
    case = make_case()
    imported, _ = add_import_answer(case=case, kind=RECOGNITION, said=YES, origin="i:1", raw_text="Yes")
    assert add_import_answer(case=case, kind=RECOGNITION, said=NO, origin="i:1", raw_text="No") == (
        imported,
        False,
    )
    said, _ = add_person_answer(
        case=case, kind=RECOGNITION, said=NO, by=reviewer, origin="ls:1", draft=imported
    )
    again = add_person_answer(case=case, kind=RECOGNITION, said=YES, by=reviewer, origin="ls:1", draft=None)
    assert again == (said, False)
    assert (said.author, said.draft) == (reviewer, imported)
    assert AuditEvent.objects.filter(verb="answer.written").count() == 1


@pytest.mark.parametrize(
    ("kind", "said"),
    [("crash_recognition", Said("valued", {"label": "?"})), ("colour", YES), ("causal_reasoning", YES)],
)
def test_a_value_of_the_wrong_shape_is_refused(kind: str, said: Said) -> None:
    case = make_case()
    with pytest.raises(Problem) as refused:
        add_import_answer(case=case, kind=kind, said=said, origin="i", raw_text="")
    assert (refused.value.code, list(refused.value.fields)) == ("invalid_answer", [kind])
    assert not Answer.objects.exists()


def test_the_draft_is_the_newest_model_answer_else_the_newest_import(reviewer: User) -> None:
    case = make_case()
    add_import_answer(case=case, kind=RECOGNITION, said=YES, origin="i:1", raw_text="")
    newest_import, _ = add_import_answer(case=case, kind=RECOGNITION, said=NO, origin="i:2", raw_text="")
    assert drafts(case) == {RECOGNITION: newest_import}
    m1, _ = add_model_answer(case=case, kind=RECOGNITION, said=YES, provenance=provenance("m1"))
    m2, _ = add_model_answer(case=case, kind=RECOGNITION, said=YES, provenance=provenance("m2"))
    add_import_answer(case=case, kind=RECOGNITION, said=YES, origin="i:3", raw_text="")
    add_person_answer(case=case, kind=RECOGNITION, said=NO, by=reviewer, origin="p", draft=m2)
    assert drafts(case) == {RECOGNITION: m2}
    assert drafts(case, model_version="m1") == {RECOGNITION: m1}


def test_answers_are_seen_by_the_rules_as_what_they_say() -> None:
    case = make_case()
    answers = add_drafts(case)
    assert said_by(answers.values())[RECOGNITION] == YES


def test_approval_points_and_later_points_elsewhere_while_answers_stay(lead: User) -> None:
    case = make_case()
    first = add_drafts(case, model_version="m1")
    second = add_drafts(case, model_version="m2")
    point_approved(case=case, answers=first.values(), by=lead)
    point_approved(case=case, answers=second.values(), by=lead)
    assert set(ApprovedAnswer.objects.values_list("answer_id", flat=True)) == {a.pk for a in second.values()}
    assert Answer.objects.count() == 12
    newest = AuditEvent.objects.filter(verb="answers.approved")[0]
    assert newest.data["before"][RECOGNITION] == first[RECOGNITION].pk


def test_the_database_itself_refuses_what_must_not_be() -> None:
    case = make_case()
    wrong = [
        {"author_kind": "person"},
        {"author_kind": "model"},
        {"author_kind": "import", "model_version": "m"},
        {"author_kind": "import", "value": None},
        {"author_kind": "import", "state": "absent"},
    ]
    for fields in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            Answer.objects.create(
                **{"case": case, "kind": RECOGNITION, "state": "valued", "value": {}, **fields}
            )
    for fields in ({"status": "odd"}, {"status": "excluded"}, {"excluded_reason": "but not excluded"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Case.objects.filter(pk=case.pk).update(**fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        Case.objects.create(corpus=case.corpus, video=case.video, guideline=case.guideline)


def test_a_move_that_is_not_recorded_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make_case()

    def fail(**kwargs: object) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr("annotations.cases.workflow.record", fail)
    with pytest.raises(RuntimeError, match="no audit"):
        move(case, CaseStatus.IN_REVIEW, by=None)
    assert Case.objects.get(pk=case.pk).status == CaseStatus.READY
