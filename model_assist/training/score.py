"""Score a file of predictions: `python -m model_assist.training.score PREDICTIONS [--truth FILES...]`.

Takes what CrashChat's evaluation writes and reads (score_files.py; docs/metrics.md shows the layouts) and prints every
score twice: CrashDesk's own, with its interval, and what the published scripts would print. No Django, no model.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from model_assist.crashchat import kinds as k
from model_assist.training import metrics
from model_assist.training.metrics.pairs import MISSING
from model_assist.training.score_files import LeftOut, Read, Row, Rows, ScoreFileError, read_files
from model_assist.training.score_table import table

UNKNOWN: Final = "unknown"


@dataclass
class Truth:
    """The true answers of one clip, and where it comes from."""

    answers: dict[str, Read]
    source: str = ""
    recording: str = ""


@dataclass
class Matched:
    """Predictions beside truths, ready to be scored.

    unasked: clips per kind that the truth knows and the predictions do not.
    """

    records: list[metrics.Record]
    sources: list[str]
    recordings: list[str] | None
    left_out: list[LeftOut]
    unasked: dict[str, int]


def match(predicted: Rows, truths: Rows | None, *, missing_is_wrong: bool = False) -> Matched:
    """Put every prediction beside its truth, by the clip's name and the kind.

    A truth file's answer comes before one that stands in the prediction's own row; where they differ it is told.
    A second prediction, or a second truth, for the same clip and kind is left out. missing_is_wrong: true answers
    of kinds that were asked at all, but without a prediction, count as wrong instead of being left out.
    """
    left_out = [*predicted.left_out, *(truths.left_out if truths else [])]
    known = _truths(truths, left_out)
    given = set(known)
    said: dict[str, dict[str, Row]] = {}
    for row in predicted.rows:
        held = said.setdefault(row.video, {}).get(row.kind)
        if held is not None:
            left_out.append(
                _out(row, f"a second answer about {row.video} (the first: {held.file}, row {held.row})")
            )
            continue
        said[row.video][row.kind] = row
        _own_truth(row, known.setdefault(row.video, Truth({})), row.video in given, left_out)
    asked = {kind for rows in said.values() for kind in rows}
    unasked: Counter[str] = Counter()
    clips: list[tuple[str, metrics.Record]] = []
    for video, truth in known.items():
        record = {}
        for kind in k.ALL:
            answer = said.get(video, {}).get(kind)
            if answer is not None and kind not in truth.answers:
                left_out.append(_out(answer, f"there is no true answer about {video}"))
            elif answer is not None:
                record[kind] = _pair(answer, truth)
            elif kind in asked and kind in truth.answers:
                unasked[kind] += 1
                if missing_is_wrong:
                    record[kind] = metrics.Pair(
                        *truth.answers[kind], MISSING, None, crash_start_us=_crash_start(truth)
                    )
        if record:
            clips.append((video, record))
    recordings = None
    if any(known[video].recording for video, _ in clips):
        recordings = [known[video].recording or video for video, _ in clips]
    return Matched(
        records=[record for _, record in clips],
        sources=[known[video].source or UNKNOWN for video, _ in clips],
        recordings=recordings,
        left_out=left_out,
        unasked=dict(unasked),
    )  # fmt: skip


def score(
    matched: Matched,
    *,
    by_source: bool = False,
    bootstrap: metrics.Bootstrap | None = None,
    bertscore: metrics.BertScorer | None = None,
) -> dict[str, Any]:
    """{"scores": by kind, "left_out": [...], "without_prediction": clips per kind}."""
    return {
        "scores": metrics.evaluate(
            matched.records,
            sources=matched.sources if by_source else None,
            recordings=matched.recordings,
            bootstrap=bootstrap,
            bertscore=bertscore,
        ),
        "left_out": [asdict(one) for one in matched.left_out],
        "without_prediction": matched.unasked,
    }


def _truths(truths: Rows | None, left_out: list[LeftOut]) -> dict[str, Truth]:
    known: dict[str, Truth] = {}
    for row in truths.rows if truths else []:
        truth = known.setdefault(row.video, Truth({}))
        if row.truth is None:
            left_out.append(_out(row, "holds no truth"))
        elif row.kind in truth.answers:
            left_out.append(_out(row, f"a second truth about {row.video}"))
        else:
            truth.answers[row.kind] = row.truth
            truth.source, truth.recording = truth.source or row.source, truth.recording or row.recording
    return known


def _own_truth(row: Row, truth: Truth, from_file: bool, left_out: list[LeftOut]) -> None:
    """Take what a prediction's row says of the truth, where no truth file does."""
    truth.source, truth.recording = truth.source or row.source, truth.recording or row.recording
    if row.truth is None:
        return
    known = truth.answers.setdefault(row.kind, row.truth)
    if from_file and known != row.truth:
        left_out.append(_out(row, "its own true answer differs from the truth file's, which counts"))


def _pair(row: Row, truth: Truth) -> metrics.Pair:
    state, value = row.said if row.said is not None else ("unparsable", None)
    return metrics.Pair(
        *truth.answers[row.kind], state, value, raw=row.raw, published=row.published, crash_start_us=_crash_start(truth)
    )  # fmt: skip


def _crash_start(truth: Truth) -> int | None:
    _, span = truth.answers.get(k.CRASH_LOCALIZATION, ("absent", None))
    return int(span["start_us"]) if span else None


def _out(row: Row, message: str) -> LeftOut:
    return LeftOut(row.file, row.row, row.kind, message)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog="python -m model_assist.training.score", description=__doc__)
    made.add_argument("predictions", type=Path, nargs="+", help="files, or folders of .json and .jsonl files")
    made.add_argument(
        "--truth", type=Path, nargs="+", default=[], help="files or folders with the true answers"
    )
    made.add_argument("--kind", choices=k.ALL, default="", help="the task of rows that do not name theirs")
    made.add_argument("--format", choices=("table", "json"), default="table")
    made.add_argument("--by", choices=("source",), help="also score every source on its own")
    made.add_argument(
        "--bootstrap", type=int, default=1000, metavar="N", help="resamples for intervals; 0 for none"
    )
    made.add_argument("--seed", type=int, default=0, help="of the resamples")
    made.add_argument(
        "--missing", choices=("skip", "wrong"), default="skip", help="true answers without a prediction"
    )
    made.add_argument("--strict", action="store_true", help="exit with 1 when anything is left out")
    made.add_argument("--bertscore-model", type=Path, help="folder of the encoder (published: roberta-large)")
    made.add_argument(
        "--bertscore-layer", type=int, help="which layer of it; 17 for a folder named roberta-large"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the scores; 0, or 1 when nothing could be scored (with --strict: when anything was left out)."""
    options = parser().parse_args(arguments)
    try:
        bootstrap = metrics.Bootstrap(options.bootstrap, options.seed) if options.bootstrap else None
        truths = read_files(options.truth, truth=True, kind=options.kind) if options.truth else None
        predicted = read_files(options.predictions, truth=False, kind=options.kind)
        matched = match(predicted, truths, missing_is_wrong=options.missing == "wrong")
    except (ScoreFileError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.bertscore_model:
        scorer: metrics.BertScorer | None = metrics.BertScorer(
            options.bertscore_model, options.bertscore_layer
        )
    else:
        scorer = metrics.BertScorer.from_environment()
    found = score(matched, by_source=options.by == "source", bootstrap=bootstrap, bertscore=scorer)
    found |= {"predictions": predicted.files, "truth": truths.files if truths else []}
    print(json.dumps(found, indent=2, allow_nan=False) if options.format == "json" else table(found))
    if not found["scores"]:
        print("error: no prediction has a true answer beside it; give --truth", file=sys.stderr)
        return 1
    return 1 if options.strict and (found["left_out"] or found["without_prediction"]) else 0


if __name__ == "__main__":
    sys.exit(main())
