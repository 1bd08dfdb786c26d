"""The walk on real clips: each ends as a predicted case or as a video with a named finding; none is dropped."""

import shutil

import pytest

from tests.e2e.stack import Stack
from tests.e2e.test_loop import KINDS, Loop
from tests.shared_data import shared

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_every_real_clip_is_predicted_or_explained(stack: Stack) -> None:
    clips = shared("data", "clips")
    loop = Loop(stack)
    folder = stack.home / "incoming" / "real"
    shutil.copytree(clips, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    (folder / "manifest.json").unlink(missing_ok=True)
    names = {path.name for path in folder.iterdir()}
    loop.import_folder("real", "folder", folder)
    loop.predict("real")
    cases = {case["video"]["name"].rsplit("/", 1)[-1]: loop.case(case["id"]) for case in loop.cases("real")}
    assert set(cases) == names
    for name, case in cases.items():
        if case["status"] == "predicted":
            assert {answer["kind"] for answer in case["answers"]} == KINDS, name
        else:
            assert [finding for finding in case["video"]["findings"] if finding["severity"] == "error"], name
    assert sum(case["status"] == "predicted" for case in cases.values()) >= 10
