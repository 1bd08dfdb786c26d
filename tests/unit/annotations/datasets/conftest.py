"""A small corpus with approved cases."""

from dataclasses import dataclass

import pytest

from annotations.cases.models import Case, CaseStatus, Guideline
from annotations.corpora.models import Corpus
from tests.factories import CRASH, NO_CRASH, make_case, make_corpus, make_guideline, make_video


@dataclass
class Approved:
    corpus: Corpus
    guideline: Guideline
    cases: list[Case]


@pytest.fixture
def approved(db: None) -> Approved:
    """Six approved cases, two of them without a crash, and one that is still in review."""
    corpus, guideline = make_corpus("Night drives"), make_guideline()
    corpus.licence = "CC BY 4.0"
    corpus.save()
    cases = [
        make_case(
            CaseStatus.APPROVED,
            said=CRASH if number % 3 else NO_CRASH,
            video=make_video(corpus, name=f"drive-{number}.mp4"),  # splits follow the seed and the names
            guideline=guideline,
        )
        for number in range(6)
    ]
    make_case(CaseStatus.IN_REVIEW, video=make_video(corpus), guideline=guideline)
    return Approved(corpus, guideline, cases)
