"""What the audit says by itself of the published data. The numbers stand here and nowhere in the code."""

from typing import Any

import pytest

from annotations.cases.intake import run_import
from annotations.corpora.models import Corpus
from annotations.corpora.services import begin_import
from annotations.corpus_audit.auditing import audit_corpus
from tests.shared_data import shared


def finding(report: dict[str, Any], code: str, subject: str = "") -> dict[str, Any]:
    (found,) = [f for f in report["findings"] if (f["code"], f["subject"]) == (code, subject)]
    return dict(found)


@pytest.mark.django_db
@pytest.mark.slow
def test_crashchat_val() -> None:
    run = begin_import(
        corpus_name="CrashChat val", format="crashchat", path=shared("data", "crashchat"), by=None
    )
    run_import(run.pk, progress=lambda *_: None)
    audit, new = audit_corpus(Corpus.objects.get(), by=None)
    assert new
    report = audit.report
    source = finding(report, "source_answers", "crash_recognition")
    assert (source["count"], source["total"], source["severity"]) == (1838, 1838, "error")
    assert source["sentence"].startswith("Crash recognition can be answered from the source alone")
    assert source["data"]["held_out"] == 1.0
    assert source["data"]["information"] == source["data"]["entropy"]
    gap = finding(report, "default_value", "onset gap 1.5 s")
    assert (gap["count"], gap["total"], gap["severity"]) == (432, 1139, "warning")
    assert audit.clips.get(code="default_value", subject="onset gap 1.5 s").videos.__len__() == 432
    assert finding(report, "span_zero_length", "crash_localization")["count"] == 6
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
