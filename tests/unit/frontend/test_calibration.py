from typing import Any
from xml.etree import ElementTree

import pytest
from django.test import Client
from django.urls import reverse

from annotations.cases.kinds import Kind
from crashdesk.accounts.models import User
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from frontend.calibration import MARGIN, SIDE, cards, reliability
from model_assist.calibration.services import enqueue_fit
from model_assist.calibration.work import fit
from model_assist.registry.models import ModelVersion
from tests.factories import make_model_version
from tests.unit.model_assist.calibration.made import reviewed

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(db: None) -> ModelVersion:
    return make_model_version("tiny <2>")


def shown(client: Client, user: User, model: ModelVersion) -> str:
    client.force_login(user)
    answer = client.get(reverse("model-calibration", args=[model.pk]))
    assert answer.status_code == 200
    return str(answer.content.decode())


def test_without_any_fit_every_kind_says_so(
    client: Client, model: ModelVersion, lead: User, annotator: User
) -> None:
    page = shown(client, lead, model)
    assert page.count("Not calibrated") == 6
    assert "tiny &lt;2&gt;" in page
    assert 'data-post="/api/calibrations"' in page
    assert "data-post" not in shown(client, annotator, model)
    assert client.get(reverse("model-calibration", args=[model.pk + 1])).status_code == 404
    client.logout()
    assert client.get(reverse("model-calibration", args=[model.pk])).status_code == 302


def test_a_fit_is_shown_with_its_plots_and_its_doubts(
    client: Client, model: ModelVersion, lead: User
) -> None:
    reviewed(model, 300, lead, blind=0.2)
    first = fit(model_version=model, kind=Kind.CRASH_RECOGNITION, by=lead)
    made = fit(model_version=model, kind=Kind.CRASH_RECOGNITION, by=lead)
    page = shown(client, lead, model)
    assert page.count("Not calibrated") == 5
    assert page.count("plot--square") == 2
    assert f"Isotonic on 300 reviewed answers from 300 recordings, {made.right} right" in page
    assert f"{made.before['ece']:.3f}" in page
    assert f"{made.after['ece']:.3f}" in page
    anchored = made.standing["anchored"]
    assert f"{anchored} of the 300 answers were reviewed with this model&#x27;s own draft in view" in page
    assert f"this model's draft {anchored}, another model's 0, none {300 - anchored}" in page
    assert f'<a href="/api/calibrations/{first.pk}">' in page


def test_blind_evidence_has_no_such_doubt(client: Client, model: ModelVersion, lead: User) -> None:
    reviewed(model, 120, lead, blind=1.0)
    fit(model_version=model, kind=Kind.CRASH_RECOGNITION, by=lead)
    page = shown(client, lead, model)
    assert "only answers whose reviewer saw no model's draft" in page
    assert "own draft in view" not in page


def test_a_confidence_that_says_nothing_is_told(model: ModelVersion, lead: User) -> None:
    reviewed(model, 150, lead, slope=-1.0, intercept=1.0)
    fit(model_version=model, kind=Kind.CRASH_RECOGNITION, by=lead)
    assert any("the same probability" in note for note in cards(model)[0].notes)


def test_waiting_and_failed_fits_are_told(client: Client, model: ModelVersion, lead: User) -> None:
    reviewed(model, 3, lead)
    enqueue_fit(model_version=model, by=lead)
    assert "A fit waits for a worker" in shown(client, lead, model)
    job = claim_next("data")
    assert job is not None
    perform(job)
    page = shown(client, lead, model)
    assert "The last fit came to nothing" in page
    assert "3 reviewed answers; at least 30 are needed" in page


def one_bin(**values: Any) -> dict[str, Any]:
    return {
        "low": 0.7, "high": 0.9, "count": 20, "right": 10, "confidence": 0.8, "share": 0.5, "share_low": 0.3,
        "share_high": 0.7, **values,
    }  # fmt: skip


def test_kinds_that_a_fit_left_out_say_why(client: Client, model: ModelVersion, lead: User) -> None:
    reviewed(model, 120, lead, blind=1.0)
    enqueue_fit(model_version=model, kinds=[Kind.CRASH_RECOGNITION, Kind.CAUSAL_REASONING], by=lead)
    job = claim_next("data")
    assert job is not None
    perform(job)
    page = shown(client, lead, model)
    assert page.count("The last fit left this out: causal_reasoning:") == 1


def test_the_plot_places_and_tells_every_bin() -> None:
    drawn = ElementTree.fromstring(reliability([one_bin()], words='confidence & "truth"'))
    assert drawn.attrib["aria-label"] == 'confidence & "truth"'
    (dot,) = drawn.iter("circle")
    assert (float(dot.attrib["cx"]), float(dot.attrib["cy"])) == (MARGIN + 0.8 * SIDE, 0.5 * SIDE)
    (whisker,) = (line for line in drawn.iter("line") if line.attrib["class"] == "plot__whisker")
    assert (float(whisker.attrib["y1"]), float(whisker.attrib["y2"])) == pytest.approx(
        (0.7 * SIDE, 0.3 * SIDE)
    )
    (told,) = drawn.iter("title")
    assert told.text == "0.70 to 0.90: 10 of 20 right, 95 % interval 0.30 to 0.70"
    assert reliability([], words="") == ""
