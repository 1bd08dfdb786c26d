"""The way of a corpus's own questions: from its files over the guideline to what the engine asks."""

import json
from pathlib import Path

import pytest

from annotations.cases.default_prompts import DEFAULT_PROMPTS
from annotations.cases.intake import run_import
from annotations.cases.kinds import Kind
from annotations.cases.models import CaseStatus, Guideline
from annotations.corpora.models import Corpus
from annotations.corpora.services import begin_import
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from model_assist.crashchat import kinds as k
from model_assist.crashchat.engine import ClipRequest
from model_assist.crashchat.prompts import clean_prompt, complete_prompts, prompt_version, suffix_text
from model_assist.predictions import services, work
from tests.factories import make_case, make_model_version, make_video
from tests.shared_data import shared
from tests.unit.annotations.cases.conversations import CRASH, FILE_OF, row
from tests.unit.model_assist.predictions.fake_engine import FakeEngine

pytestmark = pytest.mark.django_db

OWN = "Was there a crash?\nAnswer 'Yes' or 'No'."


def imported(folder: Path) -> Guideline:
    run = begin_import(corpus_name="theirs", format="crashchat", path=folder, by=None)
    run_import(run.pk, progress=lambda done, total, message: None)
    return Guideline.objects.get()


def asked_about_a_case(guideline: Guideline, monkeypatch: pytest.MonkeyPatch) -> ClipRequest:
    """What a worker asks its engine about a case under this guideline."""
    engine = FakeEngine()
    monkeypatch.setattr(work, "hold", lambda version: engine)
    make_model_version("the-model")
    corpus = Corpus.objects.get()
    make_case(CaseStatus.READY, video=make_video(corpus), guideline=guideline)
    services.start_run(corpus=corpus, guideline=guideline, by=None)
    job = claim_next("gpu")
    assert job is not None
    perform(job)
    (request,) = engine.asked
    return request


def test_a_corpus_is_asked_in_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FILE_OF["crash_recognition"]).write_text(
        json.dumps([row("a.mp4", CRASH["crash_recognition"], prompt=OWN)])
    )
    request = asked_about_a_case(imported(tmp_path), monkeypatch)
    assert request.prompts == {**DEFAULT_PROMPTS, Kind.CRASH_RECOGNITION: OWN}
    questions = complete_prompts(request.prompts, request.kinds)
    assert suffix_text(questions[k.CRASH_RECOGNITION]).startswith(OWN + "<|im_end|>")


def test_guideline_and_engine_name_a_wording_alike(tmp_path: Path) -> None:
    (tmp_path / FILE_OF["crash_recognition"]).write_text(
        json.dumps([row("a.mp4", CRASH["crash_recognition"], prompt=OWN)])
    )
    for prompt in imported(tmp_path).prompts.all():
        assert prompt.version == prompt_version(prompt.text), prompt.kind


def test_the_default_wording_of_guidelines_can_be_asked() -> None:
    assert complete_prompts(DEFAULT_PROMPTS) == DEFAULT_PROMPTS
    assert set(DEFAULT_PROMPTS) == set(k.ALL)


def test_the_published_questions_pass_unchanged(tmp_path: Path) -> None:
    folder = shared("data", "crashchat")
    texts = {prompt.kind: prompt.text for prompt in imported(folder).prompts.all()}
    assert set(texts) == set(k.ALL)
    for kind, text in texts.items():
        short = {"causal_reasoning": "cause_reasoning"}.get(kind, kind)
        (file,) = folder.glob(f"*total_{short}_val.json")
        first = json.loads(file.read_text())[0]["conversations"][0]["value"]
        assert first.startswith("<video>\n")
        assert text == first.removeprefix("<video>\n").strip() == clean_prompt(first)
        assert text != DEFAULT_PROMPTS[Kind(kind)]
