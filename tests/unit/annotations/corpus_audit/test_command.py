import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from annotations.corpora.models import Corpus
from annotations.corpus_audit.models import CorpusAudit
from annotations.corpus_audit.services import acknowledge
from crashdesk.accounts.models import User
from tests.factories import make_corpus, make_video

pytestmark = pytest.mark.django_db
LEAK = "recording_straddles_splits: published: val and train"


@pytest.fixture
def leaky() -> Corpus:
    corpus = make_corpus("Leaky")
    for split in ("train", "val"):
        make_video(corpus, name=f"{split}.mp4", recording="r1", split=split)
    return corpus


def audit(*args: str) -> str:
    out = StringIO()
    call_command("audit", "Leaky", *args, stdout=out)
    return out.getvalue()


def test_findings_are_printed_worst_first_in_sentences(leaky: Corpus) -> None:
    said = audit()
    assert said.index("ERROR (1)") < said.index("WARNING") < said.index("INFO")
    assert f"{LEAK}  1 of 1" in said
    assert "1 of the 1 clip in val share a recording with clips in train" in said
    assert "      val.mp4: r1" in said
    assert "made now" in said
    assert "unchanged since it was made" in audit()
    assert CorpusAudit.objects.count() == 1


def test_the_report_as_a_file_and_what_changed_since(leaky: Corpus, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    audit("--json", str(file))
    kept = json.loads(file.read_text())
    assert kept == CorpusAudit.objects.get().report
    assert audit("--json", "-") == file.read_text()
    make_video(leaky, name="test.mp4", recording="r1", split="test")
    said = audit("--diff", str(file))
    assert "SINCE" in said
    assert "new   recording_straddles_splits published: test and train" in said
    assert "now   clips_unanswered : info 3 of 3, was info 2 of 2" in said
    assert (
        said.split("SINCE")[1].splitlines()[1:]
        == audit("--diff", "previous").split("SINCE")[1].splitlines()[1:]
    )


def test_what_it_cannot_compare_with_is_said(leaky: Corpus, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="first audit"):
        audit("--diff", "previous")
    with pytest.raises(CommandError, match="cannot be read"):
        audit("--diff", str(tmp_path / "none.json"))
    other = tmp_path / "other.json"
    other.write_text("[]")
    with pytest.raises(CommandError, match="no report of this kind"):
        audit("--diff", str(other))


def test_it_fails_on_request_while_a_finding_is_open(leaky: Corpus, lead: User) -> None:
    audit()
    with pytest.raises(CommandError, match="1 open findings are error or worse: recording_straddles_splits"):
        audit("--fail-on", "error")
    code, subject = LEAK.split(": ", 1)
    acknowledge(audit=CorpusAudit.objects.get(), code=code, subject=subject, reason="Known.", by=lead)
    assert "acknowledged: Known. (the-lead, " in audit("--fail-on", "error")
    with pytest.raises(CommandError, match="info or worse"):
        audit("--fail-on", "info")


def test_the_names_of_all_clips_of_a_finding(leaky: Corpus) -> None:
    assert audit("--list", LEAK) == "val.mp4\n"
    with pytest.raises(CommandError, match="clips_unanswered"):
        audit("--list", "nothing")


def test_an_unknown_corpus_is_named(leaky: Corpus) -> None:
    with pytest.raises(CommandError, match="no corpus 'Other'; known: Leaky"):
        call_command("audit", "Other")
