"""What is said of copies of a clip: labels of the same footage, brought to the clip's own time where that is known."""

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotations.cases.kinds import Kind
from annotations.cases.models import Case
from annotations.cases.rules import Said
from annotations.corpora.models import DuplicateMember
from model_assist.suspects.labels import Label, labels_of
from model_assist.suspects.scoring import Witness, apart, of_copy


@dataclass(frozen=True)
class Copy:
    """Another case of the same footage. `later_us`: what it shows at t, the clip in question shows at t + later_us;
    None where that is not known. `strength`: 0 to 1, how alike the pictures are. `duration_us`: of the other.
    """

    case: int
    video: str
    later_us: int | None
    strength: float
    duration_us: int | None


@dataclass(frozen=True)
class _Member:
    video: int
    nearest: int | None
    shift_us: int | None
    strength: float


def offsets(members: Sequence[tuple[int, int | None, int | None]]) -> dict[tuple[int, int], int]:
    """For pairs of videos (a, b) of a cluster: what b shows at t, a shows at t + offset.

    `members`: (video, its nearest, shift): what the video shows at t, the nearest shows at t - shift. Offsets of videos
    that are near others by way of third ones add up.
    """
    edges: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for video, nearest, shift in members:
        if nearest is not None and shift is not None:
            edges[nearest].append((video, shift))
            edges[video].append((nearest, -shift))
    found: dict[tuple[int, int], int] = {}
    for start in list(edges):
        reached, waiting = {start: 0}, deque([start])
        while waiting:
            here = waiting.popleft()
            for there, shift in edges[here]:
                if there not in reached:
                    reached[there] = reached[here] + shift
                    waiting.append(there)
        found.update({(video, start): offset for video, offset in reached.items() if video != start})
    return found


def copies_of(cases: Collection[int]) -> dict[int, list[Copy]]:
    """By case, the cases of the same guideline whose clips show the same footage; proposals that nobody has looked at
    count like members."""
    asked: Any = Case.objects.filter(pk__in=cases, video__duplicate_member__isnull=False).values_list(
        "pk", "video_id", "guideline_id", "video__duplicate_member__cluster_id"
    )
    asked = list(asked)
    clusters = {cluster for _, _, _, cluster in asked}
    members: dict[int, list[_Member]] = defaultdict(list)
    rows: Any = DuplicateMember.objects.filter(cluster__in=clusters).values_list(
        "cluster_id", "video_id", "evidence", "added_by_id", "cluster__confirmed_at"
    )
    for cluster, video, evidence, added_by, confirmed in rows:
        certain = bool(evidence.get("exact")) or added_by is not None or confirmed is not None
        strength = 1.0 if certain else float(evidence.get("similarity", 0.5))
        members[cluster].append(_Member(video, evidence.get("nearest"), evidence.get("shift_us"), strength))
    lying = {
        cluster: offsets([(one.video, one.nearest, one.shift_us) for one in held])
        for cluster, held in members.items()
    }
    alike = {one.video: one.strength for held in members.values() for one in held}
    shown: dict[int, list[tuple[int, int, str, int | None]]] = defaultdict(list)
    others: Any = Case.objects.filter(video__duplicate_member__cluster__in=clusters).values_list(
        "pk", "video_id", "guideline_id", "video__name", "video__media__duration_us"
    )
    for case, video, guideline, name, duration in others:
        shown[video].append((case, guideline, name, duration))
    found: dict[int, list[Copy]] = defaultdict(list)
    for case, video, guideline, cluster in asked:
        for member in members[cluster]:
            if member.video == video:
                continue
            later = lying[cluster].get((video, member.video))
            worth = min(alike[video], member.strength)
            for other, of_guideline, name, duration in shown[member.video]:
                if of_guideline == guideline:
                    found[case].append(Copy(other, name, later, worth, duration))
    return found


class Copies:
    """The labels of all copies of some cases."""

    def __init__(self, cases: Collection[int]) -> None:
        self._copies = copies_of(cases)
        known = {copy.case for held in self._copies.values() for copy in held} | set(self._copies)
        self._labels: dict[int, dict[str, Label]] = defaultdict(dict)
        for label in labels_of(known):
            self._labels[label.case][label.kind] = label
        durations: Any = Case.objects.filter(pk__in=list(self._copies)).values_list(
            "pk", "video__media__duration_us"
        )
        self._durations: dict[int, int | None] = dict(durations)

    def against(self, label: Label) -> list[Witness]:
        """What the labels of the copies say. Left out: where the event that one of the two speaks of is not in the
        other's part of the footage, and times where nobody knows how the two clips lie on each other.
        """
        mine = self._labels.get(label.case, {})
        found = []
        for copy in self._copies.get(label.case, ()):
            theirs = self._labels.get(copy.case, {})
            other = theirs.get(label.kind)
            if other is None or not self._comparable(label, mine, theirs, copy):
                continue
            said = moved(label.kind, other.said, copy.later_us)
            if said is not None:
                found.append(Witness(copy.video, apart(label.kind, label.said, said), of_copy(copy.strength)))
        return found

    def _comparable(
        self, label: Label, mine: Mapping[str, Label], theirs: Mapping[str, Label], copy: Copy
    ) -> bool:
        if copy.later_us is None:
            return True
        there = _event(theirs)
        if there is not None and not _inside(there, copy.later_us, self._durations.get(label.case)):
            return False
        here = _event(mine)
        return here is None or _inside(here, -copy.later_us, copy.duration_us)


def _event(labels: Mapping[str, Label]) -> tuple[int, int] | None:
    """From when to when the labels see the crash."""
    span = labels.get(Kind.CRASH_LOCALIZATION)
    if span is None or span.said.value is None:
        return None
    return span.said.value["start_us"], span.said.value["end_us"]


def _inside(event: tuple[int, int], later_us: int, duration_us: int | None) -> bool:
    start, end = (at + later_us for at in event)
    return start >= 0 and (duration_us is None or end <= duration_us)


def moved(kind: str, said: Said, later_us: int | None) -> Said | None:
    """What was said of a copy, in the clip's own time; None for times where the offset is not known."""
    if kind not in (Kind.CRASH_LOCALIZATION, Kind.PRE_CRASH_LOCALIZATION) or said.value is None:
        return said
    if later_us is None:
        return None
    return Said(said.state, {name: at + later_us for name, at in said.value.items()})
