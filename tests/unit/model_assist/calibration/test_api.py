import pytest
from rest_framework.test import APIClient

from annotations.cases.kinds import Kind
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job
from model_assist.calibration.models import Calibration
from model_assist.calibration.work import fit
from model_assist.registry.models import ModelVersion
from tests.factories import make_model_version
from tests.unit.model_assist.calibration.made import reviewed

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(db: None) -> ModelVersion:
    return make_model_version("tiny")


def client(user: User) -> APIClient:
    made = APIClient()
    made.force_authenticate(user)
    return made


def test_who_may_fit(
    model: ModelVersion, lead: User, engineer: User, reviewer: User, annotator: User
) -> None:
    reviewed(model, 3, lead)
    for user in (annotator, reviewer):
        assert client(user).post("/api/calibrations", {"model_version": model.pk}).status_code == 403
    assert APIClient().post("/api/calibrations", {"model_version": model.pk}).status_code in (401, 403)
    assert not Job.objects.exists()
    first = client(engineer).post("/api/calibrations", {"model_version": model.pk})
    assert (first.status_code, first.json()["kind"]) == (202, "calibrate")
    again = client(lead).post("/api/calibrations", {"model_version": model.pk})
    assert again.json()["id"] == first.json()["id"]
    args = Job.objects.get().args
    assert set(args.pop("kinds")) == set(Kind.values)
    assert args == {"model_version": model.pk, "evidence": "auto", "seed": 0}


def test_some_kinds_only(model: ModelVersion, lead: User) -> None:
    reviewed(model, 3, lead)
    wanted = {"model_version": model.pk, "kinds": ["crash_recognition"], "evidence": "blind", "seed": 3}
    assert client(lead).post("/api/calibrations", wanted).status_code == 202
    assert Job.objects.get().args == wanted


def test_wrong_wishes_name_their_fields(model: ModelVersion, lead: User) -> None:
    answer = client(lead).post(
        "/api/calibrations", {"model_version": 999, "kinds": ["weather"], "evidence": "x"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["fields"].keys() == {"model_version", "kinds", "evidence"}
    empty = client(lead).post("/api/calibrations", {"model_version": model.pk})
    assert (empty.status_code, empty.json()["error"]["code"]) == (409, "nothing_reviewed")


def test_everybody_reads_them(model: ModelVersion, lead: User, annotator: User) -> None:
    reviewed(model, 60, lead)
    fit(model_version=model, kind=Kind.CRASH_RECOGNITION, by=lead)
    newer = fit(model_version=model, kind=Kind.CRASH_RECOGNITION, by=lead)
    listed = client(annotator).get("/api/calibrations", {"model_version": model.pk}).json()["results"]
    assert (len(listed), listed[0]["id"]) == (2, newer.pk)
    assert client(annotator).get("/api/calibrations", {"kind": "causal_reasoning"}).json()["results"] == []
    detail = client(annotator).get(f"/api/calibrations/{newer.pk}").json()
    assert detail["standing"] == {"anchored": 60, "other": 0, "blind": 0}
    assert sum(one["count"] for one in detail["after"]["bins"]) == 60
    assert detail["parameters"].keys() == {"slope", "intercept"}
    assert client(lead).delete(f"/api/calibrations/{newer.pk}").status_code in (403, 405)
    assert Calibration.objects.count() == 2
