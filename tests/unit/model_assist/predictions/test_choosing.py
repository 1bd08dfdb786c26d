"""Which cases a run takes, and which it leaves out and why."""

import hashlib

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import Case, CaseStatus
from annotations.corpora.models import Corpus, MediaState
from crashdesk.api.errors import Problem
from model_assist.crashchat.prompts import DEFAULT_PROMPTS
from model_assist.crashchat.settings import EngineSettings
from model_assist.predictions.choosing import Choice, Wish, choose, question_versions, wish
from model_assist.predictions.models import CasePrediction
from model_assist.predictions.services import start_run
from model_assist.registry.models import ModelVersion
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def corpus() -> Corpus:
    return factories.make_corpus()


@pytest.fixture
def model() -> ModelVersion:
    return factories.make_model_version("the-model")


def case(corpus: Corpus, status: CaseStatus = CaseStatus.READY, **video: object) -> Case:
    return factories.make_case(status, video=factories.make_video(corpus, **video), model_version="another")


def wished(corpus: Corpus, **asked: object) -> Wish:
    return wish(corpus=corpus, guideline=factories.make_guideline(), **asked)  # type: ignore[arg-type]


def chosen(corpus: Corpus, **asked: object) -> list[int]:
    return list(choose(wished(corpus, **asked)).cases.values_list("pk", flat=True))


def tally(found: Choice) -> tuple[int, ...]:
    return tuple(found.tally().values())


def test_all_usable_cases_of_the_corpus_and_nothing_else(corpus: Corpus, model: ModelVersion) -> None:
    ready, approved = case(corpus), case(corpus, CaseStatus.APPROVED)
    case(corpus, CaseStatus.EXCLUDED)
    case(corpus, media=None)
    case(corpus, media=factories.make_media(state=MediaState.PENDING))
    factories.make_case()
    found = choose(wished(corpus))
    assert list(found.cases) == [ready, approved]
    assert found.tally() == {
        "matched": 5, "excluded": 1, "without_clip": 2, "answered": 0, "to_do": 2, "beyond_limit": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"source": "night"}, {0, 1}),
        ({"split": "val"}, {1, 2}),
        ({"source": "night", "split": "val"}, {1}),
        ({"status": ["predicted", "approved"]}, {2}),
        ({"search": "bridge"}, {0}),
        ({"recording": "tunnel 3"}, {2}),
        ({"max_rank": 2}, {1, 2}),
        ({"source": "", "status": []}, {0, 1, 2}),
    ],
)
def test_the_filters_of_the_case_list_and_more(
    corpus: Corpus, model: ModelVersion, filters: dict[str, object], expected: set[int]
) -> None:
    cases = [
        case(corpus, source="night", split="train", name="clips/bridge_0001.mp4"),
        case(corpus, source="night", split="val"),
        case(corpus, CaseStatus.PREDICTED, source="day", split="val", recording="tunnel 3"),
    ]
    Case.objects.filter(pk=cases[1].pk).update(review_rank=2)
    Case.objects.filter(pk=cases[2].pk).update(review_rank=1)
    assert set(chosen(corpus, filters=filters)) == {cases[number].pk for number in expected}


def test_cases_come_in_review_order_and_the_limit_cuts_there(corpus: Corpus, model: ModelVersion) -> None:
    first, second, third = case(corpus), case(corpus), case(corpus)
    Case.objects.filter(pk=third.pk).update(review_rank=1)
    assert chosen(corpus) == [third.pk, first.pk, second.pk]
    run = start_run(corpus=corpus, guideline=first.guideline, by=None)
    assert [factories.work_on(run).case_id for _ in range(3)] == [third.pk, first.pk, second.pk]
    found = choose(wished(corpus, limit=2, again=True))
    assert list(found.cases) == [third, first]
    assert (found.to_do, found.beyond_limit) == (2, 1)


def test_named_cases_and_those_that_are_not_there(corpus: Corpus, model: ModelVersion) -> None:
    first, _second = case(corpus), case(corpus)
    assert chosen(corpus, case_ids=[first.pk, first.pk]) == [first.pk]
    with pytest.raises(Problem) as refusal:
        choose(wished(corpus, case_ids=[first.pk, factories.make_case().pk]))
    assert refusal.value.code == "unknown_cases"
    assert chosen(corpus, case_ids=[]) == []


@pytest.mark.parametrize("filters", [{"colour": "red"}, {"status": ["asleep"]}, {"max_rank": "soon"}])
def test_filters_that_are_not_understood_are_refused(
    corpus: Corpus, model: ModelVersion, filters: dict[str, object]
) -> None:
    with pytest.raises(Problem) as refusal:
        choose(wished(corpus, filters=filters))
    assert refusal.value.status == 400
    assert refusal.value.fields["filters"].keys() == filters.keys()


def test_answered_cases_are_left_out_until_the_words_or_the_model_change(
    corpus: Corpus, model: ModelVersion
) -> None:
    run = factories.make_prediction_run(cases=2, done=1, corpus=corpus)
    answered = CasePrediction.objects.get(run=run, predicted_at__isnull=False).case_id
    (left,) = chosen(corpus)
    assert choose(wished(corpus)).answered == 1
    assert chosen(corpus, again=True) == sorted([answered, left])
    assert choose(wished(corpus, again=True)).answered == 0
    other = factories.make_model_version("other")
    assert chosen(corpus, model_version=other) == sorted([answered, left])
    assert chosen(corpus, filters={"answers": "lacks"}) == [left]
    assert chosen(corpus, filters={"answers": "has"}) == []
    assert chosen(corpus, filters={"answers": "has"}, again=True) == [answered]


def test_a_case_with_some_of_the_kinds_is_not_answered(corpus: Corpus, model: ModelVersion) -> None:
    factories.make_prediction_run(
        cases=1, done=1, corpus=corpus, kinds=["crash_recognition", "crash_description"]
    )
    assert len(chosen(corpus)) == 1
    assert chosen(corpus, kinds=["crash_description"]) == []
    reworded = factories.make_guideline({**dict.fromkeys(Kind.values, "What happens?")})
    factories.make_case(video=Case.objects.get(corpus=corpus).video, guideline=reworded)
    assert tally(choose(wish(corpus=corpus, guideline=reworded, kinds=["crash_description"])))[3:5] == (0, 1)


def test_recognition_is_added_where_localisation_depends_on_it(corpus: Corpus, model: ModelVersion) -> None:
    gated = wished(corpus, kinds=["pre_crash_localization", "crash_localization"])
    assert gated.kinds == ("crash_recognition", "crash_localization", "pre_crash_localization")
    assert gated.added == ("crash_recognition",)
    assert wished(corpus, kinds=["causal_reasoning"]).added == ()
    open_ = factories.make_model_version("open", engine_settings=EngineSettings(gate_localisation=False))
    assert wished(corpus, kinds=["crash_localization"], model_version=open_).kinds == ("crash_localization",)


@pytest.mark.parametrize("kinds", [[], ["weather"]])
def test_kinds_that_do_not_exist_or_none_are_refused(
    corpus: Corpus, model: ModelVersion, kinds: list[str]
) -> None:
    with pytest.raises(Problem) as refusal:
        wished(corpus, kinds=kinds)
    assert set(refusal.value.fields) == {"kinds"}


def test_without_a_model_nothing_can_be_wished(corpus: Corpus) -> None:
    with pytest.raises(Problem, match="No model is in use"):
        wished(corpus)


def test_question_versions_are_the_engines(model: ModelVersion) -> None:
    guideline = factories.make_guideline({"crash_recognition": " <video>\nIs there a crash? "})
    versions = question_versions(guideline, ["crash_recognition", "crash_description"])
    said = {
        "crash_recognition": "Is there a crash?",
        "crash_description": DEFAULT_PROMPTS["crash_description"],
    }
    assert versions == {kind: hashlib.sha256(text.encode()).hexdigest()[:12] for kind, text in said.items()}
    unusable = factories.make_guideline({"crash_recognition": "<|im_start|>"})
    with pytest.raises(Problem, match="control token"):
        question_versions(unusable, ["crash_recognition"])


def test_what_was_chosen_and_why_stays_with_the_run(corpus: Corpus, model: ModelVersion) -> None:
    one = case(corpus, source="night")
    case(corpus, CaseStatus.EXCLUDED, source="night")
    run = start_run(
        corpus=corpus, guideline=one.guideline, by=None, filters={"source": "night", "status": []},
        case_ids=None, limit=5, priority="batch",
    )  # fmt: skip
    run.refresh_from_db()
    assert run.filters == {"source": "night", "limit": 5}
    assert run.tally == {
        "matched": 2, "excluded": 1, "without_clip": 0, "answered": 0, "to_do": 1, "beyond_limit": 0,
    }  # fmt: skip
    case(corpus, source="night")
    assert list(run.case_predictions.values_list("case_id", flat=True)) == [one.pk]
