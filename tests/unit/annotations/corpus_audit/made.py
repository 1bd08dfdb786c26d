"""Small corpora as columns, with the truth known."""

from collections.abc import Iterable, Mapping
from typing import Any

from annotations.corpora.importers.rows import KINDS
from annotations.corpus_audit.columns import IMPORTED, AnswerFacts, Builder, ClipFacts, Columns
from annotations.corpus_audit.findings import Finding

SPAN, ONSET = "crash_localization", "pre_crash_localization"


def columns(clips: Iterable[Mapping[str, Any]], *, version: str = "") -> Columns:
    """Each clip: fields of ClipFacts, and answers by kind: a word, a (start, end), an instant, or "absent"."""
    builder = Builder("Made up", version=version)
    answers: list[AnswerFacts] = []
    for number, given in enumerate(clips, start=1):
        facts = {name: value for name, value in given.items() if name not in KINDS}
        builder.add_clip(
            ClipFacts(**{"video": number, "name": f"clip {number:05d}", "case": number, **facts})
        )
        answers += [
            answer(facts.get("video", number), kind, said) for kind, said in given.items() if kind in KINDS
        ]
    builder.end_clips()
    for one in answers:
        builder.add_answer(one)
    return builder.build()


def answer(video: int, kind: str, said: Any, *, rank: int = IMPORTED, order: int = 1) -> AnswerFacts:
    if said == "absent":
        return AnswerFacts(video, kind, rank, order, "absent")
    if kind == SPAN:
        return AnswerFacts(video, kind, rank, order, "valued", None, *said)
    if kind == ONSET:
        return AnswerFacts(video, kind, rank, order, "valued", None, said)
    return AnswerFacts(video, kind, rank, order, "valued", said)


def by_key(findings: Iterable[Finding]) -> dict[tuple[str, str], Finding]:
    return {finding.key: finding for finding in findings}
