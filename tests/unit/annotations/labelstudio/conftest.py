from typing import Any

import pytest

from annotations.cases.models import Guideline
from annotations.corpora.models import Corpus
from annotations.labelstudio import handlers, people, provision, tasks
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.provision import ensure_project
from tests.factories import make_corpus, make_guideline
from tests.unit.annotations.labelstudio.fake import OWNER, FakeLabelStudio


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch, settings: Any) -> FakeLabelStudio:
    """A Label Studio in memory that every part of the app talks to."""
    fake = FakeLabelStudio()
    settings.LABELSTUDIO_EMAIL = OWNER["email"]
    monkeypatch.setattr(handlers, "client", lambda: fake)
    monkeypatch.setattr(tasks, "client", lambda: fake)
    monkeypatch.setattr(provision, "default_client", lambda: fake)
    assert people.SYSTEM_REVIEWER == "labelstudio"
    return fake


@pytest.fixture
def corpus(db: None) -> Corpus:
    return make_corpus("Ring road")


@pytest.fixture
def guideline(db: None) -> Guideline:
    return make_guideline()


@pytest.fixture
def project(studio: FakeLabelStudio, corpus: Corpus, guideline: Guideline) -> LabelStudioProject:
    return ensure_project(corpus=corpus, guideline=guideline, by=None, client=studio)
