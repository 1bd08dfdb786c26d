"""A case on its way to Label Studio: what its task will say and show, gathered for many cases in a few queries."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Any, Final

from django.db.models import Max

from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus
from annotations.corpora.media.timemap import ProxyMap
from annotations.corpora.models import Media, MediaState
from annotations.labelstudio.external_ids import drawn_rank, opaque_key
from annotations.labelstudio.media_links import video_address
from annotations.labelstudio.models import LabelStudioForm, LabelStudioTask
from annotations.labelstudio.predictions import Shown, troubles, what_to_show
from annotations.labelstudio.provision import RANK_FIELD
from annotations.labelstudio.rows import Key, Wanted
from annotations.reviews.draws import draws_of

UNRANKED: Final = 9_999_999
SETTLED: Final = (CaseStatus.APPROVED, CaseStatus.EXCLUDED)
WAITING: Final = (CaseStatus.PREDICTED, CaseStatus.IN_REVIEW)
"""Whose ranks a new order replaces."""
_HEAVY: Final = ("raw_text", "confidence_detail", "frames", "reason")


@dataclass(frozen=True)
class Item:
    """One task to be made or refreshed. `problem`: why it must not be sent, for people; empty when it may."""

    case: Case
    assignment_id: int | None
    media: Media
    fps: Fraction
    data: dict[str, Any]
    media_until: datetime | None
    shown: Shown
    blind: bool
    problem: str = ""

    @property
    def key(self) -> Key:
        return self.case.pk, self.assignment_id

    @property
    def external_id(self) -> str:
        """Its key in Label Studio."""
        return str(self.data["external_id"])

    @property
    def whole(self) -> dict[str, Any]:
        """The task as Label Studio imports it."""
        return {"data": self.data, "predictions": self.shown.predictions}

    def noted(self, form: LabelStudioForm) -> dict[str, Any]:
        """What our row says of the task, before it is made."""
        return {
            "fps_num": self.fps.numerator, "fps_den": self.fps.denominator, "shown_answers": self.shown.answers,
            "versions": self.shown.versions, "form": form.pk, **self.noted_data(),
        }  # fmt: skip

    def noted_data(self) -> dict[str, Any]:
        """The part of it that is about `data`."""
        until = self.media_until.isoformat() if self.media_until else None
        return {
            "shown_rank": self.case.review_rank,
            "data_digest": data_digest(self.data),
            "media_until": until,
        }

    def wanted(self, form: LabelStudioForm) -> Wanted:
        return Wanted(*self.key, {**self.noted(form), "external_id": self.external_id})


def gather(
    keys: Iterable[Key], form: LabelStudioForm, *, rows: Mapping[Key, LabelStudioTask]
) -> tuple[list[Item], list[int]]:
    """Items of these keys in their order, and the ids of cases that have nothing to watch.

    A task that is there already keeps its frame rate, whatever has become of the proxy since, and a row keeps its
    external id. Cases that were not drawn yet are drawn now, so that a blind one is never shown with a draft.
    """
    asked = list(keys)
    ids = {case for case, _ in asked}
    cases = {
        case.pk: case
        for case in Case.objects.filter(pk__in=ids)
        .select_related("video__media", "corpus")
        .defer("video__metadata", "video__media__storyboard")
    }
    shown = {row.case_id for row in rows.values() if row.shown_answers and row.task_id is not None}
    draws = draws_of(cases.values(), shown=shown)
    answers = _answers(ids)
    tops = _tops(cases[case] for case, assignment in asked if assignment is not None)
    items, without_media = [], []
    for key in asked:
        case = cases[key[0]]
        media = case.video.media
        if media is None or media.state != MediaState.READY:
            without_media.append(case.pk)
            continue
        row = rows.get(key)
        fps = row.fps if row is not None and row.task_id is not None else media.proxy_fps
        external_id = row.external_id if row is not None else opaque_key(*key)
        top = tops.get((case.corpus_id, case.guideline_id))
        data, until = task_data(case, key[1], media, fps, external_id=external_id, top=top)
        item = Item(case, key[1], media, fps, data, until, Shown(), draws[case.pk].blind)
        items.append(_with_drafts(item, answers.get(case.pk, []), form))
    return items, without_media


def _answers(case_ids: Iterable[int]) -> dict[int, list[Answer]]:
    found: dict[int, list[Answer]] = defaultdict(list)
    rows = Answer.objects.filter(case__in=list(case_ids)).exclude(author_kind=AuthorKind.PERSON)
    for answer in rows.order_by("id").defer(*_HEAVY):
        found[answer.case_id].append(answer)
    return found


def _tops(passes: Iterable[Case]) -> dict[tuple[int, int], int]:
    """The last rank among the waiting cases of each corpus and guideline of these, where there is any."""
    asked = {(case.corpus_id, case.guideline_id) for case in passes if _rank_of(case) is None}
    if not asked:
        return {}
    corpora, guidelines = zip(*asked, strict=True)
    ranked = Case.objects.filter(corpus__in=corpora, guideline__in=guidelines, review_rank__gte=1)
    last = (
        ranked.filter(status__in=WAITING)
        .order_by()
        .values("corpus", "guideline")
        .annotate(top=Max("review_rank"))
    )
    return {(row["corpus"], row["guideline"]): row["top"] for row in last}


def _rank_of(case: Case) -> int | None:
    """Where the case waits for another pass; a settled one may still have its rank in an order of long ago."""
    return None if case.status in SETTLED else case.review_rank


def _with_drafts(item: Item, answers: list[Answer], form: LabelStudioForm) -> Item:
    if item.blind or not answers:
        return item
    frames = proxy_frames(item.media, item.fps)
    shown = what_to_show(answers, frames, blind=False)
    wrong = [
        trouble
        for made in shown.predictions
        for trouble in troubles(made, form.xml, frame_count=frames.frame_count)
    ]
    problem = f"case {item.case.pk}: {'; '.join(map(str, wrong[:5]))}" if wrong else ""
    return replace(item, shown=shown, problem=problem)


def proxy_frames(media: Media, fps: Fraction) -> ProxyMap:
    """How a task's frames at this rate lie on the source clip's time."""
    if media.proxy_frame_count is None:
        raise ValueError(f"media {media.pk} has no proxy: it is {media.state}")
    return ProxyMap(media.times, fps, media.proxy_frame_count)


def task_data(
    case: Case,
    assignment_id: int | None,
    media: Media,
    fps: Fraction,
    *,
    external_id: str,
    top: int | None = None,
) -> tuple[dict[str, Any], datetime | None]:
    """A task's `data`, and until when its video can be fetched. Label Studio sorts data as text: the rank is padded.

    Only the case's own task says why it was returned: another pass over the case must not know of the first. `top`:
    the last rank among the cases beside it, if any has one; a pass over a case that has none, or is settled, gets a
    rank as they have.
    """
    rank = case.review_rank if assignment_id is None else _rank_of(case)
    if rank is None and assignment_id is not None and top is not None:
        rank = drawn_rank(case.pk, assignment_id, top)
    note = f"Returned: {case.returned_reason}" if case.returned_reason and assignment_id is None else ""
    address, until = video_address(media)
    data = {
        "external_id": external_id,
        "video": address,
        "fps": float(fps),
        "case_id": case.pk,
        "name": case.video.name,
        "note": note,
        RANK_FIELD: f"{UNRANKED if rank is None else rank:07d}",
    }
    return data, until


def data_digest(data: Mapping[str, Any]) -> str:
    """SHA-256 of a task's data but for the video's address, whose signature is another each time."""
    kept = {name: value for name, value in data.items() if name != "video"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
