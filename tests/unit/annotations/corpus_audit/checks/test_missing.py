from annotations.corpora.importers.rows import KINDS
from annotations.corpus_audit.checks.missing import check
from tests.unit.annotations.corpus_audit.made import ONSET, SPAN, by_key, columns

COMPLETE = {
    "crash_recognition": "yes", "crash_description": "a", "causal_reasoning": "b", "prevention_reasoning": "c",
    SPAN: (1, 2), ONSET: 1, "source": "A", "sha256": "0", "media_state": "ready",
    "recording": "r",
}  # fmt: skip


def test_a_complete_corpus_lacks_nothing() -> None:
    assert list(check(columns([COMPLETE] * 3))) == []


def test_a_clip_that_lacks_one_answer() -> None:
    lacking = {name: value for name, value in COMPLETE.items() if name != "prevention_reasoning"}
    (finding,) = check(columns([COMPLETE, lacking, COMPLETE]))
    assert finding.key == ("answers_missing", "prevention_reasoning")
    assert (finding.severity, finding.count, finding.total) == ("warning", 1, 3)
    assert [example.name for example in finding.examples] == ["clip 00002"]


def test_times_are_not_missed_where_there_is_no_crash() -> None:
    calm = {**COMPLETE, "crash_recognition": "no"}
    del calm[SPAN], calm[ONSET]
    assert list(check(columns([COMPLETE, calm]))) == []


def test_a_kind_that_nobody_has_answered_and_clips_without_any_answer() -> None:
    only_spans = {"source": "A", "sha256": "0", "media_state": "ready", "recording": "r", SPAN: (1, 2)}
    silent = {"source": "A", "sha256": "1", "media_state": "ready", "recording": "r"}
    found = by_key(check(columns([only_spans, only_spans, silent])))
    assert found["clips_unanswered", ""].count == 1
    others = set(KINDS) - {SPAN}
    assert {key for key in found if key[0] == "kind_unanswered"} == {
        ("kind_unanswered", kind) for kind in others
    }
    assert {finding.severity for finding in found.values()} == {"info"}


def test_clips_cases_media_sources_and_recordings_that_are_not_there() -> None:
    made = [
        {**COMPLETE, "sha256": "", "media_state": ""},
        {**COMPLETE, "case": None},
        {**COMPLETE, "media_state": "pending"},
        {**COMPLETE, "media_state": "unusable"},
        {**COMPLETE, "source": ""},
        {**COMPLETE, "recording_origin": "name", "recording": "clip"},
        {**COMPLETE, "excluded": True},
    ]
    found = by_key(check(columns([clip for clip in made])))
    names = {
        "media_missing": 1, "media_without_case": 2, "media_pending": 3, "media_unusable": 4, "source_missing": 5,
        "recording_unknown": 6, "cases_excluded": 7,
    }  # fmt: skip
    assert {code: [e.name for e in finding.examples] for (code, _), finding in found.items()} == {
        code: [f"clip {number:05d}"] for code, number in names.items()
    }
