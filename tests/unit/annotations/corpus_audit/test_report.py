import json
import re

import numpy as np

from annotations.corpus_audit.diffing import canonical, diff
from annotations.corpus_audit.findings import Finding, examples, percent, seconds, some
from annotations.corpus_audit.report import CHECKS, code_version, findings_of, report_of
from tests.unit.annotations.corpus_audit.made import columns

CLIPS = [
    {"source": "AB"[number % 2], "split": ("train", "val")[number % 3 == 0], "recording": f"r{number // 2}",
     "crash_recognition": "yes" if number % 2 else "no", "causal_reasoning": f"Cause {number % 5}."}
    for number in range(60)
]  # fmt: skip


def test_the_report_is_plain_json_and_the_same_for_the_same_inputs() -> None:
    first, second = columns(CLIPS), columns(list(CLIPS))
    texts = [canonical(report_of(made, findings_of(made))) for made in (first, second)]
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["counts"]["clips"] == 60
    assert "NaN" not in texts[0]


def test_findings_come_worst_first_and_each_once() -> None:
    found = findings_of(columns(CLIPS))
    assert [finding.severity for finding in found] == sorted(
        (finding.severity for finding in found), key=["error", "warning", "info"].index
    )
    assert len({finding.key for finding in found}) == len(found) > 3


def test_every_finding_is_fit_to_be_read() -> None:
    for finding in findings_of(columns(CLIPS)):
        assert re.fullmatch(r"[a-z_]+", finding.code)
        assert finding.sentence[0].isupper() or finding.sentence[0].isdigit()
        assert finding.sentence.endswith(".")
        assert "_" not in finding.sentence
        assert finding.action.endswith(".")
        assert 0 <= finding.count <= finding.total
        assert len(finding.examples) <= 20


def test_progress_is_told_before_each_check() -> None:
    told: list[tuple[int, int, str]] = []
    findings_of(columns(CLIPS), step=lambda *now: told.append(now))
    assert [done for done, _, _ in told] == list(range(len(CHECKS)))


def test_an_empty_corpus_has_a_report_without_findings() -> None:
    made = columns([])
    assert report_of(made, findings_of(made))["findings"] == []


def test_a_difference_between_reports() -> None:
    old = report_of(columns(CLIPS), findings_of(columns(CLIPS)))
    assert diff(old, old).empty
    more = [*CLIPS, {"source": "A", "split": "train", "recording": "r99", "crash_recognition": "no"}]
    made = columns(more)
    new = report_of(made, findings_of(made))
    found = diff(old, new)
    assert {finding["code"] for finding in found.new} == {"answers_missing"}
    assert found.gone == []
    changed = {(change.code, change.subject): change for change in found.changed}
    source = changed["source_answers", "crash_recognition"]
    assert (source.before["count"], source.after["count"]) == (60, 61)
    back = diff(new, old)
    assert {finding["code"] for finding in back.gone} == {"answers_missing"}
    assert back.unchanged == found.unchanged > 0


def test_the_code_version_names_the_release_and_the_code() -> None:
    assert re.fullmatch(r"[\d.]+\w*\+[0-9a-f]{12}", code_version())


def test_words_for_numbers() -> None:
    assert [percent(share) for share in (0, 0.00001, 0.379, 0.5, 0.99999, 1)] == [
        "0 %", "under 0.1 %", "37.9 %", "50 %", "over 99.9 %", "100 %",
    ]  # fmt: skip
    assert [seconds(us) for us in (0, 1_500_000, 33_367, 2_000_000)] == ["0 s", "1.5 s", "0.033367 s", "2 s"]
    assert (some(1, "clip"), some(1234, "clip")) == ("1 clip", "1,234 clips")


def test_examples_are_the_first_twenty() -> None:
    made = columns(CLIPS)
    shown = examples(made, np.arange(60), (str(row) for row in range(60)))
    assert [(example.name, example.value) for example in shown[:2]] == [
        ("clip 00001", "0"),
        ("clip 00002", "1"),
    ]
    assert len(shown) == 20
    assert isinstance(shown[0], type(examples(made, [0])[0]))
    assert Finding("a", "b", "info", 0, 0, "", "").key == ("a", "b")
