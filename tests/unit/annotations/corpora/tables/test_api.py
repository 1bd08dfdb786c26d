from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from crashdesk.accounts.models import User

pytestmark = pytest.mark.django_db


@pytest.fixture
def root(tmp_path: Path, settings: Any) -> Path:
    folder = tmp_path / "incoming"
    folder.mkdir()
    settings.IMPORT_ROOTS = [str(folder)]
    return folder


def post(user: User, **body: Any) -> Any:
    api = APIClient()
    api.force_login(user)
    return api.post("/api/table-previews", body, format="json")


def test_a_table_is_shown_with_a_mapping_and_what_would_come_of_it(root: Path, lead: User) -> None:
    (root / "t.csv").write_text("clip;crash;start;end\na.mp4;1;1.5;2\nb.mp4;maybe;;\n")
    body = post(lead, path=str(root)).json()
    assert body["columns"] == ["clip", "crash", "start", "end"]
    assert body["rows"][0] == {"clip": "a.mp4", "crash": "1", "start": "1.5", "end": "2"}
    assert body["mapping"]["crash_localization"] == {"start": "start", "end": "end", "unit": "seconds"}
    assert body["problems"] == []
    assert [video["name"] for video in body["videos"]] == ["a.mp4", "b.mp4"]
    (answer,) = body["videos"][0]["answers"]
    assert answer["kind"] == "crash_localization"
    assert answer["value"] == {"start_us": 1_500_000, "end_us": 2_000_000}


def test_a_given_mapping_is_checked_against_the_table(root: Path, lead: User) -> None:
    (root / "t.csv").write_text("clip\na.mp4\n")
    body = post(lead, path=str(root / "t.csv"), mapping={"name": "file", "split": {"constant": "x"}}).json()
    assert body["problems"] == [
        {"field": "name", "column": "file", "message": "name: the table has no column 'file'"}
    ]
    assert body["videos"] == []


def test_rejections_of_the_first_rows_are_shown(root: Path, lead: User) -> None:
    (root / "t.csv").write_text("clip,crash\na.mp4,perhaps\nb.mp4\n")
    body = post(lead, path=str(root / "t.csv"), mapping={"name": "clip", "crash_recognition": "crash"}).json()
    assert [(item["row"], item["field"]) for item in body["rejections"]] == [(2, "crash"), (3, "")]


def test_a_file_that_is_no_table_says_why(root: Path, lead: User) -> None:
    (root / "t.csv").write_bytes("clip\n".encode("utf-16"))
    body = post(lead, path=str(root / "t.csv")).json()
    assert (body["columns"], body["rows"]) == ([], [])
    assert "UTF-16" in body["rejections"][0]["reason"]


def test_only_tables_below_the_import_folders_are_read(root: Path, lead: User, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\nb\n")
    (root / "link.csv").symlink_to(tmp_path / "secret.csv")
    for path in (tmp_path / "secret.csv", root / "link.csv", root / "../secret.csv"):
        response = post(lead, path=str(path))
        assert (response.status_code, response.json()["error"]["code"]) == (400, "import_path_outside_roots")
    (root / "clip.mp4").write_bytes(b"x")
    for path in (root, root / "clip.mp4", root / "none.csv"):
        response = post(lead, path=str(path))
        assert (response.status_code, response.json()["error"]["code"]) == (400, "table_missing")


def test_whoever_may_not_import_may_not_look(root: Path, annotator: User) -> None:
    (root / "t.csv").write_text("a\nb\n")
    assert post(annotator, path=str(root / "t.csv")).status_code == 403
