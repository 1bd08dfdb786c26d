"""Starting prediction runs. What the worker then does: test_work.py."""

import pytest

from crashdesk.api.errors import Problem
from model_assist.predictions import services
from tests.factories import make_corpus, make_guideline, make_model_version

pytestmark = pytest.mark.django_db


def test_nothing_to_predict_is_said() -> None:
    make_model_version()
    with pytest.raises(Problem):
        services.start_run(corpus=make_corpus(), guideline=make_guideline(), by=None)
