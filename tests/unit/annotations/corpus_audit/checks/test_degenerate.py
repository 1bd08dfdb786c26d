from annotations.corpus_audit.checks.degenerate import check
from tests.unit.annotations.corpus_audit.made import by_key, columns


def test_records_that_contradict_themselves_are_named() -> None:
    (finding,) = check(columns([{}, {"inconsistent": ("ends after its last frame", "119 frames, not 114")}]))
    assert (finding.key, finding.count, finding.total) == (("record_inconsistent", ""), 1, 2)
    assert [(e.name, e.value) for e in finding.examples] == [
        ("clip 00002", "ends after its last frame; 119 frames, not 114")
    ]


def test_clips_of_another_length_than_their_record_says() -> None:
    made = [
        {"duration_us": 5_000_000, "declared_duration_us": 5_000_000},
        {"duration_us": 5_090_000, "declared_duration_us": 5_000_000},  # a tenth of a second is allowed
        {"duration_us": 101_900_000, "declared_duration_us": 100_000_000},  # and two per cent
        {"duration_us": 4_000_000, "declared_duration_us": 5_000_000},
        {"duration_us": 9_000_000, "declared_duration_us": 5_000_000},
        {"declared_duration_us": 5_000_000},
    ]
    finding = by_key(check(columns(made)))["media_differs_from_record", ""]
    assert (finding.count, finding.total) == (2, 5)
    assert [e.name for e in finding.examples] == ["clip 00005", "clip 00004"]
    assert finding.examples[0].value == "9 s, recorded as 5 s"
