"""The original checkpoint that these tests share."""

import pytest

from tests.unit.model_assist.crashchat.convert.made import Made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("conversion"))
