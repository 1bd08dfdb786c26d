"""What the page of a model version's calibrations shows: a card per kind with plots told in words as well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from annotations.cases.kinds import Kind
from crashdesk.jobs.models import Job, JobState
from model_assist.calibration.models import Calibration
from model_assist.calibration.services import JOB, newest
from model_assist.registry.models import ModelVersion

SIDE: Final = 260
MARGIN: Final = 34
EARLIER: Final = 10


@dataclass(frozen=True)
class Card:
    """One kind: its newest calibration (None: there is none) with plots before and after, and earlier fits.

    refused: why the last fit left this kind out; '' where it did not.
    """

    kind: str
    calibration: Calibration | None
    plots: list[tuple[str, Mapping[str, Any], SafeString]]
    earlier: list[Calibration]
    notes: list[str]
    refused: str


def cards(model: ModelVersion) -> list[Card]:
    """A card for every kind, in the order of the questions."""
    current = newest(model)
    every = list(
        Calibration.objects.filter(model_version=model).defer("before", "after").select_related("created_by")
    )
    refused = _refused(model)
    return [_card(kind, current.get(kind), every, refused.get(kind, "")) for kind in Kind.values]


def _refused(model: ModelVersion) -> dict[str, str]:
    """What the last fit that fitted something left out, kind to reason."""
    done = Job.objects.filter(kind=JOB, args__model_version=model.pk, state=JobState.DONE)
    last = done.order_by("-id").first()
    return dict(last.result["refused"]) if last is not None else {}


def _card(kind: str, calibration: Calibration | None, every: Sequence[Calibration], refused: str) -> Card:
    if calibration is None:
        return Card(kind, None, [], [], [], refused)
    plots = [
        (title, report, reliability(report["bins"], words=_words(title, report)))
        for title, report in (("As recorded", calibration.before), ("Calibrated", calibration.after))
    ]
    earlier = [row for row in every if row.kind == kind and row.pk != calibration.pk][:EARLIER]
    return Card(kind, calibration, plots, earlier, _notes(calibration), refused)


def _notes(calibration: Calibration) -> list[str]:
    """What the reader of the numbers should know."""
    notes = []
    if calibration.evidence == "all" and calibration.standing["anchored"]:
        anchored, reviewed = calibration.standing["anchored"], sum(calibration.standing.values())
        notes.append(
            f"{anchored} of the {reviewed} answers were reviewed with this model's own draft in view. People agree "
            "with what they see, so that the calibrated numbers are too high by an unknown amount."
        )
    after, before = calibration.after, calibration.before
    if after["ece"] >= before["ece"]:
        notes.append("The calibration did not lower the error on answers it was not fitted on.")
    if calibration.method == "logistic" and calibration.parameters["slope"] == 0:
        notes.append(
            "Higher confidence did not mean more right answers: every answer gets the same probability."
        )
    return notes


def open_job(model: ModelVersion) -> Job | None:
    """The fit of this model that waits or runs."""
    waiting = [JobState.QUEUED, JobState.RUNNING, JobState.PAUSED]
    return (
        Job.objects.filter(kind=JOB, args__model_version=model.pk, state__in=waiting).order_by("id").first()
    )


def failed_job(model: ModelVersion) -> Job | None:
    """The last fit of this model, where it came to nothing."""
    last = Job.objects.filter(kind=JOB, args__model_version=model.pk).order_by("-id").first()
    return last if last is not None and last.state == JobState.FAILED else None


def _words(title: str, report: Mapping[str, Any]) -> str:
    told = "; ".join(
        f"confidence {one['confidence']:.2f}: {one['right']} of {one['count']} right"
        for one in report["bins"]
    )
    return f"{title}: {told}"


def reliability(bins: Sequence[Mapping[str, Any]], *, words: str) -> SafeString:
    """A square from 0 to 1: a dot per bin at its mean confidence and share right, its Wilson interval, the diagonal.

    Each dot tells its numbers when pointed at; nothing for no bins.
    """
    if not bins:
        return SafeString("")
    dots = format_html_join(
        "",
        '<g><line class="plot__whisker" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>'
        '<circle class="plot__dot" cx="{0}" cy="{3}" r="{4}"/>'
        "<title>{5} to {6}: {7} of {8} right, {9}</title></g>",
        (
            (
                f"{_x(one['confidence']):.1f}", f"{_y(one['share_low']):.1f}", f"{_y(one['share_high']):.1f}",
                f"{_y(one['share']):.1f}", "4", f"{one['low']:.2f}", f"{one['high']:.2f}", one["right"], one["count"],
                f"95 % interval {one['share_low']:.2f} to {one['share_high']:.2f}",
            )
            for one in bins
        ),
    )  # fmt: skip
    axes = format_html(
        '<rect class="plot__frame" x="{0}" y="0" width="{1}" height="{1}"/>'
        '<line class="plot__diagonal" x1="{0}" y1="{1}" x2="{2}" y2="0"/>'
        '<text class="plot__text" x="{0}" y="{3}">0</text>'
        '<text class="plot__text" x="{2}" y="{3}" text-anchor="end">confidence 1</text>'
        '<text class="plot__text" x="{4}" y="12" text-anchor="end">1</text>'
        '<text class="plot__text" x="{4}" y="{1}" text-anchor="end">0</text>',
        MARGIN, SIDE, MARGIN + SIDE, SIDE + 16, MARGIN - 5,
    )  # fmt: skip
    return format_html(
        '<svg class="plot plot--square" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>',
        MARGIN + SIDE + 2, SIDE + 20, words, axes, dots,
    )  # fmt: skip


def _x(value: float) -> float:
    return MARGIN + SIDE * value


def _y(value: float) -> float:
    return SIDE * (1 - value)
