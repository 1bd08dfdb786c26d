import json
import random

from annotations.corpus_audit.checks.balance import check, counts_by, measures
from tests.unit.annotations.corpus_audit.made import by_key, columns


def test_balance_by_source_and_split() -> None:
    made = columns(
        [{"source": "A", "split": "train", "crash_recognition": "yes"}] * 6
        + [{"source": "B", "split": "val", "crash_recognition": "no"}] * 4
    )
    found = by_key(check(made))
    balance = found["class_balance", "crash_recognition"]
    assert (balance.severity, balance.count, balance.total) == ("info", 4, 10)
    assert balance.data["by_source"][0] == {"value": "A", "yes": 6, "no": 0, "unknown": 0}
    assert {key for key in found if key[0] == "class_missing_in_split"} == {
        ("class_missing_in_split", "train"),
        ("class_missing_in_split", "val"),
    }


def test_a_rare_class_is_a_warning_and_a_corpus_of_one_class_too() -> None:
    rare = [{"crash_recognition": "yes"}] * 95 + [{"crash_recognition": "no"}] * 5
    assert by_key(check(columns(rare)))["class_balance", "crash_recognition"].severity == "warning"
    (only,) = check(columns([{"crash_recognition": "yes"}] * 9))
    assert (only.count, only.sentence) == (0, "Every clip says yes.")


def test_clips_far_from_their_own_source() -> None:
    draw = random.Random(1)
    long = [{"source": "A", "duration_us": int(40e6 * draw.uniform(0.8, 1.2))} for _ in range(60)]
    short = [{"source": "B", "duration_us": int(4e6 * draw.uniform(0.8, 1.2))} for _ in range(60)]
    odd = {"source": "B", "duration_us": 40_000_000}
    (finding,) = check(columns([*long, *short, odd]))
    assert (finding.code, finding.count, finding.total) == ("clip_length_outlier", 1, 121)
    assert [(e.name, e.value) for e in finding.examples] == [("clip 00121", "40 s")]


def test_a_source_with_two_middles_has_no_outliers() -> None:
    made = [{"source": "A", "duration_us": 5_000_000}] * 70 + [
        {"source": "A", "duration_us": 60_000_000}
    ] * 30
    assert list(check(columns(made))) == []


def test_uneven_rates_are_named() -> None:
    (finding,) = check(columns([{"variable_rate": True}, {}]))
    assert (finding.code, finding.count, finding.total) == ("variable_rate", 1, 2)


def test_measures_and_counts_are_plain_json() -> None:
    made = columns([{"rate": (30000, 1001), "width": 640, "height": 360, "duration_us": 1}, {"source": "A"}])
    known = {name: int(mask.sum()) for name, _, _, mask in measures(made)}
    assert known == {"clip length": 1, "frame rate": 1, "picture size": 1, "span length": 0, "onset gap": 0}
    json.dumps(counts_by(made.source, made.labels))
