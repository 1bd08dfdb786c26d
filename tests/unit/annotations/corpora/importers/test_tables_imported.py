"""The formats of this room's tables, through the whole import and back out of the database."""

import json
from pathlib import Path
from typing import Any

import pytest

from annotations.cases.intake import run_import
from annotations.cases.models import Answer, Case
from annotations.cases.services import drafts
from annotations.corpora.models import Corpus, ImportRejection, SourceRecord, Video
from annotations.corpora.services import begin_import
from tests.unit.annotations.corpora.importers.test_labelstudio import FULL, annotation, task
from tests.unit.annotations.corpora.importers.test_mmau import DADA, line, table
from tests.unit.annotations.corpora.importers.test_nexar import HUGGING_FACE, write

pytestmark = pytest.mark.django_db


def import_(path: Path, format: str, **options: Any) -> dict[str, Any]:  # noqa: A002
    def shown(done: int, total: int | None, message: str) -> None:
        assert total is None or 0 <= done <= total

    run = begin_import(corpus_name=f"of {format}", format=format, path=path, by=None, options=options)
    return run_import(run.pk, progress=shown)


def make_table(folder: Path) -> dict[str, Any]:
    (folder / "t.csv").write_text("file,crash,start,end\na.mp4,1,1.5,2.25\nb.mp4,0,,\nc.mp4,x,,\n")
    mapping = {
        "name": "file",
        "crash_recognition": "crash",
        "crash_localization": {"start": "start", "end": "end"},
    }
    return {"mapping": mapping}


def make_mmau(folder: Path) -> dict[str, Any]:
    rows = [line(DADA, video=1), line(DADA, video=2, whether=0), line(DADA, video=3, accident_frame=80)]
    table(folder / "dada_text_annotations.xlsx", DADA, *rows)
    return {}


def make_nexar(folder: Path) -> dict[str, Any]:
    write(
        folder,
        "train/positive/metadata.csv",
        HUGGING_FACE + "1.mp4,5.5,4.5,Dark,Rain,Urban,\n2.mp4,5,x,,,,\n",
    )
    write(folder, "train/negative/metadata.csv", HUGGING_FACE + "3.mp4,,,,,,\n")
    return {}


def make_labelstudio(folder: Path) -> dict[str, Any]:
    tasks = [task(annotation(*FULL)), task(number=2, video="b.mp4"), task(number=3, video="../c.mp4")]
    (folder / "export.json").write_text(json.dumps(tasks))
    return {}


@pytest.mark.parametrize(
    ("name", "make", "videos", "rejected"),
    [
        ("table", make_table, 3, 1), ("mmau", make_mmau, 3, 2), ("nexar", make_nexar, 3, 1),
        ("labelstudio", make_labelstudio, 2, 1),
    ],
)  # fmt: skip
def test_a_second_import_changes_nothing(
    tmp_path: Path,
    name: str,
    make: Any,
    videos: int,
    rejected: int,
) -> None:
    options = make(tmp_path)
    first = import_(tmp_path, name, **options)
    assert first["videos"]["new"] == videos
    assert first["rejected"] == rejected == ImportRejection.objects.count()
    assert first["answers"]["new"] > 0
    before = [list(model.objects.order_by("pk").values()) for model in (Video, Answer)]
    second = import_(tmp_path, name, **options)
    assert second["videos"] == {**first["videos"], "new": 0, "known": videos}
    assert second["answers"]["new"] == second["answers"]["changed"] == 0
    assert [list(model.objects.order_by("pk").values()) for model in (Video, Answer)] == before
    assert SourceRecord.objects.filter(format=name).count() == videos


def test_a_corpus_keeps_the_mapping_of_its_tables(tmp_path: Path) -> None:
    options = make_table(tmp_path)
    import_(tmp_path, "table", **options)
    assert Corpus.objects.get().column_mapping == options["mapping"]
    (tmp_path / "t.csv").write_text("file,crash,start,end\nd.mp4,1,3,4\n")
    report = import_(tmp_path, "table")
    assert (report["videos"]["new"], report["answers"]["new"]) == (1, 2)


def test_a_corrected_mapping_corrects_the_answers(tmp_path: Path) -> None:
    """The words of the file are as before, but mean something else now."""
    options = make_table(tmp_path)
    import_(tmp_path, "table", **options)
    crash = {"column": "crash", "yes": ["0"], "no": ["1"]}
    report = import_(tmp_path, "table", mapping={**options["mapping"], "crash_recognition": crash})
    assert report["answers"]["changed"] == 2
    said = {
        case.video.name: drafts(case)["crash_recognition"].value
        for case in Case.objects.filter(video__name__in=["a.mp4", "b.mp4"])
    }
    assert said == {"a.mp4": {"label": "no"}, "b.mp4": {"label": "yes"}}
