import pytest
from rest_framework.test import APIClient

from annotations.corpora.models import Corpus
from annotations.corpus_audit.auditing import audit_corpus
from annotations.corpus_audit.models import CorpusAudit
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job
from tests.factories import make_case, make_corpus, make_video

pytestmark = pytest.mark.django_db
KEY = {"code": "recording_straddles_splits", "subject": "published: val and train"}


@pytest.fixture
def audit() -> CorpusAudit:
    corpus = make_corpus("Leaky")
    for split in ("train", "val", "val"):
        make_video(corpus, recording="r1", split=split)
    return audit_corpus(corpus, by=None)[0]


def client(user: User) -> APIClient:
    made = APIClient()
    made.force_authenticate(user)
    return made


def test_an_audit_is_asked_for_once_and_only_by_who_may_import(
    audit: CorpusAudit, lead: User, annotator: User
) -> None:
    first = client(lead).post("/api/audits", {"corpus": audit.corpus_id})
    assert (first.status_code, first.json()["kind"]) == (202, "audit")
    assert client(lead).post("/api/audits", {"corpus": audit.corpus_id}).json()["id"] == first.json()["id"]
    assert Job.objects.filter(kind="audit").count() == 1
    assert client(annotator).post("/api/audits", {"corpus": audit.corpus_id}).status_code == 403
    assert client(lead).post("/api/audits", {"corpus": 999}).json()["error"]["fields"].keys() == {"corpus"}


def test_everybody_reads_audits_with_their_findings(audit: CorpusAudit, annotator: User) -> None:
    (listed,) = client(annotator).get("/api/audits", {"corpus": audit.corpus_id}).json()["results"]
    assert listed["corpus_name"] == "Leaky"
    assert listed["severities"]["error"] == 1
    assert "report" not in listed
    detail = client(annotator).get(f"/api/audits/{audit.pk}").json()
    assert detail["findings"][0] == {**audit.report["findings"][0], "open": True, "acknowledgement": None}
    assert detail["report"]["counts"]["clips"] == 3
    assert "findings" not in detail["report"]
    assert client(annotator).get("/api/audits/999").status_code == 404


def test_what_changed_since_the_audit_before(audit: CorpusAudit, annotator: User) -> None:
    reader = client(annotator)
    assert reader.get(f"/api/audits/{audit.pk}/diff").json()["error"]["code"] == "no_earlier_audit"
    corpus = Corpus.objects.get()
    make_video(corpus, recording="r1", split="test")
    later, _ = audit_corpus(corpus, by=None)
    found = reader.get(f"/api/audits/{later.pk}/diff").json()
    assert found["against"] == audit.pk
    assert {"recording_straddles_splits"} == {f["code"] for f in found["new"]}
    assert found["gone"] == []
    back = reader.get(f"/api/audits/{audit.pk}/diff", {"against": later.pk}).json()
    assert [f["subject"] for f in back["gone"]] == [f["subject"] for f in found["new"]]
    for wrong in ("999", "x", "1" * 40):
        answer = reader.get(f"/api/audits/{audit.pk}/diff", {"against": wrong})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")


def test_all_clips_of_a_finding(audit: CorpusAudit, annotator: User) -> None:
    case = make_case(video=Corpus.objects.get().videos.filter(split="val")[0])
    reader = client(annotator)
    found = reader.get(f"/api/audits/{audit.pk}/clips", {**KEY, "page_size": 1}).json()
    assert [(clip["id"], clip["case"], clip["split"]) for clip in found["results"]] == [
        (case.video_id, case.pk, "val")
    ]
    following = reader.get(found["next"]).json()
    assert [clip["case"] for clip in following["results"]] == [None]
    missing = reader.get(f"/api/audits/{audit.pk}/clips", {"code": "x"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "no_such_finding")


def test_leads_acknowledge_and_withdraw(audit: CorpusAudit, lead: User, reviewer: User) -> None:
    address = f"/api/audits/{audit.pk}/acknowledge"
    assert client(reviewer).post(address, {**KEY, "reason": "Known."}).status_code == 403
    assert client(lead).post(address, KEY).json()["error"]["fields"].keys() == {"reason"}
    made = client(lead).post(address, {**KEY, "reason": "Known."})
    assert (made.status_code, made.json()["by"], made.json()["count"]) == (201, "the-lead", 2)
    again = client(lead).post(address, {**KEY, "reason": "Known."})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "already_acknowledged")
    shown = client(reviewer).get(f"/api/audits/{audit.pk}").json()["findings"][0]
    assert (shown["open"], shown["acknowledgement"]["reason"]) == (False, "Known.")

    withdraw = f"/api/audit-acknowledgements/{made.json()['id']}/withdraw"
    assert client(reviewer).post(withdraw).status_code == 403
    assert client(lead).post(withdraw).json()["withdrawn_by"] == "the-lead"
    assert client(lead).post(withdraw).status_code == 409
    listed = (
        client(reviewer).get("/api/audit-acknowledgements", {"corpus": audit.corpus_id}).json()["results"]
    )
    assert [row["reason"] for row in listed] == ["Known."]
    standing = client(reviewer).get("/api/audit-acknowledgements", {"withdrawn_at__isnull": True})
    assert standing.json()["results"] == []
