"""The dataset card: what is in a version, in Markdown, from nothing but the version itself."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from annotations.cases.kinds import TEXT_KINDS, AnswerState, Kind
from annotations.datasets.exporters.facts import VersionFacts
from annotations.datasets.records import approved_unseen
from annotations.datasets.splits import SPLITS


class Summary:
    """Counts gathered while records go by."""

    def __init__(self) -> None:
        self.clips: Counter[tuple[str, bool]] = Counter()
        self.recordings: dict[str, set[str]] = defaultdict(set)
        self.sources: Counter[tuple[str, bool]] = Counter()
        self.authors: Counter[tuple[str, str]] = Counter()
        self.drafted: Counter[str] = Counter()
        self.texts: dict[str, Counter[str]] = defaultdict(Counter)
        self.origins: set[tuple[str, str]] = set()
        self.unseen: Counter[str] = Counter()

    def add(self, split: str, record: Mapping[str, Any]) -> None:
        """Count one record of one split."""
        answers = record["answers"]
        crash = answers[Kind.CRASH_RECOGNITION]["value"]["label"] == "yes"
        self.clips[split, crash] += 1
        self.unseen[split] += approved_unseen(record)
        self.recordings[split].add(record["recording"] or record["video"])
        self.sources[record["source"], crash] += 1
        self.origins.add((record["corpus"], record["licence"]))
        for kind, answer in answers.items():
            self.authors[kind, answer["lineage"]["author_kind"]] += 1
            self.drafted[kind] += answer["lineage"]["draft_answer_id"] is not None
            if kind in TEXT_KINDS and answer["state"] == AnswerState.VALUED:
                self.texts[kind][answer["value"]["text"]] += 1


def card(facts: VersionFacts, summary: Summary) -> str:
    """The card's text; the same for the same version, always."""
    corpora = sorted(summary.origins)
    lines = [
        f"# {', '.join(name for name, _ in corpora)}: version {facts.number}",
        "",
        *([facts.note, ""] if facts.note else []),
        *_table(
            ["fact", "value"],
            [
                ["content hash (SHA-256 of `records.jsonl`)", f"`{facts.content_hash}`"],
                ["frozen at", facts.frozen_at],
                ["guideline", facts.guideline],
                ["clips", facts.record_count],
                ["split seed", facts.split_seed],
                ["share of validation / test", f"{facts.val_share} / {facts.test_share}"],
                *[[f"licence of {name}", licence or "not stated"] for name, licence in corpora],
            ],
        ),
        "",
        "## Splits",
        "",
        "Clips that share a recording or the same bytes are always in the same split.",
        "",
        *_table(
            ["split", "clips", "with a crash", "without", "recordings"],
            [
                [
                    split,
                    summary.clips[split, True] + summary.clips[split, False],
                    summary.clips[split, True],
                    summary.clips[split, False],
                    len(summary.recordings[split]),
                ]
                for split in SPLITS
            ],
        ),
        "",
        *_unseen(summary),
        "## Sources",
        "",
        *_sources(summary),
        "",
        "## Answers",
        "",
        "Every answer was approved. Its author is a person, a model or an imported file.",
        "",
        *_table(
            ["kind", "by people", "by models", "imported", "from a draft", "different texts"],
            [
                [
                    kind,
                    *[summary.authors[kind, author] for author in ("person", "model", "import")],
                    summary.drafted[kind],
                    len(summary.texts[kind]) if kind in TEXT_KINDS else "",
                ]
                for kind in Kind.values
            ],
        ),
        "",
        "## Questions",
        "",
        *_table(["kind", "question"], [[kind, facts.prompts[kind]] for kind in Kind.values]),
        "",
        "## Files",
        "",
        "`crashdesk_<task>_<split>.json`: conversations as CrashChat publishes them, times in seconds. A clip",
        "without a crash has no row in the two localisation files. `records.jsonl`: one header line, then one",
        "line per clip with split, answers in microseconds, and who drafted, wrote and approved each of them.",
        "`sha256sum records.jsonl` gives the content hash.",
    ]
    return "\n".join(lines) + "\n"


def _unseen(summary: Summary) -> list[str]:
    """Nothing where people approved everything."""
    if not summary.unseen.total():
        return []
    found = ", ".join(f"{summary.unseen[split]} in {split}" for split in SPLITS)
    return [f"Approved by a policy, no person looked at them: {found}.", ""]


def _sources(summary: Summary) -> list[str]:
    names = sorted({name for name, _ in summary.sources})
    counts = [
        [name or "not stated", summary.sources[name, True], summary.sources[name, False]] for name in names
    ]
    table = _table(["source", "with a crash", "without"], counts)
    labels = {bool(summary.sources[name, True]) for name in names}
    mixed = any(summary.sources[name, True] and summary.sources[name, False] for name in names)
    if len(names) > 1 and len(labels) == 2 and not mixed:
        table += [
            "",
            "**Beware:** no source holds clips both with and without a crash, so the source alone gives away the",
            "answer to crash recognition.",
        ]
    return table


def _table(head: list[str], rows: Iterable[list[Any]]) -> list[str]:
    cells = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(_cell(value) for value in row) + " |" for row in cells]


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
