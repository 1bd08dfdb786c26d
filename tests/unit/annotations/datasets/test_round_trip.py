"""A CrashChat export, unpacked and imported into another corpus, says the same."""

from pathlib import Path
from zipfile import ZipFile

from annotations.cases.intake import run_import
from annotations.cases.models import Answer
from annotations.cases.rules import Said
from annotations.corpora.models import ImportRun, Video
from annotations.datasets import services
from crashdesk.storage.files import local_path
from tests.factories import make_corpus
from tests.unit.annotations.datasets.conftest import Approved
from tests.unit.annotations.datasets.test_services import freeze, say_otherwise


def test_an_export_imports_to_the_same_answers(approved: Approved, tmp_path: Path) -> None:
    say_otherwise(
        approved,
        1,
        crash_localization=Said("valued", {"start_us": 1_234_567, "end_us": 4_000_001}),
        crash_description=Said("valued", {"text": "“Straßenbahn” hits 车."}),
    )
    version = freeze(approved)
    made = services.export(version=version, export_format="crashchat", by=None)
    with local_path(made.storage_name) as path, ZipFile(path) as archive:
        archive.extractall(tmp_path / "unpacked")
    other = make_corpus("the other one")
    run = ImportRun.objects.create(corpus=other, format="crashchat", path=str(tmp_path / "unpacked"))
    run_import(run.pk, progress=lambda done, total, message: None)

    assert not run.rejections.exists()
    frozen = {record.content["video"]: record.content for record in version.records.all()}
    found = {
        (answer.case.video.name, answer.kind): (answer.state, answer.value)
        for answer in Answer.objects.filter(case__corpus=other).select_related("case__video")
    }
    assert found == {
        (name, kind): (answer["state"], answer["value"])
        for name, content in frozen.items()
        for kind, answer in content["answers"].items()
    }
    for video in Video.objects.filter(corpus=other):
        assert (video.source, video.recording) == (
            frozen[video.name]["source"],
            frozen[video.name]["recording"],
        )
    guideline = Answer.objects.filter(case__corpus=other)[0].case.guideline
    assert dict(guideline.prompts.values_list("kind", "text")) == services.prompts_of(version)
