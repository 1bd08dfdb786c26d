"""What the audit says by itself of the published data. The numbers stand here and nowhere in the code."""

from pathlib import Path
from typing import Any

import pytest

from annotations.cases.intake import run_import
from annotations.corpora.models import Corpus
from annotations.corpora.services import begin_import
from annotations.corpus_audit.auditing import audit_corpus
from annotations.corpus_audit.models import CorpusAudit
from tests.shared_data import shared

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def finding(report: dict[str, Any], code: str, subject: str = "") -> dict[str, Any]:
    (found,) = [f for f in report["findings"] if (f["code"], f["subject"]) == (code, subject)]
    return dict(found)


def audited(format: str, path: Path) -> CorpusAudit:  # noqa: A002
    run = begin_import(corpus_name=f"real {format}", format=format, path=path, by=None)
    run_import(run.pk, progress=lambda *_: None)
    audit, new = audit_corpus(Corpus.objects.get(), by=None)
    assert new
    return audit


def test_crashchat_val() -> None:
    audit = audited("crashchat", shared("data", "crashchat"))
    report = audit.report
    source = finding(report, "source_answers", "crash_recognition")
    assert (source["count"], source["total"], source["severity"]) == (1838, 1838, "error")
    assert source["sentence"].startswith("Crash recognition can be answered from the source alone")
    assert source["data"]["held_out"] == 1.0
    assert source["data"]["information"] == source["data"]["entropy"]
    gap = finding(report, "default_value", "onset gap 1.5 s")
    assert (gap["count"], gap["total"], gap["severity"]) == (432, 1139, "warning")
    assert audit.clips.get(code="default_value", subject="onset gap 1.5 s").videos.__len__() == 432
    no_length = finding(report, "span_zero_length", "crash_localization")
    assert (no_length["count"], no_length["total"]) == (6, 1139)
    words = {
        kind: finding(report, "closed_vocabulary", kind)["data"]
        for kind in ("crash_description", "causal_reasoning", "prevention_reasoning")
    }
    assert [words[kind]["distinct"] for kind in words] == [43, 82, 86]
    assert [words[kind]["crash_distinct"] for kind in words] == [42, 81, 85]
    told = finding(report, "text_gives_text_away", "prevention_reasoning from causal_reasoning")
    assert (told["count"], told["total"]) == (1108, 1139)
    assert not [f for f in report["findings"] if f["code"] == "answers_missing"]
    assert finding(report, "media_missing")["count"] == 1838


def test_dota() -> None:
    report = audited("dota", shared("data", "annotations", "dota")).report
    leak = finding(report, "recording_straddles_splits", "published: val and train")
    assert (leak["count"], leak["total"], leak["severity"]) == (1400, 1402, "error")
    assert (leak["data"]["within_a_second"], leak["data"]["overlapping"]) == (882, 0)
    record = finding(report, "record_inconsistent")
    assert [example["name"] for example in record["examples"]] == ["gXezhrOijmQ_004598"]
    beyond = finding(report, "span_beyond_clip", "crash_localization")
    assert [example["name"] for example in beyond["examples"]] == ["gXezhrOijmQ_004598"]
