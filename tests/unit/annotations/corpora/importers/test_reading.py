from pathlib import Path

import pytest

from annotations.corpora.importers.formats import FORMATS
from annotations.corpora.importers.reading import Reading, files_at
from annotations.corpora.importers.rows import Rejection

LEADS_OUT = "cannot be read: it is a link that leads outside of the imported folder"
# A name that each format reads, in a folder that tells what its name does not.
ANNOTATION_FILES = {
    "a3d": "A3D_labels.json",
    "ccd": "Crash-1500.txt",
    "crashchat": "crash_recognition_val.json",
    "demo": "manifest.jsonl",
    "dota": "metadata_val.json",
    "labelstudio": "export.json",
    "mmau": "cap.xlsx",
    "nexar": "train.csv",
}


@pytest.mark.parametrize(("name", "file"), ANNOTATION_FILES.items())
def test_an_annotation_file_that_links_outside_is_refused(tmp_path: Path, name: str, file: str) -> None:
    folder, secret = tmp_path / "in", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("a secret")
    (folder / file).symlink_to(secret)
    (found,) = FORMATS[name].read(Reading(folder))
    assert found == Rejection(file, None, "", LEADS_OUT)
    find_prompts = FORMATS[name].prompts
    assert find_prompts is None or find_prompts(Reading(folder)) == {}


def test_a_table_that_links_outside_is_refused(tmp_path: Path) -> None:
    folder, secret = tmp_path / "in", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("path\na.mp4\n")
    (folder / "list.csv").symlink_to(secret)
    (found,) = FORMATS["table"].read(Reading(folder, {"mapping": {"path": "path"}}))
    assert found == Rejection("list.csv", None, "", LEADS_OUT)


def test_links_within_the_folder_are_followed_and_so_is_the_path_itself(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.json").write_text("[]")
    (folder / "b.json").symlink_to("a.json")
    (folder / "loop.json").symlink_to("loop.json")
    (tmp_path / "way").symlink_to(folder)
    (tmp_path / "one.json").symlink_to(folder / "a.json")
    assert files_at(folder, lambda file: file.suffix == ".json") == [folder / "a.json", folder / "b.json"]
    for root, file in ((folder, "b.json"), (tmp_path / "way", "b.json"), (tmp_path / "way", "a.json")):
        with Reading(root).open(root / file) as stream:
            assert stream.read() == b"[]"
    with Reading(tmp_path / "one.json").open(tmp_path / "one.json") as stream:
        assert stream.read() == b"[]"
    Reading(folder).check_inside(folder / "missing.mp4")


@pytest.mark.parametrize("target", ["../in2/x", "/etc/hostname", ".."])
def test_what_counts_as_outside(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to(target)
    with pytest.raises(OSError, match="leads outside of the imported folder"):
        Reading(folder).check_inside(folder / "link")
