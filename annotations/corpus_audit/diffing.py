"""What changed from one audit's report to another's, finding by finding."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """A finding whose severity, count or total differ; `before` and `after` hold these three."""

    code: str
    subject: str
    before: dict[str, Any]
    after: dict[str, Any]
    sentence: str


@dataclass(frozen=True)
class AuditDiff:
    """`new` and `gone`: whole findings as the reports hold them; `unchanged`: how many are as they were."""

    new: list[dict[str, Any]]
    gone: list[dict[str, Any]]
    changed: list[Change]
    unchanged: int

    @property
    def empty(self) -> bool:
        return not (self.new or self.gone or self.changed)


_SIZE = ("severity", "count", "total")


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> AuditDiff:
    """Compare two reports. Findings are the same when code and subject are; numbers behind them are not compared."""
    before = {(finding["code"], finding["subject"]): finding for finding in old["findings"]}
    after = {(finding["code"], finding["subject"]): finding for finding in new["findings"]}
    changed = [
        Change(
            *key,
            {name: before[key][name] for name in _SIZE},
            {name: after[key][name] for name in _SIZE},
            after[key]["sentence"],
        )
        for key in after
        if key in before and any(before[key][name] != after[key][name] for name in _SIZE)
    ]
    return AuditDiff(
        new=[finding for key, finding in after.items() if key not in before],
        gone=[finding for key, finding in before.items() if key not in after],
        changed=changed,
        unchanged=sum(key in before for key in after) - len(changed),
    )


def canonical(report: Mapping[str, Any]) -> str:
    """The report as text that differs only where its content does: sorted keys, one value a line, no NaN."""
    return json.dumps(report, ensure_ascii=False, sort_keys=True, indent=2, allow_nan=False) + "\n"
