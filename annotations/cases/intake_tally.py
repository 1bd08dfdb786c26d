"""Counting what an import takes, for its report."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from annotations.corpora.models import Video


@dataclass
class Tally:
    """Counts of one import run. "New" is what came into being since `began`, so that a run that was killed and
    started again reports as if it had gone through at once."""

    began: datetime
    rows: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    answers: Counter[str] = field(default_factory=Counter)
    cases: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    files: list[dict[str, Any]] = field(default_factory=list)
    left_aside: list[str] = field(default_factory=list)
    rejected: int = 0
    _videos: dict[int, tuple[bool, bool]] = field(default_factory=dict)
    _media: dict[int, bool] = field(default_factory=dict)
    _cases: set[int] = field(default_factory=set)

    def is_new(self, created_at: datetime) -> bool:
        return created_at >= self.began

    def video(self, video: Video) -> None:
        """Count a video once, however many rows speak of it."""
        media = (video.media.pk, video.media.created_at) if video.media is not None else None
        self.video_of(video.pk, video.created_at, media)

    def video_of(self, video_id: int, created_at: datetime, media: tuple[int, datetime] | None) -> None:
        """The same, by id; `media`: id and time of the video's media, if it has any."""
        self._videos[video_id] = (self.is_new(created_at), media is None)
        if media is not None:
            self._media[media[0]] = self.is_new(media[1])

    def case(self, case_id: int, created_at: datetime) -> None:
        """Count a case once."""
        if case_id not in self._cases:
            self._cases.add(case_id)
            self.cases["new" if self.is_new(created_at) else "known"] += 1

    def report(self) -> dict[str, Any]:
        """The counts as JSON. `rows` counts accepted rows by kind and source."""
        new_videos = sum(new for new, _ in self._videos.values())
        new_media = sum(self._media.values())
        return {
            "files": self.files,
            "left_aside": self.left_aside[:50],
            "left_aside_count": len(self.left_aside),
            "rows": {kind: dict(sorted(counts.items())) for kind, counts in self.rows.items()},
            "videos": {
                "new": new_videos,
                "known": len(self._videos) - new_videos,
                "lacking_media": sum(lacking for _, lacking in self._videos.values()),
            },
            "media": {"new": new_media, "known": len(self._media) - new_media},
            "cases": {"new": self.cases["new"], "known": self.cases["known"]},
            "answers": {name: self.answers[name] for name in ("new", "known", "new_absent", "changed")},
            "rejected": self.rejected,
            "findings": dict(sorted(self.findings.items())),
        }
