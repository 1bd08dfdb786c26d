from typing import Any

import pytest

from annotations.cases.models import Answer, CaseStatus
from annotations.cases.services import add_person_answer
from annotations.corpora.models import Corpus, DuplicateCluster, DuplicateMember
from annotations.corpus_audit import auditing, services
from annotations.corpus_audit.auditing import audit_corpus
from annotations.corpus_audit.loader import load
from annotations.corpus_audit.models import CorpusAudit, FindingAcknowledgement
from annotations.datasets.services import freeze
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.models import AuditEvent
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.running import Cancelled
from crashdesk.jobs.services import claim_next
from crashdesk.jobs.tasks import perform
from tests.factories import (
    CRASH,
    NO_CRASH,
    add_drafts,
    make_case,
    make_corpus,
    make_guideline,
    make_media,
    make_video,
)

pytestmark = pytest.mark.django_db
KEY = {"code": "recording_straddles_splits", "subject": "published: val and train"}


@pytest.fixture
def leaky() -> Corpus:
    """Two recordings, each in both splits; nobody has answered anything."""
    corpus = make_corpus("Leaky")
    for split in ("train", "val"):
        for recording in ("r1", "r2"):
            make_video(corpus, recording=recording, split=split)
    return corpus


def finding(audit: CorpusAudit, code: str, subject: str = "") -> dict[str, Any]:
    (found,) = [f for f in audit.report["findings"] if (f["code"], f["subject"]) == (code, subject)]
    return dict(found)


def test_unchanged_inputs_give_the_audit_that_is_kept(leaky: Corpus, lead: User) -> None:
    audit, new = audit_corpus(leaky, by=lead)
    assert (new, audit.created_by) == (True, lead)
    assert audit_corpus(leaky, by=None) == (audit, False)
    assert AuditEvent.objects.filter(verb="corpus.audited", subject_id=leaky.pk).count() == 1
    leaky.videos.filter(split="val").update(split="test")
    again, new = audit_corpus(leaky, by=None)
    assert new
    assert services.before(again) == audit
    assert services.newest(leaky) == again


def test_a_corpus_that_is_back_as_it_was_is_audited_anew(leaky: Corpus) -> None:
    """Else the newest audit, which people are shown, would speak of what is no longer so."""
    first, _ = audit_corpus(leaky, by=None)
    leaky.videos.filter(split="val").update(split="test")
    audit_corpus(leaky, by=None)
    leaky.videos.filter(split="test").update(split="val")
    back, new = audit_corpus(leaky, by=None)
    assert new
    assert services.newest(leaky) == back
    assert (back.inputs_hash, back.report) == (first.inputs_hash, first.report)
    assert audit_corpus(leaky, by=None) == (back, False)


def test_the_same_clips_in_another_corpus_read_the_same(leaky: Corpus) -> None:
    """Nothing of database ids goes into the hash; the corpus's name does."""
    first = load(leaky).inputs_hash
    videos = list(leaky.videos.values())
    other = make_corpus("Other")
    leaky.videos.all().delete()
    for row in reversed(videos):
        other.videos.create(
            **{name: row[name] for name in ("name", "source", "recording", "split", "media_id")}
        )
    other.name = leaky.name
    assert load(other).inputs_hash == first


def test_which_answers_count(lead: User) -> None:
    """Approved (be it a confirmed draft) before a person's before an imported one; an unapproved draft never."""
    corpus, guideline = make_corpus(), make_guideline()
    drafted = make_case(CaseStatus.PREDICTED, video=make_video(corpus, name="1"), guideline=guideline)
    submitted = make_case(CaseStatus.SUBMITTED, video=make_video(corpus, name="2"), guideline=guideline)
    add_person_answer(
        case=submitted,
        kind="crash_recognition",
        said=NO_CRASH["crash_recognition"],
        by=lead,
        origin="x",
        draft=None,
    )
    approved = make_case(CaseStatus.APPROVED, video=make_video(corpus, name="3"), guideline=guideline)
    imported = make_case(video=make_video(corpus, name="4"), guideline=guideline)
    excluded = make_case(CaseStatus.EXCLUDED, video=make_video(corpus, name="5"), guideline=guideline)
    for case in (submitted, approved, imported, excluded):
        Answer.objects.create(
            case=case, kind="crash_recognition", state="valued", value={"label": "yes" if case != approved else "no"},
            author_kind="import", origin="file",
        )  # fmt: skip
    columns = load(corpus)
    assert columns.labels.tolist() == [-1, 0, 1, 1, -1]
    assert columns.excluded.tolist() == [False, False, False, False, True]
    assert columns.start_us.tolist() == [-1, -1, 2_000_000, -1, -1]
    assert columns.onset_us.tolist() == [-1, -1, 1_200_000, -1, -1]
    assert columns.texts[0][2] == "car hits a truck."
    assert columns.cases.tolist() == [case.pk for case in (drafted, submitted, approved, imported, excluded)]
    add_drafts(imported, CRASH)
    assert load(corpus).inputs_hash == columns.inputs_hash


def test_media_metadata_clusters_versions_and_other_corpora_are_read(lead: User) -> None:
    corpus, other, guideline = make_corpus("Ours"), make_corpus("Theirs"), make_guideline()
    media = make_media(seconds=4)
    first = make_video(
        corpus, name="a", media=media, recording="r", split="train",
        metadata={
            "declared": {"frames": 50, "fps": [10, 1], "end_frame": 60},
            "inconsistent": [{"fields": ["end_frame"], "message": "ends after its last frame"}],
            "start_frame_in_recording": 0, "end_frame_in_recording": 50,
        },
    )  # fmt: skip
    second = make_video(corpus, name="b", media=None, recording="own", recording_origin="name")
    theirs = make_video(other, name="c", media=media, recording="r", split="test")
    cluster = DuplicateCluster.objects.create()
    for video in (second, theirs):
        DuplicateMember.objects.create(cluster=cluster, video=video)
    for video in (first, second):
        make_case(video=video, guideline=guideline)
    columns = load(corpus)
    assert columns.duration_us.tolist() == [4_000_000, -1]
    assert columns.declared_duration_us.tolist() == [5_000_000, -1]
    assert (columns.place_from_us.tolist(), columns.place_to_us.tolist()) == ([0, -1], [5_000_000, -1])
    assert columns.inconsistent == {0: ("ends after its last frame",)}
    assert columns.recording_known.tolist() == [True, False]
    assert [columns.cluster[0], columns.cluster[1]] == ["", "Ours: b"]
    assert [(e.row, e.corpus, e.name, e.split, e.why) for e in columns.elsewhere] == [
        (0, "Theirs", "c", "test", "bytes"),
        (1, "Theirs", "c", "test", "cluster"),
    ]
    assert columns.recordings_elsewhere == {0: ("Theirs",)}
    assert columns.version == ""


def test_the_newest_versions_splits_are_read(lead: User) -> None:
    corpus, guideline = make_corpus("Frozen"), make_guideline()
    for number in range(4):
        make_case(
            CaseStatus.APPROVED,
            said=CRASH if number % 2 else NO_CRASH,
            video=make_video(corpus),
            guideline=guideline,
        )
    freeze(corpus=corpus, guideline=guideline, val_share=0.5, test_share=0.0, by=lead)
    columns = load(corpus)
    assert columns.version == "Frozen v1"
    assert set(columns.version_split.values) == {"train", "val"}


@pytest.mark.parametrize(
    "metadata",
    [
        {"declared": None}, {"declared": "50"}, {"declared": {"frames": "50", "fps": [10, 1]}},
        {"declared": {"frames": 50, "fps": [10, 0]}}, {"declared": {"frames": True, "fps": [10, 1]}},
        {"declared": {"frames": 50, "fps": 10}}, {"inconsistent": "yes"}, {"inconsistent": [1]},
    ],
)  # fmt: skip
def test_odd_metadata_is_read_as_unknown(metadata: dict[str, Any]) -> None:
    corpus = make_corpus()
    make_video(corpus, metadata=metadata)
    columns = load(corpus)
    assert columns.declared_duration_us.tolist() == [-1]
    assert columns.inconsistent == {}


def test_all_clips_of_a_finding_are_kept(leaky: Corpus) -> None:
    audit, _ = audit_corpus(leaky, by=None)
    assert finding(audit, **KEY)["listed"]
    clips = audit.clips.get(**KEY)
    assert list(services.videos_of(clips)) == list(leaky.videos.filter(split="val"))


def test_an_acknowledgement_speaks_for_later_audits_until_the_finding_outgrows_it(
    leaky: Corpus, lead: User
) -> None:
    audit, _ = audit_corpus(leaky, by=None)
    standing = {(s.finding["code"], s.finding["subject"]): s for s in services.standings(audit)}
    assert standing[tuple(KEY.values())].open
    said = services.acknowledge(audit=audit, **KEY, reason="Published like this.", by=lead)
    with pytest.raises(Problem, match="already"):
        services.acknowledge(audit=audit, **KEY, reason="Again.", by=lead)

    make_video(leaky, recording="r3", split="train")
    later, new = audit_corpus(leaky, by=None)
    assert new
    assert not _standing(later).open
    assert _standing(later).acknowledgement == said

    make_video(leaky, recording="r3", split="val")
    grown, _ = audit_corpus(leaky, by=None)
    assert _standing(grown).outgrown
    assert _standing(grown).open
    newer = services.acknowledge(audit=grown, **KEY, reason="Still.", by=lead)
    assert not _standing(grown).open
    said.refresh_from_db()
    assert said.withdrawn_by == lead
    assert newer.count == 3

    services.withdraw(acknowledgement=newer, by=lead)
    assert _standing(grown).open
    with pytest.raises(Problem, match="already"):
        services.withdraw(acknowledgement=newer, by=lead)
    verbs = AuditEvent.objects.filter(subject_id=leaky.pk, subject_type="corpus").values_list(
        "verb", flat=True
    )
    assert sorted(verbs) == ["corpus.audited"] * 3 + ["finding.acknowledged"] * 2 + ["finding.reopened"]


def _standing(audit: CorpusAudit) -> services.Standing:
    (found,) = [
        s
        for s in services.standings(audit)
        if (s.finding["code"], s.finding["subject"]) == tuple(KEY.values())
    ]
    return found


def test_only_findings_that_are_there_can_be_acknowledged(leaky: Corpus, lead: User) -> None:
    audit, _ = audit_corpus(leaky, by=None)
    with pytest.raises(Problem, match="no finding"):
        services.acknowledge(audit=audit, code="source_answers", subject="", reason="?", by=lead)
    assert not FindingAcknowledgement.objects.exists()


def test_one_waiting_job_answers_everybody_and_its_result_names_the_audit(leaky: Corpus, lead: User) -> None:
    job = services.enqueue_audit(leaky.pk, by=lead)
    assert services.enqueue_audit(leaky.pk, by=None) == job
    claimed = claim_next("data")
    assert claimed is not None
    assert (
        services.enqueue_audit(leaky.pk, by=None) != job
    )  # what changes now, the running one may have missed
    perform(claimed)
    job.refresh_from_db()
    audit = CorpusAudit.objects.get()
    assert (job.state, job.result) == (JobState.DONE, {"audit": audit.pk, "new": True})
    assert (audit.job_id, audit.created_by) == (job.pk, lead)


def test_a_cancelled_audit_writes_nothing(leaky: Corpus) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if what == "writing the report":
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        audit_corpus(leaky, by=None, step=stop)
    assert not CorpusAudit.objects.exists()


def test_a_corpus_that_has_gone_ends_the_job_at_once() -> None:
    services.enqueue_audit(999_999, by=None)
    claimed = claim_next("data")
    assert claimed is not None
    perform(claimed)
    job = Job.objects.get()
    assert (job.state, job.attempts) == (JobState.FAILED, 1)
    assert "no corpus" in job.error


def test_progress_never_goes_back(leaky: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annotations.corpus_audit.loader.CHUNK", 1)
    told: list[tuple[int, int]] = []
    auditing.audit_corpus(leaky, by=None, step=lambda done, total, _: told.append((done, total)))
    assert all(done <= total for done, total in told)
    shares = [done / total for done, total in told]
    assert shares == sorted(shares)
    assert told[-1][0] == told[-1][1]


def test_an_audit_is_kept(leaky: Corpus) -> None:
    audit, _ = audit_corpus(leaky, by=None)
    with pytest.raises(TypeError, match="kept"):
        audit.delete()
