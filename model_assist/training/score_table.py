"""Scores as a table for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

SHOWN_LEFT_OUT: Final = 20

COUNTS: Final = (
    "count", "unparsable", "missing", "truth_absent", "false_alarms", "predicted_absent", "out_of_clip",
    "without_crash_start", "without_lead_time", "boundary_error_count", "error_count", "zero_length_truth",
    "distinct_truths", "distinct_predictions", "true_positive", "false_positive", "false_negative", "true_negative",
)  # fmt: skip
"""Whole numbers, told in a line of their own where they are not 0."""

PUBLISHED_ALIAS: Final = {"rouge1": "rouge1_f", "rouge2": "rouge2_f", "rougeL": "rougeL_f"}
NESTED: Final = frozenset(
    {"published", "intervals", "by_source", "crash_only", "zero_length", "source_alone", "bertscore"}
)


def table(found: Mapping[str, Any]) -> str:
    """What `score.score` found: a table per kind, then what is in no score."""
    lines: list[str] = []
    for kind, scores in found["scores"].items():
        lines += [*_kind(kind, scores), ""]
    return "\n".join([*lines, *_left_out(found)]).rstrip()


def _kind(kind: str, scores: Mapping[str, Any]) -> Iterator[str]:
    published = scores["published"]
    yield f"{kind}: {scores['count']} clips, published: {published['n']}"
    rows: list[tuple[str, ...]] = [("", "score", "interval", "published")]
    rows += list(_measures(scores, published))
    part = scores.get("crash_only")
    if part and part["count"]:
        rows += [(f"crash only, {name}", *rest) for name, *rest in _measures(part, {})]
    yield from _aligned(rows)
    if "how" in scores.get("intervals", {}):
        yield f"  intervals: {scores['intervals']['how']}"
    yield "  " + ", ".join(f"{_words(name)} {scores[name]}" for name in COUNTS[1:] if scores.get(name))
    if (points := scores.get("zero_length")) and points["count"]:
        yield (
            f"  true spans of zero length: {points['count']}, read {points['read']}, found exactly {points['exact']}, "
            f"inside the predicted span {points['inside']}, start off by {points['start_error_s']:.3f} s"
        )
    bert = scores.get("bertscore")
    if bert:
        theirs = published.get("bertscore", bert)
        yield f"  BERTScore: {_bert(bert)}" + ("" if theirs == bert else f"; published: {_bert(theirs)}")
    if "source_alone" in scores:
        alone = scores["source_alone"]
        reached = f"accuracy {_number(alone.get('accuracy'))}, F1 {_number(alone.get('f1'))}"
        yield f"  the source alone, without looking: {reached}"
    yield from _sources(scores)


def _measures(scores: Mapping[str, Any], published: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    intervals = scores.get("intervals", {})
    named = [name for name, value in scores.items() if isinstance(value, float) and name not in NESTED]
    for name in named:
        low_high = intervals.get(name)
        between = f"{low_high[0]:.4f} to {low_high[1]:.4f}" if low_high else ""
        yield (
            _words(name),
            _number(scores[name]),
            between,
            _number(published.get(PUBLISHED_ALIAS.get(name, name))),
        )
    shown = {PUBLISHED_ALIAS.get(name, name) for name in named} | {"n"}
    for name, value in published.items():
        if name not in shown and isinstance(value, int | float):
            yield _words(name), "", "", _number(value)


def _sources(scores: Mapping[str, Any]) -> Iterator[str]:
    rows = scores.get("by_source", [])
    if not rows:
        return
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    shown = [("source", "clips", *map(_words, names))]
    for row in rows:
        undefined = ("precision", "recall", "f1") if row.get("truth_yes") == 0 else ()
        cells = ["—" if name in undefined else _number(row[name]) for name in names]
        shown.append((row["source"], str(row["count"]), *cells))
    yield "  within each source:"
    yield from _aligned(shown)


def _left_out(found: Mapping[str, Any]) -> Iterator[str]:
    for kind, number in found["without_prediction"].items():
        yield f"{kind}: {number} true answers have no prediction"
    rows = found["left_out"]
    if not rows:
        yield "Left out: nothing."
        return
    yield f"Left out or at odds: {len(rows)}"
    for one in rows[:SHOWN_LEFT_OUT]:
        place = f"{one['file']}, row {one['row']}" if one["row"] else one["file"]
        yield f"  {place}{', ' + one['field'] if one['field'] else ''}: {one['message']}"
    if len(rows) > SHOWN_LEFT_OUT:
        yield f"  and {len(rows) - SHOWN_LEFT_OUT} more (--format json lists all)"


def _bert(score: Mapping[str, Any]) -> str:
    if not score["computed"]:
        return f"not computed ({score['why']})"
    parts = f"P {score['precision']:.4f}, R {score['recall']:.4f}"
    return f"F1 {score['f1']:.4f} ({parts}, {score['model']} layer {score['layer']})"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first, *rest = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(["", row[0].ljust(len(first)), *rest]).rstrip()


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)


def _words(name: str) -> str:
    return name.replace("_", " ")
